//! Data services: one container each, kept running for as long as somebody wants it, over a directory that outlives it.
//!
//! ```text
//! keep ──▶ starting ──answers──▶ ready ──ends──▶ waits ──▶ starting
//!   └────────────── stop: SIGTERM, grace, SIGKILL ──────────────▶ gone; its directory stays
//! ```
//!
//! What it is: start, adoption, restart and orderly end of the containers, and who reaches them ([`Gate`]). What it is not: which
//! services there are and whose they are (`flows`), nor dynos, which have a driver of their own.
//! A service's address follows from its slot, which its record keeps: it is the same after every start.

mod container;
mod copy;
mod disk;
mod gate;
mod keeper;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::domain::{AppId, Bytes, Plan, Service};
use crate::logs::LogService;
use crate::runtime::network::NodeNetwork;
use crate::runtime::slots::{Slot, Slots};
use crate::runtime::{Adopted, Container, EnterError, Runtime, RuntimeError, StdioKind};
use crate::supervisor::engine::Visiting;

pub use container::{CLIENT, CONTAINER_PREFIX};
pub use copy::NoCopy;
pub use gate::{Attached, Attachments, Gate};
use keeper::Keeper;

/// How long a service has to end by itself, seconds: it writes down what it holds in memory.
pub const STOP_GRACE_S: u64 = 30;

/// A data service to be run, whole.
#[derive(Clone)]
pub struct ServiceSpec {
    /// Its identity.
    pub id: Uuid,
    /// The name of its host.
    pub host: String,
    /// The app in whose log its lines stand.
    pub app: AppId,
    /// What it is.
    pub service: Service,
    /// What it may use.
    pub plan: Plan,
    /// Its secret. Not shown anywhere.
    pub password: String,
    /// How often what it runs under was changed.
    pub generation: u32,
    /// Its slot, held by [`Services`] as long as it is kept.
    pub slot: u32,
    /// The layers of its root, lowest first.
    pub layers: Vec<PathBuf>,
    /// The environment of its stack.
    pub env: BTreeMap<String, String>,
}

/// A further command in a service that runs.
pub struct Act {
    /// What it is, for bash.
    pub script: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// What it is told besides what the service is.
    pub env: BTreeMap<String, String>,
    /// Where its streams lead; not to the log.
    pub stdio: StdioKind,
}

/// Why there is no further command in a service.
#[derive(Debug, Error)]
pub enum ActError {
    /// It does not run at the moment.
    #[error("it does not answer at the moment")]
    Away,
    /// The runtime refuses.
    #[error(transparent)]
    Enter(#[from] EnterError),
}

/// How a service fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does not answer yet, or not at the moment.
    Starting,
    /// It answers.
    Ready,
}

/// The data services of a node; clones share them.
#[derive(Clone)]
pub struct Services {
    shared: Arc<Shared>,
}

struct Shared {
    ground: Ground,
    slots: Slots,
    gate: Arc<Gate>,
    kept: Mutex<BTreeMap<Uuid, Kept>>,
    /// Containers of an earlier process that nobody has asked for yet.
    found: Mutex<BTreeMap<Uuid, Container>>,
}

/// What containers of services stand on. Cheap to clone.
#[derive(Clone)]
pub(in crate::supervisor) struct Ground {
    pub(in crate::supervisor) runtime: Runtime,
    pub(in crate::supervisor) network: Arc<NodeNetwork>,
    pub(in crate::supervisor) logs: LogService,
    pub(in crate::supervisor) index: u32,
    /// Where the directories of services are.
    pub(in crate::supervisor) dir: PathBuf,
}

/// A service that is kept running.
struct Kept {
    stop: CancellationToken,
    keeper: tokio::task::JoinHandle<()>,
    standing: watch::Receiver<Standing>,
    container: watch::Receiver<Option<Container>>,
    slot: Slot,
    spec: ServiceSpec,
}

// === impl Services ===

impl Services {
    /// None yet. Finds the containers that an earlier process left; to be called before the first start of this process.
    ///
    /// # Errors
    /// The containers that run cannot be listed.
    pub async fn find(
        (runtime, network, logs): (Runtime, Arc<NodeNetwork>, LogService),
        (slots, gate): (Slots, Arc<Gate>),
        (index, dir): (u32, PathBuf),
    ) -> Result<Self, RuntimeError> {
        let finding = runtime.clone();
        let adopted = tokio::task::spawn_blocking(move || finding.adopt_all()).await;
        let adopted = adopted.map_err(|_| RuntimeError::ShuttingDown)??;
        let found = adopted.into_iter().filter_map(|Adopted { id, container, .. }| {
            let service = id.as_str().strip_prefix(CONTAINER_PREFIX)?.parse().ok()?;
            Some((service, container))
        });
        let found: BTreeMap<Uuid, Container> = found.collect();
        let ground = Ground { runtime, network, logs, index, dir };
        for container in found.values().filter(|container| container.is_running()) {
            // Whether it is taken up or ended, until then it begins no connection.
            ground.shut_off(container).await;
            copy::thaw(container);
        }
        let found = Mutex::new(found);
        Ok(Self { shared: Arc::new(Shared { ground, slots, gate, kept: Mutex::default(), found }) })
    }

