//! Seeded simulation of the supervisor's core: a fake clock, a fake world, and whatever can happen in any order.
//!
//! The default run plays 10,000 histories. `SIM_SEEDS=<count> cargo test --test sim` plays another number; a failure
//! prints its seed and the command that replays it.

#![allow(unreachable_pub, reason = "a test exports nothing")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on may stop"
)]

mod rules;
mod turns;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dyno::domain::DynoId;
use dyno::supervisor::lifecycle::{Event, Leave};
use rand::Rng;
use uuid::Uuid;

use crate::world::World;

/// Histories of a default run.
const SEEDS: u64 = 10_000;
/// Things that happen in one history.
const TURNS: std::ops::Range<u32> = 10..90;
/// Histories that end with a stop of the node.
const STOPS: u64 = 300;

#[test]
fn no_history_breaks_the_rules() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seeds = match number("SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIM_SEEDS").unwrap_or(SEEDS),
    };
    all(seeds, |seed| {
        let mut world = played(seed);
        world.calm();
    });
}

#[test]
fn a_stop_in_the_middle_of_anything_leaves_nothing() {
    all(0..STOPS, |seed| {
        let mut world = played(seed);
        for app in world.desired.keys() {
            world.memories.touched(*app);
        }
        world.fleet.stop_all(world.now);
        world.fleet.observe(DynoId(Uuid::nil()), Event::Stop(Leave::Down), world.now);
        for _ in 0..1000 {
            world.carry_out();
            world.container_does_something();
            world.pass(Duration::from_secs(1));
        }
        world.carry_out();
        assert!(world.fleet.is_empty() && world.containers.is_empty(), "something is left");
    });
}

/// A world in which things have happened.
fn played(seed: u64) -> World {
    let mut world = World::new(seed);
    let turns = world.dice.random_range(TURNS);
    for _ in 0..turns {
        world.turn();
        world.check();
    }
    world
}

/// Plays the histories of `seeds` over the cores of the machine; of those that fail the first is named.
fn all(seeds: std::ops::Range<u64>, play: impl Fn(u64) + Sync + std::panic::RefUnwindSafe) {
    let next = AtomicU64::new(seeds.start);
    let failed = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while failed.lock().unwrap().is_empty() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    if std::panic::catch_unwind(|| play(seed)).is_err() {
                        failed.lock().unwrap().push(seed);
                    }
                }
            });
        }
    });
    if let Some(seed) = failed.into_inner().unwrap().iter().min() {
        panic!("history {seed} failed: replay it with SIM_SEED={seed} cargo test --test sim no_history");
    }
}
