//! Apps that are set up from a source which says, in its `app.json`, what they need: config vars, add-ons, buildpacks, dynos,
//! and a command after the first deploy.
//!
//! ```text
//! app made, recorded ──▶ source ──▶ app.json ──▶ config ──▶ add-ons ──▶ build ──▶ formation ──▶ postdeploy ──▶ succeeded
//!                                      └──wrong──▶ app destroyed, failed      └──any──▶ failed, the app stays
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use uuid::Uuid;

use crate::build::Laps;
use crate::domain::{
    App, AppSetup, ArchiveRoot, BuildSource, BuildStatus, Checksum, ConfigVars, DynoId, DynoSize, Manifest,
    Postdeploy, ProcessType, QuantityChange, SetupStatus, SourceUrl,
};
use crate::flows::Node;
use crate::flows::add_ons::{AddOnRequest, create_add_on};
use crate::flows::apps::{self, NewAppRequest, create};
use crate::flows::build_list::set_buildpacks;
use crate::flows::building::{Building, Order};
use crate::flows::caller::{Caller, Role};
use crate::flows::config_change::change_config;
use crate::flows::error::FlowError;
use crate::flows::features::metadata_of;
use crate::flows::locks::BuildPermit;
use crate::flows::phase::PhaseOutcome;
use crate::flows::ports::{BuildOrder, Connection, OneOff, StartedOneOff};
use crate::flows::push::{Arrival, Origin, Transcript, begin_push, bring, remove_source, run};
use crate::flows::run::free_name;
use crate::flows::scale::{ScaleUpdate, scale};
use crate::flows::sources;
use crate::flows::test_run::secret;
use crate::store::AppChange;
use crate::wire::api::PushStatus;
use crate::wire::api_errors::{Missing, Refusal};
use crate::wire::app_json::{self, POSTDEPLOY};
use crate::wire::logline::ApiLine;
use crate::wire::push_text::Deed;
use crate::wire::setup_text;

/// How long add-ons may take to answer, seconds: their packages may have to be fetched first.
const ADD_ONS_WAIT_S: u64 = 900;
/// Between two looks at an add-on.
const ADD_ONS_PAUSE: Duration = Duration::from_millis(250);
/// How long the command after the first deploy may take, seconds.
const POSTDEPLOY_S: u64 = 3600;
/// The most bytes of its output that are kept.
const POSTDEPLOY_BYTES_MAX: u64 = 64 * 1024;

/// An app that is to be set up.
#[derive(Clone, Debug, Default)]
pub struct AppSetupRequest {
    /// Where its source is.
    pub url: String,
    /// The checksum that the source must have.
    pub checksum: Option<String>,
    /// Which version it is.
    pub version: Option<String>,
    /// The app's name; made up when none is given.
    pub name: Option<String>,
    /// Its stack; the source's own, or the node's default, when none is given.
    pub stack: Option<String>,
    /// Config vars over those of the source.
    pub env: BTreeMap<String, String>,
    /// Buildpacks instead of those of the source.
    pub buildpacks: Option<Vec<String>>,
}

/// Why an app is not set up.
enum Stopped {
    /// What its source says of it is wrong: there is no app.
    Manifest(Vec<String>),
    /// Something that was done on the way.
    Failed(String),
}

impl<E: Into<FlowError>> From<E> for Stopped {
    fn from(error: E) -> Self {
        match error.into() {
            FlowError::Refused(refusal) => Self::Failed(refusal.to_string()),
            FlowError::Fault { attempt, source } => {
                tracing::error!(attempt, error = &*source, "an app is not set up");
                Self::Failed(setup_text::node_failed(attempt))
            }
        }
    }
}

