//! `.slugignore`: patterns like those of `.gitignore`, without `!` (platform reference 3.3).

use std::collections::BTreeSet;

/// The file's name, in the root of the source.
pub(super) const FILE: &str = ".slugignore";

/// The most bytes of the file that count.
pub(super) const FILE_BYTES_MAX: usize = 64 * 1024;

/// The most patterns that count; each is tried on every file.
const PATTERNS_MAX: usize = 1000;

/// A whole `.slugignore`.
pub(super) struct Patterns(Vec<Pattern>);

struct Pattern {
    /// Of the path from the root; `None` stands for any number of directories (`**`).
    segments: Vec<Option<Vec<Token>>>,
    directories_only: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Any,
    One,
    Set { excluded: bool, ranges: Vec<(char, char)> },
    Just(char),
}

/// One file or directory of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Relative to the root, without `./`.
    pub(super) path: String,
    pub(super) is_dir: bool,
}

/// What to delete.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Doomed {
    /// Topmost paths, relative to the root.
    pub(super) paths: Vec<String>,
    /// How many files that are no directories go.
    pub(super) files: usize,
}

impl Patterns {
    pub(super) fn read(text: &str) -> Patterns {
        Patterns(text.lines().filter_map(Pattern::read).take(PATTERNS_MAX).collect())
    }

    /// What of these entries is matched, itself or by a directory above it. Directories come before what they hold. Many
    /// patterns and files take long: the rest is left once `is_moot`.
    pub(super) fn doomed(&self, entries: &[Entry], is_moot: impl Fn() -> bool) -> Doomed {
        let mut doomed = Doomed::default();
        let mut directories: BTreeSet<&str> = BTreeSet::new();
        for entry in entries.iter().take_while(|_| !is_moot()) {
            let above = entry.path.match_indices('/').any(|(at, _)| directories.contains(&entry.path[..at]));
            if !above {
                if !self.0.iter().any(|pattern| pattern.matches(entry)) {
                    continue;
                }
                doomed.paths.push(entry.path.clone());
                if entry.is_dir {
                    directories.insert(&entry.path);
                }
            }
            doomed.files += usize::from(!entry.is_dir);
        }
        doomed
    }
}

impl Pattern {
    fn read(line: &str) -> Option<Pattern> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        let directories_only = line.ends_with('/');
        let body = line.trim_end_matches('/');
        let anchored = body.contains('/');
        let body = body.trim_start_matches('/');
        if body.is_empty() || body.split('/').any(|part| matches!(part, "." | "..")) {
            return None;
        }
        let parts = body.split('/').map(|part| (part != "**").then(|| tokens(part)));
        let segments = if anchored { parts.collect() } else { std::iter::once(None).chain(parts).collect() };
        Some(Pattern { segments, directories_only })
    }

    fn matches(&self, entry: &Entry) -> bool {
        if self.directories_only && !entry.is_dir {
            return false;
        }
        let parts: Vec<&str> = entry.path.split('/').collect();
        let is_star = |segment: &Option<Vec<Token>>| segment.is_none();
        let fits = |segment: &Option<Vec<Token>>, part: &&str| {
            let letters: Vec<char> = part.chars().collect();
            let any = |token: &Token| *token == Token::Any;
            segment.as_ref().is_some_and(|tokens| wild(tokens, &letters, any, Token::fits))
        };
        wild(&self.segments, &parts, is_star, fits)
    }
}

impl Token {
    fn fits(&self, letter: &char) -> bool {
        match self {
            Token::Any | Token::One => true,
            Token::Just(own) => own == letter,
            Token::Set { excluded, ranges } => {
                ranges.iter().any(|(from, to)| (from..=to).contains(&letter)) != *excluded
            }
        }
    }
}

