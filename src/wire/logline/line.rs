//! One line of an app's log: `2026-11-23T06:28:04.170873+00:00 heroku[web.1]: State changed from starting to up`.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use thiserror::Error;

use crate::wire::logline::{ApiLine, CertificateLine, DroppedLine, UnavailableLine, UnreachedLine};

/// Who speaks: the app and its users, or the platform (platform reference 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Output of dynos, and actions of users.
    App,
    /// The dyno manager, the router and the log service.
    Heroku,
}

/// The text names no source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a log source is app or heroku")]
pub struct UnknownSource;

impl Source {
    /// The word before the bracket.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Heroku => "heroku",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Source {
    type Err = UnknownSource;

    fn from_str(text: &str) -> Result<Self, UnknownSource> {
        match text {
            "app" => Ok(Self::App),
            "heroku" => Ok(Self::Heroku),
            _ => Err(UnknownSource),
        }
    }
}

/// One line of an app's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was written; shown with microseconds.
    pub at: SystemTime,
    /// Who speaks.
    pub source: Source,
    /// Which of them: a dyno's name, `api`, `router`, `logplex`.
    pub ps: String,
    /// What is said, without a line feed. Bytes, since what dynos write need not be text.
    pub message: Vec<u8>,
}

/// The bytes are no log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a log line reads `<time> <source>[<ps>]: <message>`")]
pub struct LogLineError;

/// `ps` of what users do.
const PS_API: &str = "api";
/// `ps` of the router's request lines.
const PS_ROUTER: &str = "router";
/// `ps` of the log service's own notices.
const PS_LOGPLEX: &str = "logplex";
/// `ps` of notices about lines lost where a dyno runs.
const PS_LOG_SHUTTLE: &str = "log-shuttle";

/// About as many bytes stand before a message and behind it.
const HEAD_BYTES: usize = 48;

/// local7.info: what dynos write.
const PRIORITY_APP: u8 = 190;
/// local3.info: requests.
const PRIORITY_ROUTER: u8 = 158;
/// syslog.notice: dynos' states, users' actions.
const PRIORITY_PLATFORM: u8 = 45;
/// local5.warning: lost lines.
const PRIORITY_NOTICE: u8 = 172;

impl LogLine {
    /// A line that the dyno `ps` has written.
    #[must_use]
    pub fn output(at: SystemTime, ps: impl Into<String>, message: Vec<u8>) -> Self {
        Self { at, source: Source::App, ps: ps.into(), message }
    }

    /// What the dyno manager says of the dyno `ps`: a [`crate::wire::logline::DynoLine`], or an R code.
    #[must_use]
    pub fn dyno(at: SystemTime, ps: impl fmt::Display, line: impl fmt::Display) -> Self {
        Self { at, source: Source::Heroku, ps: ps.to_string(), message: line.to_string().into_bytes() }
    }

    /// What a user did. Lines about builds carry whole seconds (platform reference 3.8).
    #[must_use]
    pub fn api(at: SystemTime, line: &ApiLine) -> Self {
        let at = if line.has_whole_seconds() { whole_seconds(at) } else { at };
        Self { at, source: Source::App, ps: PS_API.to_owned(), message: line.to_string().into_bytes() }
    }

    /// A request, as the router tells it.
    #[must_use]
    pub fn router(at: SystemTime, line: impl fmt::Display) -> Self {
        Self { at, source: Source::Heroku, ps: PS_ROUTER.to_owned(), message: line.to_string().into_bytes() }
    }

    /// A notice about lines that were lost; its origin says where.
    #[must_use]
    pub fn dropped(at: SystemTime, line: &DroppedLine) -> Self {
        let (source, ps) = match line {
            DroppedLine::Buffer { .. } | DroppedLine::Tail { .. } => (Source::Heroku, PS_LOGPLEX),
            DroppedLine::Dyno { .. } | DroppedLine::Delivery { .. } => (Source::App, PS_LOG_SHUTTLE),
        };
        Self { at, source, ps: ps.to_owned(), message: line.to_string().into_bytes() }
    }

    /// A drain's certificate does not hold.
    #[must_use]
    pub fn certificate(at: SystemTime, line: &CertificateLine) -> Self {
        let message = line.to_string().into_bytes();
        Self { at, source: Source::Heroku, ps: PS_LOGPLEX.to_owned(), message }
    }

