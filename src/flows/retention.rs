//! Retention: what releases keep on disk is not kept for ever (platform reference 3.8).
//!
//! A release older than 30 days and not among the 20 newest of its app expires: it cannot be rolled back to any more, and
//! its slug goes with the last release that needs it. Nothing that runs, or may still run, is taken away. Records of builds
//! go with what the builds have printed.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::domain::{App, Release, ReleaseStatus, SlugDigest, Version};
use crate::flows::Node;
use crate::flows::apps::remove;
use crate::flows::error::FlowError;
use crate::flows::phase::output_path;
use crate::sys::clock;

/// The age before which no release expires, days.
const AGE_DAYS: i64 = 30;
/// How many releases of an app never expire, the newest.
const NEWEST_KEPT: usize = 20;
/// How long a release is kept after another has taken its place, hours: longer than any dyno of it lives.
const SUPERSEDED_KEPT_H: i64 = 48;
/// How many builds of an app are remembered at most.
const BUILDS_MAX: usize = 500;
/// The age up to which the builds of an app are remembered, days.
const BUILDS_AGE_DAYS: i64 = 90;
/// How many of its builds are remembered however old they are.
const BUILDS_KEPT: usize = 20;
/// Between two sweeps, hours.
const SWEEP_EVERY_H: u64 = 24;
/// Between two attempts to sweep while builds run, seconds.
const SWEEP_PAUSE_S: u64 = 60;

/// Sweeps now and every day, for as long as the node serves.
pub async fn keep_retention(node: Node) {
    loop {
        if let Err(error) = sweep_between_builds(&node).await {
            tracing::error!(error = &error as &dyn std::error::Error, "old releases are not swept");
        }
        if let Err(error) = node.services().sweep().await {
            tracing::error!(%error, "old data of add-ons is not swept");
        }
        tokio::time::sleep(Duration::from_secs(SWEEP_EVERY_H * 3600)).await;
    }
}

/// A build may be about to release a slug that was made before and has expired since.
async fn sweep_between_builds(node: &Node) -> Result<(), FlowError> {
    loop {
        if let Some(_no_builds) = node.locks().try_sweep() {
            return sweep(node, clock::now()).await;
        }
        tokio::time::sleep(Duration::from_secs(SWEEP_PAUSE_S)).await;
    }
}

/// Lets releases expire that have to by `now`, and removes what nobody needs any more.
pub(super) async fn sweep(node: &Node, now: SystemTime) -> Result<(), FlowError> {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_s = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    for app in node.store().apps().await? {
        let orphans = expire(node, &app, now_s).await?;
        let slugs = node.settings().slugs_dir();
        let paths: Vec<_> = orphans.iter().map(|digest| slugs.join(digest.as_str())).collect();
        let removal = tokio::task::spawn_blocking(move || paths.iter().for_each(|path| remove(path)));
        if removal.await.is_err() {
            tracing::warn!(app = %app.name, "the removal of slugs was cut short; the next start goes on");
        }
        prune_builds(node, &app, now_s).await?;
    }
    Ok(())
}

/// Forgets old builds of an app. What they have printed goes first, so that nothing is left that nobody knows of.
async fn prune_builds(node: &Node, app: &App, now_s: i64) -> Result<(), FlowError> {
    let before_s = now_s.saturating_sub(BUILDS_AGE_DAYS * 86_400);
    let old = node.store().old_builds(app.id, (BUILDS_MAX, BUILDS_KEPT), before_s).await?;
    let mut gone = Vec::new();
    for build in old {
        match std::fs::remove_file(&build.output_path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(path = %build.output_path.display(), %error, "what an old build printed stays");
            }
            Ok(()) | Err(_) => gone.push(build.id),
        }
    }
    Ok(node.store().forget_builds(gone).await?)
}

async fn expire(node: &Node, app: &App, now_s: i64) -> Result<Vec<SlugDigest>, FlowError> {
    // No rollback in between takes up what is about to go.
    let _changing = node.locks().change(app.id).await;
    let releases = node.store().releases(app.id).await?;
    let running = node.dynos().snapshot(app.id).into_iter().map(|dyno| dyno.release).collect();
    let gone = expired(&releases, &running, now_s);
    if gone.is_empty() {
        return Ok(Vec::new());
    }
    let orphans = node.store().expire_releases(app.id, gone.clone()).await?;
    for version in &gone {
        let _none_or_left_to_the_app = std::fs::remove_file(output_path(node, app.id, *version));
    }
    tracing::info!(app = %app.name, releases = gone.len(), slugs = orphans.len(), "old releases have expired");
    Ok(orphans)
}

