//! `docs/codes.md` is the table of codes, as written by the table.

use std::fs;
use std::path::Path;

#[test]
fn the_document_of_codes_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/codes.md");
    let expected = dyno::wire::codes::document();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &expected).expect("the document can be written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "docs/codes.md is stale: run `UPDATE=1 cargo test --test codes`");
}