/// Makes an app and begins to set it up; returns when that is recorded.
///
/// # Errors
/// The request makes no sense, the name is taken, or the node fails.
pub async fn set_up(node: &Node, caller: &Caller, request: AppSetupRequest) -> Result<AppSetup, FlowError> {
    let url: SourceUrl = request.url.parse().map_err(Refusal::SourceUrl)?;
    let checksum: Option<Checksum> =
        request.checksum.as_deref().map(str::parse).transpose().map_err(Refusal::Checksum)?;
    let owner = match caller.role() {
        Role::Administrator => None,
        Role::Member => Some(caller.user().clone()),
    };
    let new = NewAppRequest { name: request.name.clone(), stack: request.stack.clone(), owner };
    let app = create(node, new, &caller.actor()).await?.app;
    let permit = begin_push(node, &app);
    let now_s = crate::sys::clock::unix_s();
    let setup = AppSetup {
        id: Uuid::new_v4(),
        app: app.id,
        app_name: app.name.clone(),
        user: caller.actor().0,
        status: SetupStatus::Pending,
        failure: None,
        manifest_errors: Vec::new(),
        build: None,
        postdeploy: None,
        success_url: None,
        created_at_s: now_s,
        updated_at_s: now_s,
    };
    let setup = node.store().keep_app_setup(setup).await?;
    let story = Story {
        node: node.clone(),
        caller: caller.clone(),
        app,
        url,
        checksum,
        request,
        setup: setup.clone(),
    };
    tokio::spawn(story.tell(permit));
    Ok(setup)
}

/// The setting up of this identity, for whoever asked for it or the administrator.
///
/// # Errors
/// There is none that the caller may see, or the node fails.
pub async fn app_setup(node: &Node, caller: &Caller, id: Uuid) -> Result<AppSetup, FlowError> {
    let found = node.store().app_setup(id).await?;
    let is_theirs = |setup: &AppSetup| caller.role() == Role::Administrator || setup.user == caller.actor().0;
    found.filter(is_theirs).ok_or_else(|| Refusal::NotFound(Missing::AppSetup).into())
}

/// How the build of a setting up fares.
///
/// # Errors
/// The database fails.
pub async fn build_status(node: &Node, setup: &AppSetup) -> Result<BuildStatus, FlowError> {
    let Some(id) = setup.build else { return Ok(BuildStatus::Pending) };
    Ok(node.store().build(id).await?.map_or(forgotten(setup.status), |build| build.status))
}

/// How a build has fared that is not known any more: as its setting up.
fn forgotten(setup: SetupStatus) -> BuildStatus {
    match setup {
        SetupStatus::Succeeded => BuildStatus::Succeeded,
        SetupStatus::Pending | SetupStatus::Failed => BuildStatus::Failed,
    }
}

/// Everything that one setting up goes by.
struct Story {
    node: Node,
    caller: Caller,
    app: App,
    url: SourceUrl,
    checksum: Option<Checksum>,
    request: AppSetupRequest,
    setup: AppSetup,
}

impl Story {
    /// Carries it to its end, and records that.
    async fn tell(mut self, permit: Result<BuildPermit, FlowError>) {
        let source = self.node.settings().sources_dir().join(format!("{}.setup", self.setup.id));
        let ended = match permit {
            Ok(permit) => self.go(&source, permit).await,
            Err(error) => Err(error.into()),
        };
        remove_source(&source);
        match ended {
            Ok(()) => self.setup.status = SetupStatus::Succeeded,
            Err(stopped) => {
                self.setup.status = SetupStatus::Failed;
                match stopped {
                    Stopped::Manifest(wrong) => {
                        self.setup.failure = Some(setup_text::manifest_refused());
                        self.setup.manifest_errors = wrong;
                        let gone = apps::destroy(&self.node, &self.app).await;
                        if let Err(error) = gone {
                            tracing::warn!(app = %self.app.name, %error, "an app that is not set up stays");
                        }
                    }
                    Stopped::Failed(reason) => self.setup.failure = Some(reason),
                }
            }
        }
        self.keep().await;
    }

    /// Records how far it is.
    async fn keep(&mut self) {
        match self.node.store().keep_app_setup(self.setup.clone()).await {
            Ok(kept) => self.setup = kept,
            Err(error) => {
                tracing::error!(app = %self.app.name, %error, "the setting up of an app is not recorded");
            }
        }
    }

