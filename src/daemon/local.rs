//! `dyno local` and `dyno local:run`: the app of the working directory, with a runtime, a network and an index that are the call's own.

mod built;
mod place;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use crate::daemon::error::DaemonError;
use crate::daemon::local::built::{Build, Built, When};
use crate::daemon::local::place::Place;
pub(super) use crate::daemon::local::place::runs_dir;
use crate::daemon::{Config, ServeArgs, role, telemetry};
use crate::domain::{ConfigVars, DynoName, DynoSize, ProcessType, SlugDigest, Version, command_line};
use crate::local::{self, LocalError, Owner, Process, Screen, Session, Stop};
use crate::stack::Stack;
use crate::supervisor::engine::{Fault, Home, NativeConfig, NativeEngine, WorkingDirectory};
use crate::supervisor::service::Gate;
use crate::supervisor::{ReleaseImage, StackImage};
use crate::sys::privilege;
use crate::wire::dotenv::{self, DOTENV_NAME, Dotenv};
use crate::wire::local_text::{self, Note};
use crate::wire::procfile::{self, PROCFILE_NAME};

/// What is told when the user has ended it before it ran: a shell's number for Ctrl-C.
const INTERRUPTED: u8 = 130;
/// The variable of a file that names the first port, as the tools of this kind have it.
const PORT_NAME: &str = "PORT";

/// Run the app of this directory on this machine, in containers as a node would
#[derive(Debug, Args)]
pub(super) struct Local {
    /// Process types, and how many of each: web worker=2. Without any, all but release run once
    #[arg(value_name = "PROCESS")]
    processes: Vec<String>,
    /// The same in one word: web=1,worker=2
    #[arg(short = 'm', long, value_name = "PROCESSES")]
    formation: Vec<String>,
    #[command(flatten)]
    common: Common,
}

/// Run one command as the app of this directory, attached to this terminal; its exit status becomes ours
#[derive(Debug, Args)]
pub(super) struct LocalRun {
    #[command(flatten)]
    common: Common,
    /// The command; several words become one command line. A first word that names a process type stands for its command
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// What both are told.
#[derive(Debug, Args)]
struct Common {
    /// File of process types
    #[arg(short = 'f', long, value_name = "FILE")]
    procfile: Option<PathBuf>,
    /// Files of variables, later ones winning; .env unless named
    #[arg(short = 'e', long, value_name = "FILES", value_delimiter = ',')]
    env: Vec<PathBuf>,
    /// Port of the first process; those of other types lie a hundred apart [default: PORT of .env, or 5000]
    #[arg(short = 'p', long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Size of each process
    #[arg(short = 's', long, value_name = "SIZE", default_value = "standard-1x")]
    size: String,
    /// Buildpack to build with, in order, where they are not to be detected
    #[arg(short = 'b', long = "buildpack", value_name = "BUILDPACK")]
    buildpacks: Vec<String>,
    /// When the buildpacks build what the directory does not hold
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    build: When,
    /// Directory of the node whose stacks are used
    #[arg(long, value_name = "DIR", env = "DYNO_ROOT")]
    root: Option<PathBuf>,
    /// Configuration file of that node
    #[arg(long, value_name = "FILE", env = "DYNO_CONFIG")]
    config: Option<PathBuf>,
    /// Number that tells this call from nodes on this machine, 1 to 31; a free one unless named
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=i64::from(crate::daemon::INDEX_MAX)))]
    index: Option<u32>,
}

/// What is to be run.
enum Wish {
    /// The processes of a Procfile, so many of each.
    Processes(Vec<String>),
    /// One command.
    Command(String),
}

/// What the directory says.
struct App {
    dir: PathBuf,
    owner: Owner,
    config: ConfigVars,
    /// Process types in their order, with their commands; none without a Procfile.
    declared: Option<(Vec<ProcessType>, BTreeMap<ProcessType, String>)>,
    port: u16,
    size: DynoSize,
}

/// Plays `dyno local`.
pub(super) fn local(args: Local) -> ExitCode {
    play(args.common, Wish::Processes([args.processes, args.formation].concat()))
}

