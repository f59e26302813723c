//! What the data of a service takes of the disk: beyond its plan, or where the node's disk is nearly full, the service is told to
//! refuse writes, and its app is told why. It is looked at from outside, every few seconds: a bound on growth, no wall.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;

use super::container;
use super::{Act, Ground, ServiceSpec, Standing};
use crate::domain::{Bytes, disk_bounds};
use crate::runtime::{Container, StdioKind};
use crate::supervisor::engine::chain;
use crate::sys::{clock, fs};
use crate::wire::logline::{DiskLine, LogLine};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(5);
/// What must be free of the node's disk for services to take writes.
const NODE_RESERVE: Bytes = Bytes::mib(512);
/// What must be free of it again for services that refuse writes to take them anew: more, so that the two do not take turns.
const NODE_ROOM: Bytes = Bytes::mib(640);
/// How long a service may take to change whether it takes writes.
const ACT_TIMEOUT: Duration = Duration::from_secs(30);

/// Why writes are refused, if they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    Enough,
    PlanFull(Bytes),
    NodeFull(Bytes),
}

/// Looks for as long as the container runs; never returns.
pub(super) async fn watch(
    ground: &Ground,
    spec: &ServiceSpec,
    (container, standing): (&Container, watch::Receiver<Standing>),
) {
    let volume = ground.dir.join(spec.id.to_string());
    let mut was = None;
    loop {
        tokio::time::sleep(LOOK).await;
        if *standing.borrow() != Standing::Ready {
            continue;
        }
        let Some((used, free)) = look(volume.clone()).await else { continue };
        let room = room((used, spec.plan.disk), free, was.unwrap_or(Room::Enough));
        let is_full = room != Room::Enough;
        if was.map(|was| was != Room::Enough) == Some(is_full) {
            continue;
        }
        let commands = &spec.service.commands;
        let script = if is_full { &commands.full } else { &commands.freed };
        if let Some(script) = script
            && let Err(error) = act(ground, spec, (container, script)).await
        {
            tracing::warn!(service = %spec.host, error, is_full, "a data service was not told of the disk; it is tried again");
            continue;
        }
        let line = match room {
            Room::PlanFull(used) => Some(DiskLine::Full { used, limit: spec.plan.disk }),
            Room::NodeFull(free) => Some(DiskLine::NodeFull { free }),
            Room::Enough => was.map(|_| DiskLine::Freed),
        };
        if let Some(line) = line {
            ground.logs.push(spec.app, LogLine::dyno(clock::now(), &spec.service.name, line));
        }
        was = Some(room);
    }
}

/// What a volume takes, and what is free beside it. Nothing where it cannot be told at the moment.
async fn look(volume: PathBuf) -> Option<(Bytes, Bytes)> {
    let looked = tokio::task::spawn_blocking(move || {
        Some((Bytes(fs::used_bytes(&volume).ok()?), Bytes(fs::free_bytes(&volume).ok()?)))
    });
    looked.await.ok().flatten()
}

/// Whether writes are to be refused of a volume that takes so much of its plan's disk, on a node with so much free.
fn room((used, limit): (Bytes, Bytes), free: Bytes, was: Room) -> Room {
    let (full, freed) = disk_bounds(limit);
    let (bound, reserve) = if was == Room::Enough { (full, NODE_RESERVE) } else { (freed, NODE_ROOM) };
    if used > bound {
        Room::PlanFull(used)
    } else if free < reserve {
        Room::NodeFull(free)
    } else {
        Room::Enough
    }
}

/// Runs a command of the service to its end.
async fn act(
    ground: &Ground,
    spec: &ServiceSpec,
    (container, script): (&Container, &str),
) -> Result<(), String> {
    let (args, env, stdio) = (Vec::new(), std::collections::BTreeMap::new(), StdioKind::Pipes);
    let act = Act { script: script.to_owned(), args, env, stdio };
    let entry = container::entry(spec, act, container.id().clone());
    let entered = ground.runtime.enter(entry).await.map_err(|error| chain(&error))?;
    // It is given nothing, and what little it says fits the pipes.
    let _streams = entered.stdio;
    match tokio::time::timeout(ACT_TIMEOUT, entered.hold.ended()).await.map(crate::runtime::ExitStatus::shell)
    {
        Ok(0) => Ok(()),
        Ok(status) => Err(format!("its command ended with status {status}")),
        Err(_) => Err("its command does not end".to_owned()),
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn writes_are_refused_at_a_bound_and_taken_again_well_before_it() {
        let (limit, plenty) = (Bytes::mib(1000), Bytes::mib(9000));
        for (used, free, was_full, refused) in [
            (1000, plenty, false, false),
            (1001, plenty, false, true),
            (950, plenty, true, true),
            (900, plenty, true, false),
            (1, Bytes::mib(512), false, false),
            (1, Bytes::mib(511), false, true),
            (1, Bytes::mib(639), true, true),
            (1, Bytes::mib(640), true, false),
        ] {
            let was = if was_full { Room::NodeFull(free) } else { Room::Enough };
            let room = room((Bytes::mib(used), limit), free, was);
            assert_eq!(room != Room::Enough, refused, "{used} MiB used, {free} free, was full: {was_full}");
        }
    }
}
