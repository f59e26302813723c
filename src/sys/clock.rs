//! Time, asked for in one place.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The time of day.
#[must_use]
pub fn now() -> SystemTime {
    SystemTime::now()
}

/// A clock that only goes forward, for measuring and for deadlines.
#[must_use]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// Nanoseconds since 1970; 0 before, saturated in the year 2554.
#[must_use]
pub fn unix_ns(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The inverse of `unix_ns`.
#[must_use]
pub fn from_unix_ns(ns: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(ns)
}

/// This moment as Unix time, seconds.
#[must_use]
pub fn unix_s() -> i64 {
    i64::try_from(unix_ns(now()) / 1_000_000_000).unwrap_or(i64::MAX)
}