/// Plays `dyno local:run`.
pub(super) fn local_run(args: LocalRun) -> ExitCode {
    play(args.common, Wish::Command(command_line(&args.words)))
}

fn play(args: Common, wish: Wish) -> ExitCode {
    telemetry::start(crate::daemon::LogFormat::Text, telemetry::WARNINGS);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return role::fail(&error),
    };
    let result = runtime.block_on(run(&args, &wish));
    // A thread may still wait for a key; it must not hold up the end.
    runtime.shutdown_background();
    match result {
        Ok(status) => ExitCode::from(status),
        Err(error) => role::fail(&error),
    }
}

async fn run(args: &Common, wish: &Wish) -> Result<u8, DaemonError> {
    if !privilege::is_root() {
        return Err(LocalError::NotRoot.into());
    }
    let node = Config::load(&ServeArgs {
        root: args.root.clone(),
        config: args.config.clone(),
        ..ServeArgs::default()
    })?;
    let screen = Screen::here();
    let app = read(args, &node, &screen)?;
    // What cannot be run as asked is told before anything is made.
    if let (Wish::Processes(asked), Some((types, _))) = (wish, &app.declared) {
        local::processes(types, asked, app.port).map_err(LocalError::from)?;
    }
    let mut stop = Stop::listen().map_err(|source| DaemonError::Signals { source })?;
    let place = Place::make(&node, &app.dir, args.index).await?;
    let outcome = tell(args, wish, (&node, &app, &place), (&mut stop, &screen)).await;
    let cleared = place.clear().await;
    let status = outcome?;
    cleared.map(|()| status)
}

/// Builds what has to be built, and runs what is wished.
async fn tell(
    args: &Common,
    wish: &Wish,
    (node, app, place): (&Config, &App, &Place),
    (stop, screen): (&mut Stop, &Screen),
) -> Result<u8, DaemonError> {
    let build =
        Build { when: args.build, buildpacks: &args.buildpacks, config: &app.config, owner: app.owner };
    let built = tokio::select! {
        built = built::obtain(node, place, &app.dir, build, screen) => Some(built?),
        _ = stop.asked() => None,
    };
    let Some(built) = built else {
        place.until_builds_are_gone().await;
        return Ok(INTERRUPTED);
    };
    let image = Arc::new(image(node, app, built.as_ref())?);
    let slug = built.as_ref();
    let home = Home::Directory(WorkingDirectory {
        path: app.dir.clone(),
        owner: app.owner.uid,
        laid_over: place.lay_over(&app.dir, app.owner, slug.map(Built::folders).unwrap_or_default()).await?,
    });
    let ran = act(wish, (node, app, place), (Arc::clone(&image), home), (&mut *stop, screen)).await;
    match ran {
        // It has begun nothing: a dyno's own copy will do.
        Err(DaemonError::Local(LocalError::Start(error)))
            if error.fault == Fault::Directory && slug.is_some() =>
        {
            tracing::debug!(%error, "the working directory cannot be mounted");
            screen.note(Note::Warn, local_text::COPIED);
            act(wish, (node, app, place), (image, Home::Slug), (stop, screen)).await
        }
        ran => ran,
    }
}

async fn act(
    wish: &Wish,
    (node, app, place): (&Config, &App, &Place),
    (image, home): (Arc<ReleaseImage>, Home),
    (stop, screen): (&mut Stop, &Screen),
) -> Result<u8, DaemonError> {
    let native = NativeConfig {
        index: place.config.index,
        lib_dir: place.config.lib_dir.clone(),
        resolvers: place.resolvers.clone(),
        sizes: node.sizes.clone(),
        home,
    };
    let engine = NativeEngine::new(
        (place.runtime.clone(), Arc::clone(&place.network)),
        place.slots.clone(),
        Gate::new(Arc::clone(&place.network)),
        native,
    );
    let session = Session {
        engine: Arc::new(engine),
        image,
        size: app.size,
        memory_max: node.sizes.limits(app.size).memory_max,
        grace: node.timings.grace,
    };
    let status = match wish {
        Wish::Processes(asked) => {
            let processes = chosen(app, &session.image, asked)?;
            session.run(&processes, stop, screen).await
        }
        Wish::Command(command) => {
            let name = DynoName::new(ProcessType::run(), 1);
            session.run_one(&name, command, app.port, stop).await
        }
    };
    Ok(status?)
}

