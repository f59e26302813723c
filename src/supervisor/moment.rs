//! Instants as plain values, so that the pure cores never ask a clock.

use std::time::{Duration, SystemTime};

/// An instant: milliseconds of Unix time. Values come from one steady clock, so that they never go back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// The instant `span` later; the end of time when there is none.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl From<SystemTime> for Moment {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self::default().plus(since)
    }
}

impl From<Moment> for SystemTime {
    fn from(moment: Moment) -> Self {
        Self::UNIX_EPOCH + Duration::from_millis(moment.0)
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn moments_saturate_instead_of_wrapping() {
        assert_eq!(Moment(u64::MAX).plus(Duration::from_secs(1)), Moment(u64::MAX));
        assert_eq!(Moment(1).since(Moment(2)), Duration::ZERO);
        assert_eq!(Moment::from(SystemTime::from(Moment(1_795_415_284_170))), Moment(1_795_415_284_170));
    }
}
