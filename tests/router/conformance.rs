//! The conformance suite: every file in `cases/`, each case between a client and a dyno of its own.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use futures_util::StreamExt;

use crate::script::File;

/// Cases that are played at the same time.
const AT_ONCE: usize = 8;
/// The suite has at least as many cases.
const CASES_MIN: usize = 150;

fn files() -> Vec<File> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/router/cases");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| File::read(path)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_client_dyno_and_log_get_is_what_the_cases_say() {
    let only = std::env::var("CASE").unwrap_or_default();
    let is_update = std::env::var_os("UPDATE").is_some();
    let mut defects = Vec::new();
    for file in files() {
        let chosen = file.cases.iter().filter(|case| case.name.contains(&only));
        let played = futures_util::stream::iter(chosen.map(|case| case.play()));
        let played: Vec<_> = played.buffered(AT_ONCE).collect().await;
        if is_update && only.is_empty() {
            file.update(&played.into_iter().map(|(seen, _)| seen).collect::<Vec<_>>());
            continue;
        }
        let names = file.cases.iter().filter(|case| case.name.contains(&only));
        for (case, (seen, is_right)) in names.zip(played) {
            if !is_right {
                defects.push(format!("## {}\nseen was:\n{}", case.name, seen.join("\n")));
            }
        }
    }
    assert!(defects.is_empty(), "{} cases differ:\n{}", defects.len(), defects.join("\n\n"));
}

#[test]
fn the_suite_is_complete_and_its_cases_are_distinct() {
    let files = files();
    let names: Vec<_> = files.iter().flat_map(|file| &file.cases).map(|case| &case.name).collect();
    assert!(names.len() >= CASES_MIN, "{} cases", names.len());
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "every name is there once");
}