/// The processes that are asked for, out of the Procfile or of what the build has told.
fn chosen(app: &App, image: &ReleaseImage, asked: &[String]) -> Result<Vec<Process>, LocalError> {
    let told: Vec<ProcessType>;
    let types = match &app.declared {
        Some((types, _)) => types,
        None => {
            told = image.commands.keys().cloned().collect();
            &told
        }
    };
    if types.is_empty() {
        return Err(LocalError::NoProcessTypes);
    }
    Ok(local::processes(types, asked, app.port)?)
}

fn image(node: &Config, app: &App, built: Option<&Built>) -> Result<ReleaseImage, DaemonError> {
    let stack = match built {
        Some(built) => Stack::at(&node.lib_dir, &node.stack, &built.stack_version)?,
        None => Stack::current(&node.lib_dir, &node.stack)?,
    };
    let commands = match (&app.declared, built) {
        (Some((_, commands)), _) => commands.clone(),
        (None, Some(built)) => built.commands(),
        (None, None) => BTreeMap::new(),
    };
    Ok(ReleaseImage {
        version: Version(1),
        slug: built.map_or_else(SlugDigest::none, |built| built.slug.clone()),
        stack: StackImage {
            layers: stack.run_layers(),
            name: stack.name,
            version: stack.version,
            env: stack.env.into_iter().collect(),
        },
        config: app.config.clone(),
        commands,
        metadata: BTreeMap::new(),
    })
}

fn read(args: &Common, node: &Config, screen: &Screen) -> Result<App, DaemonError> {
    let here = Path::new(".");
    let dir = here.canonicalize().map_err(LocalError::file("find the directory", here))?;
    let owner = Owner::of(&dir).map_err(LocalError::file("look at", &dir))?;
    let size = node.sizes.known(args.size.parse()?)?;
    let vars = variables(&args.env, screen)?;
    let own_port = vars.get(PORT_NAME).and_then(|port| port.parse().ok()).filter(|port| *port > 0);
    let port = args.port.or(own_port).unwrap_or(local::PORT);
    let config = ConfigVars::new(vars).map_err(LocalError::from)?;
    let declared = procfile(args.procfile.as_deref(), screen)?;
    Ok(App { dir, owner, config, declared, port, size })
}

/// The variables of all files. A file that was named must be there.
fn variables(files: &[PathBuf], screen: &Screen) -> Result<BTreeMap<String, String>, LocalError> {
    let usual = [PathBuf::from(DOTENV_NAME)];
    let mut vars = BTreeMap::new();
    for path in if files.is_empty() { &usual } else { files } {
        let shown = path.display().to_string();
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if files.is_empty() && error.kind() == std::io::ErrorKind::NotFound => {
                screen.note(Note::Warn, &local_text::no_file(&shown));
                continue;
            }
            Err(error) => return Err(LocalError::file("read", path)(error)),
        };
        let Dotenv { vars: found, ignored } =
            dotenv::parse(&bytes).map_err(|source| LocalError::Dotenv { path: path.clone(), source })?;
        screen.note(Note::Okay, &local_text::loaded(&shown, found.len()));
        if !ignored.is_empty() {
            screen.note(Note::Warn, &local_text::ignored_lines(&shown, &ignored));
        }
        vars.extend(found);
    }
    Ok(vars)
}

type Declared = Option<(Vec<ProcessType>, BTreeMap<ProcessType, String>)>;

fn procfile(named: Option<&Path>, screen: &Screen) -> Result<Declared, LocalError> {
    let path = named.unwrap_or(Path::new(PROCFILE_NAME));
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(LocalError::file("read", path)(error)),
    };
    let commands =
        procfile::parse(&bytes).map_err(|source| LocalError::Procfile { path: path.to_owned(), source })?;
    let ignored = procfile::ignored(&bytes);
    if !ignored.is_empty() {
        screen.note(Note::Warn, &local_text::ignored_lines(&path.display().to_string(), &ignored));
    }
    Ok(Some((procfile::in_order(&bytes), commands)))
}
