//! A session: the newest lines that pass a filter, then, if asked for, every line that comes.

use std::sync::Arc;
use std::time::SystemTime;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use regex::bytes::Regex;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;

use crate::logs::{AppLog, Counter, Shared};
use crate::sys::clock;
use crate::wire::logline::{DroppedLine, LogLine};

/// Which lines a session shows (platform reference 5.3, and beyond it times and patterns).
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// A dyno (`web.1`) or all of a type (`web`).
    pub ps: Option<String>,
    /// A source, by its word: `app`, `heroku`.
    pub source: Option<String>,
    /// Nothing written before.
    pub since: Option<SystemTime>,
    /// Nothing written then or later.
    pub until: Option<SystemTime>,
    /// Only messages in which this is found.
    pub pattern: Option<Regex>,
}

/// Whether a session ends after the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// It ends.
    End,
    /// It goes on with the lines that come.
    Follow,
}

/// How a session begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// With so many of the newest lines that pass.
    Newest(usize),
    /// After the line with this number: a client that was cut off goes on where it was.
    After(u64),
}

/// A line of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionLine {
    /// Its number in the app's log; none for what only this session is told.
    pub number: Option<u64>,
    /// The line.
    pub line: LogLine,
}

// === impl Filter ===

impl Filter {
    /// Whether `line` is shown.
    #[must_use]
    pub fn passes(&self, line: &LogLine) -> bool {
        let ps = self.ps.as_ref().is_none_or(|wanted| {
            line.ps == *wanted
                || line.ps.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.starts_with('.'))
        });
        ps && self.source.as_ref().is_none_or(|wanted| line.source.as_str() == wanted)
            && self.since.is_none_or(|since| line.at >= since)
            && self.until.is_none_or(|until| line.at < until)
            && self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(&line.message))
    }

    /// Whether it asks for more than the newest lines, so that files are searched.
    #[must_use]
    pub fn is_search(&self) -> bool {
        self.since.is_some() || self.until.is_some() || self.pattern.is_some()
    }
}

// === impl AppLog ===

impl AppLog {
    /// The lines in memory that pass, with their numbers.
    pub(super) fn history(&self, filter: &Filter, begin: Begin) -> Vec<SessionLine> {
        let (count, after) = match begin {
            Begin::Newest(count) => (count, None),
            Begin::After(number) => (usize::MAX, Some(number)),
        };
        // Only the writer moves `next`, and it has added every line before it.
        let numbers = (0..self.next).rev();
        let mut history: Vec<_> = numbers
            .zip(self.lines.iter().rev())
            .take_while(|(number, _)| after.is_none_or(|after| *number > after))
            .filter(|(_, line)| filter.passes(line))
            .take(count)
            .map(|(number, line)| SessionLine { number: Some(number), line: (**line).clone() })
            .collect();
        history.reverse();
        history
    }

    /// The lines that come from now on and pass, and what of them was lost for slowness.
    pub(super) fn follow(&self, filter: Filter, shared: Arc<Shared>) -> BoxStream<'static, SessionLine> {
        let received = BroadcastStream::new(self.tail.subscribe());
        let mut last_at = clock::now();
        let shown = received.filter_map(move |received| {
            let shown = match received {
                Ok((number, line)) => {
                    let passes = filter.passes(&line);
                    passes.then(|| SessionLine { number: Some(number), line: (*line).clone() })
                }
                Err(BroadcastStreamRecvError::Lagged(count)) => {
                    shared.count(Counter::TailLost, count);
                    let told = DroppedLine::Tail { count, since: last_at };
                    Some(SessionLine { number: None, line: LogLine::dropped(clock::now(), &told) })
                }
            };
            last_at = clock::now();
            std::future::ready(shown)
        });
        shown.boxed()
    }
}

/// History that is there, as a stream.
pub(super) fn ready(history: Vec<SessionLine>) -> BoxStream<'static, SessionLine> {
    stream::iter(history).boxed()
}

#[cfg(test)]
mod test {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_filter_takes_a_dyno_or_a_type_and_a_source() {
        let line = LogLine::output(clock::now(), "web.1", Vec::new());
        let passes = |ps: Option<&str>, source: Option<&str>| {
            let (ps, source) = (ps.map(str::to_owned), source.map(str::to_owned));
            Filter { ps, source, ..Filter::default() }.passes(&line)
        };
        assert!(passes(None, None));
        assert!(passes(Some("web.1"), Some("app")));
        assert!(passes(Some("web"), None));
        assert!(!passes(Some("we"), None));
        assert!(!passes(Some("web.10"), None));
        assert!(!passes(Some("web.1"), Some("heroku")));
    }

    #[test]
    fn a_filter_takes_times_and_a_pattern() {
        let at = |s| SystemTime::UNIX_EPOCH + Duration::from_secs(s);
        let line = LogLine::output(at(10), "web.1", b"GET /\xff 200".to_vec());
        let passes = |since: Option<u64>, until: Option<u64>, pattern: Option<&str>| {
            let pattern = pattern.map(|pattern| Regex::new(pattern).unwrap());
            Filter { since: since.map(at), until: until.map(at), pattern, ..Filter::default() }.passes(&line)
        };
        assert!(passes(Some(10), Some(11), Some("^GET /")) && passes(None, None, Some(" 200$")));
        assert!(!passes(Some(11), None, None));
        assert!(!passes(None, Some(10), None));
        assert!(!passes(None, None, Some("POST")));
    }
}
