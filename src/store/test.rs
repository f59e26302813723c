//! The store against a real file, and against being killed.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use uuid::Uuid;

use crate::domain::{
    App, AppId, AppName, BuildPhase, BuildSource, BuildStatus, Bytes, ConfigVars, Drain, DynoId, DynoSize,
    Formation, FormationEntry, Job, Overlap, PhaseTime, ProcessType, ReleaseStatus, Routing, RoutingSetting,
    RunState, Slug, SlugDigest, StackName, TransferCause, TransferKind, TransferState, Version,
};
use crate::store::{
    AppChange, BuildEnd, NewApp, NewBuild, NewJob, NewRelease, NewRun, NewTransfer, PhaseEnd, Store,
    StoreError, TransferEnd,
};

fn store(dir: &tempfile::TempDir) -> Store {
    Store::open(&dir.path().join("state.db")).unwrap()
}

fn new_app(name: &str) -> NewApp {
    NewApp {
        name: name.parse().unwrap(),
        owner: None,
        build_stack: StackName::default(),
        user: "me@example.com".to_owned(),
        first_releases: vec!["Initial release".to_owned(), "Enable Logplex".to_owned()],
    }
}

fn slug(fill: char) -> Slug {
    Slug {
        digest: fill.to_string().repeat(64).parse().unwrap(),
        size: Bytes(42),
        process_types: types(),
        buildpack_description: Some("Python".to_owned()),
        created_at_s: 7,
    }
}

fn types() -> BTreeMap<ProcessType, String> {
    BTreeMap::from([(ProcessType::web(), "gunicorn 'a \"b\"' --port $PORT".to_owned())])
}

fn deploy(app: &App, digest: &SlugDigest, quantity: u32) -> NewRelease {
    NewRelease {
        slug: Some(digest.clone()),
        commit: Some("1a2b3c4d".to_owned()),
        stack_version: Some("content-1".to_owned()),
        process_types: types(),
        config: ConfigVars::new(BTreeMap::from([("FOO".to_owned(), "ä\n\"=".to_owned())])).unwrap(),
        formation: Some(web(quantity)),
        ..NewRelease::blank(app.id, "Deploy 1a2b3c4d".to_owned(), "me".to_owned(), StackName::default())
    }
}

fn web(quantity: u32) -> Formation {
    let process_type = ProcessType::web();
    let stop_grace = Some(Duration::from_secs(90));
    Formation::new([FormationEntry { process_type, quantity, size: DynoSize::Standard2X, stop_grace }])
}

#[tokio::test]
async fn an_app_is_born_with_its_first_releases() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let app = store.create_app(new_app("example")).await.unwrap();
    assert_eq!(store.app_by_name(&app.name).await.unwrap(), Some(app.clone()));
    assert_eq!(store.app_by_id(app.id).await.unwrap(), Some(app.clone()));
    let releases = store.releases(app.id).await.unwrap();
    let described: Vec<_> = releases.iter().map(|r| (r.version.0, r.description.as_str())).collect();
    assert_eq!(described, [(2, "Enable Logplex"), (1, "Initial release")]);
    assert_eq!(store.formation(app.id).await.unwrap(), Formation::default());
}

#[tokio::test]
async fn names_are_unique_and_free_again_after_their_app() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let taken = |result: Result<App, StoreError>| matches!(result, Err(StoreError::NameTaken(_)));
    let app = store.create_app(new_app("example")).await.unwrap();
    let other = store.create_app(new_app("other")).await.unwrap();
    assert!(taken(store.create_app(new_app("example")).await));
    let rename = |name: &str| AppChange { name: Some(name.parse().unwrap()), ..AppChange::default() };
    assert!(taken(store.change_app(other.id, rename("example")).await));
    assert_eq!(store.apps().await.unwrap(), [app.clone(), other.clone()]);
    store.destroy_app(app.id).await.unwrap();
    let renamed = store.change_app(other.id, rename("example")).await.unwrap();
    assert_eq!(renamed.id, other.id);
    assert_eq!(store.apps().await.unwrap(), [renamed]);
}

