//! How requests of an app are led to its web dynos, as far as the app may choose: one row a setting.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

use crate::domain::{Choice, DynoProtocol, Http2};

/// The word for what holds unless an app has chosen.
const DEFAULT: &str = "default";
/// The longest timeout, seconds.
const TIMEOUT_S_MAX: u64 = 3600;
/// The longest path of a readiness check, bytes.
const PATH_BYTES_MAX: usize = 1024;

/// What an app has chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routing {
    /// How long the first byte of an answer may take; the platform's time where none is given.
    pub first_byte: Option<Duration>,
    /// How long either side may be silent later on; the platform's time where none is given.
    pub rolling: Option<Duration>,
    /// Which web dyno is asked.
    pub choice: Choice,
    /// What a web dyno must answer before it counts as up; to listen is enough where none is given.
    pub readiness: Option<ReadinessPath>,
    /// For which names clients may speak HTTP/2.
    pub http2: Http2,
    /// What web dynos are spoken to in.
    pub dyno_protocol: DynoProtocol,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct RoutingRow {
    /// Which.
    pub setting: RoutingSetting,
    /// Its name, kept for good: the store and clients go by it.
    pub name: &'static str,
    /// What holds unless an app has chosen, in the same words.
    pub default: &'static str,
    /// What it does, in one sentence.
    pub description: &'static str,
}

/// A setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RoutingSetting {
    /// [`Routing::first_byte`].
    FirstByte,
    /// [`Routing::rolling`].
    Rolling,
    /// [`Routing::choice`].
    LeastConnections,
    /// [`Routing::readiness`].
    Readiness,
    /// [`Routing::http2`].
    Http2,
    /// [`Routing::dyno_protocol`].
    DynoHttp2,
}

/// A path that a web dyno is asked for before it counts as up; with a query, if any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadinessPath(String);

