//! The driver over an engine of fakes: messages in, published state and orders out.

use uuid::Uuid;

use super::*;
use crate::domain::{
    ConfigVars, DynoSize, DynoState, Formation, FormationEntry, Routing, RoutingSetting, Version, WebState,
};
use crate::logs::{Filter, Tail};
use crate::supervisor::backoff::CrashDelays;
use crate::supervisor::engine::fake::{FakeDyno, FakeEngine, Manners};
use crate::supervisor::engine::{Reading, Remains};
use crate::supervisor::lifecycle::Handover;
use crate::supervisor::postmortem::{Ending, Passage};
use crate::supervisor::{Connection, Preferences, ReleaseImage, StackImage, Supervisor, SupervisorConfig};

const APP: AppId = AppId(Uuid::nil());
/// How long a test waits for what should happen at once.
const PATIENCE: Duration = Duration::from_secs(10);

struct World {
    engine: FakeEngine,
    supervisor: Supervisor,
    logs: LogService,
    _dir: tempfile::TempDir,
}

fn short() -> SupervisorConfig {
    let timings = Timings {
        boot: Duration::from_secs(2),
        grace: Duration::from_millis(200),
        drain: Duration::from_millis(20),
        kill_again: Duration::from_millis(50),
        crash_delays: CrashDelays([
            Duration::ZERO,
            PATIENCE,
            PATIENCE,
            PATIENCE,
            PATIENCE,
            PATIENCE,
            PATIENCE,
        ]),
        launch_retry: Duration::from_millis(50),
        hangup: Duration::from_millis(50),
        sample: Duration::from_millis(20),
        ..Timings::default()
    };
    SupervisorConfig { timings, ..SupervisorConfig::default() }
}

fn world() -> World {
    world_keeping(Deaths::default())
}

fn world_keeping(deaths: Deaths) -> World {
    world_configured(SupervisorConfig { deaths, ..short() })
}

fn world_configured(config: SupervisorConfig) -> World {
    let dir = tempfile::tempdir().unwrap();
    let logs = LogService::open(dir.path().to_owned()).unwrap();
    let engine = FakeEngine::new();
    let supervisor = Supervisor::start(Arc::new(engine.clone()), logs.clone(), config);
    World { engine, supervisor, logs, _dir: dir }
}

fn image() -> Arc<ReleaseImage> {
    let stack = StackImage { name: Default::default(), version: "1".to_owned(), layers: vec![], env: vec![] };
    Arc::new(ReleaseImage {
        version: Version(1),
        slug: "0".repeat(64).parse().unwrap(),
        stack,
        config: ConfigVars::default(),
        commands: [("web".parse().unwrap(), "serve".to_owned())].into(),
        metadata: BTreeMap::new(),
    })
}

fn app(quantity: u32) -> DesiredApp {
    DesiredApp {
        app: APP,
        name: "sample".parse().unwrap(),
        hostnames: vec!["sample.localhost".parse().unwrap()],
        release: Some(image()),
        formation: Formation::new([FormationEntry {
            process_type: "web".parse().unwrap(),
            quantity,
            size: DynoSize::Basic,
            stop_grace: None,
        }]),
        maintenance: false,
        preferences: Preferences { handover: Handover::AtOnce, ..Preferences::default() },
        earlier: vec![],
    }
}

