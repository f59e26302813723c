//! The git push endpoint: smart HTTP and the receive hook's other end.
