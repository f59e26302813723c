//! The durable log of an app, read from its files, and what each of its dynos has said.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use dyno::wire::logline::{LogLine, Source};

/// Lines of the platform that are shown with a dyno that had no last words.
const AFTER_MAX: usize = 8;

/// The numbered lines of one dyno, in the order in which they stand in the log.
#[derive(Debug, Default)]
pub(super) struct Said {
    numbers: Vec<u64>,
    has_ended: bool,
    /// Its name.
    ps: String,
    /// What the platform has said of that name since this dyno's newest line.
    after: Vec<String>,
}

impl Said {
    pub(super) fn count(&self) -> usize {
        self.numbers.len()
    }

    /// Every number once and in order; one that was not killed has said which was its last.
    pub(super) fn assert_whole(&self, id: &str, has_last_words: bool) {
        for (at, number) in self.numbers.iter().enumerate() {
            let around = &self.numbers[at.saturating_sub(3)..(at + 3).min(self.numbers.len())];
            assert_eq!(*number, at as u64 + 1, "dyno {id}: a line is lost or was told twice: {around:?}");
        }
        assert!(
            self.has_ended || !has_last_words,
            "dyno {id}: its last line is lost after {}, and then of {} was said: {:#?}",
            self.numbers.len(),
            self.ps,
            self.after
        );
    }
}

/// What every dyno has said, by its identity.
pub(super) fn told(dir: &Path) -> BTreeMap<String, Said> {
    let mut told = BTreeMap::<String, Said>::new();
    for line in all(dir) {
        assert!(line.ps != "logplex" && line.ps != "log-shuttle", "lines were dropped: {line:?}");
        let text = String::from_utf8(line.message).unwrap();
        if line.source != Source::App {
            let of_same_name = told.values_mut().filter(|said| said.ps == line.ps && !said.has_ended);
            of_same_name
                .filter(|said| said.after.len() < AFTER_MAX)
                .for_each(|said| said.after.push(text.clone()));
            continue;
        }
        let mut words = text.split(' ');
        let id = words.next().filter(|word| word.len() == 36);
        let (Some(id), Some(Ok(number))) = (id, words.next().map(str::parse)) else { continue };
        let said = told.entry(id.to_owned()).or_default();
        said.numbers.push(number);
        said.ps.clone_from(&line.ps);
        said.after.clear();
        said.has_ended |= words.next() == Some("last");
    }
    told
}

/// Every line in the files, oldest first.
fn all(dir: &Path) -> Vec<LogLine> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some((number, form)) = name.split_once('.') else { continue };
        let bytes = || fs::read(dir.join(&name)).unwrap();
        match form {
            // One that is being compressed stands in both forms for a moment, with the same lines.
            "log" => files.insert(number.to_owned(), bytes()),
            "log.zst" => files.insert(number.to_owned(), zstd::decode_all(&*bytes()).unwrap()),
            _ => None,
        };
    }
    let lines = files.values().flat_map(|bytes| bytes.split_inclusive(|byte| *byte == b'\n'));
    lines.map(|line| LogLine::parse(line).unwrap()).collect()
}
