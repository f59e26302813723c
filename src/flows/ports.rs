//! What the stories ask of the modules that act: dynos and builds, each as one small trait.
//!
//! The real ones are joined in `daemon`; the tests of the stories bring their own, and so need neither root nor a kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use futures_util::future::BoxFuture;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use uuid::Uuid;

pub use crate::build::PackedSlug;
use crate::build::{Chooser, Laps, TestCommands};
use crate::domain::{
    AddOn, App, AppId, ArchiveRoot, AttachmentName, Bytes, ConfigVars, DynoId, DynoName, DynoSize, DynoState,
    Features, Formation, HostPattern, ProcessType, Release, Routing, Slug, StackName, StackVersion, Version,
};

pub use crate::supervisor::postmortem::Death;
use crate::wire::push_text::Deed;

/// What should run of one app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// The app.
    pub app: App,
    /// Its current release.
    pub release: Release,
    /// How many of what.
    pub formation: Formation,
    /// The names the app answers to besides its given one.
    pub domains: Vec<HostPattern>,
    /// What the app has switched on or off.
    pub features: Features,
    /// How its requests are to be led.
    pub routing: Routing,
    /// Earlier releases that dynos may still run when they are taken over; of use at the start of the node alone.
    pub earlier: Vec<Release>,
}

/// Which dynos of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of the formation; one-off dynos are left alone.
    All,
    /// All of one type.
    Type(ProcessType),
    /// One.
    Dyno(DynoName),
}

/// One dyno as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynoView {
    /// Its identity.
    pub id: DynoId,
    /// Its name.
    pub name: DynoName,
    /// What it does.
    pub state: DynoState,
    /// Unix time of its creation, seconds.
    pub created_s: i64,
    /// Unix time of the last change of state, seconds.
    pub since_s: i64,
    /// Its command as the Procfile, or the one who asked for it, has it.
    pub command: String,
    /// How large it is.
    pub size: DynoSize,
    /// The release it runs.
    pub release: Version,
}

/// How a one-off dyno is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// To the log.
    Log,
    /// To a terminal of this window.
    Terminal {
        /// Lines.
        rows: u16,
        /// Characters in a line.
        cols: u16,
    },
    /// To pipes.
    Pipes,
}

/// A dyno outside the formation.
#[derive(Clone, Debug)]
pub struct OneOff {
    /// Its identity.
    pub id: DynoId,
    /// Its name.
    pub name: DynoName,
    /// Its app.
    pub app: App,
    /// What it runs: slug, config and stack.
    pub release: Release,
    /// Its command, for a shell.
    pub command: String,
    /// Environment laid over the config vars.
    pub env: BTreeMap<String, String>,
    /// How large it is.
    pub size: DynoSize,
    /// Where its output goes.
    pub connection: Connection,
    /// Seconds after which it is stopped.
    pub time_to_live_s: u64,
}

/// A further command in a dyno that runs.
#[derive(Clone)]
pub struct Visit {
    /// What it is, for a shell.
    pub command: String,
    /// Laid over the dyno's environment.
    pub env: BTreeMap<String, String>,
    /// Where its streams lead; not to the log.
    pub connection: Connection,
}

/// What an attached client may ask besides sending bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// The window has another size.
    Resize {
        /// Lines.
        rows: u16,
        /// Characters in a line.
        cols: u16,
    },
    /// Send this Linux signal to the processes.
    Signal(u8),
    /// The client has gone away: hang up, and stop what does not go.
    HangUp,
}

/// The ends of an attached dyno's terminal or pipes.
pub struct Streams {
    /// What the client types.
    pub input: Box<dyn AsyncWrite + Send + Unpin>,
    /// What the dyno prints; its end is the end of all output.
    pub output: Box<dyn AsyncRead + Send + Unpin>,
    /// The rest.
    pub control: mpsc::Sender<Control>,
    /// The shell's exit status, once it has ended.
    pub exit: BoxFuture<'static, u8>,
}

/// How a one-off dyno ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneOffEnd {
    /// The shell's number: the exit code, or 128 and the signal.
    pub status: u8,
    /// Whose doing it was.
    pub cause: EndCause,
}

/// Why a one-off dyno ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndCause {
    /// Its process ended, or the kernel ended it for want of memory.
    Itself,
    /// It was stopped: on request, or because its time was over.
    Stopped,
}