#[tokio::test]
async fn a_release_comes_back_as_it_was_made_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let made = {
        let store = store(&dir);
        let app = store.create_app(new_app("example")).await.unwrap();
        let slug = slug('a');
        store.record_slug(slug.clone()).await.unwrap();
        store.record_slug(slug.clone()).await.unwrap();
        assert_eq!(store.slug(&slug.digest).await.unwrap(), Some(slug.clone()));
        let release = store.create_release(deploy(&app, &slug.digest, 1)).await.unwrap();
        assert_eq!(release.version, Version(3));
        (app, release, store.node_id().await.unwrap())
    };
    let store = store(&dir);
    let (app, release, node) = made;
    assert_eq!(store.node_id().await.unwrap(), node);
    assert_eq!(store.current_release(app.id).await.unwrap(), Some(release.clone()));
    assert_eq!(store.release(app.id, Version(3)).await.unwrap(), Some(release));
    assert_eq!(store.release(app.id, Version(4)).await.unwrap(), None);
    assert_eq!(store.formation(app.id).await.unwrap(), web(1));
}

#[tokio::test]
async fn a_release_that_is_refused_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let app = store.create_app(new_app("example")).await.unwrap();
    let unrecorded = slug('b').digest;
    assert!(store.create_release(deploy(&app, &unrecorded, 1)).await.is_err());
    assert_eq!(store.releases(app.id).await.unwrap().len(), 2);
    assert_eq!(store.formation(app.id).await.unwrap(), Formation::default());
    let nobody = AppId(Uuid::new_v4());
    let blank = NewRelease::blank(nobody, "x".to_owned(), "me".to_owned(), StackName::default());
    assert!(matches!(store.create_release(blank).await, Err(StoreError::NoSuchApp(_))));
}

#[tokio::test]
async fn the_current_release_is_the_highest_that_succeeded() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let app = store.create_app(new_app("example")).await.unwrap();
    let current = async || store.current_release(app.id).await.unwrap().unwrap().version.0;
    let pend = async || {
        let new = NewRelease::blank(app.id, "x".to_owned(), "me".to_owned(), StackName::default());
        let (id, name) = (DynoId(Uuid::new_v4()), "release.1234".parse().unwrap());
        store.create_pending_release(new, id, name).await.unwrap()
    };
    let failed = pend().await;
    assert_eq!((failed.version, failed.status), (Version(3), ReleaseStatus::Pending));
    assert_eq!(current().await, 2);
    let phases = store.pending_phases().await.unwrap();
    assert_eq!((phases[0].app, phases[0].version, phases.len()), (app.id, Version(3), 1));
    store.finish_phase(app.id, Version(3), PhaseEnd::Failed).await.unwrap();
    assert_eq!((current().await, store.pending_phases().await.unwrap().len()), (2, 0));
    pend().await;
    store.finish_phase(app.id, Version(4), PhaseEnd::Succeeded(web(3))).await.unwrap();
    assert_eq!((current().await, store.formation(app.id).await.unwrap()), (4, web(3)));
    assert_eq!(store.newest_release(app.id).await.unwrap().unwrap().version, Version(4));
    for ended in [3, 4, 9] {
        let again = store.finish_phase(app.id, Version(ended), PhaseEnd::Failed).await;
        assert!(matches!(again, Err(StoreError::NoSuchRelease { .. })), "{ended}");
    }
    let (owner, found) = store.release_by_id(failed.id).await.unwrap().unwrap();
    assert_eq!((owner, found.status), (app.id, ReleaseStatus::Failed));
}

#[tokio::test]
async fn destroying_an_app_names_the_slugs_that_nobody_runs_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let app = store.create_app(new_app("example")).await.unwrap();
    let other = store.create_app(new_app("other")).await.unwrap();
    let (own, shared) = (slug('a'), slug('b'));
    for slug in [&own, &shared] {
        store.record_slug(slug.clone()).await.unwrap();
        store.create_release(deploy(&app, &slug.digest, 1)).await.unwrap();
    }
    store.create_release(deploy(&other, &shared.digest, 1)).await.unwrap();
    assert_eq!(store.destroy_app(app.id).await.unwrap(), std::slice::from_ref(&own.digest));
    assert_eq!(store.slug(&own.digest).await.unwrap(), None);
    assert!(store.slug(&shared.digest).await.unwrap().is_some());
    assert!(store.releases(app.id).await.unwrap().is_empty());
    assert!(matches!(store.destroy_app(app.id).await, Err(StoreError::NoSuchApp(_))));
}

