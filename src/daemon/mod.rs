//! Assembly: configuration, start, shutdown.