/// Whether a pattern with stars fits a whole text. Going back only to the last star keeps the work below pattern × text.
fn wild<P, T>(
    pattern: &[P],
    text: &[T],
    is_star: impl Fn(&P) -> bool,
    fits: impl Fn(&P, &T) -> bool,
) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(part) if is_star(part) => {
                last_star = Some((p, t));
                p += 1;
            }
            Some(part) if fits(part, &text[t]) => (p, t) = (p + 1, t + 1),
            Some(_) | None => match &mut last_star {
                Some((star, from)) => {
                    *from += 1;
                    (p, t) = (*star + 1, *from);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(is_star)
}

fn tokens(part: &str) -> Vec<Token> {
    let letters: Vec<char> = part.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(letter) = letters.get(at) {
        at += 1;
        tokens.push(match letter {
            '*' => Token::Any,
            '?' => Token::One,
            '\\' if at < letters.len() => {
                at += 1;
                Token::Just(letters[at - 1])
            }
            '[' => match set(&letters[at..]) {
                Some((token, used)) => {
                    at += used;
                    token
                }
                None => Token::Just('['),
            },
            other => Token::Just(*other),
        });
    }
    tokens
}

/// A bracket expression after its `[`, and how many letters it takes.
fn set(letters: &[char]) -> Option<(Token, usize)> {
    let excluded = matches!(letters.first(), Some('!' | '^'));
    let start = usize::from(excluded);
    // A bracket that comes first is a member.
    let end = start + 1 + letters.get(start + 1..)?.iter().position(|letter| *letter == ']')?;
    let (mut ranges, mut at) = (Vec::new(), start);
    while at < end {
        let is_range = at + 2 < end && letters[at + 1] == '-';
        ranges.push((letters[at], letters[if is_range { at + 2 } else { at }]));
        at += if is_range { 3 } else { 1 };
    }
    Some((Token::Set { excluded, ranges }, end + 1))
}

#[cfg(test)]
mod test {
    use proptest::prelude::*;

    use super::*;

    fn tree() -> Vec<Entry> {
        let paths = [
            "README.md",
            "docs/",
            "docs/a.md",
            "docs/deep/",
            "docs/deep/b.md",
            "log/",
            "log/app.log",
            "src/",
            "src/log/",
            "src/log/mod.rs",
            "src/main.rs",
            "test.psd",
            "src/art.psd",
            "log.d",
            "#odd",
        ];
        let entry =
            |path: &&str| Entry { path: path.trim_end_matches('/').to_owned(), is_dir: path.ends_with('/') };
        paths.iter().map(entry).collect()
    }

    fn doomed(text: &str) -> Vec<String> {
        Patterns::read(text).doomed(&tree(), || false).paths
    }

    #[test]
    fn a_name_matches_at_any_depth_and_a_path_only_from_the_root() {
        assert_eq!(doomed("*.psd\n"), ["test.psd", "src/art.psd"]);
        assert_eq!(doomed("/log"), ["log"]);
        assert_eq!(doomed("log/"), ["log", "src/log"]);
        assert_eq!(doomed("src/log"), ["src/log"]);
        assert_eq!(doomed("/*.psd"), ["test.psd"]);
    }

    #[test]
    fn stars_stay_within_a_directory_unless_doubled() {
        assert_eq!(doomed("docs/*.md"), ["docs/a.md"]);
        assert_eq!(doomed("docs/**/*.md"), ["docs/a.md", "docs/deep/b.md"]);
        assert_eq!(doomed("**/log"), ["log", "src/log"]);
        assert_eq!(doomed("log.?\n[a-r]ocs/a.md\n[!x]EADME.md"), ["README.md", "docs/a.md", "log.d"]);
    }

    #[test]
    fn comments_and_negations_match_nothing() {
        assert!(doomed("# *.md\n\n!README.md\n../..\n/\n").is_empty());
        assert_eq!(doomed("\\#odd"), ["#odd"]);
    }

    #[test]
    fn files_are_counted_and_directories_are_not() {
        let found = Patterns::read("docs\nREADME.md").doomed(&tree(), || false);
        assert_eq!(found, Doomed { paths: vec!["README.md".into(), "docs".into()], files: 3 });
    }

    proptest! {
        #[test]
        fn any_text_is_a_pattern_and_never_leaves_the_root(text in "[ -~\n]{0,80}", path in "[a-z*/.]{1,30}") {
            let entry = Entry { path: path.clone(), is_dir: false };
            let found = Patterns::read(&text).doomed(&[entry], || false);
            prop_assert!(found.paths.iter().all(|doomed| *doomed == path));
        }

        #[test]
        fn a_name_matches_itself(name in "[a-zA-Z0-9_.]{3,20}") {
            let entry = Entry { path: name.clone(), is_dir: false };
            prop_assert_eq!(Patterns::read(&name).doomed(&[entry], || false).files, 1);
        }
    }
}
