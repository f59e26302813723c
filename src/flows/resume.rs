//! The start of the node: from what the store says to what should run.

use std::collections::BTreeSet;
use std::path::Path;

use crate::domain::{App, AppId, SlugDigest};
use crate::flows::Node;
use crate::flows::add_ons;
use crate::flows::apps::remove;
use crate::flows::drains;
use crate::flows::error::FlowError;
use crate::flows::phase::{Running, Start};
use crate::flows::ports::Desired;
use crate::flows::{repository, schedule};
use crate::wire::{push_text, setup_text};

/// How many releases before the current one dynos may run that are taken over and can be started again.
const EARLIER_RELEASES_MAX: usize = 10;

/// Takes up where the last process of the node ended, however it ended: unfinished builds have failed, running dynos are
/// adopted, what destroyed apps and cut off builds have left goes. Returns how many apps there are.
///
/// # Errors
/// The database or the supervisor fail; the node should not serve then.
pub async fn resume(node: &Node) -> Result<usize, FlowError> {
    let failed = node.store().fail_unfinished_builds().await?;
    if failed > 0 {
        tracing::warn!(failed, "builds were cut off by the end of the last process");
    }
    let unfinished = setup_text::CUT_OFF.to_owned();
    let failed = node.store().fail_unfinished_app_setups(unfinished).await?;
    if failed > 0 {
        tracing::warn!(failed, "settings up of apps were cut off by the end of the last process");
    }
    let failed = node.store().fail_unfinished_test_runs(push_text::TESTS_CUT_OFF.to_owned()).await?;
    if failed > 0 {
        tracing::warn!(failed, "test runs were cut off by the end of the last process");
    }
    let apps = node.store().apps().await?;
    let mut desired = Vec::new();
    for app in &apps {
        let mut wanted = node.desired(app).await?;
        // The node may have ended while a release was not up yet and an earlier one served on.
        let releases = node.store().releases(app.id).await?.into_iter();
        wanted.earlier = releases
            .filter(|release| release.version < wanted.release.version && release.slug.is_some())
            .take(EARLIER_RELEASES_MAX)
            .collect();
        desired.push(wanted);
        node.showcase().note(app, node.brought(app).await?);
    }
    node.showcase().publish();
    add_ons::take_up_transfers(node).await?;
    add_ons::take_up(node).await?;
    take_up(node, &apps, desired).await?;
    for app in &apps {
        // A log that is not sent anywhere is no reason to serve nothing.
        if let Err(failed) = drains::send(node, app).await {
            let cause = std::error::Error::source(&failed).map(ToString::to_string).unwrap_or_default();
            tracing::error!(app = %app.name, %failed, cause, "the drains of an app do not start");
        }
    }
    let settings = node.settings();
    let alive: BTreeSet<AppId> = apps.iter().map(|app| app.id).collect();
    for dir in [settings.repos_dir(), settings.cache_dir(), settings.builds_dir(), settings.releases_dir()] {
        sweep(&dir, &alive);
    }
    // They lie under the identities of pipelines, which are of the same kind.
    let pipelines = node.store().pipelines().await?.into_iter().map(|pipeline| AppId(pipeline.id)).collect();
    sweep(&settings.test_runs_dir(), &pipelines);
    for gone in node.logs().apps().difference(&alive) {
        node.logs().forget(*gone);
    }
    sweep_slugs(&settings.slugs_dir(), &node.store().slugs_in_use().await?);
    // A source belongs to one push, which does not outlive the process.
    remove(&settings.sources_dir());
    std::fs::create_dir_all(settings.sources_dir())
        .map_err(FlowError::fault("make the folder of sources"))?;
    add_ons::sweep_files(node).await?;
    repository::take_up(node).await?;
    // Releases of its own: they wait for the commands of others, which this start does not.
    tokio::spawn(add_ons::settle(node.clone()));
    Ok(apps.len())
}

/// Adopts what runs. Release phases that the last process left are finished by how their dyno ends, or has ended meanwhile;
/// where it is not there any more, nobody knows how, and they have failed. The same goes for runs of timed jobs.
async fn take_up(node: &Node, apps: &[App], desired: Vec<Desired>) -> Result<(), FlowError> {
    let mut phases = Vec::new();
    for phase in node.store().pending_phases().await? {
        let app = apps.iter().find(|app| app.id == phase.app);
        let release = node.store().release(phase.app, phase.version).await?;
        if let (Some(app), Some(release)) = (app, release) {
            // Before the dynos are followed, so that no line of theirs is missed.
            phases.push(Running::expect(node, app, release, phase)?);
        }
    }
    let mut found = node.dynos().adopt(desired).await?;
    for (app, run) in node.store().running_runs().await? {
        let exit = found.iter().position(|one_off| one_off.id == run.dyno);
        let exit = exit.map(|at| found.swap_remove(at).exit);
        if exit.is_none() {
            tracing::warn!(%app, job = %run.job, "nobody has seen how a run of a timed job ended");
        }
        schedule::take_up(node, run, exit).await?;
    }
    for phase in phases {
        let start = match found.iter().position(|one_off| one_off.id == phase.dyno()) {
            Some(at) => Start::Found(found.swap_remove(at).exit),
            None => Start::Lost,
        };
        tokio::spawn(phase.run(start));
    }
    Ok(())
}

/// Removes slugs that no release runs: their app was being destroyed, or their build did not come to a release.
fn sweep_slugs(dir: &Path, in_use: &BTreeSet<SlugDigest>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let digest = entry.file_name().to_string_lossy().parse::<SlugDigest>();
        if digest.is_ok_and(|digest| !in_use.contains(&digest)) {
            remove(&entry.path());
        }
    }
}

/// Removes folders named after an app that is no more. Other names are not ours to judge.
fn sweep(dir: &Path, alive: &BTreeSet<AppId>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let id = name.strip_suffix(".git").or(name.strip_suffix(".new")).unwrap_or(&name).parse().map(AppId);
        if id.is_ok_and(|id| !alive.contains(&id)) {
            remove(&entry.path());
        }
    }
}
