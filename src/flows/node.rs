//! The node as the stories see it.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use tokio::sync::{Notify, watch};

use crate::domain::{
    App, AppId, AppName, BackupsKept, Certificates, CustomDomain, Email, Formation, NodeMemory, Reach, Sizes,
    StackName,
};
use crate::flows::acme::Acme;
use crate::flows::add_ons::{Links, Transfers};
use crate::flows::announce::{Describe, Subject};
use crate::flows::attach::Waiting;
use crate::flows::authority::Authority;
use crate::flows::building::Builds;
use crate::flows::certificates::{Showcase, Shown};
use crate::flows::error::FlowError;
use crate::flows::locks::Locks;
use crate::flows::logins::Logins;
use crate::flows::phase::Phases;
use crate::flows::pipeline_tests::TestRuns;
use crate::flows::ports::{Builder, DataServices, Desired, Dynos};
use crate::flows::presigned::Presigner;
use crate::flows::repository::Deploying;
use crate::flows::slug_archive::Turns;
use crate::flows::sources::Sources;
use crate::flows::strangers::Strangers;
use crate::flows::visits::Visits;
use crate::logs::{LogService, Tls, Trust};
use crate::store::Store;
use crate::wire::api_errors::Refusal;
use crate::wire::logline::{ApiLine, LogLine};

/// What never changes while the node runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// State that must last: repositories, slugs, caches, build transcripts are below it.
    pub lib_dir: PathBuf,
    /// The name of whoever administers the node.
    pub owner: Email,
    /// The port the router answers on, for the URLs that are shown.
    pub router_port: u16,
    /// The port on which the router answers under TLS, if it does.
    pub https_port: Option<u16>,
    /// The address of the git endpoint, for the URLs that are shown.
    pub git_address: std::net::SocketAddr,
    /// The address of git over SSH, for the URLs that are shown; `None` where the node takes none.
    pub ssh_address: Option<std::net::SocketAddr>,
    /// The stack of apps that name none.
    pub default_stack: StackName,
    /// The longest a release command may run, seconds.
    pub release_timeout_s: u64,
    /// From where sources are fetched.
    pub source_reach: Reach,
    /// How much of what may run.
    pub quotas: Quotas,
}

/// How much of what may run on a node.
#[derive(Clone, Debug)]
pub struct Quotas {
    /// The sizes that dynos may have.
    pub sizes: Sizes,
    /// The most dynos of one app's formation.
    pub dynos_per_app_max: u32,
    /// What formations may ask for; `None` leaves it to the machine.
    pub memory: Option<NodeMemory>,
    /// The most builds at once; others wait for their turn.
    pub builds_at_once: usize,
    /// How long backups of add-ons are kept.
    pub backups: BackupsKept,
}

impl Quotas {
    /// Each build may use a whole processor, 2.5 GiB of memory and a few GiB of disk.
    pub const BUILDS_AT_ONCE: usize = 2;
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            sizes: Sizes::default(),
            dynos_per_app_max: Formation::DYNOS_MAX,
            memory: None,
            builds_at_once: Self::BUILDS_AT_ONCE,
            backups: BackupsKept::default(),
        }
    }
}

impl Settings {
    /// Where an app answers: `http://<app>.localhost:8080/`.
    #[must_use]
    pub fn web_url(&self, app: &AppName) -> String {
        match self.router_port {
            80 => format!("http://{app}.localhost/"),
            port => format!("http://{app}.localhost:{port}/"),
        }
    }

    /// Where an app is pushed to.
    #[must_use]
    pub fn git_url(&self, app: &AppName) -> String {
        format!("http://{}/{app}.git", self.git_address)
    }

    /// Where an app is pushed to over SSH, if anywhere.
    #[must_use]
    pub fn ssh_git_url(&self, app: &AppName) -> Option<String> {
        self.ssh_address.map(|address| format!("ssh://git@{address}/{app}.git"))
    }

    /// The certificate that clients of the API are to trust.
    #[must_use]
    pub fn authority_path(&self) -> PathBuf {
        self.authority_dir().join("ca.pem")
    }

    /// The folder of the node's certificate authority.
    #[must_use]
    pub fn authority_dir(&self) -> PathBuf {
        self.lib_dir.join("authority")
    }

    /// The folder of bare repositories.
    #[must_use]
    pub fn repos_dir(&self) -> PathBuf {
        self.lib_dir.join("repos")
    }

    /// The folder of build caches.
    #[must_use]
    pub fn cache_dir(&self) -> PathBuf {
        self.lib_dir.join("cache")
    }

    /// The folder of unpacked slugs.
    #[must_use]
    pub fn slugs_dir(&self) -> PathBuf {
        self.lib_dir.join("slugs")
    }

