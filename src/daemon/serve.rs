//! `dyno serve`: everything joined, in the order in which each needs the one before.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::api::{self, Api, Door, Front};
use crate::build;
use crate::daemon::builder::SandboxedBuilder;
use crate::daemon::cleanup;
use crate::daemon::config::OnExit;
use crate::daemon::dynos::{self, SupervisedDynos};
use crate::daemon::error::DaemonError;
use crate::daemon::routing::{self, Routing, Snapshots};
use crate::daemon::services::{SupervisedServices, volumes_dir};
use crate::daemon::{Config, Instance, notify};
use crate::domain::{AppId, Bytes, NodeMemory};
use crate::flows::{self, AcmeClient, Authority, Node, Parts, Quotas, Settings, Token};
use crate::git::{self, GitState, HostKey, Repositories, SshDoor};
use crate::logs::{LogService, Receivers, Tls, Trust};
use crate::oci;
use crate::router::{Ends, NetnsConnector, Router, RouterConfig, RouterLog};
use crate::runtime::client::{Runtime, RuntimeConfig};
use crate::runtime::network::NodeNetwork;
use crate::runtime::slots::Slots;
use crate::runtime::spawner::LimitsPolicy;
use crate::store::Store;
use crate::supervisor::engine::Home;
use crate::supervisor::engine::native::{NativeConfig, NativeEngine};
use crate::supervisor::postmortem::Deaths;
use crate::supervisor::service::{Gate, Services};
use crate::supervisor::{Departures, Supervisor, SupervisorConfig};
use crate::sys::{fs, memory, privilege};
use crate::wire::exec;
use crate::wire::router_line::RouterLine;

/// What this process runs, whatever has become of its file (proc(5)).
const OWN_PROGRAM: &str = "/proc/self/exe";

/// How long dynos have to end by themselves when the node goes and takes them along, seconds (platform reference 1.9).
const STOP_GRACE_S: u64 = 30;

/// For a router that only tries whether it could listen.
struct Unlogged;