    async fn go(&mut self, source: &Path, permit: BuildPermit) -> Result<(), Stopped> {
        let origin = match sources::own(&self.node, &self.url) {
            Some(id) => Origin::Sent(id),
            None => Origin::Url(self.url.clone()),
        };
        let brought = bring(&self.node, &origin, source, self.checksum.as_ref()).await;
        brought.map_err(|error| Stopped::Failed(setup_text::source_not_fetched(&error.to_string())))?;
        let manifest = self.manifest(source).await?;
        self.setup.success_url = manifest.success_url.clone();
        self.prepare(&manifest).await?;
        self.build(source, permit).await?;
        self.scale(&manifest).await?;
        match manifest.scripts.get(POSTDEPLOY) {
            Some(command) => self.postdeploy(command).await,
            None => Ok(()),
        }
    }

    /// What the source says of the app.
    async fn manifest(&self, source: &Path) -> Result<Manifest, Stopped> {
        let order = BuildOrder {
            id: Uuid::new_v4(),
            deed: Deed::Build,
            app: self.app.clone(),
            source: source.to_owned(),
            root: ArchiveRoot::TopOrOnlyDirectory,
            commit: String::new(),
            buildpacks: Vec::new(),
            config: ConfigVars::default(),
            cache: PathBuf::new(),
            laps: Laps::default(),
        };
        let (sender, _nobody_reads) = tokio::sync::mpsc::unbounded_channel();
        let bytes = self.node.builder().manifest(order, sender).await;
        let bytes =
            bytes.map_err(|error| Stopped::Failed(setup_text::source_not_read(&error.to_string())))?;
        if bytes.is_empty() {
            return Err(Stopped::Manifest(vec![setup_text::no_manifest()]));
        }
        app_json::parse(&bytes, None).map_err(Stopped::Manifest)
    }

    /// Gives the app what it needs before its first build.
    async fn prepare(&mut self, manifest: &Manifest) -> Result<(), Stopped> {
        let (node, actor) = (&self.node, self.caller.actor());
        let config = manifest.config(&self.request.env, secret).map_err(|names| {
            Stopped::Manifest(names.iter().map(|name| app_json::var_required(name)).collect())
        })?;
        if let (None, Some(stack)) = (&self.request.stack, &manifest.stack) {
            let build_stack = Some(apps::stack(node, Some(stack))?);
            let change = AppChange { build_stack, ..AppChange::default() };
            self.app = node.store().change_app(self.app.id, change).await?;
        }
        if !config.is_empty() {
            let changes = config.into_iter().map(|(name, value)| (name, Some(value))).collect();
            change_config(node, &self.app, &changes, &actor).await?;
        }
        for wanted in &manifest.add_ons {
            let request = AddOnRequest {
                plan: wanted.plan.clone(),
                name: None,
                attachment: wanted.attached_as.clone(),
                fork: None,
            };
            let made = create_add_on(node, &self.app, request, &actor).await?;
            self.await_add_on(made.add_on.id).await?;
        }
        let buildpacks = self.request.buildpacks.clone().unwrap_or_else(|| manifest.buildpacks.clone());
        if !buildpacks.is_empty() {
            set_buildpacks(node, &self.caller, &self.app, buildpacks).await?;
        }
        Ok(())
    }

    /// Waits until an add-on answers, and the app knows where it is.
    async fn await_add_on(&self, id: Uuid) -> Result<(), Stopped> {
        let wait = Duration::from_secs(ADD_ONS_WAIT_S);
        let late = || Stopped::Failed(setup_text::add_on_late(ADD_ONS_WAIT_S));
        let answers = async {
            loop {
                let all = self.node.store().add_ons().await?;
                match all.iter().find(|add_on| add_on.id == id) {
                    Some(add_on) if add_on.provisioned => return Ok(()),
                    Some(_) => tokio::time::sleep(ADD_ONS_PAUSE).await,
                    None => return Err(Stopped::Failed(setup_text::ADD_ON_GONE.to_owned())),
                }
            }
        };
        tokio::time::timeout(wait, answers).await.map_err(|_| late())?
    }