fn one_off(connection: Connection) -> OneOff {
    OneOff {
        id: DynoId(Uuid::new_v4()),
        name: "run.4711".parse().unwrap(),
        app: APP,
        release: image(),
        command: "bash".to_owned(),
        size: DynoSize::Basic,
        env: BTreeMap::new(),
        connection,
        time_to_live: None,
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "not so after {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl World {
    fn web(&self) -> WebState {
        self.supervisor.routes().borrow().routes["sample.localhost"].web.clone()
    }

    async fn running(&self, count: usize) -> Vec<FakeDyno> {
        until("so many dynos run", || self.engine.running().len() == count).await;
        self.engine.running()
    }

    async fn up(&self, count: usize) {
        for dyno in self.running(count).await {
            dyno.listen();
        }
        until("the dynos are up", || matches!(self.web(), WebState::Up(up) if up.len() == count)).await;
    }

    async fn log(&self) -> Vec<String> {
        use futures_util::StreamExt;
        self.logs.flush().await;
        let lines = self.logs.session(APP, Filter::default(), 1500, Tail::End);
        lines.map(|line| String::from_utf8_lossy(&line.message).into_owned()).collect().await
    }
}

#[tokio::test]
async fn an_app_comes_up_when_its_port_is_bound_and_leaves_the_table_before_it_stops() {
    let world = world();
    world.supervisor.apply(app(1)).await.unwrap();
    world.running(1).await;
    assert_eq!(world.web(), WebState::Booting);
    world.up(1).await;
    assert_eq!(world.supervisor.snapshot(APP)[0].state, DynoState::Up);
    world.engine.set_manners(Manners::Stubborn);
    world.supervisor.apply(app(0)).await.unwrap();
    until("it has got SIGTERM", || !world.engine.signals().is_empty()).await;
    assert_eq!(world.web(), WebState::NoneWanted);
    until("it is killed and cleared away", || world.engine.containers() == 0).await;
    assert!(world.log().await.iter().any(|line| line.starts_with("Error R12")));
}

#[tokio::test]
async fn a_dyno_that_crashes_comes_back_once_at_once() {
    let world = world();
    world.supervisor.apply(app(1)).await.unwrap();
    world.up(1).await;
    world.running(1).await[0].exit(3);
    until("it is started again", || world.engine.starts().len() == 2).await;
    world.up(1).await;
    world.running(1).await[0].exit(3);
    until("it waits", || world.web() == WebState::Crashed).await;
    assert_eq!(world.engine.starts().len(), 2);
    let told = world.log().await;
    assert_eq!(told.iter().filter(|line| *line == "Process exited with status 3").count(), 2);
}

#[tokio::test]
async fn a_start_that_fails_is_told_and_tried_again() {
    let world = world();
    world.engine.fail_starts(2);
    world.supervisor.apply(app(1)).await.unwrap();
    world.up(1).await;
    assert_eq!(world.engine.starts().len(), 3);
    assert!(world.log().await.iter().any(|line| line.contains("Failed to start process")));
}

#[tokio::test]
async fn a_new_supervisor_takes_over_and_starts_nothing_twice() {
    let World { engine, supervisor, logs, _dir } = world();
    let first = World { engine: engine.clone(), supervisor, logs: logs.clone(), _dir };
    first.supervisor.apply(app(3)).await.unwrap();
    first.up(3).await;
    let dynos = engine.running();
    let World { supervisor, _dir, .. } = first;
    drop(supervisor);
    dynos[1].exit(9);
    let supervisor = Supervisor::start(Arc::new(engine.clone()), logs.clone(), short());
    let second = World { engine, supervisor, logs, _dir };
    second.supervisor.adopt(vec![app(3)]).await.unwrap();
    until("two are up still", || matches!(second.web(), WebState::Up(up) if up.len() >= 2)).await;
    second.running(3).await;
    let names: Vec<_> = second.engine.starts()[3..].iter().map(|spec| spec.label.name.to_string()).collect();
    assert_eq!(names, ["web.2"], "only the one that died meanwhile");
    assert!(second.log().await.contains(&"Process exited with status 9".to_owned()));
}

#[tokio::test]
async fn a_dyno_that_was_told_to_go_goes_under_the_next_supervisor() {
    let dir = tempfile::tempdir().unwrap();
    let departures = || Departures::at(dir.path().join("departures"));
    // The first has no time to see to it.
    let patient = Timings { grace: PATIENCE, ..short().timings };
    let config = SupervisorConfig { timings: patient, departures: departures(), ..short() };
    let first = world_configured(config);
    first.supervisor.apply(app(1)).await.unwrap();
    first.up(1).await;
    first.engine.set_manners(Manners::Stubborn);
    first.supervisor.restart(APP, Scope::All).await.unwrap();
    let World { engine, supervisor, logs, _dir } = first;
    drop(supervisor);
    until("its successor runs", || engine.running().len() == 2).await;
    let old = engine.starts()[0].label.id;
    let config = SupervisorConfig { departures: departures(), ..short() };
    let supervisor = Supervisor::start(Arc::new(engine.clone()), logs.clone(), config);
    let second = World { engine, supervisor, logs, _dir };
    second.supervisor.adopt(vec![app(1)]).await.unwrap();
    until("the old one is killed", || second.engine.running().iter().all(|d| d.spec().label.id != old)).await;
    second.up(1).await;
    assert_eq!(second.engine.starts().len(), 2, "its successor was there already");
    until("nothing is kept of who is gone", || departures().all().unwrap().is_empty()).await;
}

#[tokio::test]
async fn a_dyno_that_listens_and_is_not_ready_boots_on_under_the_next_supervisor() {
    // Nothing leads to a dyno of this engine, so that none is ever found ready.
    let mut routing = Routing::default();
    routing.set(RoutingSetting::Readiness, "/ready").unwrap();
    let preferences = Preferences { readiness: routing.readiness, ..app(1).preferences };
    let wanted = DesiredApp { preferences, ..app(1) };
    for (boot, is_up) in [(PATIENCE, false), (Duration::ZERO, true)] {
        let booting = |boot| SupervisorConfig { timings: Timings { boot, ..short().timings }, ..short() };
        let first = world_configured(booting(PATIENCE));
        first.supervisor.apply(wanted.clone()).await.unwrap();
        first.running(1).await[0].listen();
        let World { engine, supervisor, logs, _dir } = first;
        drop(supervisor);
        // Older than no time at all.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let supervisor = Supervisor::start(Arc::new(engine.clone()), logs.clone(), booting(boot));
        let second = World { engine, supervisor, logs, _dir };
        second.supervisor.adopt(vec![wanted.clone()]).await.unwrap();
        assert_eq!(matches!(second.web(), WebState::Up(_)), is_up, "{boot:?}: {:?}", second.web());
        assert_eq!(matches!(second.web(), WebState::Booting), !is_up);
    }
}

#[tokio::test]
async fn a_restart_that_would_be_forgotten_is_not_answered_well() {
    let dir = tempfile::tempdir().unwrap();
    let taken = dir.path().join("taken");
    std::fs::write(&taken, "").unwrap();
    let world = world_configured(SupervisorConfig { departures: Departures::at(taken), ..short() });
    world.supervisor.apply(app(1)).await.unwrap();
    world.up(1).await;
    let refused = world.supervisor.restart(APP, Scope::All).await;
    assert!(matches!(refused, Err(SupervisorError::NotKept(_))), "{refused:?}");
    let unknown = Scope::Dyno("web.7".parse().unwrap());
    let refused = world.supervisor.stop(APP, unknown).await;
    assert!(matches!(refused, Err(SupervisorError::Refused(_))), "{refused:?}");
}

#[tokio::test]
async fn a_release_without_a_gap_is_in_the_table_before_the_old_one_is_told_to_end() {
    let world = world();
    let overlapping = |version| DesiredApp {
        preferences: Preferences::default(),
        release: Some(Arc::new(ReleaseImage { version: Version(version), ..(*image()).clone() })),
        ..app(1)
    };
    world.supervisor.apply(overlapping(1)).await.unwrap();
    world.up(1).await;
    let old = world.running(1).await.remove(0).spec().label.id;
    world.supervisor.apply(overlapping(2)).await.unwrap();
    let new = world.running(2).await.into_iter().find(|dyno| dyno.spec().label.id != old).unwrap();
    let leads_to = || match world.web() {
        WebState::Up(up) => up.into_iter().map(|backend| backend.id).collect::<Vec<_>>(),
        _ => vec![],
    };
    assert_eq!(leads_to(), [old]);
    new.listen();
    until("the new one is in the table", || leads_to() == [new.spec().label.id]).await;
    until("the old one has ended", || world.engine.running().len() == 1).await;
    assert_eq!(world.engine.signals(), [(old, Signal::TERMINATE)]);
    assert_eq!(world.supervisor.snapshot(APP).len(), 1);
}

#[tokio::test]
async fn a_detached_one_off_reports_its_end() {
    let world = world();
    let started = world.supervisor.run(one_off(Connection::Log)).await.unwrap();
    assert!(started.attached.is_none());
    world.running(1).await[0].exit(7);
    assert_eq!(started.exit.wait().await.map(|end| end.status), Some(7));
    until("it is gone", || world.supervisor.snapshot(APP).is_empty()).await;
}

#[tokio::test]
async fn a_client_that_goes_takes_its_dyno_with_it() {
    let world = world();
    let started = world.supervisor.run(one_off(Connection::Pipes)).await.unwrap();
    world.engine.set_manners(Manners::Stubborn);
    drop(started.attached);
    assert_eq!(started.exit.wait().await.map(|end| end.status), Some(137));
    let hangups = world.engine.signals().iter().filter(|(_, signal)| *signal == Signal::HANGUP).count();
    assert_eq!(hangups, 3);
}

#[tokio::test]
async fn an_attached_dyno_that_cannot_start_says_so() {
    let world = world();
    world.engine.fail_starts(1);
    let refused = world.supervisor.run(one_off(Connection::Pipes)).await;
    assert!(matches!(refused, Err(SupervisorError::NotStarted(_))));
}

#[tokio::test]
async fn forgetting_and_stopping_wait_for_the_last_container() {
    let world = world();
    world.supervisor.apply(app(2)).await.unwrap();
    world.up(2).await;
    world.supervisor.forget(APP).await.unwrap();
    assert_eq!(world.engine.containers(), 0);
    world.supervisor.apply(app(1)).await.unwrap();
    world.up(1).await;
    world.engine.set_manners(Manners::Stubborn);
    world.supervisor.stop_all(Duration::from_millis(20)).await.unwrap();
    assert_eq!(world.engine.containers(), 0);
}

#[tokio::test]
async fn a_dyno_over_its_memory_quota_is_told_of_again_and_again() {
    let world = world();
    world.supervisor.apply(app(1)).await.unwrap();
    let memory = crate::wire::logline::MemoryFigures { swap: Bytes::mib(528), ..Default::default() };
    world.running(1).await[0].read(Reading { memory, ..Reading::default() });
    let start = Instant::now();
    loop {
        let log = world.log().await;
        if log.iter().filter(|line| line.contains("(Memory quota exceeded)")).count() > 1 {
            assert!(log.contains(&"Process running mem=528M(103.1%)".to_owned()), "{log:?}");
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{log:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn the_end_of_a_dyno_is_kept_with_what_was_seen_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let world = world_keeping(Deaths::at(dir.path().to_owned()));
    world.supervisor.apply(app(1)).await.unwrap();
    let dyno = world.running(1).await.remove(0);
    dyno.listen_on(3000);
    dyno.leave(Remains { signal: Some(9), refused_tasks: 2, ..Remains::default() });
    let name = "web.1".parse().unwrap();
    let kept = || world.supervisor.deaths().of(APP, &name).unwrap();
    until("its time to boot is over, and its end is kept", || !kept().is_empty()).await;
    let death = kept().remove(0);
    assert_eq!((death.passage, &death.ending), (Passage::BootTimeout, &Ending::Signal(9)));
    assert_eq!(death.listened, Some(vec!["0.0.0.0:3000".parse().unwrap()]));
    assert_eq!((death.tasks.refused, death.diagnosis().name), (2, "wrong_port"));
}

#[tokio::test]
async fn a_dyno_that_was_never_started_has_an_end_too() {
    let dir = tempfile::tempdir().unwrap();
    let world = world_keeping(Deaths::at(dir.path().to_owned()));
    world.engine.fail_starts(1);
    world.supervisor.apply(app(1)).await.unwrap();
    let name = "web.1".parse().unwrap();
    let kept = || world.supervisor.deaths().of(APP, &name).unwrap();
    until("its end is kept", || !kept().is_empty()).await;
    assert_eq!(kept()[0].diagnosis().name, "not_started");
}