/// Resolves with the end of a one-off dyno, after its last output is in the log; `None` when it was never launched. Does
/// not resolve where the node ends first.
pub type OneOffExit = BoxFuture<'static, Option<OneOffEnd>>;

/// A one-off dyno that was started.
pub enum StartedOneOff {
    /// A client has its streams, and gets its exit status with them.
    Attached(Streams),
    /// Its output goes to the log; whoever started it may wait for its end.
    Detached(OneOffExit),
}

/// A detached one-off dyno of an earlier process of the node.
pub struct FoundOneOff {
    /// Its identity.
    pub id: DynoId,
    /// Its end, which may have come already.
    pub exit: OneOffExit,
}

/// The dynos refuse.
#[derive(Debug, Error)]
pub enum DynosError {
    /// It cannot be done now; the text says what is in the way and what to do.
    #[error("{0}")]
    Refused(String),
    /// The dyno could not be started, for this reason; its app's log tells so already.
    #[error("the dyno could not be started: {0}")]
    NotStarted(String),
    /// The supervisor has ended.
    #[error("the supervisor has ended")]
    Ended,
}

/// The dynos of the node.
pub trait Dynos: Send + Sync {
    /// Makes what runs of an app what is wanted, in its own time; a new release replaces every dyno.
    fn apply(&self, desired: Desired) -> BoxFuture<'_, Result<(), DynosError>>;
    /// Takes over what runs already, once at the start; what nobody wants any more is stopped. Tells the detached one-off
    /// dynos that were found.
    fn adopt(&self, desired: Vec<Desired>) -> BoxFuture<'_, Result<Vec<FoundOneOff>, DynosError>>;
    /// Stops everything of an app and forgets it; returns when all has ended.
    fn forget(&self, app: AppId) -> BoxFuture<'_, Result<(), DynosError>>;
    /// Restarts.
    fn restart(&self, app: AppId, scope: Scope) -> BoxFuture<'_, Result<(), DynosError>>;
    /// Stops; dynos of the formation come back by themselves.
    fn stop(&self, app: AppId, scope: Scope) -> BoxFuture<'_, Result<(), DynosError>>;
    /// Starts a one-off dyno.
    fn run(&self, one_off: OneOff) -> BoxFuture<'_, Result<StartedOneOff, DynosError>>;
    /// Runs a further command in a dyno; it ends when its streams are let go.
    fn visit(&self, dyno: DynoId, visit: Visit) -> BoxFuture<'_, Result<Streams, DynosError>>;
    /// What runs of an app, by name.
    fn snapshot(&self, app: AppId) -> Vec<DynoView>;
    /// How the last dynos of a name have ended, newest first.
    fn deaths(&self, app: AppId, name: DynoName) -> BoxFuture<'_, Result<Vec<Death>, DynosError>>;
}

/// A command of a service beside its server.
#[derive(Clone)]
pub struct Act {
    /// What it is called.
    pub name: String,
    /// For bash.
    pub script: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// What it is told besides what the service is.
    pub env: BTreeMap<String, String>,
}

/// A command of a service whose output is not mixed with what it says of itself. It ends when `control` is let go.
pub struct Work {
    /// What it reads.
    pub input: Box<dyn AsyncWrite + Send + Unpin>,
    /// What it writes.
    pub output: Box<dyn AsyncRead + Send + Unpin>,
    /// What it says of itself.
    pub errors: Box<dyn AsyncRead + Send + Unpin>,
    /// The hold on it.
    pub control: mpsc::Sender<Control>,
    /// The shell's exit status, once it has ended.
    pub exit: BoxFuture<'static, u8>,
}

/// Data of a service whose add-on is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedData {
    /// The identity of its add-on.
    pub id: Uuid,
    /// The name of its add-on.
    pub name: String,
    /// The name of its service.
    pub service: String,
    /// The name of its plan.
    pub plan: String,
    /// What the app that it was made for had it as, where that is known.
    pub attachment: Option<String>,
    /// Unix time of its removal, seconds.
    pub removed_at_s: i64,
    /// Unix time until which it is kept, seconds.
    pub kept_until_s: i64,
}

/// What has come of making the data of one service another's, file by file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forked {
    /// It has it, so many bytes of it, and answers.
    Whole(Bytes),
    /// It has what it had. Why it cannot be done in this way.
    Refused(String),
}

/// The services fail; the text says what was tried.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct ServicesError(pub String);

