//! How long tests wait: longer where the machine is slow, as an emulated one is.

use std::time::Duration;

/// Names the factor by which waits are longer than on a machine of today; a whole number, 1 where it is not set.
const FACTOR: &str = "DYNO_TEST_PATIENCE";

/// `wait` on the machine at hand. For the end of a wait that fails a test, never for how long something must take.
pub fn patient(wait: Duration) -> Duration {
    let factor = std::env::var(FACTOR).map_or(1, |text| text.parse().expect("a whole number"));
    wait * factor
}