    /// Who reaches them.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.shared.gate
    }

    /// Where a service of that slot is found.
    #[must_use]
    pub fn address(&self, slot: u32) -> std::net::Ipv4Addr {
        self.shared.ground.network.address(slot)
    }

    /// A slot for a service that is new. It is free again when the value is dropped.
    #[must_use]
    pub fn new_slot(&self) -> Option<Slot> {
        self.shared.slots.take()
    }

    /// Claims the slot that a service has; `None` when something else holds it.
    #[must_use]
    pub fn claim(&self, slot: u32) -> Option<Slot> {
        self.shared.slots.claim(slot)
    }

    /// Keeps a service running from now on, in this slot of its own. A container of it that runs already is taken over.
    pub fn keep(&self, spec: ServiceSpec, slot: Slot) {
        let (id, stop) = (spec.id, CancellationToken::new());
        let adopted = lock(&self.shared.found).remove(&id);
        let (told, standing) = watch::channel(Standing::Starting);
        let (shown, container) = watch::channel(None);
        let (ground, stopped) = (self.shared.ground.clone(), stop.clone());
        let keeper = Keeper { ground, spec: spec.clone(), told, shown, stop: stopped };
        // It ends when it is told to, or with the runtime: the container then runs on, for the next start to take over.
        let keeper = tokio::spawn(keeper.run(adopted));
        lock(&self.shared.kept).insert(id, Kept { stop, keeper, standing, container, slot, spec });
    }

    /// How a service fares; `None` of one that is not kept.
    #[must_use]
    pub fn standing(&self, id: Uuid) -> Option<Standing> {
        lock(&self.shared.kept).get(&id).map(|kept| *kept.standing.borrow())
    }

    /// What a service runs under; `None` of one that is not kept.
    #[must_use]
    pub fn spec(&self, id: Uuid) -> Option<ServiceSpec> {
        lock(&self.shared.kept).get(&id).map(|kept| kept.spec.clone())
    }

    /// Waits until a service answers; `false` where it is not kept, or not any more.
    pub async fn until_ready(&self, id: Uuid) -> bool {
        let standing = lock(&self.shared.kept).get(&id).map(|kept| kept.standing.clone());
        match standing {
            Some(mut standing) => standing.wait_for(|standing| *standing == Standing::Ready).await.is_ok(),
            None => false,
        }
    }

    /// The memory that a service uses now.
    #[must_use]
    pub fn memory(&self, id: Uuid) -> Option<Bytes> {
        let container = lock(&self.shared.kept).get(&id)?.container.borrow().clone()?;
        container.usage().ok().map(|usage| Bytes(usage.memory_bytes))
    }

    /// Runs a command in a service, beside its server and with its rights. It ends when what is returned is let go.
    ///
    /// # Errors
    /// The service does not answer, or the command cannot be started.
    pub async fn act(&self, id: Uuid, act: Act) -> Result<Visiting, ActError> {
        let kept = lock(&self.shared.kept)
            .get(&id)
            .map(|kept| (kept.spec.clone(), kept.container.borrow().clone(), *kept.standing.borrow()));
        let Some((spec, Some(container), Standing::Ready)) = kept else { return Err(ActError::Away) };
        let entry = container::entry(&spec, act, container.id().clone());
        Ok(Visiting::of(self.shared.ground.runtime.enter(entry).await?))
    }

    /// Ends a service in order, and gives its slot back; returns when it has ended. `None` of one that is not kept.
    pub async fn stop(&self, id: Uuid) -> Option<Slot> {
        let kept = lock(&self.shared.kept).remove(&id);
        let Kept { stop, keeper, slot, .. } = kept?;
        stop.cancel();
        if keeper.await.is_err() {
            tracing::error!(service = %id, "the keeper of a data service ended before its time");
        }
        Some(slot)
    }

    /// Ends all of them in order, at the same time.
    pub async fn stop_all(&self) {
        let ids: Vec<_> = lock(&self.shared.kept).keys().copied().collect();
        futures_util::future::join_all(ids.into_iter().map(|id| self.stop(id))).await;
    }

    /// Ends all services but the wanted ones: those that are kept, and those that an earlier process left.
    pub async fn clear_others(&self, wanted: &BTreeSet<Uuid>) {
        let kept: Vec<_> =
            lock(&self.shared.kept).keys().filter(|id| !wanted.contains(*id)).copied().collect();
        futures_util::future::join_all(kept.into_iter().map(|id| self.stop(id))).await;
        let mut left = BTreeMap::new();
        lock(&self.shared.found).retain(|id, container| {
            let is_wanted = wanted.contains(id);
            if !is_wanted {
                left.insert(*id, container.clone());
            }
            is_wanted
        });
        for (id, container) in left {
            tracing::info!(service = %id, "ending a data service that nobody has");
            self.shared.ground.end_left(id, &container).await;
        }
    }

    /// Where the data of a service is.
    #[must_use]
    pub fn volume(&self, id: Uuid) -> PathBuf {
        self.shared.ground.dir.join(id.to_string())
    }
}

// === impl Ground ===

impl Ground {
    /// Shuts a container off that an earlier process left.
    async fn shut_off(&self, container: &Container) {
        let Some(slot) = container::slot(container) else { return };
        if let Err(error) = self.network.seal(self.network.address(slot)).await {
            tracing::error!(container = %container.id(), %error, "a data service is not shut off until it is taken up");
        }
    }

    /// Ends a container that an earlier process left, and gives its address free.
    async fn end_left(&self, id: Uuid, container: &Container) {
        keeper::end(container, Duration::from_secs(STOP_GRACE_S)).await;
        if let Some(slot) = container::slot(container)
            && let Err(error) = self.network.unseal(self.network.address(slot)).await
        {
            tracing::error!(service = %id, %error, "who has its address next is shut off");
        }
        if let Err(error) = container.remove().await {
            tracing::warn!(service = %id, %error, "a data service was not cleared away");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A map is whole after every operation, so a panic elsewhere leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
