//! The log service: ingest, buffer, store, tail.
