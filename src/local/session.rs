//! The processes of one call: all are started, all go when one has gone, and nothing is left of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use crate::domain::{AppId, Backend, Bytes, DynoId, DynoName, DynoSize, Version};
use crate::local::forward::Port;
use crate::local::lines;
use crate::local::{LocalError, Process, Screen, Stop};
use crate::supervisor::engine::{DynoLabel, DynoSpec, End, Engine, Running, Signal, Started, Streams};
use crate::supervisor::environment;
use crate::supervisor::lifecycle::Class;
use crate::supervisor::{Connection, ReleaseImage};
use crate::sys::clock;
use crate::wire::local_text::{self, Note};

/// The user of every process, within its container.
const USER: u32 = 42_000;
/// Things that have happened and are not told yet; what has more to say waits.
const EVENTS_MAX: usize = 256;
/// Pause between two looks whether a process has bound its port.
const PORT_PAUSE: Duration = Duration::from_millis(100);
/// No age limit: here nobody replaces a process that has become old.
const NEVER: Duration = Duration::MAX;

/// What all processes have in common.
pub struct Session {
    /// What runs them.
    pub engine: Arc<dyn Engine>,
    /// Stack, variables, commands, and the slug if there is one.
    pub image: Arc<ReleaseImage>,
    /// How large each is.
    pub size: DynoSize,
    /// The memory at which a process is ended.
    pub memory_max: Bytes,
    /// How long they may take to end by themselves.
    pub grace: Duration,
}

/// What has happened to the process at a place.
enum Event {
    Line(usize, Vec<u8>),
    Up(usize),
    Unreachable(usize, std::io::Error),
    Ended(usize, End),
}

/// How far a session has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    /// All have been asked to end.
    Stopping,
    Killing,
}

/// One that was started.
struct Alive {
    dyno: Arc<dyn Running>,
    has_ended: bool,
}

impl Session {
    /// Runs the processes until one has ended or the user wants them to. The exit status is that of the first which has ended by
    /// itself, and 0 where the user has asked.
    ///
    /// # Errors
    /// One could not be started, or its port is taken; then none runs.
    pub async fn run(&self, all: &[Process], stop: &mut Stop, screen: &Screen) -> Result<u8, LocalError> {
        let mut ports = Vec::new();
        for process in all {
            // The port of a web process is what users came for; others may never listen.
            ports.push(match process.name.process_type.is_web() {
                true => Some(take(process.port).await?),
                false => None,
            });
        }
        let (told, mut events) = mpsc::channel(EVENTS_MAX);
        let mut tasks = JoinSet::new();
        let mut alive = Vec::new();
        for (place, (process, port)) in all.iter().zip(ports).enumerate() {
            match self.start(process).await {
                Ok(started) => {
                    attend((place, process), &started, port, &told, &mut tasks);
                    relay(place, started.streams, &told, &mut tasks);
                    alive.push(Alive { dyno: started.dyno, has_ended: false });
                }
                Err(failed) => {
                    end_at_once(&alive).await;
                    return Err(failed);
                }
            }
        }
        drop(told);
        let mut course =
            Course { session: self, all, screen, alive, stage: Stage::Running, kill_at: None, status: 0 };
        loop {
            let kill_at = course.kill_at;
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => course.take(event),
                    // Everybody who could tell something has ended.
                    None => break,
                },
                _ = stop.asked() => course.asked(),
                () = at(kill_at) => course.kill(),
            }
        }
        clear(&course.alive).await;
        Ok(course.status)
    }

    async fn start(&self, process: &Process) -> Result<Started, LocalError> {
        // Every name comes from these commands.
        let command = self.image.commands.get(&process.name.process_type).cloned().unwrap_or_default();
        self.launch(&process.name, command, (process.port, BTreeMap::new()), Connection::Pipes).await
    }

    /// Starts one process with variables of its own.
    pub(super) async fn launch(
        &self,
        name: &DynoName,
        command: String,
        (port, own): (u16, BTreeMap<String, String>),
        connection: Connection,
    ) -> Result<Started, LocalError> {
        let id = DynoId(Uuid::new_v4());
        let label = DynoLabel {
            app: AppId(Uuid::nil()),
            id,
            name: name.clone(),
            class: Class::Attached,
            release: Version(1),
            command,
            size: self.size,
            port,
            uid: USER,
            crashes: 0,
            cycle_after: NEVER,
            lineage: id,
            behind: None,
            started: clock::now(),
        };
        let env = environment::environment(&self.image, &own, (id, name), port);
        let spec = DynoSpec { label, release: Arc::clone(&self.image), env, connection };
        Ok(self.engine.start(spec).await?)
    }
}

async fn take(port: u16) -> Result<Port, LocalError> {
    Port::take(port).await.map_err(|source| LocalError::Port { port, source })
}