/// The data services of the node, one for each add-on.
pub trait DataServices: Send + Sync {
    /// Holds a slot for a service that is new, until it is kept or given back; `None` when the node has none left.
    fn reserve(&self) -> Option<u32>;
    /// Holds the slot of a service that was there before; `false` when something else has it.
    fn claim(&self, slot: u32) -> bool;
    /// Gives a slot back that was held and not used.
    fn give_back(&self, slot: u32);
    /// Lays the packages of its service where they are missing, which takes minutes, and keeps it running from then on. One that
    /// is kept already is started anew under what it is now.
    fn keep(&self, add_on: AddOn) -> BoxFuture<'_, Result<(), ServicesError>>;
    /// Writes beside its data what its app has it as, for the time when its record is gone.
    ///
    /// # Errors
    /// The disk fails.
    fn label(&self, add_on: &AddOn, attachment: &AttachmentName) -> Result<(), ServicesError>;
    /// Waits until it answers; `false` when it is not kept, or not any more.
    fn until_ready(&self, id: Uuid) -> BoxFuture<'_, bool>;
    /// Ends it in order, and puts its data where it is kept for some days.
    fn put_away(&self, id: Uuid) -> BoxFuture<'_, Result<(), ServicesError>>;
    /// Which services the dynos of each app reach, from now on.
    fn open(&self, ways: BTreeMap<AppId, Vec<AddOn>>) -> BoxFuture<'_, Result<(), ServicesError>>;
    /// Ends what runs of services that nobody has, and puts their data away; to be called once all others are kept or claimed.
    fn clear_others(&self, wanted: BTreeSet<Uuid>) -> BoxFuture<'_, Result<(), ServicesError>>;
    /// Data that was put away and is still there, newest first.
    fn removed(&self) -> Vec<RemovedData>;
    /// Has data that was put away be that of a service which does not run yet; `false` where there is none any more.
    fn bring_back(&self, from: Uuid, to: Uuid) -> BoxFuture<'_, Result<bool, ServicesError>>;
    /// Removes data that was put away long enough ago.
    fn sweep(&self) -> BoxFuture<'_, Result<(), ServicesError>>;
    /// Runs a command in it, attached to; nothing where it does not answer at the moment.
    fn act(
        &self,
        id: Uuid,
        act: Act,
        connection: Connection,
    ) -> BoxFuture<'_, Result<Option<Streams>, ServicesError>>;
    /// Runs a command in it with its streams apart; nothing where it does not answer at the moment.
    fn work(&self, id: Uuid, act: Act) -> BoxFuture<'_, Result<Option<Work>, ServicesError>>;
    /// Starts a service like this one, empty and reached by nobody, that is there until it is let go; returns when it answers.
    fn try_out(&self, like: AddOn) -> BoxFuture<'_, Result<Uuid, ServicesError>>;
    /// Ends such a service, and removes its data.
    fn discard(&self, id: Uuid) -> BoxFuture<'_, Result<(), ServicesError>>;
    /// Puts the files of one service that runs, as of one moment, in the place of another's; returns once that answers. Whatever comes in
    /// between, the end of the node too, the other one has what it had until then, and nobody reaches it.
    ///
    /// # Errors
    /// The disk fails, or the other one does not run.
    fn fork(&self, from: AddOn, to: AddOn) -> BoxFuture<'_, Result<Forked, ServicesError>>;
    /// The memory that it uses now.
    fn memory(&self, id: Uuid) -> Option<Bytes>;
}

/// Services of no world: every one answers at once. For tests, which need neither root nor a kernel with it.
#[derive(Debug, Default)]
pub struct PretendedServices {
    kept: std::sync::Mutex<BTreeMap<Uuid, AddOn>>,
    removed: std::sync::Mutex<BTreeMap<Uuid, RemovedData>>,
    names: std::sync::Mutex<BTreeMap<Uuid, AttachmentName>>,
    ways: std::sync::Mutex<BTreeMap<AppId, Vec<AddOn>>>,
    broken: std::sync::Mutex<BTreeSet<Uuid>>,
    slots: std::sync::atomic::AtomicU32,
}

impl PretendedServices {
    /// Which apps reach what.
    #[must_use]
    pub fn ways(&self) -> BTreeMap<AppId, Vec<AddOn>> {
        pretended(&self.ways).clone()
    }

