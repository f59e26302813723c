//! The router process: from its start as the administrator to its life with no rights.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};

use crate::domain::{Certificates, RouteTable};
use crate::router::apart::frame::{Reply, Request, TableRecord, hear, read, say};
use crate::router::apart::hand::{self, HandConnector};
use crate::router::apart::link::Link;
use crate::router::apart::outbox::Outbox;
use crate::router::listener::{explain, is_without_ipv6};
use crate::router::{Doors, Ending, Ends, ListenError, RouterConfig, Workers};
use crate::sys::message::{Channel, Listener};
use crate::sys::process::{self, Cloned, Namespaces, SingleThreaded};
use crate::sys::{credentials, privilege, seccomp, socket};

/// How long a predecessor may take to hand out its listeners.
const TAKE_OVER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the process may take from its start until it serves.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the last lines may take to their logs when the process ends.
const LAST_LINES_TIMEOUT: Duration = Duration::from_secs(5);
/// Open files: two for each connection, and room.
const OPEN_FILES_MAX: u64 = 65_536;

/// What a router process is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProcessConfig {
    /// Where the link sockets of a node's routers are, named by process id; for the administrator alone.
    pub dir: PathBuf,
    /// Addresses to listen on for plain HTTP.
    pub listen: Vec<SocketAddr>,
    /// Addresses to listen on for TLS; none where nothing is to be encrypted.
    pub secure: Vec<SocketAddr>,
    /// The user and group that it becomes.
    pub account: u32,
    /// What tells the file of its program from others.
    pub build: String,
    /// The link of the router that it takes over from.
    pub predecessor: Option<PathBuf>,
}

/// What the launching process hears.
#[derive(Debug, Serialize, Deserialize)]
enum Started {
    Serving,
    Failed(String),
}

/// What is known when the process begins.
struct Estate {
    plain: Vec<TcpListener>,
    secure: Vec<TcpListener>,
    table: RouteTable,
    certificates: Certificates,
    predecessor: Option<Channel>,
}

/// Starts a router process and returns when it serves, in the process that was started to do so; in the router process itself, when
/// that has ended. `settle` is called there first, to leave what belongs to whoever started it. To be called by root, in a process
/// of one thread.
///
/// # Errors
/// What kept it from serving, with what to do about it where that is known. A predecessor then goes on as if nothing had been.
pub fn launch(config: &ProcessConfig, settle: impl FnOnce()) -> io::Result<()> {
    let single = SingleThreaded::claim()
        .ok_or_else(|| io::Error::other("the router was started with several threads"))?;
    let estate = Estate::of(config)?;
    let (launcher, started) = Channel::pair()?;
    match single.clone(Namespaces::NONE, None)? {
        Cloned::Parent { .. } => {
            drop((started, estate));
            match hear(&launcher, START_TIMEOUT)? {
                Some((Started::Serving, _)) => Ok(()),
                Some((Started::Failed(reason), _)) => Err(io::Error::other(reason)),
                None => Err(io::Error::other("the router died while it started")),
            }
        }
        Cloned::Child => {
            drop(launcher);
            process::new_session()?;
            settle();
            let begun = begin(config, single, estate, &started);
            if let Err(error) = &begun {
                // Late ones are in its log; who launched it is gone by then.
                let _gone = say(&started, &Started::Failed(error.to_string()), &[]);
            }
            begun
        }
    }
}

impl Estate {
    /// Takes the predecessor's listeners as far as they are wanted, and makes the others.
    fn of(config: &ProcessConfig) -> io::Result<Self> {
        let (mut table, mut certificates) = (RouteTable::default(), None);
        let (mut inherited, mut predecessor) = (Vec::new(), None);
        if let Some(path) = &config.predecessor {
            let channel = Channel::connect(path)?;
            say(&channel, &Request::TakeOver, &[])?;
            let Some((Reply::Listeners, given)) = hear(&channel, TAKE_OVER_TIMEOUT)? else {
                return Err(io::Error::other("the router that was there gives its listeners to nobody"));
            };
            let mut given = given.into_iter();
            (table, certificates) = read::<TableRecord>(given.next())?.read()?;
            inherited = given.map(TcpListener::from).collect();
            predecessor = Some(channel);
        }
        let plain = listeners(&config.listen, &mut inherited)?;
        let secure = match config.secure.as_slice() {
            [] => Vec::new(),
            secure => listeners(secure, &mut inherited)?,
        };
        Ok(Self { plain, secure, table, certificates: certificates.unwrap_or_default(), predecessor })
    }
}

