//! The builds that run in this process: each is recorded, its lines are kept where others read them too, and until its slug
//! is about to become a release it can be cancelled.
//!
//! ```text
//! begin ──▶ cancellable ──commit──▶ releasing ──drop──▶ gone
//!               └──cancel──▶ cancelled ──drop──▶ gone
//! ```

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::build::Laps;
use crate::domain::{App, Build, BuildSource, Bytes};
use crate::flows::Node;
use crate::flows::access::Actor;
use crate::flows::error::FlowError;
use crate::flows::locks::BuildPermit;
use crate::logs::{KEPT_BYTES_MAX, Keeping, KeptOutput};
use crate::store::NewBuild;
use crate::wire::push_text;

/// The most of a build's lines that is kept, bytes: less than a kept output holds, so that it is this bound that is told.
const LINES_BYTES_MAX: u64 = KEPT_BYTES_MAX - (64 << 10);

/// The builds of this process by identity, and whether it takes no more.
#[derive(Default)]
pub(super) struct Builds {
    all: Mutex<HashMap<Uuid, Entry>>,
    is_closing: AtomicBool,
}

struct Entry {
    output: KeptOutput,
    /// Who cancelled it.
    cancelled_by: Option<String>,
    is_releasing: bool,
    cancel: CancellationToken,
    ended: CancellationToken,
}

/// Whether a build can be cancelled.
pub(super) enum Cancel {
    /// It is being cancelled; this resolves when it has ended.
    Asked(CancellationToken),
    /// It is about to be released.
    TooLate,
    /// It does not run.
    Over,
}

// === impl Builds ===

impl Builds {
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<Uuid, Entry>) -> T) -> T {
        // A map cannot be left half changed by a panic.
        act(&mut self.all.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What a build that runs prints.
    pub(super) fn output(&self, id: Uuid) -> Option<KeptOutput> {
        self.with(|all| all.get(&id).map(|entry| entry.output.clone()))
    }

    /// Asks a build to end.
    pub(super) fn cancel(&self, id: Uuid, user: &str) -> Cancel {
        self.with(|all| match all.get_mut(&id) {
            None => Cancel::Over,
            Some(entry) if entry.is_releasing => Cancel::TooLate,
            Some(entry) => {
                entry.cancelled_by.get_or_insert_with(|| user.to_owned());
                entry.cancel.cancel();
                Cancel::Asked(entry.ended.clone())
            }
        })
    }

    /// Asks every build to end that does not release yet, and those that begin later; each resolves when it has ended.
    pub(super) fn close(&self) -> Vec<CancellationToken> {
        self.is_closing.store(true, Ordering::SeqCst);
        let all: Vec<Uuid> = self.with(|all| all.keys().copied().collect());
        let asked = all.into_iter().filter_map(|id| match self.cancel(id, push_text::ENDING_NODE) {
            Cancel::Asked(ended) => Some(ended),
            Cancel::TooLate | Cancel::Over => None,
        });
        asked.collect()
    }
}

/// What is to be built.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) app: App,
    pub(super) actor: Actor,
    /// Which version the source is, if anybody says.
    pub(super) version: Option<String>,
    pub(super) source: BuildSource,
    /// For this build alone, instead of the app's.
    pub(super) buildpacks: Option<Vec<String>>,
}

/// A build that runs. It is over when this is dropped.
pub(super) struct Building {
    node: Node,
    pub(super) order: Order,
    pub(super) record: Build,
    /// Nobody else builds the app meanwhile.
    pub(super) permit: Option<BuildPermit>,
    /// How long its phases took so far.
    pub(super) laps: Laps,
    keeping: Keeping,
    cancel: CancellationToken,
}

// === impl Building ===

impl Building {
    /// Records that a build begins, and keeps what it prints from now on.
    pub(super) async fn begin(node: &Node, order: Order, permit: BuildPermit) -> Result<Self, FlowError> {
        let (id, app) = (Uuid::new_v4(), order.app.id);
        let output_path = node.settings().builds_dir().join(app.to_string()).join(format!("{id}.log"));
        let keeping = node
            .logs()
            .keep(app, format!("build.{id}"), &output_path)
            .map_err(FlowError::fault("keep the output of a build"))?;
        let new = NewBuild {
            id,
            app,
            commit: order.version.clone(),
            source: order.source.clone(),
            buildpacks: order.buildpacks.clone().unwrap_or_default(),
            user: order.actor.0.clone(),
            output_path,
        };
        let record = node.store().create_build(new).await?;
        let cancel = CancellationToken::new();
        let entry = Entry {
            output: keeping.output().clone(),
            cancelled_by: None,
            is_releasing: false,
            cancel: cancel.clone(),
            ended: CancellationToken::new(),
        };
        node.builds().with(|all| all.insert(id, entry));
        // Whoever closes looks for what is there after having said so: one of both sees the other.
        if node.builds().is_closing.load(Ordering::SeqCst) {
            let _asked = node.builds().cancel(id, push_text::ENDING_NODE);
        }
        Ok(Self {
            node: node.clone(),
            order,
            record,
            permit: Some(permit),
            laps: Laps::default(),
            keeping,
            cancel,
        })
    }

    /// Which app it builds.
    pub(super) fn app(&self) -> &App {
        &self.order.app
    }

    /// Where its lines are kept.
    pub(super) fn lines(&self) -> KeptLines {
        KeptLines::of(self.keeping.output().clone())
    }

    /// Resolves when somebody cancels it.
    pub(super) fn cancelled(&self) -> impl Future<Output = ()> + Send + 'static {
        self.cancel.clone().cancelled_owned()
    }

    /// Who has cancelled it; if nobody has, nobody can from now on.
    pub(super) fn commit(&self) -> Result<(), String> {
        self.node.builds().with(|all| match all.get_mut(&self.record.id) {
            Some(Entry { cancelled_by: Some(user), .. }) => Err(user.clone()),
            Some(entry) => {
                entry.is_releasing = true;
                Ok(())
            }
            None => Ok(()),
        })
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        if let Some(entry) = self.node.builds().with(|all| all.remove(&self.record.id)) {
            entry.ended.cancel();
        }
    }
}

/// Takes the lines of one build up to a bound, which it tells.
#[derive(Clone)]
pub(super) struct KeptLines {
    output: KeptOutput,
    bytes: Arc<AtomicU64>,
}

// === impl KeptLines ===

impl KeptLines {
    pub(super) fn of(output: KeptOutput) -> Self {
        Self { output, bytes: Arc::default() }
    }

    pub(super) fn append(&self, line: &str) {
        let length = line.len() as u64 + 1;
        let before = self.bytes.fetch_add(length, Ordering::Relaxed);
        if before + length <= LINES_BYTES_MAX {
            self.output.append([line.as_bytes()]);
        } else if before <= LINES_BYTES_MAX {
            self.output.append([push_text::output_cut(Bytes(LINES_BYTES_MAX)).as_bytes()]);
        }
    }
}