    /// Has every command in a service fail from now on.
    pub fn break_down(&self, id: Uuid) {
        pretended(&self.broken).insert(id);
    }

    /// What runs.
    #[must_use]
    pub fn kept(&self) -> BTreeSet<Uuid> {
        pretended(&self.kept).keys().copied().collect()
    }
}

/// Says what is asked, and ends well.
fn pretended_work(act: &Act) -> Work {
    let said = format!("Asked: {}\n", [std::slice::from_ref(&act.name), &act.args].concat().join(" "));
    let (control, mut asked) = mpsc::channel(1);
    // Ends when it is let go.
    tokio::spawn(async move { while asked.recv().await.is_some() {} });
    Work {
        input: Box::new(tokio::io::sink()),
        output: Box::new(std::io::Cursor::new(said.into_bytes())),
        errors: Box::new(tokio::io::empty()),
        control,
        exit: Box::pin(async { 0 }),
    }
}

fn pretended<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A set is whole after every operation, so a panic elsewhere leaves nothing half done.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl DataServices for PretendedServices {
    fn reserve(&self) -> Option<u32> {
        Some(self.slots.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
    }

    fn claim(&self, slot: u32) -> bool {
        self.slots.fetch_max(slot + 1, std::sync::atomic::Ordering::Relaxed);
        true
    }

    fn give_back(&self, _: u32) {}

    fn keep(&self, add_on: AddOn) -> BoxFuture<'_, Result<(), ServicesError>> {
        pretended(&self.kept).insert(add_on.id, add_on);
        Box::pin(async { Ok(()) })
    }

    fn label(&self, add_on: &AddOn, attachment: &AttachmentName) -> Result<(), ServicesError> {
        pretended(&self.names).insert(add_on.id, attachment.clone());
        Ok(())
    }

    fn until_ready(&self, id: Uuid) -> BoxFuture<'_, bool> {
        let is_kept = pretended(&self.kept).contains_key(&id);
        Box::pin(async move { is_kept })
    }

    fn put_away(&self, id: Uuid) -> BoxFuture<'_, Result<(), ServicesError>> {
        if let Some(AddOn { name, service, plan, .. }) = pretended(&self.kept).remove(&id) {
            let (name, removed_at_s, kept_until_s) = (name.to_string(), 0, 0);
            let attachment = pretended(&self.names).remove(&id).map(|name| name.to_string());
            let removed = RemovedData { id, name, service, plan, attachment, removed_at_s, kept_until_s };
            pretended(&self.removed).insert(id, removed);
        }
        Box::pin(async { Ok(()) })
    }

    fn open(&self, ways: BTreeMap<AppId, Vec<AddOn>>) -> BoxFuture<'_, Result<(), ServicesError>> {
        *pretended(&self.ways) = ways;
        Box::pin(async { Ok(()) })
    }

    fn clear_others(&self, wanted: BTreeSet<Uuid>) -> BoxFuture<'_, Result<(), ServicesError>> {
        pretended(&self.kept).retain(|id, _| wanted.contains(id));
        Box::pin(async { Ok(()) })
    }

    fn removed(&self) -> Vec<RemovedData> {
        let removed = pretended(&self.removed).clone();
        removed.into_values().collect()
    }

    fn bring_back(&self, from: Uuid, _: Uuid) -> BoxFuture<'_, Result<bool, ServicesError>> {
        let was_there = pretended(&self.removed).remove(&from).is_some();
        Box::pin(async move { Ok(was_there) })
    }

    fn sweep(&self) -> BoxFuture<'_, Result<(), ServicesError>> {
        Box::pin(async { Ok(()) })
    }

    fn act(&self, _: Uuid, act: Act, _: Connection) -> BoxFuture<'_, Result<Option<Streams>, ServicesError>> {
        Box::pin(async move {
            let Work { input, output, control, exit, errors: _ } = pretended_work(&act);
            Ok(Some(Streams { input, output, control, exit }))
        })
    }

    fn work(&self, id: Uuid, act: Act) -> BoxFuture<'_, Result<Option<Work>, ServicesError>> {
        let is_broken = pretended(&self.broken).contains(&id);
        Box::pin(async move {
            let whole = (!is_broken).then(|| pretended_work(&act));
            whole.map(Some).ok_or_else(|| ServicesError(format!("{id} is broken")))
        })
    }

    fn try_out(&self, _: AddOn) -> BoxFuture<'_, Result<Uuid, ServicesError>> {
        Box::pin(async { Ok(Uuid::new_v4()) })
    }

    fn discard(&self, _: Uuid) -> BoxFuture<'_, Result<(), ServicesError>> {
        Box::pin(async { Ok(()) })
    }

    fn fork(&self, _: AddOn, _: AddOn) -> BoxFuture<'_, Result<Forked, ServicesError>> {
        Box::pin(async { Ok(Forked::Refused("there are no files".to_owned())) })
    }

    fn memory(&self, _: Uuid) -> Option<Bytes> {
        None
    }
}