/// Tells of its end, and of its port once it is bound, to which this machine's port leads from then on.
fn attend(
    (place, process): (usize, &Process),
    started: &Started,
    port: Option<Port>,
    told: &mpsc::Sender<Event>,
    tasks: &mut JoinSet<()>,
) {
    let (dyno, to) = (Arc::clone(&started.dyno), told.clone());
    tasks.spawn(async move {
        let end = dyno.wait().await;
        let _nobody_listens = to.send(Event::Ended(place, end)).await;
    });
    let (dyno, to, process) = (Arc::clone(&started.dyno), told.clone(), process.clone());
    tasks.spawn(async move {
        tokio::select! {
            _ = dyno.wait() => return,
            () = bound(dyno.as_ref(), process.port) => {}
        }
        let port = match port {
            Some(port) => Ok(port),
            None => Port::take(process.port).await,
        };
        let (event, open) = match (port, backend(dyno.as_ref(), &process)) {
            (Ok(port), Some(backend)) => (Event::Up(place), Some((port, backend))),
            (Ok(_), None) => return,
            (Err(error), _) => (Event::Unreachable(place, error), None),
        };
        let _nobody_listens = to.send(event).await;
        // The session is over when nobody can tell anything any more.
        drop(to);
        if let Some((port, backend)) = open {
            port.lead_to(backend).await;
        }
    });
}

fn backend(dyno: &dyn Running, process: &Process) -> Option<Backend> {
    let reach = dyno.reach()?;
    let (id, dyno) = (DynoId(Uuid::nil()), process.name.clone());
    Some(Backend { id, dyno, netns: reach.netns, address: reach.address, port: process.port })
}

/// Waits until something listens on the port.
async fn bound(dyno: &dyn Running, port: u16) {
    // What cannot be looked at is gone, which is seen elsewhere.
    while !dyno.is_listening(port).unwrap_or(false) {
        tokio::time::sleep(PORT_PAUSE).await;
    }
}

fn relay(place: usize, streams: Streams, told: &mpsc::Sender<Event>, tasks: &mut JoinSet<()>) {
    let Streams::Pipes { stdin: _ends_at_once, stdout, stderr } = streams else { return };
    for from in [stdout, stderr] {
        let to = told.clone();
        tasks.spawn(async move {
            let (lines, mut read) = mpsc::channel(1);
            let pass = async {
                while let Some(line) = read.recv().await {
                    let _nobody_listens = to.send(Event::Line(place, line)).await;
                }
            };
            let (done, ()) = tokio::join!(lines::split(from, lines), pass);
            if let Err(error) = done {
                tracing::warn!(%error, "the output of a process cannot be read");
            }
        });
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

async fn end_at_once(alive: &[Alive]) {
    for one in alive {
        if let Err(error) = one.dyno.kill() {
            tracing::warn!(%error, "a process was not ended");
        }
        one.dyno.wait().await;
    }
    clear(alive).await;
}

async fn clear(alive: &[Alive]) {
    for one in alive {
        // What is left is found by whoever cleans up after the whole session.
        if let Err(error) = one.dyno.clear().await {
            tracing::debug!(%error, "a process was not cleared away");
        }
    }
}

/// A session under way.
struct Course<'a> {
    session: &'a Session,
    all: &'a [Process],
    screen: &'a Screen,
    alive: Vec<Alive>,
    stage: Stage,
    /// When those that are left are killed.
    kill_at: Option<Instant>,
    status: u8,
}

impl Course<'_> {
    fn take(&mut self, event: Event) {
        match event {
            Event::Line(place, line) => self.show(place, &line),
            Event::Up(place) => {
                let process = &self.all[place];
                self.screen.note(Note::Okay, &local_text::answers(&process.name, process.port));
            }
            Event::Unreachable(place, error) => {
                let process = &self.all[place];
                self.screen.note(Note::Warn, &local_text::port_in_use(&process.name, process.port, &error));
            }
            Event::Ended(place, end) => self.ended(place, end),
        }
    }

    fn ended(&mut self, place: usize, end: End) {
        self.alive[place].has_ended = true;
        let limit = end.out_of_memory.then_some(self.session.memory_max);
        self.show(place, local_text::ended(end.status, limit).as_bytes());
        if self.stage == Stage::Running {
            self.status = end.status;
            if self.alive.iter().any(|one| !one.has_ended) {
                self.screen.note(Note::Done, local_text::STOPPING_ONE_ENDED);
            }
            self.stop();
        }
    }

    fn asked(&mut self) {
        match self.stage {
            Stage::Running => {
                self.screen.note(Note::Done, local_text::STOPPING_ASKED);
                self.stop();
            }
            Stage::Stopping => self.kill(),
            Stage::Killing => {}
        }
    }

    fn stop(&mut self) {
        self.stage = Stage::Stopping;
        self.kill_at = Some(Instant::now() + self.session.grace);
        self.each_left(|dyno| dyno.signal(Signal::TERMINATE));
    }

    fn kill(&mut self) {
        self.kill_at = None;
        self.stage = Stage::Killing;
        if self.alive.iter().any(|one| !one.has_ended) {
            self.screen.note(Note::Done, local_text::KILLING);
        }
        self.each_left(|dyno| dyno.kill());
    }

    fn each_left(&self, act: impl Fn(&dyn Running) -> Result<(), crate::supervisor::engine::EngineError>) {
        for one in self.alive.iter().filter(|one| !one.has_ended) {
            if let Err(error) = act(one.dyno.as_ref()) {
                tracing::warn!(%error, "a process was not told to end");
            }
        }
    }

    fn show(&mut self, place: usize, line: &[u8]) {
        // Nobody reads any more, so nobody wants them to run.
        if self.screen.line(self.all, place, line).is_err() && self.stage == Stage::Running {
            self.stop();
        }
    }
}
