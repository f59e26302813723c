//! The listeners, the connections they take, and the router's end.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};
use tokio_rustls::rustls;

use crate::domain::{Certificates, RouteTable, WebState};
use crate::router::client::{Client, ClientIo};
use crate::router::config::RouterConfig;
use crate::router::connect::Connector;
use crate::router::figures::Figures;
use crate::router::http2;
use crate::router::observe::RouterLog;
use crate::router::serve::{Shared, serve};
use crate::router::socket::{Socket, Transport};
use crate::router::stray::turn_away;
use crate::router::tls::{Shaken, Spoken};
use crate::sys::socket::{send_at_once, tell_of_who_speaks};

/// Between two looks for connections to dynos that were not used for long.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
/// How long a client may be silent before its connection is taken all the same, with what limits there are for silent ones.
const SILENCE_MAX: Duration = Duration::from_secs(1);
/// A pause after a failure to accept: descriptors have run out, and come back as connections end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The router cannot listen.
#[derive(Debug, Error)]
pub enum ListenError {
    /// Another program has the port.
    #[error(
        "cannot listen on {0}: another program uses this port; stop it (`ss -ltnp` names it) or give the router another address"
    )]
    Taken(SocketAddr),
    /// Ports below 1024 need a privilege.
    #[error("cannot listen on {0}: ports below 1024 need root or CAP_NET_BIND_SERVICE")]
    Forbidden(SocketAddr),
    /// The host has no such address, or something else is wrong.
    #[error("cannot listen on {address}: check that this host has the address")]
    Address {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// No address was given.
    #[error("the router has no address to listen on: give it at least one")]
    None,
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
}

/// How a router ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It takes no more connections, and gives requests in flight the shutdown time.
    Stop,
    /// Others accept from the same listeners: it goes on with its connections, each until its next answer or its end, for the
    /// finish time at most.
    Finish,
}

/// What a router works with.
pub struct Ends {
    /// Where the table comes from.
    pub table: watch::Receiver<Arc<RouteTable>>,
    /// Where certificates come from; of use where the router listens for TLS.
    pub certificates: watch::Receiver<Arc<Certificates>>,
    /// Where lines go.
    pub log: Arc<dyn RouterLog>,
    /// How dynos are reached.
    pub connector: Arc<dyn Connector>,
}

/// Sockets that listen.
#[derive(Debug, Default)]
pub struct Listeners {
    /// For plain HTTP.
    pub plain: Vec<TcpListener>,
    /// For TLS.
    pub secure: Vec<TcpListener>,
}

/// What clients speak who come in there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Plain,
    Tls,
}

/// A router that listens, and serves once it is told to.
pub struct Router {
    shared: Arc<Shared>,
    listeners: Listeners,
}

impl Router {
    /// Takes the addresses, so that a port in use is known before anything else is started.
    ///
    /// # Errors
    /// An address cannot be taken. An IPv6 address on a host without IPv6 is left out, if another one is left.
    pub async fn bind(config: RouterConfig, ends: Ends) -> Result<Self, ListenError> {
        let plain = taken(&config.listen).await?;
        let secure = if config.secure.is_empty() { Vec::new() } else { taken(&config.secure).await? };
        Self::over(config, Listeners { plain, secure }, ends)
    }