/// A source on its way to a slug.
#[derive(Clone, Debug)]
pub struct BuildOrder {
    /// The build's identity.
    pub id: Uuid,
    /// The app.
    pub app: App,
    /// What was done, for the words of a failure.
    pub deed: Deed,
    /// The source as a tar archive, plain or with gzip; it is untrusted.
    pub source: PathBuf,
    /// Where in it the app's root is.
    pub root: ArchiveRoot,
    /// Which commit it is; empty where nobody says.
    pub commit: String,
    /// The buildpacks in order; none means detection.
    pub buildpacks: Vec<String>,
    /// Config vars, for `ENV_DIR`.
    pub config: ConfigVars,
    /// Where the buildpacks keep files from build to build.
    pub cache: PathBuf,
    /// Takes how long its phases take.
    pub laps: Laps,
}

/// What a build has made.
#[derive(Clone, Debug)]
pub struct Built {
    /// The slug, in its place on disk.
    pub slug: Slug,
    /// The content version of the stack it was built on.
    pub stack_version: String,
    /// The buildpacks that made it, in order.
    pub buildpacks: Vec<String>,
    /// Who chose them.
    pub chooser: Chooser,
}

/// Why a build has made nothing.
#[derive(Debug, Error)]
pub enum BuildFailure {
    /// The source is at fault; the transcript has told the pusher.
    #[error("the source does not build")]
    Source,
    /// The node is at fault; the text is for the node's log, the transcript has a short form of it.
    #[error("{0}")]
    Node(String),
}

/// Where the lines of tests go.
#[derive(Clone, Debug)]
pub struct TestLines {
    /// Those of the build before them.
    pub setup: mpsc::UnboundedSender<String>,
    /// Their own, which come when the others have come to their end.
    pub tests: mpsc::UnboundedSender<String>,
}

/// Makes slugs.
pub trait Builder: Send + Sync {
    /// Builds, writing every line the pusher sees to `lines`, also those of a failure.
    fn build(
        &self,
        order: BuildOrder,
        lines: mpsc::UnboundedSender<String>,
    ) -> BoxFuture<'_, Result<Built, BuildFailure>>;
    /// The `app.json` of a source, up to a byte more than one may have; nothing where it has none. Lines for whoever waits, those of
    /// a failure, go to `lines`.
    fn manifest(
        &self,
        order: BuildOrder,
        lines: mpsc::UnboundedSender<String>,
    ) -> BoxFuture<'_, Result<Vec<u8>, BuildFailure>>;
    /// Packs a slug that was packed elsewhere, which is the order's source, as builds pack theirs, and puts it in its place. Lines
    /// for whoever waits, those of a failure, go to `lines`.
    fn pack(
        &self,
        order: BuildOrder,
        lines: mpsc::UnboundedSender<String>,
    ) -> BoxFuture<'_, Result<PackedSlug, BuildFailure>>;
    /// Compiles a source and runs its tests: their exit status. Ends when the future is dropped.
    fn test(
        &self,
        order: BuildOrder,
        commands: TestCommands,
        lines: TestLines,
    ) -> BoxFuture<'_, Result<u8, BuildFailure>>;
    /// Whether a build could be told to use the buildpack of this name or address; the reason it could not is one clause.
    ///
    /// # Errors
    /// It is of no form that is known here, or no name.
    fn check_buildpack(&self, name: &str) -> Result<(), String>;
    /// The stacks that are built on this node, the default first.
    fn stacks(&self) -> Vec<StackName>;
    /// Which build of a stack a release stands on, by the version it remembers; with `None` the one that new builds use.
    /// Nothing where it is not on this node.
    fn stack_version(&self, name: &StackName, version: Option<&str>) -> Option<StackVersion>;
}
