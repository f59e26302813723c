//! How long a crashed dyno waits before it starts again (platform reference 1.10).

use std::time::Duration;

/// The waits after the first, second, ... crash in a row; the last one repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrashDelays(pub [Duration; 7]);

const MINUTE: Duration = Duration::from_secs(60);

impl Default for CrashDelays {
    /// At once, then 10, 20, 40, 80, 160 and 320 minutes.
    fn default() -> Self {
        Self([0, 10, 20, 40, 80, 160, 320].map(|minutes| MINUTE * minutes))
    }
}

impl CrashDelays {
    /// The wait after a crash that `earlier` crashes in a row went before.
    #[must_use]
    pub fn after(&self, earlier: u32) -> Duration {
        let last = self.0.len() - 1;
        self.0[usize::try_from(earlier).unwrap_or(last).min(last)]
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_first_crash_restarts_at_once_and_the_wait_grows_to_a_limit() {
        let delays = CrashDelays::default();
        let minutes: Vec<u64> = (0..9).map(|n| delays.after(n).as_secs() / 60).collect();
        assert_eq!(minutes, [0, 10, 20, 40, 80, 160, 320, 320, 320]);
        assert_eq!(delays.after(u32::MAX), delays.after(7));
    }
}
