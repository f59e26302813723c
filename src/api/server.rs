//! Serves the node's two doors, the unix socket and TCP, until the node closes.
//!
//! One TCP port serves three things, told apart by the first byte that a client sends: the begin of a TLS handshake, or
//! HTTP; and inside of TLS HTTP once more, or the name of a one-off dyno that waits ([`crate::api::rendezvous`]). What
//! comes from another machine is served under TLS alone.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use crate::api::auth::{Door, Link, PeerInfo};
use crate::api::replay::Replay;
use crate::api::routes::router;
use crate::api::state::Api;
use crate::api::{error, rendezvous};
use crate::flows::Stranger;

/// Connections of one door at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 512;

/// How long a client may take to send its first byte, to shake hands, or to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long answers may go on when the node closes, seconds.
const CLOSING_TIMEOUT_S: u64 = 5;

/// The pause after a connection that could not be accepted (no descriptors left, say), milliseconds.
const ACCEPT_PAUSE_MS: u64 = 100;

/// The first byte of a TLS record that begins a handshake (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// Where clients connect.
pub(super) trait Listener: Send + Sync {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next client.
    fn next(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<UnixStream> {
        Ok(self.accept().await?.0)
    }
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<TcpStream> {
        Ok(self.accept().await?.0)
    }
}

/// What is served to whoever connects.
#[derive(Clone)]
pub struct Front {
    pub(super) routes: Router,
    pub(super) api: Api,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) head_timeout: Duration,
}

impl Front {
    /// `routes`, those of `api` among them; with `tls`, over TLS as well.
    #[must_use]
    pub fn new(routes: Router, api: Api, tls: Option<TlsAcceptor>) -> Self {
        Self { routes, api, tls, head_timeout: HEAD_TIMEOUT }
    }
}

/// Serves root and `own_uid` until `shutdown`; then ends endless streams, everywhere the API is served, and gives
/// other answers a few seconds.
pub async fn serve_unix(listener: UnixListener, api: Api, own_uid: u32, shutdown: impl Future<Output = ()>) {
    let front = Front::new(router(api.clone(), Door::Socket { own_uid }), api, None);
    let one = |stream: UnixStream, front: Front| async move {
        let link = Link::Socket(PeerInfo::of(&stream));
        http(stream, front, (link, None)).await;
    };
    serve(listener, front, one, shutdown).await;
}

/// Serves `front` to whoever connects, and ends as [`serve_unix`] does.
pub async fn serve_tcp(listener: TcpListener, front: Front, shutdown: impl Future<Output = ()>) {
    serve(listener, front, sort, shutdown).await;
}

async fn serve<L: Listener, F: Future<Output = ()> + Send + 'static>(
    listener: L,
    front: Front,
    one: impl Fn(L::Stream, Front) -> F,
    shutdown: impl Future<Output = ()>,
) {
    let connections = TaskTracker::new();
    let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &free) => accepted,
        };
        match accepted {
            Ok((stream, permit)) => {
                let serving = one(stream, front.clone());
                connections.spawn(async move {
                    serving.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection to the API");
                tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
            }
        }
    }
    front.api.close();
    connections.close();
    let time = Duration::from_secs(CLOSING_TIMEOUT_S);
    if timeout(time, connections.wait()).await.is_err() {
        tracing::warn!(left = connections.len(), "some clients of the API are cut off");
    }
}

async fn accept<L: Listener>(
    listener: &L,
    free: &Arc<Semaphore>,
) -> io::Result<(L::Stream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(free).acquire_owned().await.map_err(io::Error::other)?;
    Ok((listener.next().await?, permit))
}

/// Looks at what a client of TCP begins with.
async fn sort(mut stream: TcpStream, front: Front) {
    // Answers are short and waited for.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a client of the API has gone");
        return;
    }
    // One that has gone has no address any more.
    let Ok(from) = stream.peer_addr().map(|peer| peer.ip().to_canonical()) else { return };
    let Some(stranger) = front.api.node.strangers().enter(from) else {
        tracing::debug!(%from, "too many connections from one address whose clients are not known yet");
        return;
    };
    let mut first = [0];
    let Ok(Ok(1)) = timeout(front.head_timeout, stream.peek(&mut first)).await else { return };
    match &front.tls {
        Some(tls) if first[0] == TLS_HANDSHAKE => {
            let shaken = timeout(front.head_timeout, tls.accept(stream)).await;
            match shaken {
                Ok(Ok(stream)) => inside_tls(stream, (from, stranger), front).await,
                Ok(Err(error)) => tracing::debug!(%error, "a client of the API did not shake hands"),
                Err(_) => {}
            }
        }
        Some(_) if !from.is_loopback() => {
            // There is nobody to tell when this fails.
            let _gone = stream.write_all(&error::tls_only()).await;
        }
        Some(_) | None => http(stream, front, (Link::Plain(from), Some(stranger))).await,
    }
}

/// Methods are words in capitals, names of waiting dynos are in small letters and digits.
async fn inside_tls<S>(mut stream: S, (from, stranger): (IpAddr, Stranger), front: Front)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut first = [0];
    let Ok(Ok(1)) = timeout(front.head_timeout, stream.read(&mut first)).await else { return };
    let stream = Replay::new(first[0], stream);
    if first[0].is_ascii_uppercase() {
        http(stream, front, (Link::Tls(from), Some(stranger))).await;
    } else {
        rendezvous::serve(&front.api, stream, &stranger).await;
    }
}

async fn http<S>(stream: S, front: Front, (link, stranger): (Link, Option<Stranger>))
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Front { routes, api, head_timeout, .. } = front;
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(link);
        if let Some(stranger) = &stranger {
            request.extensions_mut().insert(stranger.clone());
        }
        routes.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = api.closing() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a client of the API has gone");
    }
}