/// A setting that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RoutingError {
    /// No such setting.
    #[error("there is no setting {0}: there are {known}", known = names())]
    Unknown(String),
    /// No time, or one that is too short or too long.
    #[error("{0} takes a time such as 60s, from 1s to {TIMEOUT_S_MAX}s, or default")]
    Timeout(&'static str),
    /// Neither on nor off.
    #[error("{0} takes on, off or default")]
    Switch(&'static str),
    /// Neither on nor off, nor the default.
    #[error("{0} takes on, off or {1}")]
    Names(&'static str, &'static str),
    /// No path.
    #[error("{0} takes a path of at most {PATH_BYTES_MAX} bytes such as /health, or off")]
    Path(&'static str),
}

/// The names of all settings, with commas.
fn names() -> String {
    RoutingSetting::TABLE.iter().map(|row| row.name).collect::<Vec<_>>().join(", ")
}

// === impl RoutingSetting ===

impl RoutingSetting {
    /// The table.
    pub const TABLE: &[RoutingRow] = &[
        RoutingRow {
            setting: Self::FirstByte,
            name: "first-byte",
            default: "30s",
            description: "How long a web dyno may take until the first byte of its answer",
        },
        RoutingRow {
            setting: Self::Rolling,
            name: "rolling",
            default: "55s",
            description: "How long either side may be silent after that, WebSockets included",
        },
        RoutingRow {
            setting: Self::LeastConnections,
            name: "least-connections",
            default: "off",
            description: "Whether the web dyno with the fewest requests is asked, not any",
        },
        RoutingRow {
            setting: Self::Readiness,
            name: "readiness",
            default: "off",
            description: "A path that must answer 2xx or 3xx before a web dyno counts as up",
        },
        RoutingRow {
            setting: Self::Http2,
            name: "http2",
            default: "own-domains",
            description: "Whether clients may speak HTTP/2 under TLS: for own domains, for all names, or off",
        },
        RoutingRow {
            setting: Self::DynoHttp2,
            name: "dyno-http2",
            default: "off",
            description: "Whether web dynos are spoken to in HTTP/2 without TLS, as gRPC wants it",
        },
    ];

    /// Its row.
    #[must_use]
    pub fn row(self) -> &'static RoutingRow {
        // The table is in the order of the enum, as a test holds.
        &Self::TABLE[self as usize]
    }
}

impl FromStr for RoutingSetting {
    type Err = RoutingError;

    fn from_str(text: &str) -> Result<Self, RoutingError> {
        let found = Self::TABLE.iter().find(|row| row.name == text);
        found.map(|row| row.setting).ok_or_else(|| RoutingError::Unknown(text.to_owned()))
    }
}

// === impl Routing ===

impl Routing {
    /// Changes one setting; `default` undoes that.
    ///
    /// # Errors
    /// The value is none of that setting's.
    pub fn set(&mut self, setting: RoutingSetting, value: &str) -> Result<(), RoutingError> {
        let row = setting.row();
        let value = if value == DEFAULT { row.default } else { value };
        let chosen = Some(value).filter(|value| *value != row.default);
        match setting {
            RoutingSetting::FirstByte => {
                self.first_byte = chosen.map(|text| timeout(row, text)).transpose()?
            }
            RoutingSetting::Rolling => self.rolling = chosen.map(|text| timeout(row, text)).transpose()?,
            RoutingSetting::LeastConnections => {
                self.choice = match value {
                    "on" => Choice::LeastConnections,
                    "off" => Choice::Random,
                    _ => return Err(RoutingError::Switch(row.name)),
                }
            }
            RoutingSetting::Readiness => self.readiness = chosen.map(|text| path(row, text)).transpose()?,
            RoutingSetting::Http2 => {
                self.http2 = match chosen {
                    None => Http2::OwnDomains,
                    Some("on") => Http2::Always,
                    Some("off") => Http2::Never,
                    Some(_) => return Err(RoutingError::Names(row.name, row.default)),
                }
            }
            RoutingSetting::DynoHttp2 => {
                self.dyno_protocol = match value {
                    "on" => DynoProtocol::Http2,
                    "off" => DynoProtocol::Http1,
                    _ => return Err(RoutingError::Switch(row.name)),
                }
            }
        }
        Ok(())
    }

    /// What has been chosen of a setting; none where the default holds.
    #[must_use]
    pub fn chosen(&self, setting: RoutingSetting) -> Option<String> {
        let seconds = |time: Duration| format!("{}s", time.as_secs());
        match setting {
            RoutingSetting::FirstByte => self.first_byte.map(seconds),
            RoutingSetting::Rolling => self.rolling.map(seconds),
            RoutingSetting::LeastConnections => match self.choice {
                Choice::Random => None,
                Choice::LeastConnections => Some("on".to_owned()),
            },
            RoutingSetting::Readiness => self.readiness.as_ref().map(ToString::to_string),
            RoutingSetting::Http2 => match self.http2 {
                Http2::OwnDomains => None,
                Http2::Always => Some("on".to_owned()),
                Http2::Never => Some("off".to_owned()),
            },
            RoutingSetting::DynoHttp2 => match self.dyno_protocol {
                DynoProtocol::Http1 => None,
                DynoProtocol::Http2 => Some("on".to_owned()),
            },
        }
    }
}

fn timeout(row: &RoutingRow, text: &str) -> Result<Duration, RoutingError> {
    let digits = text.strip_suffix('s').unwrap_or(text);
    let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = digits.parse().ok().filter(|seconds| is_plain && (1..=TIMEOUT_S_MAX).contains(seconds));
    seconds.map(Duration::from_secs).ok_or(RoutingError::Timeout(row.name))
}

fn path(row: &RoutingRow, text: &str) -> Result<ReadinessPath, RoutingError> {
    // What a request line cannot hold, and what would never reach the dyno.
    let is_path = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if is_path && text.len() <= PATH_BYTES_MAX {
        Ok(ReadinessPath(text.to_owned()))
    } else {
        Err(RoutingError::Path(row.name))
    }
}

// === impl ReadinessPath ===

impl ReadinessPath {
    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReadinessPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn set(name: &str, value: &str) -> Result<Routing, RoutingError> {
        let mut routing = Routing::default();
        routing.set(name.parse()?, value).map(|()| routing)
    }

    #[test]
    fn a_setting_reads_back_as_it_was_set() {
        for (name, value, shown) in [
            ("first-byte", "60s", "60s"),
            ("first-byte", "3600", "3600s"),
            ("rolling", "1s", "1s"),
            ("least-connections", "on", "on"),
            ("readiness", "/health?deep=1", "/health?deep=1"),
            ("http2", "on", "on"),
            ("http2", "off", "off"),
            ("dyno-http2", "on", "on"),
        ] {
            let setting: RoutingSetting = name.parse().unwrap();
            let routing = set(name, value).unwrap();
            assert_eq!(routing.chosen(setting).as_deref(), Some(shown), "{name}={value}");
            assert_eq!(set(name, shown).unwrap(), routing, "{name}={shown}");
            for row in RoutingSetting::TABLE.iter().filter(|row| row.setting != setting) {
                assert_eq!(routing.chosen(row.setting), None, "{}", row.name);
            }
        }
    }

    #[test]
    fn the_default_is_no_choice() {
        for row in RoutingSetting::TABLE {
            assert_eq!(row.setting.row().name, row.name, "the order of the table");
            for value in [row.default, DEFAULT] {
                assert_eq!(set(row.name, value), Ok(Routing::default()), "{}={value}", row.name);
            }
        }
        let mut routing = set("readiness", "/").unwrap();
        routing.set(RoutingSetting::Readiness, "off").unwrap();
        assert_eq!(routing, Routing::default());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (name, value) in [
            ("first-byte", "0"),
            ("first-byte", "3601s"),
            ("first-byte", "+5"),
            ("first-byte", "1m"),
            ("rolling", ""),
            ("rolling", "s"),
            ("rolling", "99999999999999999999999"),
            ("least-connections", "yes"),
            ("http2", "yes"),
            ("dyno-http2", "h2c"),
            ("readiness", "health"),
            ("readiness", "/a b"),
            ("readiness", "/a\r\nX: y"),
            ("readiness", "/a#b"),
            ("readiness", "/ä"),
            ("readiness", ""),
            ("nonsense", "on"),
        ] {
            assert!(set(name, value).is_err(), "{name}={value}");
        }
        assert!(set("readiness", &format!("/{}", "a".repeat(PATH_BYTES_MAX))).is_err());
    }
}
