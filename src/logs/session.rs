//! A session: the newest lines that pass a filter, then, if asked for, every line that comes.

use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;

use crate::logs::{AppLog, Counter, Shared};
use crate::sys::clock;
use crate::wire::logline::{DroppedLine, LogLine};

/// Which lines a session shows (platform reference 5.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// A dyno (`web.1`) or all of a type (`web`).
    pub ps: Option<String>,
    /// A source, by its word: `app`, `heroku`.
    pub source: Option<String>,
}

/// Whether a session ends after the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// It ends.
    End,
    /// It goes on with the lines that come.
    Follow,
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
    }
}

/// Opens a session. The caller holds the app's lock, so no line falls between history and tail, and none is shown twice.
pub(super) fn open(
    log: &AppLog,
    filter: Filter,
    (lines, tail): (usize, Tail),
    shared: Arc<Shared>,
) -> BoxStream<'static, LogLine> {
    let mut history: Vec<LogLine> = log
        .lines
        .iter()
        .rev()
        .filter(|line| filter.passes(line))
        .take(lines)
        .map(|l| (**l).clone())
        .collect();
    history.reverse();
    let history = stream::iter(history);
    match tail {
        Tail::End => history.boxed(),
        Tail::Follow => {
            let received = BroadcastStream::new(log.tail.subscribe());
            let mut last_at = clock::now();
            let tail = received.filter_map(move |line| {
                if let Err(BroadcastStreamRecvError::Lagged(count)) = &line {
                    shared.count(Counter::TailLost, *count);
                }
                let shown = shown(&filter, line, last_at);
                last_at = clock::now();
                std::future::ready(shown)
            });
            history.chain(tail).boxed()
        }
    }
}

/// A received line, or the notice that some were lost since `since`.
fn shown(
    filter: &Filter,
    received: Result<Arc<LogLine>, BroadcastStreamRecvError>,
    since: std::time::SystemTime,
) -> Option<LogLine> {
    match received {
        Ok(line) => filter.passes(&line).then(|| (*line).clone()),
        Err(BroadcastStreamRecvError::Lagged(count)) => {
            Some(LogLine::dropped(clock::now(), &DroppedLine::Tail { count, since }))
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_filter_takes_a_dyno_or_a_type_and_a_source() {
        let line = LogLine::output(clock::now(), "web.1", Vec::new());
        let passes = |ps: Option<&str>, source: Option<&str>| {
            Filter { ps: ps.map(str::to_owned), source: source.map(str::to_owned) }.passes(&line)
        };
        assert!(passes(None, None));
        assert!(passes(Some("web.1"), Some("app")));
        assert!(passes(Some("web"), None));
        assert!(!passes(Some("we"), None));
        assert!(!passes(Some("web.10"), None));
        assert!(!passes(Some("web.1"), Some("heroku")));
    }
}
