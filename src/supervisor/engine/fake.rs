//! An engine without containers: dynos are values that do what a test tells them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::domain::{AppId, DynoId, NetnsAddress};

use crate::supervisor::Connection;
use crate::supervisor::engine::{
    DynoSpec, End, Engine, EngineError, Fault, Found, Reach, Reading, Remains, Running, Signal, Started,
    Streams, Visit, Visiting,
};

/// How a fake dyno takes SIGTERM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manners {
    /// It ends.
    Polite,
    /// It goes on.
    Stubborn,
}

/// A world of fake dynos; clones share it, so that it outlives a supervisor as real containers do.
#[derive(Clone, Default)]
pub struct FakeEngine {
    world: Arc<Mutex<World>>,
}

#[derive(Default)]
struct World {
    dynos: BTreeMap<DynoId, FakeDyno>,
    starts: Vec<DynoSpec>,
    signals: Vec<(DynoId, Signal)>,
    failures: u32,
    manners: Option<Manners>,
}

/// One fake dyno.
#[derive(Clone)]
pub struct FakeDyno {
    spec: DynoSpec,
    listening: Arc<Mutex<BTreeSet<u16>>>,
    reading: Arc<Mutex<Option<Reading>>>,
    remains: Arc<Mutex<Remains>>,
    end: watch::Sender<Option<End>>,
    world: Arc<Mutex<World>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Plain values, whole after every operation.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeEngine {
    /// An empty world, whose dynos are polite.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Every start so far, in order.
    #[must_use]
    pub fn starts(&self) -> Vec<DynoSpec> {
        lock(&self.world).starts.clone()
    }

    /// Every signal so far, in order.
    #[must_use]
    pub fn signals(&self) -> Vec<(DynoId, Signal)> {
        lock(&self.world).signals.clone()
    }

    /// The dynos that run, by name.
    #[must_use]
    pub fn running(&self) -> Vec<FakeDyno> {
        let mut running: Vec<_> =
            lock(&self.world).dynos.values().filter(|dyno| dyno.end.borrow().is_none()).cloned().collect();
        running.sort_by(|a, b| a.spec.label.name.cmp(&b.spec.label.name));
        running
    }

    /// How many containers there are, ended ones that are not cleared away included.
    #[must_use]
    pub fn containers(&self) -> usize {
        lock(&self.world).dynos.len()
    }

    /// Makes the next `count` starts fail.
    pub fn fail_starts(&self, count: u32) {
        lock(&self.world).failures = count;
    }

    /// How dynos take SIGTERM from now on.
    pub fn set_manners(&self, manners: Manners) {
        lock(&self.world).manners = Some(manners);
    }
}

impl FakeDyno {
    /// What it was started with.
    #[must_use]
    pub fn spec(&self) -> &DynoSpec {
        &self.spec
    }

    /// Binds its port.
    pub fn listen(&self) {
        self.listen_on(self.spec.label.port);
    }

    /// Binds a port.
    pub fn listen_on(&self, port: u16) {
        lock(&self.listening).insert(port);
    }

    /// Leaves this behind.
    pub fn leave(&self, remains: Remains) {
        *lock(&self.remains) = remains;
    }

    /// Uses so much from now on.
    pub fn read(&self, reading: Reading) {
        *lock(&self.reading) = Some(reading);
    }

    /// Ends with this status, unless it has ended.
    pub fn exit(&self, status: u8) {
        self.end.send_if_modified(|end| {
            let first = end.is_none();
            end.get_or_insert(End { status, out_of_memory: false, at: SystemTime::now() });
            first
        });
    }
}

impl Running for FakeDyno {
    fn wait(&self) -> BoxFuture<'static, End> {
        let mut end = self.end.subscribe();
        async move {
            match end.wait_for(Option::is_some).await.map(|end| *end) {
                Ok(Some(end)) => end,
                Ok(None) | Err(_) => End { status: 255, out_of_memory: false, at: SystemTime::now() },
            }
        }
        .boxed()
    }

