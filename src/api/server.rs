//! Serves the API on the unix socket, until the node closes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::Router;
use axum::extract::ConnectInfo;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use crate::api::auth::{Door, PeerInfo};
use crate::api::routes::router;
use crate::api::state::Api;

/// Connections at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 512;

/// How long a client may take to send a request's head, or to send another request, seconds.
const HEAD_TIMEOUT_S: u64 = 30;

/// How long answers may go on when the node closes, seconds.
const CLOSING_TIMEOUT_S: u64 = 5;

/// The pause after a connection that could not be accepted (no descriptors left, say), milliseconds.
const ACCEPT_PAUSE_MS: u64 = 100;

/// Serves root and `own_uid` until `shutdown`; then ends endless streams, everywhere the API is served, and gives
/// other answers a few seconds.
pub async fn serve_unix(listener: UnixListener, api: Api, own_uid: u32, shutdown: impl Future<Output = ()>) {
    let routes = router(api.clone(), Door::Socket { own_uid });
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
                let serving = serve(stream, routes.clone(), api.clone());
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

async fn accept(
    listener: &UnixListener,
    free: &Arc<Semaphore>,
) -> io::Result<(UnixStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(free).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, permit))
}

async fn serve(stream: UnixStream, routes: Router, api: Api) {
    let peer = ConnectInfo(PeerInfo::of(&stream));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(HEAD_TIMEOUT_S))
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes.layer(Extension(peer))))
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