    /// A router over sockets that listen already; the addresses in `config` are not looked at.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn over(config: RouterConfig, listeners: Listeners, ends: Ends) -> Result<Self, ListenError> {
        Ok(Self::worker(Shared::new(config, ends)?, listeners))
    }

    /// One with what it shares with others.
    pub(super) fn worker(shared: Shared, listeners: Listeners) -> Self {
        Self { shared: Arc::new(shared), listeners }
    }

    /// The addresses that were taken, with their ports: those for plain HTTP, then those for TLS.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let Listeners { plain, secure } = &self.listeners;
        plain.iter().chain(secure).filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Reads what the router counts, for as long as there is any use for it.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures::of(&self.shared)
    }

    /// Serves until `shutdown` comes; then takes no more connections, gives requests in flight the shutdown time, and
    /// closes what is left. Every task it starts has ended when it returns; dropping it ends them too.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let (end, ending) = watch::channel(None);
        let told = async {
            shutdown.await;
            end.send_replace(Some(Ending::Stop));
        };
        tokio::join!(self.serve_until(ending), told);
    }

    /// As [`Self::serve`], ending as `ending` says once it says anything; `Stop` may follow `Finish`.
    pub async fn serve_until(self, mut ending: watch::Receiver<Option<Ending>>) {
        let Self { shared, listeners } = self;
        let (mut workers, mut acceptors) = (JoinSet::new(), JoinSet::new());
        // A drop of this future must not leave connections behind.
        let _cut_off = shared.force.clone().drop_guard();
        refresh(&shared);
        workers.spawn(follow_table(Arc::clone(&shared)));
        workers.spawn(sweep(Arc::clone(&shared)));
        let Listeners { plain, secure } = listeners;
        let doors = plain.into_iter().map(|listener| (listener, Door::Plain));
        for (listener, door) in doors.chain(secure.into_iter().map(|listener| (listener, Door::Tls))) {
            acceptors.spawn(accept(Arc::clone(&shared), listener, door));
        }
        // Nobody left who could say how means that it is over.
        let first = ending.wait_for(Option::is_some).await.map_or(Some(Ending::Stop), |ending| *ending);
        acceptors.shutdown().await;
        shared.tasks.close();
        let timers = shared.config.timers;
        if first == Some(Ending::Finish) {
            shared.finishing.cancel();
            tokio::select! {
                () = shared.tasks.wait() => {}
                _ = ending.wait_for(|ending| *ending == Some(Ending::Stop)) => {}
                () = sleep(timers.finish) => tracing::warn!(
                    limit_s = timers.finish.as_secs(), "connections are cut off: another router took over long ago"
                ),
            }
        }
        shared.closing.cancel();
        if timeout(timers.shutdown, shared.tasks.wait()).await.is_err() {
            shared.is_forced.store(true, Ordering::Relaxed);
            shared.force.cancel();
            shared.tasks.wait().await;
        }
        workers.shutdown().await;
        shared.pool.retain(&HashSet::new());
    }
}