impl RouterLog for Unlogged {
    fn line(&self, _: &AppId, _: &RouterLine<'_>) {}
}

/// What must be there until the node ends.
struct Running {
    node: Node,
    logs: LogService,
    supervisor: Supervisor,
    services: Services,
    runtime: Runtime,
    /// The two doors, and what closes them.
    servers: JoinSet<()>,
    doors_closing: CancellationToken,
    routing: Routing,
    asked_to_stop: watch::Receiver<bool>,
}

/// Serves until told to end.
///
/// # Errors
/// Something the node cannot do without is missing or taken; the text says what to do.
pub(super) async fn serve(config: Config, on_exit: OnExit) -> Result<(), DaemonError> {
    let instance = Instance::claim(&config)?;
    // Ports first: a port in use is the likeliest reason not to start, and the cheapest to find.
    let listeners = Listeners {
        git: bind(&config.git, |address, source| DaemonError::GitPort { address, source }).await?,
        ssh: bind(&config.ssh, |address, source| DaemonError::SshPort { address, source }).await?,
    };
    probe(&config).await?;
    warn_of_old_git().await;
    let mut running = start(&config, listeners).await?;
    let pid = format!("{}\n", std::process::id());
    fs::write_atomically(&config.run_dir.join("serve.pid"), pid.as_bytes())
        .and_then(|()| fs::write_atomically(&config.run_dir.join("ready"), pid.as_bytes()))
        .map_err(DaemonError::file(&config.run_dir))?;
    notify::ready();
    tracing::info!(
        router = ?config.router,
        https = ?config.router_https,
        git = ?config.git,
        ssh = ?config.ssh,
        socket = %config.api_socket().display(),
        "ready"
    );
    let exit = wait_for_end(&mut running.asked_to_stop, on_exit).await?;
    notify::stopping();
    end(running, &config, exit).await?;
    drop(instance);
    Ok(())
}

/// Where the node is reached over TCP.
struct Listeners {
    /// The git endpoint and the API.
    git: Vec<TcpListener>,
    /// Git over SSH.
    ssh: Vec<TcpListener>,
}

/// Takes addresses; `failed` says what for. An IPv6 address on a host without IPv6 is left out, if another one is left.
async fn bind(
    addresses: &[SocketAddr],
    failed: impl Fn(SocketAddr, io::Error) -> DaemonError,
) -> Result<Vec<TcpListener>, DaemonError> {
    let (mut listeners, mut left_out) = (Vec::new(), None);
    for address in addresses {
        match TcpListener::bind(address).await {
            Ok(listener) => listeners.push(listener),
            Err(source) if address.is_ipv6() && source.kind() != io::ErrorKind::AddrInUse => {
                tracing::info!(%address, %source, "the host has no such IPv6 address, the node does without");
                left_out = Some(failed(*address, source));
            }
            Err(source) => return Err(failed(*address, source)),
        }
    }
    match left_out {
        Some(left_out) if listeners.is_empty() => Err(left_out),
        Some(_) | None => Ok(listeners),
    }
}

/// Takes the router's ports and lets go of them again: nothing is started for a router that could not listen.
async fn probe(config: &Config) -> Result<(), DaemonError> {
    let links = routing::links_dir(config);
    // One that serves already has them.
    if tokio::task::spawn_blocking(move || routing::is_served(&links)).await.unwrap_or(false) {
        return Ok(());
    }
    let nothing = Ends {
        table: watch::channel(Arc::default()).1,
        certificates: watch::channel(Arc::default()).1,
        log: Arc::new(Unlogged),
        connector: Arc::new(NetnsConnector),
    };
    let (listen, secure) = (config.router.clone(), config.router_https.clone());
    let probe = Router::bind(RouterConfig { listen, secure, ..RouterConfig::default() }, nothing).await?;
    drop(probe);
    Ok(())
}

async fn start(config: &Config, listeners: Listeners) -> Result<Running, DaemonError> {
    let store = Store::open(&config.lib_dir.join("state.db"))?;
    let receivers = Receivers { reach: config.drains, ..Receivers::default() };
    let logs = LogService::open_with(config.lib_dir.join("logs"), receivers)?;
    let binary = std::env::current_exe().map_err(DaemonError::file(Path::new("/proc/self/exe")))?;
    let runtime = Runtime::connect(RuntimeConfig {
        run_dir: config.run_dir.clone(),
        // Not its path, where an upgrade may have put another program by the time that a spawner is needed.
        binary: OWN_PROGRAM.into(),
        cgroup_root: config.host_name(),
        limits: LimitsPolicy::Required,
    })
    .await?;
    // What resists costs room, not truth: the next start tries again.
    if let Err(error) = build::sweep(&config.lib_dir, &runtime).await {
        tracing::warn!(%error, "not all of what unfinished builds have left could be removed");
    }
    let network_config = cleanup::network(config);
    let resolvers = network_config.resolvers.clone();
    let network = Arc::new(NodeNetwork::setup(network_config).await?);
    let slots = Slots::new();
    let native = NativeConfig {
        lib_dir: config.lib_dir.clone(),
        index: config.index,
        resolvers,
        sizes: config.sizes.clone(),
        home: Home::Slug,
    };
    let (services, gate) = services(config, (&runtime, &network, &logs), &slots).await?;
    let engine = NativeEngine::new((runtime.clone(), Arc::clone(&network)), slots.clone(), gate, native);
    let supervisor = Supervisor::start(
        Arc::new(engine),
        logs.clone(),
        SupervisorConfig {
            timings: config.timings,
            metrics: config.runtime_metrics,
            deaths: Deaths::at(config.lib_dir.join("deaths")),
            departures: Departures::at(config.run_dir.join("departures")),
            sizes: config.sizes.clone(),
            memory: promised(config).map(NodeMemory::promised_max),
        },
    );
    let builder = SandboxedBuilder::new(config, runtime.clone(), network, slots);
    let parts = Parts {
        store,
        dynos: Arc::new(SupervisedDynos { supervisor: supervisor.clone(), lib_dir: config.lib_dir.clone() }),
        builder: Arc::new(builder),
        services: Arc::new(SupervisedServices::new(services.clone(), config)),
        logs: logs.clone(),
        authority: Authority::load(&config.lib_dir.join("authority"))?,
    };
    let node = certified(config, parts);
    warn_of_plain_ways(config);
    let apps = flows::resume(&node).await?;
    tracing::info!(apps, "taken up where the last process ended");
    spawn_keepers(&node, config, &supervisor);
    // Only now that the table is one: a router that serves since before has a better one than an empty one.
    let routing = Routing::begin(
        config,
        OWN_PROGRAM.into(),
        logs.clone(),
        Snapshots { table: supervisor.routes(), certificates: node.certificates() },
    )
    .await?;
    let (shutdown, asked_to_stop) = watch::channel(false);
    let doors_closing = CancellationToken::new();
    let api = Api::new(node.clone(), shutdown).with_figures(routing.figures());
    let servers = doors(config, api, (listeners, binary), &doors_closing)?;
    Ok(Running { node, logs, supervisor, services, runtime, servers, doors_closing, routing, asked_to_stop })
}

/// The node, and from whom it gets certificates.
fn certified(config: &Config, parts: Parts) -> Node {
    let store = parts.store.clone();
    let node = Node::new(parts, settings(config));
    if let Some(acme) = config.acme.clone() {
        node.certify_with(Arc::new(AcmeClient::new(acme, store)));
    }
    node
}

/// What goes on beside all requests. Each ends with the runtime: what it does is recorded step by step, and what it was in the middle of
/// has failed, or was not told, then.
fn spawn_keepers(node: &Node, config: &Config, supervisor: &Supervisor) {
    tokio::spawn(flows::keep_schedule(node.clone()));
    tokio::spawn(flows::keep_retention(node.clone()));
    tokio::spawn(flows::keep_backups(node.clone()));
    tokio::spawn(flows::verify_backups(node.clone()));
    tokio::spawn(flows::keep_seeing_off(node.clone()));
    tokio::spawn(flows::keep_certificates(node.clone()));
    tokio::spawn(flows::deliver_webhooks(node.clone(), Arc::new(Tls::new(Trust::Host)), config.webhooks));
    tokio::spawn(flows::tell_of_dynos(node.clone(), dynos::looks(supervisor)));
}

/// The data services, and who reaches them. Before anything is started: what runs of them is found first.
async fn services(
    config: &Config,
    (runtime, network, logs): (&Runtime, &Arc<NodeNetwork>, &LogService),
    slots: &Slots,
) -> Result<(Services, Arc<Gate>), DaemonError> {
    let gate = Gate::new(Arc::clone(network));
    let services = Services::find(
        (runtime.clone(), Arc::clone(network), logs.clone()),
        (slots.clone(), Arc::clone(&gate)),
        (config.index, volumes_dir(&config.lib_dir)),
    )
    .await?;
    Ok((services, gate))
}

/// Says what is wrong with the host's git; a push tells more.
async fn warn_of_old_git() {
    if let Ok(git) = tokio::task::spawn_blocking(oci::git).await
        && git.verdict != oci::Verdict::Ok
    {
        tracing::warn!(seen = git.seen, advice = git.advice, "git is missing or too old");
    }
}

/// Says where apps answer beyond this machine without encryption: a setting, and nobody's default. Git and the API do so under
/// TLS alone.
fn warn_of_plain_ways(config: &Config) {
    for address in config.router.iter().filter(|address| !address.ip().is_loopback()) {
        tracing::warn!(
            %address,
            "the router answers beyond this machine in plain HTTP, which whoever is on the way can read and change: put a \
             server that speaks TLS in front of it, or have it listen on loopback (docs/install.md)"
        );
    }
}

fn settings(config: &Config) -> Settings {
    Settings {
        lib_dir: config.lib_dir.clone(),
        owner: config.owner.clone(),
        router_port: config.router.first().map_or(0, SocketAddr::port),
        https_port: config.router_https.first().map(SocketAddr::port),
        // There is at least one; without a port nothing could be reached.
        git_address: config.git.first().copied().unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 0).into()),
        ssh_address: config.ssh.first().copied(),
        default_stack: config.stack.clone(),
        release_timeout_s: config.release_timeout_s,
        source_reach: config.sources,
        quotas: Quotas {
            sizes: config.sizes.clone(),
            dynos_per_app_max: config.dynos_per_app_max,
            memory: promised(config),
            builds_at_once: config.builds_at_once,
            backups: config.backups,
        },
    }
}