    /// Builds and releases the source.
    async fn build(&mut self, source: &Path, permit: BuildPermit) -> Result<(), Stopped> {
        let order = Order {
            app: self.app.clone(),
            actor: self.caller.actor(),
            version: self.request.version.clone().filter(|version| !version.is_empty()),
            source: BuildSource {
                // The name of one that was sent opens a door.
                url: sources::own(&self.node, &self.url).is_none().then(|| self.url.without_secrets()),
                checksum: self.checksum.clone(),
                description: None,
            },
            buildpacks: None,
        };
        let building = Building::begin(&self.node, order, permit).await?;
        self.setup.build = Some(building.record.id);
        self.keep().await;
        let arrival = Arrival::Packed(source.to_owned());
        let pushed = run(&self.node, building, &arrival, &Transcript::new().0).await;
        match (pushed.status, pushed.phase) {
            (PushStatus::Failed, _) => Err(Stopped::Failed(setup_text::BUILD_FAILED.to_owned())),
            (_, None) => Ok(()),
            (_, Some(phase)) => match phase.outcome().await {
                PhaseOutcome::Succeeded => Ok(()),
                PhaseOutcome::Failed => Err(Stopped::Failed(setup_text::RELEASE_FAILED.to_owned())),
            },
        }
    }

    /// Starts as many dynos as the source wants.
    async fn scale(&self, manifest: &Manifest) -> Result<(), Stopped> {
        let updates: Vec<_> = manifest
            .formation
            .iter()
            .map(|(process_type, dynos)| ScaleUpdate {
                process_type: process_type.clone(),
                quantity: dynos.quantity.map(QuantityChange::Set),
                size: dynos.size,
                stop_grace: None,
            })
            .collect();
        if !updates.is_empty() {
            scale(&self.node, &self.app, &updates, &self.caller.actor()).await?;
        }
        Ok(())
    }

    /// Runs the command after the first deploy.
    async fn postdeploy(&mut self, command: &str) -> Result<(), Stopped> {
        crate::flows::run::check(command, &BTreeMap::new())?;
        let desired = self.node.desired(&self.app).await?;
        let id = DynoId(Uuid::new_v4());
        let one_off = OneOff {
            id,
            name: free_name(&self.node, &self.app, ProcessType::run())?,
            app: self.app.clone(),
            env: metadata_of(id, &self.app, &desired.release, &desired.features),
            release: desired.release,
            command: command.to_owned(),
            size: DynoSize::default(),
            connection: Connection::Pipes,
            time_to_live_s: POSTDEPLOY_S,
        };
        let line = ApiLine::OneOff { command: command.to_owned(), user: self.caller.actor().0 };
        self.node.tell(self.app.id, &line);
        let started = self.node.dynos().run(one_off).await?;
        let StartedOneOff::Attached(streams) = started else {
            return Err(Stopped::Failed(setup_text::NO_OUTPUT.to_owned()));
        };
        // It reads nothing: its input is at its end.
        drop(streams.input);
        let mut output = Vec::new();
        let mut printed = streams.output.take(POSTDEPLOY_BYTES_MAX);
        let read = printed.read_to_end(&mut output).await;
        let rest = tokio::io::copy(&mut printed.into_inner(), &mut tokio::io::sink()).await;
        if let Err(error) = read.map(|_| ()).and(rest.map(|_| ())) {
            tracing::debug!(app = %self.app.name, %error, "the output of a command after a deploy broke off");
        }
        let exit_code = streams.exit.await;
        let output = String::from_utf8_lossy(&output).into_owned();
        self.setup.postdeploy = Some(Postdeploy { output, exit_code });
        if exit_code == 0 { Ok(()) } else { Err(Stopped::Failed(setup_text::postdeploy_failed(exit_code))) }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_build_that_is_forgotten_has_fared_as_its_setting_up() {
        assert_eq!(forgotten(SetupStatus::Succeeded), BuildStatus::Succeeded);
        assert_eq!(forgotten(SetupStatus::Failed), BuildStatus::Failed);
    }
}
