//! Builds that wait for memory, or are frozen for want of it: dynos need it first.
//!
//! What counts is how long others wait: a build that comes up against its own limit waits by itself, and harms nobody.

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use crate::build::pressure::{Gate, Verdict};
use crate::build::sandbox::Workshop;
use crate::build::transcript::Transcript;
use crate::runtime::Container;
use crate::runtime::cgroup::stalled;
use crate::wire::push_text;

/// Pause between two looks; the kernel averages over ten seconds.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// Waits until there is memory for a build to begin.
///
/// # Errors
/// There was none for as long as it may be held: the lines for the pusher.
pub(super) async fn admission(
    pressure: &Path,
    held_max: Duration,
    transcript: &mut Transcript<'_>,
) -> Result<(), Vec<String>> {
    let (mut gate, begun) = (Gate::new(held_max), Instant::now());
    loop {
        let waited = waited_percent(pressure);
        match gate.look(waited, begun.elapsed()) {
            Verdict::Go | Verdict::Resume => return Ok(()),
            Verdict::Hold => transcript.say(&push_text::waits_for_memory(whole(waited))),
            Verdict::StayHeld => {}
            Verdict::GiveUp => return Err(push_text::held_too_long(held_max.as_secs())),
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}

/// Freezes what a build runs while memory is short. Comes back, with the lines for the pusher, when it was frozen for as long
/// as it may be.
pub(super) async fn watch(workshop: &Workshop, pressure: &Path, held_max: Duration) -> Vec<String> {
    let (mut gate, begun) = (Gate::new(held_max), Instant::now());
    loop {
        tokio::time::sleep(LOOK_PAUSE).await;
        let live = workshop.live().await;
        let own = live.as_ref().map_or(0.0, own_percent);
        let waited = (waited_percent(pressure) - own).max(0.0);
        match gate.look(waited, begun.elapsed()) {
            Verdict::Go => {}
            Verdict::Hold => {
                freeze(live.as_ref(), Wanted::Frozen);
                workshop.note(push_text::held(whole(waited)));
            }
            // The next step may have begun meanwhile.
            Verdict::StayHeld => freeze(live.as_ref(), Wanted::Frozen),
            Verdict::Resume => {
                freeze(live.as_ref(), Wanted::Going);
                workshop.note(push_text::goes_on());
            }
            Verdict::GiveUp => return push_text::held_too_long(held_max.as_secs()),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Frozen,
    Going,
}

fn freeze(live: Option<&Container>, wanted: Wanted) {
    let Some(container) = live else { return };
    let done = container.cgroup().and_then(|group| match wanted {
        Wanted::Frozen => group.freeze(),
        Wanted::Going => group.thaw(),
    });
    if let Err(error) = done {
        // It has ended by itself, or goes on: a build is slow then, or done.
        tracing::debug!(container = %container.id(), %error, "a step of a build was not frozen or thawed");
    }
}

/// How much of the last ten seconds something of this machine waited for memory; nothing where the kernel does not tell.
fn waited_percent(pressure: &Path) -> f64 {
    std::fs::read_to_string(pressure).map_or(0.0, |text| stalled(&text).some.avg10)
}

fn own_percent(container: &Container) -> f64 {
    let pressure = container.cgroup().map(|group| group.pressure());
    pressure.ok().and_then(|pressure| pressure.memory).map_or(0.0, |stall| stall.some.avg10)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 100")]
fn whole(percent: f64) -> u32 {
    percent.clamp(0.0, 100.0).round() as u32
}