    /// Files of backups, one each.
    #[must_use]
    pub fn backups_dir(&self) -> PathBuf {
        self.lib_dir.join("backups")
    }

    /// The folder of build transcripts.
    #[must_use]
    pub fn builds_dir(&self) -> PathBuf {
        self.lib_dir.join("builds")
    }

    /// The folder of what tests of pipelines have said.
    #[must_use]
    pub fn test_runs_dir(&self) -> PathBuf {
        self.lib_dir.join("test-runs")
    }

    /// The folder of what release commands have printed.
    #[must_use]
    pub fn releases_dir(&self) -> PathBuf {
        self.lib_dir.join("releases")
    }

    /// Where the output of a release's command is read: unguessable, as the release's identity is.
    #[must_use]
    pub fn release_output_url(&self, release: uuid::Uuid) -> String {
        format!("http://{}/release-outputs/{release}", self.git_address)
    }

    /// The path at which a build's output is read: unguessable, as the build's identity is.
    #[must_use]
    pub fn build_output_path(build: uuid::Uuid) -> String {
        format!("/build-outputs/{build}")
    }

    /// The folder of sources that are being received.
    #[must_use]
    pub fn sources_dir(&self) -> PathBuf {
        self.lib_dir.join("sources")
    }
}

/// What a node is put together from.
pub struct Parts {
    /// Durable state.
    pub store: Store,
    /// What runs.
    pub dynos: Arc<dyn Dynos>,
    /// What makes slugs.
    pub builder: Arc<dyn Builder>,
    /// What runs data services.
    pub services: Arc<dyn DataServices>,
    /// What keeps lines.
    pub logs: LogService,
    /// What makes certificates.
    pub authority: Authority,
}

struct Inner {
    store: Store,
    dynos: Arc<dyn Dynos>,
    builder: Arc<dyn Builder>,
    services: Arc<dyn DataServices>,
    logs: LogService,
    showcase: Showcase,
    settings: Settings,
    locks: Locks,
    waiting: Waiting,
    visits: Visits,
    transfers: Transfers,
    links: Links,
    slug_turns: Turns,
    phases: Phases,
    builds: Builds,
    test_runs: TestRuns,
    sources: Sources,
    presigner: Presigner,
    deploying: Deploying,
    tls: Arc<Tls>,
    logins: Logins,
    strangers: Arc<Strangers>,
    jobs_changed: Notify,
    deliveries_added: Notify,
    orders_changed: Notify,
    describe: OnceLock<Arc<dyn Describe>>,
    acme: OnceLock<Arc<dyn Acme>>,
}

/// The node; clones are handles to the same one.
#[derive(Clone)]
pub struct Node(Arc<Inner>);

impl Node {
    /// Joins the parts.
    #[must_use]
    pub fn new(parts: Parts, settings: Settings) -> Self {
        let Parts { store, dynos, builder, services, logs, authority } = parts;
        let locks = Locks::new(settings.quotas.builds_at_once);
        Self(Arc::new(Inner {
            store,
            dynos,
            builder,
            services,
            logs,
            showcase: Showcase::new(authority),
            settings,
            locks,
            waiting: Waiting::default(),
            visits: Visits::default(),
            transfers: Transfers::default(),
            links: Links::default(),
            slug_turns: Turns::default(),
            phases: Phases::default(),
            builds: Builds::default(),
            test_runs: TestRuns::default(),
            sources: Sources::default(),
            presigner: Presigner::default(),
            deploying: Deploying::default(),
            tls: Arc::new(Tls::new(Trust::Host)),
            logins: Logins::default(),
            strangers: Arc::default(),
            jobs_changed: Notify::new(),
            deliveries_added: Notify::new(),
            orders_changed: Notify::new(),
            describe: OnceLock::new(),
            acme: OnceLock::new(),
        }))
    }

    /// What never changes.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The logs.
    #[must_use]
    pub fn logs(&self) -> &LogService {
        &self.0.logs
    }

