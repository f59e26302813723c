//! Log lines as server-sent events, as the platform's own tool reads them (platform reference 5.3).

use crate::wire::logline::LogLine;

/// `Content-Type` of the stream, and what a client accepts that wants one.
pub const CONTENT_TYPE: &str = "text/event-stream";
/// Names the last event a client saw before it was cut off.
pub const LAST_EVENT_ID: &str = "last-event-id";
/// What a client that will not come back is told first: it would wait for seconds to do so.
pub const RETRY_AT_ONCE: &[u8] = b"retry: 1\n\n";
/// Keeps a connection from looking dead.
pub const PING: &[u8] = b": ping\n\n";

/// One line; with its number, at which a client goes on when it was cut off.
#[must_use]
pub fn event(number: Option<u64>, line: &LogLine) -> Vec<u8> {
    let mut event = number.map(|number| format!("id: {number}\n")).unwrap_or_default();
    // A carriage return ends a line of the stream, and what it is for means nothing here.
    for part in line.to_string().split('\r').filter(|part| !part.is_empty()) {
        event.push_str("data: ");
        event.push_str(part);
        event.push('\n');
    }
    event.push('\n');
    event.into_bytes()
}

#[cfg(test)]
mod test {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn events_are_what_the_tool_reads() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_415_284_170_873);
        let line = |text: &str| LogLine::output(at, "web.1", text.as_bytes().to_vec());
        let events = [event(Some(7), &line("hello")), event(None, &line("10 %\r20 %\r"))].concat();
        let told = String::from_utf8([RETRY_AT_ONCE, &events, PING].concat()).unwrap();
        insta::assert_snapshot!(told, @r"
        retry: 1

        id: 7
        data: 2026-11-23T06:28:04.170873+00:00 app[web.1]: hello

        data: 2026-11-23T06:28:04.170873+00:00 app[web.1]: 10 %
        data: 20 %

        : ping
        ");
    }
}