/// What the node may promise to formations; `None` where nobody looks.
fn promised(config: &Config) -> Option<NodeMemory> {
    let percent = config.memory_overcommit_percent;
    percent.map(|overcommit_percent| NodeMemory { total: Bytes(memory::total()), overcommit_percent })
}

/// The ways in: the socket for whoever administers this machine, TCP for whoever has a token, as it is or under TLS, and
/// SSH for whoever has a key.
fn doors(
    config: &Config,
    api: Api,
    (listeners, binary): (Listeners, std::path::PathBuf),
    closing: &CancellationToken,
) -> Result<JoinSet<()>, DaemonError> {
    let socket = config.api_socket();
    let unix = listen(&socket).map_err(DaemonError::file(&socket))?;
    let token = Token::load(&config.lib_dir.join("token"))?;
    let repositories = Arc::new(Repositories::new(config.lib_dir.join("repos"), binary));
    let addresses: Vec<_> = config.git.iter().map(SocketAddr::ip).collect();
    let authority = api.node.authority();
    let (tls, pem) = (authority.acceptor(&addresses)?, authority.pem().to_owned());
    let api = api.with_authority(&pem).with_exec(exec_address(config.index));
    let state = GitState { node: api.node.clone(), token: token.clone(), repositories, socket };
    let mut servers = JoinSet::new();
    if !listeners.ssh.is_empty() {
        let key = HostKey::load(&config.lib_dir)?;
        tracing::info!(fingerprint = key.fingerprint(), "the key by which clients of SSH know this node");
        let door = SshDoor::new(state.clone(), key);
        for listener in listeners.ssh {
            servers.spawn(git::serve_ssh(listener, door.clone(), closing.clone().cancelled_owned()));
        }
    }
    let over_tcp = git::router(state).merge(api::router(api.clone(), Door::Tcp(token)));
    let front = Front::new(over_tcp, api.clone(), Some(tls));
    for listener in listeners.git {
        servers.spawn(api::serve_tcp(listener, front.clone(), closing.clone().cancelled_owned()));
    }
    let own_uid = privilege::effective_uid();
    servers.spawn(api::serve_unix(unix, api, own_uid, closing.clone().cancelled_owned()));
    Ok(servers)
}