    /// A drain leads to where the node may not connect.
    #[must_use]
    pub fn unreached(at: SystemTime, line: &UnreachedLine) -> Self {
        let message = line.to_string().into_bytes();
        Self { at, source: Source::Heroku, ps: PS_LOGPLEX.to_owned(), message }
    }

    /// The history cannot be read; said in the session that asked for it.
    #[must_use]
    pub fn unavailable(at: SystemTime) -> Self {
        let message = UnavailableLine.to_string().into_bytes();
        Self { at, source: Source::Heroku, ps: PS_LOGPLEX.to_owned(), message }
    }

    /// What syslog calls the priority: facility and severity in one number (platform reference 5.4).
    #[must_use]
    pub fn priority(&self) -> u8 {
        match (self.source, self.ps.as_str()) {
            (Source::Heroku, PS_ROUTER) => PRIORITY_ROUTER,
            (Source::Heroku, PS_LOGPLEX) | (Source::App, PS_LOG_SHUTTLE) => PRIORITY_NOTICE,
            (Source::App, PS_API) | (Source::Heroku, _) => PRIORITY_PLATFORM,
            (Source::App, _) => PRIORITY_APP,
        }
    }

    /// The display line with its line feed.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.head().into_bytes();
        bytes.extend_from_slice(&self.message);
        bytes.push(b'\n');
        bytes
    }

    /// The display lines with their line feeds, one after the other.
    #[must_use]
    pub fn all_to_bytes(lines: &[Self]) -> Vec<u8> {
        let size = lines.iter().map(|line| HEAD_BYTES + line.message.len()).sum();
        let mut bytes = Vec::with_capacity(size);
        let mut before: Option<(&Self, String)> = None;
        for line in lines {
            // Lines that came in one breath begin alike, and to spell a time costs more than the rest.
            let head = match before.take() {
                Some((other, head)) if line.begins_as(other) => head,
                Some(_) | None => line.head(),
            };
            bytes.extend_from_slice(head.as_bytes());
            bytes.extend_from_slice(&line.message);
            bytes.push(b'\n');
            before = Some((line, head));
        }
        bytes
    }

    fn head(&self) -> String {
        format!("{} {}[{}]: ", display_time(self.at), self.source, self.ps)
    }

    fn begins_as(&self, other: &Self) -> bool {
        (self.at, self.source, &self.ps) == (other.at, other.source, &other.ps)
    }

    /// Reads a display line, with or without its line feed.
    ///
    /// # Errors
    /// The bytes are not of the form that [`Self::to_bytes`] writes.
    pub fn parse(bytes: &[u8]) -> Result<Self, LogLineError> {
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let (time, rest) = split_once(bytes, b" ")?;
        let (source, rest) = split_once(rest, b"[")?;
        let (ps, message) = split_once(rest, b"]: ")?;
        let text = |part: &[u8]| std::str::from_utf8(part).map(str::to_owned).map_err(|_| LogLineError);
        let at: Timestamp = text(time)?.parse().map_err(|_| LogLineError)?;
        Ok(Self {
            at: at.into(),
            source: text(source)?.parse().map_err(|_| LogLineError)?,
            ps: text(ps)?,
            message: message.to_vec(),
        })
    }
}

impl fmt::Display for LogLine {
    /// The display line without its line feed; what is not UTF-8 is shown replaced.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = String::from_utf8_lossy(&self.message);
        write!(f, "{}{message}", self.head())
    }
}

/// RFC 3339, microseconds, always `+00:00`.
pub(in crate::wire) fn display_time(at: SystemTime) -> impl fmt::Display {
    // A clock outside jiff's years cannot be shown; the epoch says so plainly.
    let at = Timestamp::try_from(at).unwrap_or(Timestamp::UNIX_EPOCH);
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string()
}

fn whole_seconds(at: SystemTime) -> SystemTime {
    at.duration_since(SystemTime::UNIX_EPOCH)
        .map(|since| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(since.as_secs()))
        .unwrap_or(at)
}

fn split_once<'a>(bytes: &'a [u8], separator: &[u8]) -> Result<(&'a [u8], &'a [u8]), LogLineError> {
    let at = bytes.windows(separator.len()).position(|window| window == separator).ok_or(LogLineError)?;
    Ok((&bytes[..at], &bytes[at + separator.len()..]))
}

