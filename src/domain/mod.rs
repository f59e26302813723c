//! Nouns and rules of the product. No I/O, no clock, no `async`.
