//! Builds: source code becomes a slug.
//!
//! ```text
//!   source.tar ─► unpack ─► .slugignore ─► detect ─► layers ─► compile ─► release ─► Procfile ─► pack ─► <lib>/slugs/<digest>/
//!                 └───────────────── each arrow is one run in a sandbox on the stack's build layers ─────────────────┘
//! ```
//!
//! Neither the source nor what a buildpack leaves is ever read, unpacked or packed by the host itself: the stack's own
//! programs do it in sandboxes, and the host sees their output as bytes. The sandboxes of a build share three directories below
//! `<lib>/scratch/build-<id>/`: what they see as `/tmp`, as `/app`, and as the cache.
//!
//! Contract: [`build`] makes a slug or nothing; what a failed or cancelled build has made is removed. [`sweep`] removes what
//! a process that died has left. Not here: releases, and who may push (`flows`).

mod buildpack;
mod built_in;
mod compile;
mod detect;
mod fetch;
mod heroku_yml;
mod ignore;
mod layers;
mod mirror;
mod origin;
mod pack;
mod patience;
mod pressure;
mod project;
mod release;
mod request;
mod sandbox;
mod sent;
mod slug;
mod source;
mod stopwatch;
mod submodules;
mod sweep;
mod test_run;
mod transcript;

pub use mirror::{Mirror, MirrorError};
pub use origin::{check as check_buildpack, is_of_the_host, shown as buildpack_shown};
pub use request::{
    BuildFailure, BuildLimits, BuildRequest, BuiltSlug, Chooser, Ground, Layers, LayersFailure, NodeFailure,
    PackedSlug, Sandboxes, Sink, TestCommands,
};
pub use slug::ARCHIVE as SLUG_ARCHIVE;
pub use stopwatch::Laps;
pub use sweep::sweep;

use std::path::Path;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::domain::{BuildPhase, Bytes};
use crate::sys::fs;
use crate::wire::push_text;
use buildpack::Chosen;
use sandbox::Workshop;
use stopwatch::Stopwatch;
use transcript::Transcript;

/// Longest build, in seconds (platform reference 3.2).
pub const BUILD_TIMEOUT_S: u64 = 25 * 60;

/// The most that a compressed slug may hold (platform reference 3.2).
pub const SLUG_MAX: Bytes = Bytes::mib(500);
/// What a build leaves free on the node's disk, so that dynos, logs and the node's own state have room: a slug and its archive.
pub const DISK_RESERVE: Bytes = Bytes::mib(1024);
/// The most that one build keeps on the node's disk, caches and unpacked packages among it.
pub const DISK_MAX: Bytes = Bytes::mib(10 * 1024);
/// Longest hold of a build while memory is short, in seconds, all of its holds together.
pub const HELD_MAX_S: u64 = 600;
/// Pause between two looks at what is free; at a fast disk's 2 GB/s half of the reserve may go in between.
const DISK_PAUSE: Duration = Duration::from_millis(250);
/// Shortest pause between two counts of what a build keeps on the disk.
const USE_PAUSE: Duration = Duration::from_secs(2);
/// How many times as long as a count the pause after it is.
const USE_PAUSE_SHARE: u32 = 20;

/// The id, user and group, that owns on disk what sandboxes leave for others: slugs and caches.
pub const STORE_ID: u32 = 0x6FFF_0000;

/// Why a build stops: the lines that tell the pusher, or the node's fault.
enum Stop {
    Source(Vec<String>),
    Node(NodeFailure),
}

impl From<NodeFailure> for Stop {
    fn from(failure: NodeFailure) -> Stop {
        Stop::Node(failure)
    }
}

/// Builds a slug. Every line the pusher should see goes to `sink`, those of a failure included. When the future is dropped
/// before its end, the build's sandboxes are killed and its files removed in the background.
///
/// # Errors
/// [`BuildFailure::Source`] if the source, its buildpack or a limit is the reason, [`BuildFailure::Node`] if this node is.
pub async fn build(
    request: BuildRequest,
    sandboxes: &Sandboxes,
    layers: &dyn Layers,
    sink: &mut dyn Sink,
) -> Result<BuiltSlug, BuildFailure> {
    let mut transcript = Transcript::new(sink);
    within(&request, sandboxes, (layers, &mut transcript), steps).await
}