#[cfg(test)]
mod test {
    use std::time::Duration;

    use super::*;
    use crate::domain::DynoState;
    use crate::wire::logline::DynoLine;

    /// 2026-11-23T06:28:04.170873Z
    fn instant() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_415_284_170_873)
    }

    #[test]
    fn a_line_reads_as_published() {
        let line = LogLine::dyno(
            instant(),
            "web.1",
            DynoLine::StateChanged { from: DynoState::Starting.as_str(), to: DynoState::Up.as_str() },
        );
        let text = "2026-11-23T06:28:04.170873+00:00 heroku[web.1]: State changed from starting to up";
        assert_eq!(line.to_string(), text);
        assert_eq!(line.to_bytes(), format!("{text}\n").into_bytes());
    }

    #[test]
    fn every_line_reads_back_from_its_bytes() {
        for message in
            [&b"plain"[..], b"", b"with ]: and [ in it", b"\xff\xfe not text", b"\x1b[31mred\x1b[0m"]
        {
            let line = LogLine::output(instant(), "run.4711", message.to_vec());
            assert_eq!(LogLine::parse(&line.to_bytes()), Ok(line));
        }
    }

    #[test]
    fn many_lines_read_as_each_of_them_does() {
        let later = instant() + Duration::from_micros(1);
        let line = |at, ps: &str, text: &str| LogLine::output(at, ps, text.as_bytes().to_vec());
        let lines = [
            line(instant(), "web.1", "a"),
            line(instant(), "web.1", "b"),
            line(later, "web.1", ""),
            line(later, "web.2", "c"),
            LogLine { source: Source::Heroku, ..line(later, "web.2", "d") },
            line(instant(), "web.1", "e"),
        ];
        let each: Vec<u8> = lines.iter().flat_map(LogLine::to_bytes).collect();
        assert_eq!(LogLine::all_to_bytes(&lines), each);
        assert!(LogLine::all_to_bytes(&[]).is_empty());
    }

    #[test]
    fn what_is_no_line_is_refused() {
        let bad: [&[u8]; 6] = [
            b"",
            b"x",
            b"2026-11-23T06:28:04.170873+00:00",
            b"2026-11-23T06:28:04.170873+00:00 heroku[web.1",
            b"2026-11-23T06:28:04.170873+00:00 other[web.1]: x",
            b"yesterday heroku[web.1]: x",
        ];
        for bytes in bad {
            assert_eq!(LogLine::parse(bytes), Err(LogLineError), "{bytes:?}");
        }
    }

    #[test]
    fn lines_about_builds_carry_whole_seconds() {
        let user = "me@example.com".to_owned();
        let build = LogLine::api(instant(), &ApiLine::BuildStarted { user });
        assert_eq!(
            build.to_string(),
            "2026-11-23T06:28:04.000000+00:00 app[api]: Build started by user me@example.com"
        );
        let release = LogLine::api(instant(), &ApiLine::InitialRelease { user: "me@example.com".to_owned() });
        assert_eq!(
            release.to_string(),
            "2026-11-23T06:28:04.170873+00:00 app[api]: Initial release by user me@example.com"
        );
    }

    #[test]
    fn lost_lines_are_told_by_who_lost_them() {
        let dropped = |line| LogLine::dropped(instant(), &line).to_string();
        let (count, since) = (7, instant());
        insta::assert_snapshot!(
            [
                dropped(DroppedLine::Buffer { count, since }),
                dropped(DroppedLine::Tail { count, since }),
                dropped(DroppedLine::Dyno { count, since }),
            ]
            .join("\n"),
            @r"
        2026-11-23T06:28:04.170873+00:00 heroku[logplex]: Error L10 (output buffer overflow): 7 messages dropped since 2026-11-23T06:28:04.170873+00:00.
        2026-11-23T06:28:04.170873+00:00 heroku[logplex]: Error L11 (Tail buffer overflow) -> This tail session dropped 7 messages since 2026-11-23T06:28:04.170873+00:00.
        2026-11-23T06:28:04.170873+00:00 app[log-shuttle]: Error L12: 7 messages dropped since 2026-11-23T06:28:04.170873+00:00.
        "
        );
    }
}
