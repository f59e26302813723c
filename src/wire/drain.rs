//! What drains send: syslog frames, counted in octets (RFC 6587), and the HTTP requests that carry them (platform
//! reference 5.4).

use std::fmt::Write as _;

use crate::wire::logline::{LogLine, display_time};

/// `Content-Type` of a batch.
pub const CONTENT_TYPE: &str = "application/logplex-1";
/// `User-Agent` of a batch: receivers know it.
pub const USER_AGENT: &str = "Logplex/v72";
/// How many messages are in a batch.
pub const MSG_COUNT: &str = "logplex-msg-count";
/// Names a batch; the same at every try, so that a receiver can tell what it has already.
pub const FRAME_ID: &str = "logplex-frame-id";
/// Whose batch it is.
pub const DRAIN_TOKEN: &str = "logplex-drain-token";

/// The host's name in batches.
const HTTP_HOST: &str = "host";

/// Adds the frame that carries `line` in a batch: no structured data, unlike RFC 5424.
pub fn http_frame(line: &LogLine, into: &mut Vec<u8>) {
    frame(line, HTTP_HOST, "-", into);
}

/// Adds the frame that carries `line` over a stream; the drain's token stands where the host is named.
pub fn syslog_frame(line: &LogLine, token: &str, into: &mut Vec<u8>) {
    frame(line, token, "- -", into);
}

fn frame(line: &LogLine, host: &str, after_process: &str, into: &mut Vec<u8>) {
    let (priority, at) = (line.priority(), display_time(line.at));
    let mut head = String::with_capacity(128);
    // Writing into a String does not fail.
    let _ = write!(head, "<{priority}>1 {at} {host} {} {} {after_process} ", line.source, line.ps);
    let length = head.len() + line.message.len() + 1;
    into.extend_from_slice(length.to_string().as_bytes());
    into.push(b' ');
    into.extend_from_slice(head.as_bytes());
    into.extend_from_slice(&line.message);
    into.push(b'\n');
}

#[cfg(test)]
mod test {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::wire::logline::{ApiLine, DroppedLine, DynoLine};

    #[test]
    fn frames_are_the_published_ones() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_415_284_170_873);
        let lines = [
            LogLine::output(at, "web.1", b"hello: \xc3\xa4".to_vec()),
            LogLine::output(at, "run.4711", b"x".to_vec()),
            LogLine::dyno(at, "web.1", DynoLine::StateChanged { from: "starting", to: "up" }),
            LogLine::router(at, "at=info method=GET"),
            LogLine::api(at, &ApiLine::BuildSucceeded),
            LogLine::dropped(at, &DroppedLine::Buffer { count: 7, since: at }),
            LogLine::dropped(at, &DroppedLine::Dyno { count: 7, since: at }),
        ];
        let mut frames = Vec::new();
        for line in &lines {
            http_frame(line, &mut frames);
        }
        let syslog_from = frames.len();
        for line in &lines {
            syslog_frame(line, "d.fc6b856b-3332-4546-93de-7d0ee272c3bd", &mut frames);
        }
        insta::assert_snapshot!(String::from_utf8(frames.clone()).unwrap(), @r"
        67 <190>1 2026-11-23T06:28:04.170873+00:00 host app web.1 - hello: ä
        62 <190>1 2026-11-23T06:28:04.170873+00:00 host app run.4711 - x
        93 <45>1 2026-11-23T06:28:04.170873+00:00 host heroku web.1 - State changed from starting to up
        80 <158>1 2026-11-23T06:28:04.170873+00:00 host heroku router - at=info method=GET
        70 <45>1 2026-11-23T06:28:04.000000+00:00 host app api - Build succeeded
        157 <172>1 2026-11-23T06:28:04.170873+00:00 host heroku logplex - Error L10 (output buffer overflow): 7 messages dropped since 2026-11-23T06:28:04.170873+00:00.
        133 <172>1 2026-11-23T06:28:04.170873+00:00 host app log-shuttle - Error L12: 7 messages dropped since 2026-11-23T06:28:04.170873+00:00.
        103 <190>1 2026-11-23T06:28:04.170873+00:00 d.fc6b856b-3332-4546-93de-7d0ee272c3bd app web.1 - - hello: ä
        98 <190>1 2026-11-23T06:28:04.170873+00:00 d.fc6b856b-3332-4546-93de-7d0ee272c3bd app run.4711 - - x
        129 <45>1 2026-11-23T06:28:04.170873+00:00 d.fc6b856b-3332-4546-93de-7d0ee272c3bd heroku web.1 - - State changed from starting to up
        116 <158>1 2026-11-23T06:28:04.170873+00:00 d.fc6b856b-3332-4546-93de-7d0ee272c3bd heroku router - - at=info method=GET
        106 <45>1 2026-11-23T06:28:04.000000+00:00 d.fc6b856b-3332-4546-93de-7d0ee272c3bd app api - - Build succeeded
        193 <172>1 2026-11-23T06:28:04.170873+00:00 d.fc6b856b-3332-4546-93de-7d0ee272c3bd heroku logplex - - Error L10 (output buffer overflow): 7 messages dropped since 2026-11-23T06:28:04.170873+00:00.
        169 <172>1 2026-11-23T06:28:04.170873+00:00 d.fc6b856b-3332-4546-93de-7d0ee272c3bd app log-shuttle - - Error L12: 7 messages dropped since 2026-11-23T06:28:04.170873+00:00.
        ");
        assert_eq!(parts(&frames[..syslog_from]), lines.len());
        assert_eq!(parts(&frames[syslog_from..]), lines.len());
    }

    /// How many frames there are, each exactly as long as it says.
    fn parts(mut bytes: &[u8]) -> usize {
        let mut count = 0;
        while !bytes.is_empty() {
            let space = bytes.iter().position(|byte| *byte == b' ').unwrap();
            let length: usize = std::str::from_utf8(&bytes[..space]).unwrap().parse().unwrap();
            let message = &bytes[space + 1..space + 1 + length];
            assert!(message.starts_with(b"<") && message.ends_with(b"\n"));
            bytes = &bytes[space + 1 + length..];
            count += 1;
        }
        count
    }
}