#[tokio::test]
async fn an_expired_release_lets_go_of_its_slug_and_the_last_one_of_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let app = store.create_app(new_app("example")).await.unwrap();
    let slug = slug('a');
    store.record_slug(slug.clone()).await.unwrap();
    for _ in 0..2 {
        store.create_release(deploy(&app, &slug.digest, 1)).await.unwrap();
    }
    assert!(store.expire_releases(app.id, vec![Version(3)]).await.unwrap().is_empty());
    let expired = store.release(app.id, Version(3)).await.unwrap().unwrap();
    assert_eq!((expired.status, expired.slug), (ReleaseStatus::Expired, None));
    let orphans = store.expire_releases(app.id, vec![Version(4)]).await.unwrap();
    assert_eq!(orphans, std::slice::from_ref(&slug.digest));
    assert_eq!(store.slug(&slug.digest).await.unwrap(), None);
    let new = NewRelease::blank(app.id, "x".to_owned(), "me".to_owned(), StackName::default());
    let (id, name) = (DynoId(Uuid::new_v4()), "release.1234".parse().unwrap());
    store.create_pending_release(new, id, name).await.unwrap();
    store.expire_releases(app.id, vec![Version(5)]).await.unwrap();
    assert_eq!(store.pending_phases().await.unwrap().len(), 1, "a pending release is left alone");
}

#[tokio::test]
async fn builds_end_and_those_left_unfinished_fail() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let app = store.create_app(new_app("example")).await.unwrap();
    let start = || NewBuild {
        id: Uuid::new_v4(),
        app: app.id,
        commit: Some("1a2b3c4d".to_owned()),
        source: BuildSource {
            url: Some("https://example.com/a.tgz".to_owned()),
            checksum: Some(format!("SHA256:{}", "ab".repeat(32)).parse().unwrap()),
            description: None,
        },
        buildpacks: Vec::new(),
        user: "me".to_owned(),
        output_path: PathBuf::from("/lib/builds/x"),
    };
    let (first, second) =
        (store.create_build(start()).await.unwrap(), store.create_build(start()).await.unwrap());
    let timings = vec![PhaseTime { phase: BuildPhase::Compile, spent: Duration::from_millis(1500) }];
    let buildpacks = vec!["heroku/go".to_owned()];
    let end = BuildEnd::Succeeded {
        slug: slug('a').digest,
        release: Version(3),
        buildpacks: buildpacks.clone(),
        timings: timings.clone(),
    };
    store.finish_build(first.id, end).await.unwrap();
    assert_eq!(store.fail_unfinished_builds().await.unwrap(), 1);
    let builds = store.builds(app.id).await.unwrap();
    let fates: Vec<_> = builds.iter().map(|build| (build.id, build.status, build.release)).collect();
    assert_eq!(
        fates,
        [(second.id, BuildStatus::Failed, None), (first.id, BuildStatus::Succeeded, Some(Version(3)))]
    );
    assert_eq!((&builds[1].timings, &builds[1].buildpacks), (&timings, &buildpacks));
    assert_eq!(builds[1].source, start().source);
    assert!(builds[0].timings.is_empty() && builds[0].buildpacks.is_empty());
    let absent = store.finish_build(Uuid::new_v4(), BuildEnd::Failed { timings: Vec::new() }).await;
    assert!(matches!(absent, Err(StoreError::NoSuchBuild(_))));
    let third = store.create_build(start()).await.unwrap();
    store.finish_build(third.id, BuildEnd::Failed { timings: timings.clone() }).await.unwrap();
    assert_eq!(store.build(third.id).await.unwrap().unwrap().timings, timings, "a failure has them too");
}