/// Where visits of the stock command come, which takes the port for granted: an address of loopback that no other node has.
fn exec_address(index: u32) -> SocketAddr {
    let [.., node] = index.to_be_bytes();
    (Ipv4Addr::new(127, 80, node, 1), exec::PORT).into()
}

/// Binds aside and moves into place, so that whoever finds the socket finds it closed to others.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let aside = path.with_extension("new");
    match std::fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&aside)?;
    std::fs::set_permissions(&aside, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&aside, path)?;
    Ok(listener)
}

/// Waits for a signal, or for a client that asks for an end that leaves nothing.
async fn wait_for_end(asked: &mut watch::Receiver<bool>, on_exit: OnExit) -> Result<OnExit, DaemonError> {
    let own = |source| DaemonError::Signals { source };
    let mut terminate = signal(SignalKind::terminate()).map_err(own)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(own)?;
    Ok(tokio::select! {
        _ = terminate.recv() => on_exit,
        _ = interrupt.recv() => on_exit,
        _ = asked.wait_for(|asked| *asked) => OnExit::StopDynos,
    })
}

async fn end(running: Running, config: &Config, exit: OnExit) -> Result<(), DaemonError> {
    let Running {
        node,
        logs,
        supervisor,
        services,
        runtime,
        servers,
        doors_closing,
        routing,
        asked_to_stop: _,
    } = running;
    let started = SystemTime::now();
    let stop = async {
        if exit == OnExit::StopDynos
            && let Err(error) = supervisor.stop_all(Duration::from_secs(STOP_GRACE_S)).await
        {
            tracing::warn!(%error, "the dynos could not all be stopped in order");
        }
        // Only now that nobody uses them.
        if exit == OnExit::StopDynos {
            services.stop_all().await;
        }
    };
    let route = async {
        match exit {
            OnExit::StopDynos => routing.stop().await,
            OnExit::LeaveDynos => {
                routing.leave();
                Ok(())
            }
        }
    };
    let (_, routed, ()) = tokio::join!(stop, route, flows::end_builds(&node));
    if let Err(error) = routed {
        tracing::warn!(%error, "the router did not end in order");
    }
    doors_closing.cancel();
    servers.join_all().await;
    logs.flush().await;
    for name in ["ready", "serve.pid", "api.sock"] {
        let _not_there = std::fs::remove_file(config.run_dir.join(name));
    }
    if exit == OnExit::StopDynos {
        drop(supervisor);
        cleanup::everything(config, runtime).await?;
    }
    tracing::info!(seconds = started.elapsed().unwrap_or_default().as_secs(), "ended");
    Ok(())
}