    /// What makes certificates.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        self.0.showcase.authority()
    }

    /// The certificates that the router is to show, from now on.
    #[must_use]
    pub fn certificates(&self) -> watch::Receiver<Arc<Certificates>> {
        self.0.showcase.subscribe()
    }

    /// The stacks that are built here.
    #[must_use]
    pub fn stacks(&self) -> Vec<StackName> {
        self.0.builder.stacks()
    }

    pub(super) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(super) fn dynos(&self) -> &dyn Dynos {
        &*self.0.dynos
    }

    pub(super) fn builder(&self) -> &dyn Builder {
        &*self.0.builder
    }

    pub(super) fn services(&self) -> &dyn DataServices {
        &*self.0.services
    }

    pub(super) fn showcase(&self) -> &Showcase {
        &self.0.showcase
    }

    pub(super) fn locks(&self) -> &Locks {
        &self.0.locks
    }

    pub(super) fn visits(&self) -> &Visits {
        &self.0.visits
    }

    pub(super) fn transfers(&self) -> &Transfers {
        &self.0.transfers
    }

    pub(super) fn links(&self) -> &Links {
        &self.0.links
    }

    pub(super) fn slug_turns(&self) -> &Turns {
        &self.0.slug_turns
    }

    pub(super) fn waiting(&self) -> &Waiting {
        &self.0.waiting
    }

    pub(super) fn phases(&self) -> &Phases {
        &self.0.phases
    }

    pub(super) fn builds(&self) -> &Builds {
        &self.0.builds
    }

    pub(super) fn test_runs(&self) -> &TestRuns {
        &self.0.test_runs
    }

    pub(super) fn sources(&self) -> &Sources {
        &self.0.sources
    }

    pub(super) fn presigner(&self) -> &Presigner {
        &self.0.presigner
    }

    pub(super) fn deploying(&self) -> &Deploying {
        &self.0.deploying
    }

    /// Whom to trust where sources are fetched from.
    pub(super) fn tls(&self) -> &Arc<Tls> {
        &self.0.tls
    }

    /// Connections of all doors of which it is not known yet whose they are.
    #[must_use]
    pub fn strangers(&self) -> &Arc<Strangers> {
        &self.0.strangers
    }

    pub(super) fn logins(&self) -> &Logins {
        &self.0.logins
    }

    /// Rings when there is a job that was not there before.
    pub(super) fn jobs_changed(&self) -> &Notify {
        &self.0.jobs_changed
    }

    /// Rings when there is something to tell a webhook that was not there before.
    pub(super) fn deliveries_added(&self) -> &Notify {
        &self.0.deliveries_added
    }

    /// Rings when there is an order for a certificate that was not there before.
    pub(super) fn orders_changed(&self) -> &Notify {
        &self.0.orders_changed
    }

    /// Has certificates got from an authority, once [`crate::flows::keep_certificates`] runs; the first one counts.
    pub fn certify_with(&self, acme: Arc<dyn Acme>) {
        let _one_is_enough = self.0.acme.set(acme);
    }

    /// Who gives certificates, if anybody does.
    pub(super) fn acme(&self) -> Option<Arc<dyn Acme>> {
        self.0.acme.get().map(Arc::clone)
    }

    /// Has events show what they are about as `describe` does; the first one counts.
    pub fn describe_with(&self, describe: Arc<dyn Describe>) {
        let _one_is_enough = self.0.describe.set(describe);
    }

    /// What an event is about, as the API shows it; nothing without an API.
    pub(super) fn describe(&self, subject: Subject<'_>) -> serde_json::Value {
        self.0.describe.get().map_or(serde_json::Value::Null, |describe| describe.describe(self, subject))
    }

    /// Tells an app's log what a user did.
    pub(super) fn tell(&self, app: AppId, line: &ApiLine) {
        self.logs().push(app, LogLine::api(SystemTime::now(), line));
    }

    /// What should run of `app` now.
    pub(super) async fn desired(&self, app: &App) -> Result<Desired, FlowError> {
        let release = self.store().current_release(app.id).await?.ok_or_else(Refusal::no_app)?;
        let formation = self.store().formation(app.id).await?;
        let domains = self.store().domains(app.id).await?.into_iter().map(|domain| domain.hostname).collect();
        let features = self.store().features(app.id).await?;
        let routing = self.store().routing(app.id).await?;
        let earlier = Vec::new();
        Ok(Desired { app: app.clone(), release, formation, domains, features, routing, earlier })
    }

    /// The certificates for an app's own names.
    pub(super) async fn brought(&self, app: &App) -> Result<Shown, FlowError> {
        let endpoints = self.store().sni_endpoints(app.id).await?;
        if endpoints.is_empty() {
            return Ok(Vec::new());
        }
        let shown = |domain: CustomDomain| {
            let of = domain.endpoint?;
            let endpoint = endpoints.iter().find(|endpoint| endpoint.id == of.id)?;
            Some((domain.hostname, Arc::clone(&endpoint.certificate)))
        };
        Ok(self.store().domains(app.id).await?.into_iter().filter_map(shown).collect())
    }

    /// Makes what runs what is wanted.
    pub(super) async fn apply(&self, app: &App) -> Result<(), FlowError> {
        let desired = self.desired(app).await?;
        // Before anybody asks for the names.
        self.showcase().note(app, self.brought(app).await?);
        self.showcase().publish();
        Ok(self.dynos().apply(desired).await?)
    }
}