#[tokio::test]
async fn builds_are_forgotten_by_number_and_by_age_but_never_while_they_run() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let app = store.create_app(new_app("example")).await.unwrap();
    let mut ids = Vec::new();
    for number in 0..6 {
        let new = NewBuild {
            id: Uuid::new_v4(),
            app: app.id,
            commit: None,
            source: BuildSource::default(),
            buildpacks: Vec::new(),
            user: "me".to_owned(),
            output_path: PathBuf::from(format!("/lib/builds/{number}")),
        };
        ids.push(store.create_build(new).await.unwrap().id);
    }
    for id in &ids[1..] {
        store.finish_build(*id, BuildEnd::Failed { timings: Vec::new() }).await.unwrap();
    }
    let old = async |before_s: i64| {
        let old = store.old_builds(app.id, (4, 2), before_s).await.unwrap();
        old.iter().map(|build| build.id).collect::<Vec<_>>()
    };
    // The oldest runs still.
    assert_eq!(old(0).await, [ids[1]]);
    assert_eq!(old(i64::MAX).await, [ids[3], ids[2], ids[1]]);
    store.forget_builds(old(0).await).await.unwrap();
    let left: Vec<_> = store.builds(app.id).await.unwrap().iter().map(|build| build.id).collect();
    assert_eq!(left, [ids[5], ids[4], ids[3], ids[2], ids[0]]);
}

#[tokio::test]
async fn a_buildpack_list_keeps_its_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let app = store.create_app(new_app("example")).await.unwrap();
    let urls = vec!["heroku/python".to_owned(), "heroku/nodejs".to_owned()];
    store.set_buildpacks(app.id, urls.clone()).await.unwrap();
    assert_eq!(store.buildpacks(app.id).await.unwrap(), urls);
    store.set_buildpacks(app.id, Vec::new()).await.unwrap();
    assert!(store.buildpacks(app.id).await.unwrap().is_empty());
}

// === Being killed ===

/// Tells the writing half of the test where to write.
const CRASH_DIR: &str = "DYNO_TEST_CRASH_DIR";
/// How often the writer is killed.
const KILLS: u32 = 12;

/// Deploys without end and says each version aloud once it is acknowledged.
async fn deploy_until_killed(path: &Path) {
    let store = Store::open(path).unwrap();
    let app = match store.app_by_name(&"example".parse::<AppName>().unwrap()).await.unwrap() {
        Some(app) => app,
        None => store.create_app(new_app("example")).await.unwrap(),
    };
    let slug = slug('a');
    store.record_slug(slug.clone()).await.unwrap();
    loop {
        let next = store.current_release(app.id).await.unwrap().unwrap().version.0 + 1;
        let quantity = u32::try_from(next).unwrap();
        let release = store.create_release(deploy(&app, &slug.digest, quantity)).await.unwrap();
        println!("acknowledged {}", release.version.0);
    }
}

/// What the file says: the current version, after checking that nothing is half there.
async fn version_on_disk(path: &Path) -> u64 {
    let store = Store::open(path).unwrap();
    let Some(app) = store.app_by_name(&"example".parse::<AppName>().unwrap()).await.unwrap() else {
        return 0;
    };
    let versions: Vec<_> =
        store.releases(app.id).await.unwrap().iter().rev().map(|release| release.version.0).collect();
    let newest = u64::try_from(versions.len()).unwrap();
    assert_eq!(versions, (1..=newest).collect::<Vec<_>>(), "versions have no gaps");
    if newest > 2 {
        // Every deploy sets web to its own version: a release without its formation would show here.
        let wanted = web(u32::try_from(newest).unwrap());
        assert_eq!(store.formation(app.id).await.unwrap(), wanted);
    }
    newest
}

#[tokio::test]
async fn a_killed_writer_loses_nothing_acknowledged() {
    if let Some(path) = std::env::var_os(CRASH_DIR) {
        return deploy_until_killed(Path::new(&path)).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let mut progressed = 0;
    for round in 0..KILLS {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "store::test::a_killed_writer_loses_nothing_acknowledged"])
            .env(CRASH_DIR, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(writer.stdout.take().unwrap());
        std::thread::sleep(Duration::from_millis(u64::from(rand::random_range(20..120_u32))));
        writer.kill().unwrap();
        writer.wait().unwrap();
        let acknowledged = lines
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("acknowledged ").and_then(|n| n.parse::<u64>().ok()))
            .last()
            .unwrap_or(0);
        let kept = version_on_disk(&path).await;
        assert!(kept >= acknowledged, "round {round}: {acknowledged} was acknowledged, {kept} is kept");
        progressed = progressed.max(acknowledged);
    }
    assert!(progressed > 2, "the writer never got to deploy");
}