/// The releases to expire of an app's `releases`, which come newest first; dynos of those in `running` run.
fn expired(releases: &[Release], running: &BTreeSet<Version>, now_s: i64) -> Vec<Version> {
    let current = releases.iter().find(|release| release.status == ReleaseStatus::Succeeded);
    let older_than = |at_s: i64, age_s: i64| at_s.saturating_add(age_s) < now_s;
    let superseded = |release: &Release| {
        let later =
            |other: &&Release| other.version > release.version && other.status == ReleaseStatus::Succeeded;
        // Of the newest first: the last that is later came next.
        let next = releases.iter().rfind(later);
        release.status == ReleaseStatus::Failed
            || next.is_some_and(|next| older_than(next.created_at_s, SUPERSEDED_KEPT_H * 3600))
    };
    let goes = |release: &&Release| {
        release.slug.is_some()
            && matches!(release.status, ReleaseStatus::Succeeded | ReleaseStatus::Failed)
            && current.is_none_or(|current| current.version != release.version)
            && older_than(release.created_at_s, AGE_DAYS * 86_400)
            && superseded(release)
            && !running.contains(&release.version)
    };
    releases.iter().skip(NEWEST_KEPT).filter(goes).map(|release| release.version).collect()
}

#[cfg(test)]
mod test {
    use proptest::prelude::*;

    use super::*;

    const DAY_S: i64 = 86_400;

    /// Releases with these ages in days, newest first.
    fn releases(ages: &[(i64, ReleaseStatus)], now_s: i64) -> Vec<Release> {
        let count = u64::try_from(ages.len()).unwrap();
        let release = |(version, (age, status)): (u64, &(i64, ReleaseStatus))| Release {
            id: uuid::Uuid::from_u128(version.into()),
            version: Version(version),
            description: String::new(),
            user: String::new(),
            status: *status,
            slug: Some("0".repeat(64).parse().unwrap()),
            commit: None,
            stack: Default::default(),
            stack_version: None,
            process_types: Default::default(),
            config: Default::default(),
            created_at_s: now_s - age * DAY_S,
        };
        (1..=count).rev().zip(ages).map(release).collect()
    }

    fn gone(ages: &[(i64, ReleaseStatus)], running: &[u64]) -> Vec<u64> {
        let now_s = 2_000 * DAY_S;
        let running = running.iter().map(|version| Version(*version)).collect();
        expired(&releases(ages, now_s), &running, now_s).iter().map(|version| version.0).collect()
    }

    use ReleaseStatus::{Expired, Failed, Pending, Succeeded};

    #[test]
    fn only_what_is_old_and_not_among_the_newest_expires() {
        let mut ages: Vec<_> = (0..25).map(|n| (n * 10, Succeeded)).collect();
        assert_eq!(gone(&ages, &[]), [5, 4, 3, 2, 1]);
        ages.truncate(20);
        assert!(gone(&ages, &[]).is_empty(), "the newest stay however old they are");
        let fresh: Vec<_> = (0..40).map(|_| (29, Succeeded)).collect();
        assert!(gone(&fresh, &[]).is_empty(), "a busy month expires nothing");
    }

    #[test]
    fn what_runs_or_may_run_stays() {
        let ages: Vec<_> = (0..25).map(|n| (n * 10, Succeeded)).collect();
        assert_eq!(gone(&ages, &[3]), [5, 4, 2, 1], "a dyno of v3 runs");
        let mut failing: Vec<_> = (0..24).map(|n| (n * 10, Failed)).collect();
        failing.push((900, Succeeded));
        assert_eq!(gone(&failing, &[]), [5, 4, 3, 2], "the only one that works is the current one");
        let mut pending = failing.clone();
        pending[22] = (220, Pending);
        pending[23] = (230, Expired);
        assert_eq!(gone(&pending, &[]), [5, 4]);
        let mut superseded: Vec<_> = (0..20).map(|_| (1, Succeeded)).collect();
        superseded.extend([(100, Succeeded), (101, Succeeded)]);
        assert_eq!(gone(&superseded, &[]), [1], "v2 ran until yesterday");
    }

    proptest! {
        #[test]
        fn the_current_release_and_the_newest_never_expire(
            ages in proptest::collection::vec((0i64..200, 0u8..4), 0..60)
        ) {
            let mut days: Vec<_> = ages.iter().map(|(age, _)| *age).collect();
            days.sort_unstable();
            let status = |(_, kind): &(i64, u8)| [Pending, Succeeded, Failed, Expired][usize::from(*kind)];
            let ages: Vec<_> = days.into_iter().zip(ages.iter().map(status)).collect();
            let gone = gone(&ages, &[]);
            let all = releases(&ages, 2_000 * DAY_S);
            let current = all.iter().find(|release| release.status == Succeeded).map(|r| r.version.0);
            for version in gone {
                prop_assert!(Some(version) != current);
                let place = all.iter().position(|release| release.version.0 == version).unwrap();
                prop_assert!(place >= NEWEST_KEPT && ages[place].0 > AGE_DAYS);
                prop_assert!(matches!(ages[place].1, Succeeded | Failed));
            }
        }
    }
}
