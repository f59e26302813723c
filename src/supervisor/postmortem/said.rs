//! What programs say when they fail, in the words of common languages and of the C library. Pure.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use crate::wire::diagnosis::Diagnosis;

/// Characters of a line that are shown as the reason.
const REASON_CHARS_MAX: usize = 200;

type Meaning = fn(&Said<'_>) -> Diagnosis;

/// Words, and what they mean; of the words the first group is what they are about.
struct Pattern {
    words: &'static str,
    meaning: Meaning,
}

/// A line that matched.
struct Said<'a> {
    line: &'a str,
    captures: Captures<'a>,
}

impl Said<'_> {
    /// What it is about.
    fn what(&self) -> String {
        self.captures
            .iter()
            .skip(1)
            .flatten()
            .next()
            .map_or_else(String::new, |what| what.as_str().to_owned())
    }

    fn line(&self) -> String {
        shortened(self.line)
    }
}

const fn pattern(words: &'static str, meaning: Meaning) -> Pattern {
    Pattern { words, meaning }
}

/// The special before the general: of two that fit, the earlier one names the cause of the later.
const PATTERNS: &[Pattern] = &[
    pattern(r"ModuleNotFoundError: No module named '?([\w.]+)", |said| missing(said, "requirements.txt")),
    pattern(r"Cannot find (?:module|package) '([^']+)'", |said| missing(said, "package.json")),
    pattern(r"cannot load such file -- (\S+)", |said| missing(said, "Gemfile")),
    pattern(
        r"Could not find (?:gem )?'?([\w-]+)[^ ]* .*(?:in any of the sources|Gem::MissingSpecError|in locally)",
        |said| missing(said, "Gemfile"),
    ),
    pattern(r"Could not find or load main class (\S+)|ClassNotFoundException: (\S+)", |said| {
        missing(said, "")
    }),
    pattern(r"error while loading shared libraries: (\S+):", |said| missing(said, "")),
    pattern(r#"^KeyError: '([A-Z][A-Z0-9_]+)'|key not found: "([A-Z][A-Z0-9_]+)""#, |said| {
        Diagnosis::MissingConfigVar { name: said.what() }
    }),
    pattern(
        r"(?i)(?-i:\b([A-Z][A-Z0-9]*_[A-Z0-9_]+)\b)[^.]{0,40}\b(?:is not set|not set|is required|is missing|must be set|is not defined|undefined)",
        |said| Diagnosis::MissingConfigVar { name: said.what() },
    ),
    pattern(
        r"(?i)(?:missing|no|required)[^.]{0,30}(?:environment variable|config var|env var):? (?-i:\W*([A-Z][A-Z0-9_]+))",
        |said| Diagnosis::MissingConfigVar { name: said.what() },
    ),
    pattern(
        r"(?:^|\b)(?:SyntaxError|IndentationError|TabError)\b|syntax error,? unexpected|PHP Parse error|: syntax error",
        |said| Diagnosis::SyntaxError { line: said.line() },
    ),
    pattern(r"EADDRINUSE|(?i:address already in use)", |said| Diagnosis::PortInUse { line: said.line() }),
    pattern(r"ENOSPC|No space left on device|EDQUOT|Disk quota exceeded", |said| Diagnosis::DiskFull {
        line: said.line(),
    }),
    pattern(r"EROFS|(?i:read-only file ?system)", |said| Diagnosis::ReadOnly { line: said.line() }),
    pattern(r"EMFILE|Too many open files", |said| Diagnosis::TooManyFiles { line: said.line() }),
    pattern(
        r"heap out of memory|java\.lang\.OutOfMemoryError|^MemoryError|NoMemoryError|Allowed memory size of",
        |said| Diagnosis::HeapExhausted { line: said.line() },
    ),
    pattern(
        r"ENOTFOUND|EAI_AGAIN|Name or service not known|Temporary failure in name resolution|could not translate host name|nodename nor servname|getaddrinfo failed",
        |said| Diagnosis::UnknownHost { line: said.line() },
    ),
    pattern(
        r"ECONNREFUSED|(?i:connection refused)|ETIMEDOUT|(?i:connection timed out)|EHOSTUNREACH|No route to host|Network is unreachable|could not connect to server",
        |said| Diagnosis::Unreachable { line: said.line() },
    ),
    pattern(r"(?:^|: )([^\s:]+): command not found", |said| Diagnosis::CommandNotFound {
        program: Some(said.what()),
    }),
    pattern(r"^(?:/bin/)?(?:ba)?sh: (?:line \d+: )?([^\s:]+): No such file or directory", |said| {
        Diagnosis::CommandNotFound { program: Some(said.what()) }
    }),
    pattern(
        r"^(?:/bin/)?(?:ba)?sh: (?:line \d+: )?\S+: (?:Permission denied|Is a directory|cannot execute|Exec format error)|cannot execute binary file|cannot execute: required file not found",
        |said| Diagnosis::NotExecutable { line: Some(said.line()) },
    ),
    pattern(r"EPERM|(?i:operation not permitted)", |said| Diagnosis::NotPermitted {
        line: said.line(),
        calls: Vec::new(),
    }),
];

