//! Serving the mirror inside a build's network namespace: plain HTTP and TLS, files and nothing else.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener as StdListener};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::io::ReaderStream;

use super::Mirror;
use crate::sys::netns;

/// Where names of mirrored hosts lead, inside a build.
pub(in crate::build) const ADDRESS: Ipv4Addr = Ipv4Addr::LOCALHOST;
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;
/// The most connections of one build at once; more wait in the kernel.
const CONNECTIONS_MAX: usize = 64;
/// Longest a client may take to ask, and to greet under TLS.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How much of a file is read at a time, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// A mirror that serves until this is dropped.
pub(in crate::build) struct Serving {
    _tasks: JoinSet<()>,
}

/// Serves `mirror` in a network namespace.
///
/// # Errors
/// The namespace cannot be entered, or somebody in it has the ports.
pub(in crate::build) fn serve(
    mirror: Arc<Mirror>,
    acceptor: TlsAcceptor,
    namespace: &OwnedFd,
) -> io::Result<Serving> {
    let mut tasks = JoinSet::new();
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    for (port, acceptor) in [(HTTP_PORT, None), (HTTPS_PORT, Some(acceptor))] {
        let listener = listen(namespace, port)?;
        let (mirror, connections) = (Arc::clone(&mirror), Arc::clone(&connections));
        tasks.spawn(accept(listener, acceptor, mirror, connections));
    }
    Ok(Serving { _tasks: tasks })
}

fn listen(namespace: &OwnedFd, port: u16) -> io::Result<TcpListener> {
    let bind = || StdListener::bind(SocketAddrV4::new(ADDRESS, port));
    let listener = netns::in_netns(&namespace.as_fd(), bind)??;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Ends, with all of its connections, when its task is dropped.
async fn accept(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    mirror: Arc<Mirror>,
    connections: Arc<Semaphore>,
) {
    let mut served = JoinSet::new();
    loop {
        // The semaphore is never closed.
        let Ok(turn) = Arc::clone(&connections).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else { continue };
        while served.try_join_next().is_some() {}
        let (acceptor, mirror) = (acceptor.clone(), Arc::clone(&mirror));
        served.spawn(async move {
            match acceptor {
                None => connection(stream, mirror).await,
                Some(acceptor) => {
                    if let Ok(Ok(stream)) = tokio::time::timeout(HEAD_TIMEOUT, acceptor.accept(stream)).await
                    {
                        connection(stream, mirror).await;
                    }
                }
            }
            drop(turn);
        });
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, mirror: Arc<Mirror>) {
    let service = service_fn(move |request| {
        let mirror = Arc::clone(&mirror);
        async move { Ok::<_, Infallible>(answer(&mirror, &request).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection to the mirror of a build broke off");
    }
}

type Body = BoxBody<Bytes, io::Error>;

async fn answer(mirror: &Mirror, request: &Request<Incoming>) -> Response<Body> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return told(
            StatusCode::METHOD_NOT_ALLOWED,
            "The mirror of this node gives files and takes nothing.\n",
        );
    }
    let named = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = request.uri().host().unwrap_or_else(|| named.split(':').next().unwrap_or_default());
    let opened = match mirror.place(host, request.uri().path()) {
        Some(place) => tokio::fs::File::open(place).await.ok(),
        None => None,
    };
    let Some(file) = opened else { return missing() };
    let Ok(about) = file.metadata().await else { return missing() };
    if !about.is_file() {
        return missing();
    }
    let body = if request.method() == Method::HEAD {
        empty()
    } else {
        BoxBody::new(StreamBody::new(ReaderStream::with_capacity(file, CHUNK_BYTES).map_ok(Frame::data)))
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_LENGTH, about.len().into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    response
}

fn missing() -> Response<Body> {
    told(StatusCode::NOT_FOUND, "The mirror of this node has no such file.\n")
}

fn told(status: StatusCode, text: &'static str) -> Response<Body> {
    let body = Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

fn empty() -> Body {
    Full::new(Bytes::new()).map_err(|never| match never {}).boxed()
}
