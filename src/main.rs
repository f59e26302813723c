//! The one binary: decides which role this process plays and hands over.

fn main() {}