async fn taken(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, ListenError> {
    let (mut listeners, mut left_out) = (Vec::new(), None);
    for address in addresses {
        match TcpListener::bind(address).await {
            Ok(listener) => listeners.push(listener),
            Err(error) if address.is_ipv6() && is_without_ipv6(&error) => {
                tracing::info!(%address, "the host has no such IPv6 address, the router does without");
                left_out = Some(explain(*address, error));
            }
            Err(error) => return Err(explain(*address, error)),
        }
    }
    if listeners.is_empty() {
        return Err(left_out.unwrap_or(ListenError::None));
    }
    Ok(listeners)
}

pub(super) fn is_without_ipv6(error: &io::Error) -> bool {
    /// `EAFNOSUPPORT`, for which the standard library has no kind.
    const ADDRESS_FAMILY_UNKNOWN: i32 = 97;
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(ADDRESS_FAMILY_UNKNOWN)
}

pub(super) fn explain(address: SocketAddr, source: io::Error) -> ListenError {
    let kind = source.kind();
    if kind == io::ErrorKind::AddrInUse {
        ListenError::Taken(address)
    } else if kind == io::ErrorKind::PermissionDenied {
        ListenError::Forbidden(address)
    } else {
        ListenError::Address { address, source }
    }
}

/// Ends when the table's publisher is gone; the last table stays.
async fn follow_table(shared: Arc<Shared>) {
    let mut table = shared.table.clone();
    while table.changed().await.is_ok() {
        refresh(&shared);
    }
}

/// Lets go of what belongs to apps and dynos that are no longer in the table.
fn refresh(shared: &Shared) {
    let table = Arc::clone(&shared.table.borrow());
    let backends = table.routes.values().flat_map(|route| match &route.web {
        WebState::Up(backends) => backends.as_slice(),
        WebState::Blank | WebState::NoneWanted | WebState::Crashed | WebState::Booting => &[],
    });
    let dynos = backends.map(|backend| backend.id).collect();
    shared.pool.retain(&dynos);
    shared.quarantine.retain(&dynos, Instant::now());
    shared.apps.retain(|| shared.table.borrow().routes.values().map(|route| route.app).collect());
}

async fn sweep(shared: Arc<Shared>) {
    let mut ticks = interval(SWEEP_INTERVAL);
    loop {
        ticks.tick().await;
        shared.pool.sweep(Instant::now(), shared.config.timers.dyno_keep_alive);
        shared.loads.sweep();
    }
}

/// A connection is taken only when there is a slot for it: the others wait in the kernel's queue, at no cost to us.
async fn accept(shared: Arc<Shared>, listener: TcpListener, door: Door) {
    if let Err(error) = send_at_once(&listener) {
        tracing::warn!(%error, "answers may wait for a moment in the kernel");
    }
    // Who comes is read from at once, and nearly all have spoken by then.
    if let Err(error) = tell_of_who_speaks(&listener, SILENCE_MAX) {
        tracing::warn!(%error, "connections are taken before there is anything to read");
    }
    let port = listener.local_addr().map_or(0, |address| address.port());
    loop {
        let Ok(slot) = Arc::clone(&shared.slots).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let client = Arc::new(Client::new(peer.ip(), port, shared.config.timers.idle));
                shared.tasks.spawn(connection(Arc::clone(&shared), (stream, door), client, slot));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(
    shared: Arc<Shared>,
    (stream, door): (TcpStream, Door),
    client: Arc<Client>,
    _slot: OwnedSemaphorePermit,
) {
    let (limits, timers) = (shared.config.limits, shared.config.timers);
    let socket = Socket::new(stream, Arc::clone(&client));
    let transport = match door {
        Door::Plain => Transport::Plain(socket),
        Door::Tls => {
            let shaken = shared.tls.shake(socket, &client, timers.handshake);
            // Who has not come so far when the router ends has asked for nothing yet.
            match shared.closing.run_until_cancelled(shaken).await {
                Some(Ok(Shaken::Agreed(stream, Spoken::Http1))) => Transport::Tls(stream),
                Some(Ok(Shaken::Agreed(stream, Spoken::Http2))) => {
                    return http2::speak(shared, client, Transport::Tls(stream)).await;
                }
                Some(Ok(Shaken::Stray(socket))) => {
                    let told = turn_away(socket, timers.linger);
                    let _gone = shared.closing.run_until_cancelled(told).await;
                    return;
                }
                Some(Ok(Shaken::Proven)) => {
                    tracing::debug!(peer = %client.address, "an authority has seen its proof");
                    return;
                }
                Some(Err(error)) => {
                    tracing::trace!(%error, peer = %client.address, "a client did not shake hands");
                    return;
                }
                None => return,
            }
        }
    };
    let io = TokioIo::new(ClientIo::new(transport, Arc::clone(&client)));
    let service = service_fn(|request| serve(Arc::clone(&shared), Arc::clone(&client), request));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        // Counts from the end of the answer before, so it bounds both a slow head and an unused connection.
        .header_read_timeout(timers.client_keep_alive)
        .max_headers(limits.headers)
        .max_header_size(limits.head_bytes)
        .title_case_headers(true)
        .serve_connection(io, service)
        .with_upgrades();
    tokio::pin!(served);
    let outcome = tokio::select! {
        outcome = served.as_mut() => outcome,
        () = shared.force.cancelled() => return,
        () = shared.closing.cancelled() => {
            served.as_mut().graceful_shutdown();
            tokio::select! {
                outcome = served.as_mut() => outcome,
                () = shared.force.cancelled() => return,
            }
        }
    };
    if let Err(error) = outcome {
        tracing::trace!(%error, peer = %client.address, "a client connection ended early");
    }
}