#[tokio::test]
async fn drains_are_kept_counted_and_removed_with_their_app() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let app = store.create_app(new_app("example")).await.unwrap();
    let url = |n: usize| format!("https://user:secret@example.com/{n}").parse().unwrap();
    let mut added = Vec::new();
    for n in 0..Drain::PER_APP_MAX {
        added.push(store.add_drain(app.id, url(n)).await.unwrap());
    }
    assert!(added[0].token.starts_with("d.") && added[0].token != added[1].token, "{added:?}");
    assert!(matches!(store.add_drain(app.id, url(0)).await, Err(StoreError::DrainExists)));
    assert!(matches!(store.add_drain(app.id, url(9)).await, Err(StoreError::TooManyDrains)));
    store.remove_drain(added.remove(1).id).await.unwrap();
    let again = Store::open(&dir.path().join("state.db")).unwrap();
    assert_eq!(again.drains(app.id).await.unwrap(), added);
    store.destroy_app(app.id).await.unwrap();
    assert!(store.drains(app.id).await.unwrap().is_empty());
}

#[tokio::test]
async fn jobs_and_the_bounded_record_of_their_runs_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let app = store.create_app(new_app("example")).await.unwrap();
    let new = |cadence: &str| NewJob {
        app: app.id,
        command: "rake 'a b'".to_owned(),
        size: DynoSize::Standard2X,
        cadence: cadence.parse().unwrap(),
        zone: "Europe/Berlin".to_owned(),
        overlap: Overlap::Replace,
    };
    let first = store.add_job(new("0 9 * * 1-5")).await.unwrap();
    let second = store.add_job(new("every 10 minutes")).await.unwrap();
    assert_eq!(store.jobs(Some(app.id)).await.unwrap(), [first.clone(), second.clone()]);
    assert_eq!(store.job(app.id, first.id).await.unwrap(), Some(first.clone()));
    let run = |state| NewRun {
        job: first.id,
        dyno: DynoId(Uuid::new_v4()),
        name: Some("scheduler.1234".parse().unwrap()),
        state,
    };
    let running = store.add_run(run(RunState::Running)).await.unwrap().unwrap();
    assert_eq!(store.running_runs().await.unwrap(), [(app.id, running.clone())]);
    for _ in 0..=Job::RUNS_MAX {
        store.add_run(run(RunState::Skipped)).await.unwrap();
    }
    let kept = store.runs(first.id).await.unwrap();
    assert_eq!(kept.len(), Job::RUNS_MAX + 1, "the newest, and the one that goes on");
    assert_eq!(kept.last(), Some(&running));
    store.finish_run(running.id, RunState::Ended { status: 3 }, None).await.unwrap();
    let ended = store.runs(first.id).await.unwrap().pop().unwrap();
    assert_eq!(ended.state, RunState::Ended { status: 3 });
    assert!(ended.ended_at_s.is_some() && store.running_runs().await.unwrap().is_empty());
    assert!(store.remove_job(app.id, first.id).await.unwrap());
    assert!(!store.remove_job(app.id, first.id).await.unwrap());
    assert_eq!(store.add_run(run(RunState::Running)).await.unwrap(), None, "its job is gone");
    assert!(store.add_job(new("@daily")).await.unwrap().id > second.id, "numbers do not come back");
    for _ in 2..Job::PER_APP_MAX {
        store.add_job(new("@daily")).await.unwrap();
    }
    assert!(matches!(store.add_job(new("@daily")).await, Err(StoreError::TooManyJobs)));
}

