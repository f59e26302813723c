//! The Platform API over HTTP: parse, call a flow, show the result.
