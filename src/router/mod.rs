//! The HTTP data plane: validate, lookup, admit, pick, forward, answer, observe.
