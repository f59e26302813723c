//! Durable state of a node, in SQLite. Being acknowledged means being on disk.