/// What processes and threads that are refused make programs say, and nothing else does.
const OF_TASKS: &str = r"(?i:can't start new thread|cannot create (?:native )?thread|can't create thread|unable to create (?:new )?native thread|Cannot fork|fork: retry)";

/// What they make programs say, as other things do.
const OF_TASKS_PERHAPS: &str = r"EAGAIN|Resource temporarily unavailable|BlockingIOError";

/// A line that looks like a reason: an error's name at its start.
const REASON: &str = r"^(?:[\w.:]*(?:Error|Exception|Interrupt|Failure)\b|(?i:fatal|panic|error)\b|thread '.*' panicked|Uncaught )";

struct Compiled {
    patterns: Vec<(Regex, Meaning)>,
    of_tasks: Option<Regex>,
    of_tasks_perhaps: Option<Regex>,
    reason: Option<Regex>,
}

/// Compiled at the first death that is looked at. A pattern that were none would be left out; a test sees to it that each is.
static COMPILED: LazyLock<Compiled> = LazyLock::new(|| Compiled {
    patterns: (PATTERNS.iter())
        .filter_map(|pattern| Some((Regex::new(pattern.words).ok()?, pattern.meaning)))
        .collect(),
    of_tasks: Regex::new(OF_TASKS).ok(),
    of_tasks_perhaps: Regex::new(OF_TASKS_PERHAPS).ok(),
    reason: Regex::new(REASON).ok(),
});

/// What the lines say, if they say what is known here; newest lines first.
pub(super) fn why(lines: &[String]) -> Option<Diagnosis> {
    COMPILED.patterns.iter().find_map(|(words, meaning)| {
        lines.iter().rev().find_map(|line| {
            let captures = words.captures(line)?;
            Some(meaning(&Said { line, captures }))
        })
    })
}

/// How sure it is that the lines complain of processes or threads that could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OfTasks {
    /// They say so.
    Certainly,
    /// They say what other refusals make programs say, too.
    Perhaps,
    /// They say nothing of the kind.
    No,
}

/// Whether the lines complain of processes or threads that could not be had.
pub(super) fn of_tasks(lines: &[String]) -> OfTasks {
    let any =
        |words: &Option<Regex>| lines.iter().any(|line| words.as_ref().is_some_and(|w| w.is_match(line)));
    match (any(&COMPILED.of_tasks), any(&COMPILED.of_tasks_perhaps)) {
        (true, _) => OfTasks::Certainly,
        (false, true) => OfTasks::Perhaps,
        (false, false) => OfTasks::No,
    }
}

/// The newest line that looks like a reason, or else the last one that says anything.
pub(super) fn reason(lines: &[String]) -> Option<String> {
    let looks_so = |line: &&String| COMPILED.reason.as_ref().is_some_and(|words| words.is_match(line));
    let newest = lines.iter().rev().find(looks_so);
    newest.or_else(|| lines.iter().rev().find(|line| !line.trim().is_empty())).map(|line| shortened(line))
}

fn missing(said: &Said<'_>, declared_in: &'static str) -> Diagnosis {
    Diagnosis::MissingModule { module: said.what(), declared_in }
}

fn shortened(line: &str) -> String {
    line.trim().chars().take(REASON_CHARS_MAX).collect()
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn every_pattern_is_one() {
        assert_eq!(COMPILED.patterns.len(), PATTERNS.len());
        assert!(
            COMPILED.of_tasks.is_some() && COMPILED.of_tasks_perhaps.is_some() && COMPILED.reason.is_some()
        );
    }
}
