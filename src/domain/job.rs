//! Timed jobs: a command of an app that runs in a one-off dyno at certain times, and the record of its runs.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use thiserror::Error;

use crate::domain::{AppId, CronError, CronExpression, DynoId, DynoName, DynoSize};

/// A job's number: unique on its node, never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// When a job runs: the three ways of the platform (reference 1.12), which go by UTC, and cron expressions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cadence {
    /// At :00, :10, :20 and so on.
    Every10Minutes,
    /// At this minute of every hour, a multiple of ten.
    Hourly {
        /// 0 to 50.
        minute: u8,
    },
    /// At this time of every day, a half hour.
    Daily {
        /// 0 to 23.
        hour: u8,
        /// 0 or 30.
        minute: u8,
    },
    /// As the expression says.
    Cron(CronExpression),
}

/// Why a text is no cadence.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CadenceError {
    /// None of the four forms.
    #[error("a schedule is \"every 10 minutes\", \"hourly at :30\", \"daily at 8:30\" or a cron expression")]
    Form,
    /// No minute of the platform's.
    #[error("an hourly job runs at :00, :10, :20, :30, :40 or :50")]
    Minute,
    /// No time of the platform's.
    #[error("a daily job runs at a full or half hour, such as 8:30")]
    Time,
    /// A cron expression that cannot be read.
    #[error("{0}")]
    Cron(#[from] CronError),
}

impl FromStr for Cadence {
    type Err = CadenceError;

    fn from_str(text: &str) -> Result<Self, CadenceError> {
        let words: Vec<_> = text.split_ascii_whitespace().collect();
        match words.as_slice() {
            ["every", "10", "minutes"] => Ok(Self::Every10Minutes),
            ["hourly", "at", minute] => {
                let minute = minute.strip_prefix(':').filter(|digits| digits.len() == 2);
                let minute = minute.and_then(|digits| digits.parse().ok());
                let minute = minute.filter(|minute: &u8| *minute < 60 && minute.is_multiple_of(10));
                minute.map(|minute| Self::Hourly { minute }).ok_or(CadenceError::Minute)
            }
            ["daily", "at", time] => {
                let (hour, minute) = time.split_once(':').ok_or(CadenceError::Time)?;
                let plain = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
                let hour = hour.parse().ok().filter(|h: &u8| *h < 24 && plain(hour));
                let minute = match minute {
                    "00" => Some(0),
                    "30" => Some(30),
                    _ => None,
                };
                match (hour, minute) {
                    (Some(hour), Some(minute)) => Ok(Self::Daily { hour, minute }),
                    _ => Err(CadenceError::Time),
                }
            }
            [first, ..] if first.starts_with(|c: char| c.is_ascii_digit() || c == '*' || c == '@') => {
                Ok(Self::Cron(text.parse()?))
            }
            _ => Err(CadenceError::Form),
        }
    }
}

impl fmt::Display for Cadence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every10Minutes => f.write_str("every 10 minutes"),
            Self::Hourly { minute } => write!(f, "hourly at :{minute:02}"),
            Self::Daily { hour, minute } => write!(f, "daily at {hour}:{minute:02}"),
            Self::Cron(expression) => expression.fmt(f),
        }
    }
}

impl Cadence {
    /// The first run after `after`; `zone` is what the times mean, and UTC for the platform's three ways.
    #[must_use]
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let every = |period_s: i64, offset_s: i64| {
            let since = (after.as_second() - offset_s).div_euclid(period_s);
            Timestamp::from_second((since + 1) * period_s + offset_s).ok()
        };
        match self {
            Self::Every10Minutes => every(600, 0),
            Self::Hourly { minute } => every(3600, i64::from(*minute) * 60),
            Self::Daily { hour, minute } => every(86_400, i64::from(*hour) * 3600 + i64::from(*minute) * 60),
            Self::Cron(expression) => expression.next(after, zone),
        }
    }
}

/// What happens at a job's time while its last run goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlap {
    /// Both run, as on the platform.
    #[default]
    Allow,
    /// The new one is left out.
    Forbid,
    /// The old one is stopped.
    Replace,
}

impl Overlap {
    /// Every policy.
    pub const ALL: [Self; 3] = [Self::Allow, Self::Forbid, Self::Replace];

    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Forbid => "forbid",
            Self::Replace => "replace",
        }
    }
}

/// The text is no policy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("overlapping runs are \"allow\", \"forbid\" or \"replace\"")]
pub struct OverlapError;

impl FromStr for Overlap {
    type Err = OverlapError;

    fn from_str(text: &str) -> Result<Self, OverlapError> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == text).ok_or(OverlapError)
    }
}