/// Runs the tests of a source where builds run, under the same limits; tells their exit status. Every line that somebody should see
/// goes to `sink`.
///
/// # Errors
/// As [`build`]: the tests were not run to their end.
pub async fn test(
    request: BuildRequest,
    sandboxes: &Sandboxes,
    layers: &dyn Layers,
    sink: &mut dyn Sink,
) -> Result<u8, BuildFailure> {
    let mut transcript = Transcript::new(sink);
    within(&request, sandboxes, (layers, &mut transcript), test_run::steps).await
}

/// The `app.json` of a source, up to a byte more than one may have; nothing where it has none.
///
/// # Errors
/// As [`build`].
pub async fn manifest(
    request: BuildRequest,
    sandboxes: &Sandboxes,
    layers: &dyn Layers,
    sink: &mut dyn Sink,
) -> Result<Vec<u8>, BuildFailure> {
    let mut transcript = Transcript::new(sink);
    within(&request, sandboxes, (layers, &mut transcript), test_run::manifest).await
}

/// Packs a slug again that was packed elsewhere, its source, and puts it in its place as a build does: what is in its `./app` alone.
///
/// # Errors
/// As [`build`].
pub async fn pack_again(
    request: BuildRequest,
    sandboxes: &Sandboxes,
    layers: &dyn Layers,
    sink: &mut dyn Sink,
) -> Result<PackedSlug, BuildFailure> {
    let mut transcript = Transcript::new(sink);
    within(&request, sandboxes, (layers, &mut transcript), sent::steps).await
}

/// What is done in the place of a build.
type Work<T> = for<'a> fn(
    &'a BuildRequest,
    &'a Workshop,
    &'a dyn Layers,
    &'a mut Transcript<'_>,
) -> BoxFuture<'a, Result<T, Stop>>;

/// Does `work` within what builds may use; whatever ends it, nothing of it is left.
async fn within<T>(
    request: &BuildRequest,
    sandboxes: &Sandboxes,
    (layers, transcript): (&dyn Layers, &mut Transcript<'_>),
    work: Work<T>,
) -> Result<T, BuildFailure> {
    let held_max = Duration::from_secs(request.limits.held_max_s);
    let pressure = &sandboxes.memory_pressure;
    if let Err(lines) = patience::admission(pressure, held_max, transcript).await {
        transcript.say_all(request.deed.told(lines));
        return Err(BuildFailure::Source);
    }
    let stopped = match Workshop::open(request, sandboxes).await {
        Ok(workshop) => {
            let timeout = Duration::from_secs(request.limits.timeout_s);
            let (reserve, disk_max) = (request.limits.disk_reserve, request.limits.disk_max);
            let outcome = tokio::select! {
                made = work(request, &workshop, layers, transcript) => made,
                () = tokio::time::sleep(timeout) => {
                    Err(Stop::Source(push_text::timed_out(request.limits.timeout_s)))
                }
                () = disk_runs_low(workshop.dir(), reserve) => Err(Stop::Source(push_text::disk_full(reserve))),
                () = uses_too_much(workshop.dir(), disk_max) => Err(Stop::Source(push_text::disk_used(disk_max))),
                lines = patience::watch(&workshop, pressure, held_max) => Err(Stop::Source(lines)),
            };
            workshop.close().await;
            outcome
        }
        Err(failure) => Err(Stop::Node(failure)),
    };
    match stopped {
        Ok(made) => Ok(made),
        Err(Stop::Source(lines)) => {
            transcript.say_all(request.deed.told(lines));
            Err(BuildFailure::Source)
        }
        Err(Stop::Node(failure)) => {
            transcript.say_all(request.deed.told(push_text::node_failed(&failure.to_string())));
            Err(BuildFailure::Node(failure))
        }
    }
}

/// Comes back when less than the reserve is free on the disk that builds write to.
async fn disk_runs_low(dir: &Path, reserve: Bytes) {
    let mut looks = tokio::time::interval(DISK_PAUSE);
    loop {
        looks.tick().await;
        match fs::free_bytes(dir) {
            Ok(free) if free < reserve.0 => return,
            // What cannot be measured is not the build's fault.
            Ok(_) | Err(_) => {}
        }
    }
}

/// Comes back when a build keeps more on the disk than it may. Counting takes a part of the time that it may take at most.
async fn uses_too_much(dir: &Path, max: Bytes) {
    loop {
        let (counted, begun) = (dir.to_owned(), tokio::time::Instant::now());
        let used = tokio::task::spawn_blocking(move || fs::used_bytes(&counted)).await;
        if let Ok(Ok(used)) = used
            && used > max.0
        {
            return;
        }
        tokio::time::sleep(USE_PAUSE.max(begun.elapsed() * USE_PAUSE_SHARE)).await;
    }
}

fn steps<'a>(
    request: &'a BuildRequest,
    workshop: &'a Workshop,
    layers: &'a dyn Layers,
    transcript: &'a mut Transcript<'_>,
) -> BoxFuture<'a, Result<BuiltSlug, Stop>> {
    Box::pin(make_slug(request, workshop, layers, transcript))
}