    fn signal(&self, signal: Signal) -> Result<(), EngineError> {
        let manners = {
            let mut world = lock(&self.world);
            world.signals.push((self.spec.label.id, signal));
            world.manners.unwrap_or(Manners::Polite)
        };
        if manners == Manners::Polite {
            self.exit(128_u8.saturating_add(signal.0));
        }
        Ok(())
    }

    /// It takes none: what they are confined by is the kernel's.
    fn visit(&self, _: Visit) -> BoxFuture<'static, Result<Visiting, EngineError>> {
        let attempt = "run a command in a fake dyno".to_owned();
        let refused =
            EngineError { attempt, cause: "it has no container".to_owned(), fault: Fault::Platform };
        std::future::ready(Err(refused)).boxed()
    }

    fn kill(&self) -> Result<(), EngineError> {
        self.exit(137);
        Ok(())
    }

    fn listening(&self) -> Result<Vec<SocketAddr>, EngineError> {
        let everywhere = |port: &u16| SocketAddr::from((Ipv4Addr::UNSPECIFIED, *port));
        Ok(lock(&self.listening).iter().map(everywhere).collect())
    }

    fn reach(&self) -> Option<Reach> {
        let netns = NetnsAddress { path: PathBuf::from("/proc/0/ns/net"), device: 0, inode: 0 };
        Some(Reach { netns, address: None })
    }

    fn reading(&self) -> Option<Reading> {
        *lock(&self.reading)
    }

    /// It does not look.
    fn show(&self, _: &Reading, _: [f64; 3]) {}

    fn remains(&self) -> Remains {
        lock(&self.remains).clone()
    }

    fn log_ring(&self) -> Option<PathBuf> {
        None
    }

    fn clear(&self) -> BoxFuture<'static, Result<(), EngineError>> {
        lock(&self.world).dynos.remove(&self.spec.label.id);
        std::future::ready(Ok(())).boxed()
    }
}

/// Streams as a client would get them, whose far ends are gone.
fn streams(connection: Connection) -> Result<Streams, EngineError> {
    let near = || {
        std::io::pipe().map(|(reader, writer)| (OwnedFd::from(reader), OwnedFd::from(writer))).map_err(
            |error| EngineError {
                attempt: "make pipes".to_owned(),
                cause: error.to_string(),
                fault: Fault::Platform,
            },
        )
    };
    Ok(match connection {
        Connection::Log => Streams::Log,
        Connection::Terminal { .. } | Connection::Pipes => {
            let ((_, stdin), (stdout, _), (stderr, _)) = (near()?, near()?, near()?);
            Streams::Pipes { stdin, stdout, stderr }
        }
    })
}

impl Engine for FakeEngine {
    fn start(&self, spec: DynoSpec) -> BoxFuture<'static, Result<Started, EngineError>> {
        let mut world = lock(&self.world);
        world.starts.push(spec.clone());
        let id = spec.label.id;
        let result = if world.failures > 0 {
            world.failures -= 1;
            let attempt = "start a fake dyno".to_owned();
            Err(EngineError { attempt, cause: "as told".to_owned(), fault: Fault::Platform })
        } else {
            let (end, _) = watch::channel(None);
            let streams = streams(spec.connection);
            let dyno = FakeDyno {
                spec,
                listening: Arc::default(),
                reading: Arc::new(Mutex::new(Some(Reading::default()))),
                remains: Arc::default(),
                end,
                world: self.world.clone(),
            };
            world.dynos.insert(id, dyno.clone());
            streams.map(|streams| Started { dyno: Arc::new(dyno), streams })
        };
        std::future::ready(result).boxed()
    }

    fn adopt(&self, known: BTreeSet<AppId>) -> BoxFuture<'static, Result<Vec<Found>, EngineError>> {
        let mut world = lock(&self.world);
        world.dynos.retain(|_, dyno| known.contains(&dyno.spec.label.app));
        let found = world.dynos.values().map(|dyno| Found {
            label: dyno.spec.label.clone(),
            dyno: Arc::new(dyno.clone()),
            end: *dyno.end.borrow(),
        });
        std::future::ready(Ok(found.collect())).boxed()
    }
}