/// A timed job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// Its app.
    pub app: AppId,
    /// Its command, for a shell.
    pub command: String,
    /// How large its dynos are.
    pub size: DynoSize,
    /// When it runs.
    pub cadence: Cadence,
    /// The time zone of a cron expression, by its IANA name; UTC otherwise.
    pub zone: String,
    /// What happens while its last run goes on.
    pub overlap: Overlap,
    /// Unix time of its making, seconds.
    pub created_at_s: i64,
}

impl Job {
    /// The most jobs of one app.
    pub const PER_APP_MAX: usize = 100;
    /// How many runs of a job are remembered.
    pub const RUNS_MAX: usize = 100;
}

/// How a run fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// Its dyno runs.
    Running,
    /// Its process ended, with this exit status in the shell's numbers.
    Ended {
        /// 0 to 255.
        status: u8,
    },
    /// It was stopped: on request, for its successor, for its age or with the node.
    Stopped {
        /// 0 to 255.
        status: u8,
    },
    /// It was left out, since the one before went on.
    Skipped,
    /// It could not be started.
    NotStarted,
    /// The node went down and did not see how it ended.
    Lost,
}

impl RunState {
    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Ended { .. } => "ended",
            Self::Stopped { .. } => "stopped",
            Self::Skipped => "skipped",
            Self::NotStarted => "not started",
            Self::Lost => "lost",
        }
    }

    /// The exit status, where one was seen.
    #[must_use]
    pub fn status(self) -> Option<u8> {
        match self {
            Self::Ended { status } | Self::Stopped { status } => Some(status),
            Self::Running | Self::Skipped | Self::NotStarted | Self::Lost => None,
        }
    }

    /// The state of that word and exit status.
    #[must_use]
    pub fn read(word: &str, status: Option<u8>) -> Option<Self> {
        let states = match status {
            Some(status) => vec![Self::Ended { status }, Self::Stopped { status }],
            None => vec![Self::Running, Self::Skipped, Self::NotStarted, Self::Lost],
        };
        states.into_iter().find(|state| state.as_str() == word)
    }
}

/// One run of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRun {
    /// Its number on the node.
    pub id: u64,
    /// Its job.
    pub job: JobId,
    /// The identity of its dyno.
    pub dyno: DynoId,
    /// The name of its dyno, `scheduler.1234`; none where none was started.
    pub name: Option<DynoName>,
    /// Unix time of its start, or of its being left out, seconds.
    pub started_at_s: i64,
    /// Unix time of its end, seconds.
    pub ended_at_s: Option<i64>,
    /// How it fares.
    pub state: RunState,
    /// Why it was not started.
    pub reason: Option<String>,
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn cadences_read_back_as_they_are_shown() {
        for text in ["every 10 minutes", "hourly at :30", "daily at 8:30", "daily at 0:00", "0 9 * * 1-5"] {
            assert_eq!(text.parse::<Cadence>().unwrap().to_string(), text);
        }
        for (bad, error) in [
            ("weekly", CadenceError::Form),
            ("", CadenceError::Form),
            ("hourly at :35", CadenceError::Minute),
            ("hourly at 30", CadenceError::Minute),
            ("hourly at :60", CadenceError::Minute),
            ("daily at 8:15", CadenceError::Time),
            ("daily at 24:00", CadenceError::Time),
            ("daily at +8:30", CadenceError::Time),
            ("* * *", CadenceError::Cron(CronError::Fields)),
        ] {
            assert_eq!(bad.parse::<Cadence>(), Err(error), "{bad}");
        }
    }

    #[test]
    fn the_platforms_three_ways_go_by_utc() {
        let next = |text: &str| {
            let after = "2026-11-26T10:10:00Z".parse().unwrap();
            text.parse::<Cadence>().unwrap().next(after, &TimeZone::UTC).unwrap().to_string()
        };
        assert_eq!(next("every 10 minutes"), "2026-11-26T10:20:00Z");
        assert_eq!(next("hourly at :10"), "2026-11-26T11:10:00Z");
        assert_eq!(next("hourly at :50"), "2026-11-26T10:50:00Z");
        assert_eq!(next("daily at 10:00"), "2026-11-27T10:00:00Z");
        assert_eq!(next("daily at 10:30"), "2026-11-26T10:30:00Z");
    }

    #[test]
    fn states_of_runs_read_back() {
        for state in [
            RunState::Running,
            RunState::Ended { status: 0 },
            RunState::Stopped { status: 143 },
            RunState::Skipped,
            RunState::NotStarted,
            RunState::Lost,
        ] {
            assert_eq!(RunState::read(state.as_str(), state.status()), Some(state));
        }
        assert_eq!(RunState::read("ended", None), None);
    }
}