/// Those of the inherited listeners that are wanted; the others are made.
fn listeners(addresses: &[SocketAddr], inherited: &mut Vec<TcpListener>) -> io::Result<Vec<TcpListener>> {
    let (mut listeners, mut left_out) = (Vec::new(), None);
    for address in addresses {
        let is_here = |listener: &TcpListener| listener.local_addr().is_ok_and(|local| local == *address);
        if let Some(place) = inherited.iter().position(is_here) {
            listeners.push(inherited.swap_remove(place));
            continue;
        }
        match socket::listen(*address) {
            Ok(listener) => listeners.push(listener),
            Err(error) if address.is_ipv6() && is_without_ipv6(&error) => {
                left_out = Some(explain(*address, error));
            }
            Err(error) => return Err(io::Error::other(explain(*address, error))),
        }
    }
    if listeners.is_empty() {
        return Err(io::Error::other(left_out.unwrap_or(ListenError::None)));
    }
    Ok(listeners)
}

/// In the process itself: makes what takes rights, gives them up, serves.
fn begin(
    config: &ProcessConfig,
    single: SingleThreaded,
    estate: Estate,
    started: &Channel,
) -> io::Result<()> {
    let owner = privilege::effective_uid();
    let door = Listener::bind(&config.dir.join(format!("{}.sock", std::process::id())))?;
    let (near, far) = Channel::pair()?;
    if let Cloned::Child = single.clone(Namespaces::NONE, None)? {
        // It owns nothing but its end; what it has been given a copy of is its parent's.
        let served = process::close_all_but(&[far.as_fd()]).and_then(|()| hand::serve(&far));
        process::exit_now(u8::from(served.is_err()));
    }
    drop(far);
    credentials::limit(credentials::Limited::OpenFiles, OPEN_FILES_MAX)?;
    credentials::empty_bounding_set()?;
    credentials::become_user(config.account, config.account)?;
    credentials::clear_capabilities()?;
    seccomp::set_no_new_privs()?;
    credentials::hide_from_debuggers()?;
    // Requests are served by threads of their own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(serve(config, estate, (door, owner, near), started));
    runtime.shutdown_background();
    served
}

async fn serve(
    config: &ProcessConfig,
    estate: Estate,
    (door, owner, hand): (Listener, u32, Channel),
    started: &Channel,
) -> io::Result<()> {
    let Estate { plain, secure: secured, table, certificates, predecessor } = estate;
    let copies = plain.iter().chain(&secured).map(|listener| listener.as_fd().try_clone_to_owned());
    let copies: Vec<OwnedFd> = copies.collect::<io::Result<_>>()?;
    let (table_in, table) = watch::channel(Arc::new(table));
    let (certificates_in, certificates) = watch::channel(Arc::new(certificates));
    let (end, ending) = watch::channel(None);
    let end = Arc::new(end);
    let outbox = Arc::<Outbox>::default();
    let (connector, hand_lost) = HandConnector::new(hand)?;
    // The hand ends when nobody can ask it any more. That is a loss for as long as this process has something to do.
    let connector = Arc::new(connector);
    let ends = Ends {
        table,
        certificates,
        log: Arc::<Outbox>::clone(&outbox),
        connector: Arc::<HandConnector>::clone(&connector),
    };
    let (listen, secure) = (config.listen.clone(), config.secure.clone());
    let settings = RouterConfig { listen: listen.clone(), secure: secure.clone(), ..RouterConfig::default() };
    let count = thread::available_parallelism()?;
    let router =
        Workers::over(settings, Doors { plain, secure: secured }, ends, count).map_err(io::Error::other)?;
    let link = Link {
        owner,
        build: config.build.clone(),
        listen,
        secure,
        listeners: copies.into(),
        outbox: Arc::clone(&outbox),
        table: table_in,
        certificates: certificates_in,
        figures: router.figures(),
        ending: Arc::clone(&end),
    };
    link.attend(door)?;
    let serving = router.serve_until(ending);
    if let Some(predecessor) = predecessor {
        say(&predecessor, &Request::Taken, &[])?;
    }
    // Whoever launched it may be gone; it serves all the same.
    let _gone = say(started, &Started::Serving, &[]);
    tracing::info!(listen = ?config.listen, secure = ?config.secure, "the router serves");
    tokio::select! {
        outcome = serving => outcome?,
        outcome = watch_over(&end, hand_lost) => return outcome,
    }
    let last = tokio::task::spawn_blocking(move || outbox.drain(LAST_LINES_TIMEOUT));
    last.await.map_err(io::Error::other)?;
    drop(connector);
    Ok(())
}

/// Ends the router in order on SIGTERM, and at once when no dyno can be reached any more.
async fn watch_over(end: &watch::Sender<Option<Ending>>, hand_lost: oneshot::Receiver<()>) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::pin!(hand_lost);
    loop {
        tokio::select! {
            _ = terminate.recv() => drop(end.send_replace(Some(Ending::Stop))),
            _ = &mut hand_lost => {
                return Err(io::Error::other("the process that makes sockets in dynos' networks has ended"));
            }
        }
    }
}