#[tokio::test]
async fn how_requests_are_led_is_kept_changed_whole_and_removed_with_its_app() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let app = store.create_app(new_app("example")).await.unwrap();
    let other = store.create_app(new_app("other")).await.unwrap();
    assert_eq!(store.routing(app.id).await.unwrap(), Routing::default());
    let chosen = |all: &[(RoutingSetting, &str)]| {
        let mut routing = Routing::default();
        for (setting, value) in all {
            routing.set(*setting, value).unwrap();
        }
        routing
    };
    let all = chosen(&[
        (RoutingSetting::FirstByte, "60s"),
        (RoutingSetting::Rolling, "3600s"),
        (RoutingSetting::LeastConnections, "on"),
        (RoutingSetting::Readiness, "/health?deep=1"),
        (RoutingSetting::Http2, "off"),
        (RoutingSetting::DynoHttp2, "on"),
    ]);
    assert_eq!(RoutingSetting::TABLE.iter().filter(|row| all.chosen(row.setting).is_none()).count(), 0);
    store.set_routing(app.id, all.clone()).await.unwrap();
    let again = Store::open(&dir.path().join("state.db")).unwrap();
    assert_eq!(again.routing(app.id).await.unwrap(), all);
    assert_eq!(again.routing(other.id).await.unwrap(), Routing::default(), "it is the app's alone");
    let fewer = chosen(&[(RoutingSetting::Rolling, "1s")]);
    again.set_routing(app.id, fewer.clone()).await.unwrap();
    assert_eq!(again.routing(app.id).await.unwrap(), fewer, "what is not chosen any more is gone");
    again.destroy_app(app.id).await.unwrap();
    assert_eq!(again.routing(app.id).await.unwrap(), Routing::default());
    assert!(matches!(again.set_routing(app.id, all).await, Err(StoreError::NoSuchApp(_))));
}

#[tokio::test]
async fn restores_and_copies_that_have_ended_go_with_their_age_and_backups_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let app = store.create_app(new_app("app")).await.unwrap().id;
    let add_on = Uuid::new_v4();
    let mut made = Vec::new();
    for (kind, state) in [
        (TransferKind::Backup, TransferState::Succeeded),
        (TransferKind::Restore, TransferState::Failed),
        (TransferKind::Copy, TransferState::Succeeded),
        (TransferKind::Copy, TransferState::Running),
    ] {
        let (cause, from, to) = (TransferCause::Asked, String::new(), String::new());
        let new = NewTransfer { id: Uuid::new_v4(), app, add_on, kind, cause, from, to };
        let transfer = store.add_transfer(new).await.unwrap();
        let end = TransferEnd { state, bytes: 0, digest: None, message: None };
        store.end_transfer(transfer.id, end).await.unwrap();
        made.push(transfer);
    }
    let left = async || {
        let all = store.transfers_of_app(app).await.unwrap();
        all.into_iter().map(|transfer| transfer.number).collect::<Vec<_>>()
    };
    store.remove_records_before(made[0].created_at_s).await.unwrap();
    assert_eq!(left().await, [4, 3, 2, 1]);
    store.remove_records_before(made[3].created_at_s + 1).await.unwrap();
    assert_eq!(left().await, [4, 1]);
    assert_eq!(store.backed_up().await.unwrap(), [add_on]);
    assert_eq!(store.backups_of(add_on).await.unwrap()[0].id, made[0].id);
    assert_eq!(store.transfer(made[3].id).await.unwrap().unwrap().number, 4);
    assert!(store.transfer(made[1].id).await.unwrap().is_none());
}

#[tokio::test]
async fn a_wildcard_and_what_it_covers_belong_to_one_owner() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let owner = |name: &str| Some(format!("{name}@example.com").parse().unwrap());
    let mut apps = Vec::new();
    for (name, owner) in [("one", owner("a")), ("two", owner("a")), ("other", owner("b")), ("node", None)] {
        apps.push(store.create_app(NewApp { owner, ..new_app(name) }).await.unwrap().id);
    }
    let [one, two, other, node] = apps[..] else { panic!() };
    let add = async |app: AppId, name: &str| store.add_domain(app, name.parse().unwrap(), None).await;
    add(one, "*.example.com").await.unwrap();
    add(two, "www.example.com").await.unwrap();
    for app in [other, node] {
        let refused = add(app, "login.example.com").await;
        assert!(matches!(refused, Err(StoreError::DomainOverlaps { .. })), "{refused:?}");
    }
    for name in ["example.com", "a.b.example.com", "*.b.example.com", "shop.example.net"] {
        add(other, name).await.unwrap();
    }
    let refused = add(one, "*.example.net").await;
    assert!(matches!(refused, Err(StoreError::DomainOverlaps { .. })), "{refused:?}");
    add(other, "*.example.net").await.unwrap();
}
