//! Serves the node's two doors, the unix socket and TCP, until the node closes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::Router;
use axum::extract::ConnectInfo;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use crate::api::auth::{Door, PeerInfo};
use crate::api::routes::router;
use crate::api::state::Api;

/// Connections of one door at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 512;

/// How long a client may take to send a request's head, or to send another request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long answers may go on when the node closes, seconds.
const CLOSING_TIMEOUT_S: u64 = 5;

/// The pause after a connection that could not be accepted (no descriptors left, say), milliseconds.
const ACCEPT_PAUSE_MS: u64 = 100;

/// Where clients connect.
pub(super) trait Listener: Send + Sync {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next client, and who it is where the kernel says so.
    fn next(&self) -> impl Future<Output = io::Result<(Self::Stream, Option<PeerInfo>)>> + Send;
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<(UnixStream, Option<PeerInfo>)> {
        let (stream, _) = self.accept().await?;
        let peer = PeerInfo::of(&stream);
        Ok((stream, Some(peer)))
    }
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<(TcpStream, Option<PeerInfo>)> {
        Ok((self.accept().await?.0, None))
    }
}

/// Serves root and `own_uid` until `shutdown`; then ends endless streams, everywhere the API is served, and gives
/// other answers a few seconds.
pub async fn serve_unix(listener: UnixListener, api: Api, own_uid: u32, shutdown: impl Future<Output = ()>) {
    let routes = router(api.clone(), Door::Socket { own_uid });
    serve(listener, routes, api, HEAD_TIMEOUT, shutdown).await;
}

/// Serves `routes`, those of `api` among them, to whoever connects, and ends as [`serve_unix`] does.
pub async fn serve_tcp(listener: TcpListener, routes: Router, api: Api, shutdown: impl Future<Output = ()>) {
    serve(listener, routes, api, HEAD_TIMEOUT, shutdown).await;
}

pub(super) async fn serve(
    listener: impl Listener,
    routes: Router,
    api: Api,
    head_timeout: Duration,
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
            Ok(((stream, peer), permit)) => {
                let routes = match peer {
                    Some(peer) => routes.clone().layer(Extension(ConnectInfo(peer))),
                    None => routes.clone(),
                };
                let serving = serve_one(stream, routes, api.clone(), head_timeout);
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
    api.close();
    connections.close();
    let time = Duration::from_secs(CLOSING_TIMEOUT_S);
    if tokio::time::timeout(time, connections.wait()).await.is_err() {
        tracing::warn!(left = connections.len(), "some clients of the API are cut off");
    }
}

async fn accept<L: Listener>(
    listener: &L,
    free: &Arc<Semaphore>,
) -> io::Result<((L::Stream, Option<PeerInfo>), OwnedSemaphorePermit)> {
    let permit = Arc::clone(free).acquire_owned().await.map_err(io::Error::other)?;
    Ok((listener.next().await?, permit))
}

async fn serve_one<S>(stream: S, routes: Router, api: Api, head_timeout: Duration)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes))
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
