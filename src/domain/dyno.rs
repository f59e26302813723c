//! A dyno's names and states.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use uuid::Uuid;

use crate::domain::ProcessType;

/// The unique identity of one dyno, also its host name (platform reference 1.1: the name is not unique at an instant).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DynoId(pub Uuid);

impl fmt::Display for DynoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A dyno's name within its app: `web.1`, `run.4711`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DynoName {
    /// The process type.
    pub process_type: ProcessType,
    /// 1 to the formation's quantity, or four random digits for one-off dynos.
    pub index: u32,
}

/// The text is no dyno's name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a dyno is named by its process type and a number, such as web.1")]
pub struct DynoNameError;

impl DynoName {
    /// Names the dyno `process_type.index`.
    #[must_use]
    pub fn new(process_type: ProcessType, index: u32) -> Self {
        Self { process_type, index }
    }
}

impl fmt::Display for DynoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.process_type, self.index)
    }
}

impl FromStr for DynoName {
    type Err = DynoNameError;

    fn from_str(text: &str) -> Result<Self, DynoNameError> {
        let (process_type, index) = text.rsplit_once('.').ok_or(DynoNameError)?;
        let process_type = process_type.parse().map_err(|_| DynoNameError)?;
        let canonical = index.bytes().all(|b| b.is_ascii_digit()) && !index.starts_with('0');
        let index = index.parse().map_err(|_| DynoNameError)?;
        if canonical { Ok(Self { process_type, index }) } else { Err(DynoNameError) }
    }
}

/// What a dyno is doing, in the words of the platform (platform reference 1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DynoState {
    /// Launched, or about to be; a web dyno has not bound its port yet.
    Starting,
    /// Running; a web dyno listens on its port.
    Up,
    /// Its process ended by itself, or never came up; waits to be restarted.
    Crashed,
    /// Stopped for want of traffic.
    Idle,
    /// Stopped on request.
    Down,
    /// A one-off dyno that has ended.
    Complete,
}

impl DynoState {
    /// The word of the API and of the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Crashed => "crashed",
            Self::Idle => "idle",
            Self::Down => "down",
            Self::Complete => "complete",
        }
    }
}

impl fmt::Display for DynoState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn dyno_names_round_trip() {
        for text in ["web.1", "run.4711", "night-job.12"] {
            assert_eq!(text.parse::<DynoName>().unwrap().to_string(), text);
        }
        for bad in ["web", "web.", "web.0", "web.01", "web.+1", "web.x", ".1", "web.99999999999"] {
            assert_eq!(bad.parse::<DynoName>(), Err(DynoNameError), "{bad}");
        }
    }
}