async fn make_slug(
    request: &BuildRequest,
    workshop: &Workshop,
    layers: &dyn Layers,
    transcript: &mut Transcript<'_>,
) -> Result<BuiltSlug, Stop> {
    let mut watch = Stopwatch::start(request.laps.clone(), BuildPhase::Prepare);
    let candidates = prepared(request, workshop, transcript).await?;
    source::restore_cache(workshop, &request.cache, &request.stack).await?;
    watch.next(BuildPhase::Detect);
    let (chosen, chooser) = choose(request, workshop, candidates, transcript).await?;
    let names: Vec<String> = chosen.iter().map(|pack| pack.pack.name.clone()).collect();
    let stack_version = layers::lay(workshop, (&chosen, &request.config), layers, transcript).await?;
    watch.next(BuildPhase::Compile);
    let description = compile::all(workshop, &chosen, transcript).await?;
    let process_types = release::process_types(workshop, chosen.last(), transcript).await?;
    watch.next(BuildPhase::Pack);
    transcript.say(&push_text::compressing());
    let packed = slug::store(workshop, request.limits.slug_max, transcript).await?;
    workshop.keep_cache(&request.cache, &request.stack).await?;
    Ok(BuiltSlug {
        digest: packed.digest,
        size: packed.size,
        process_types,
        description,
        buildpacks: names,
        chooser,
        stack_version,
    })
}

/// The workshop with the source and every buildpack that may have to do with it.
async fn prepared(
    request: &BuildRequest,
    workshop: &Workshop,
    transcript: &mut Transcript<'_>,
) -> Result<Vec<buildpack::Pack>, Stop> {
    transcript.say(&push_text::building_on(&request.stack));
    let candidates = buildpack::resolve(&request.buildpacks, &request.known_buildpacks)?;
    workshop.lay_out(request, &candidates).await?;
    fetch::all(workshop, &candidates).await?;
    source::unpack(workshop, (&request.source, request.root), transcript).await?;
    Ok(candidates)
}

/// The buildpacks of the build: those that were asked for, or else those that the source names, or else the one that is detected.
async fn choose(
    request: &BuildRequest,
    workshop: &Workshop,
    candidates: Vec<buildpack::Pack>,
    transcript: &mut Transcript<'_>,
) -> Result<(Vec<Chosen>, Chooser), Stop> {
    let (chosen, chooser) = if request.buildpacks.is_empty() {
        let names = project::names(workshop).await?;
        if names.is_empty() {
            transcript.say(&push_text::determining_buildpack());
            (vec![detect::automatic(workshop, candidates).await?], Chooser::Detection)
        } else {
            let packs = project::packs(workshop, request, &names, &candidates).await?;
            (packs.into_iter().map(Chosen::undetected).collect(), Chooser::Source)
        }
    } else {
        (candidates.into_iter().map(Chosen::undetected).collect(), Chooser::Caller)
    };
    let names: Vec<String> = chosen.iter().map(|pack| pack.pack.name.clone()).collect();
    transcript.say_all(push_text::using_buildpacks(&names));
    Ok((chosen, chooser))
}
