//! Whether a web dyno that listens also answers: an app may name a path that must before requests of others come.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use http::header::{CONNECTION, HOST, USER_AGENT};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::domain::{NetnsAddress, ReadinessPath};
use crate::supervisor::engine::Reach;
use crate::sys::netns::{IpVersion, NetnsRef, tcp_socket_in};
use crate::wire::headers;

/// How long one look may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an answer's head: what is longer is no answer.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// What is asked of a dyno.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// The path.
    pub(super) path: ReadinessPath,
    /// The host that it is asked for.
    pub(super) host: String,
    /// `$PORT`.
    pub(super) port: u16,
}

/// Whether the dyno answers with 2xx or 3xx, in time.
pub(super) async fn is_ready(reach: &Reach, look: &Look) -> bool {
    let answered = async {
        let stream = connect(reach, look.port).await?;
        status(stream, look).await
    };
    match timeout(LOOK_TIMEOUT, answered).await {
        Ok(Ok(status)) => (200..400).contains(&status),
        Ok(Err(error)) => {
            tracing::debug!(%error, path = %look.path, "a dyno does not answer yet");
            false
        }
        Err(_) => false,
    }
}

/// As the router does: its loopback first, its own address where that refuses.
async fn connect(reach: &Reach, port: u16) -> io::Result<TcpStream> {
    match (attempt(&reach.netns, Ipv4Addr::LOCALHOST, port).await, reach.address) {
        (Err(error), Some(address)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            attempt(&reach.netns, address, port).await
        }
        (outcome, _) => outcome,
    }
}

async fn attempt(place: &NetnsAddress, address: Ipv4Addr, port: u16) -> io::Result<TcpStream> {
    let namespace = NetnsRef { path: place.path.clone(), dev: place.device, ino: place.inode }.open()?;
    let socket = tcp_socket_in(&namespace, IpVersion::V4)?;
    // Held no longer than that, which would keep a dead one alive.
    drop(namespace);
    let socket = TcpSocket::from_std_stream(std::net::TcpStream::from(socket));
    socket.connect(SocketAddr::from((address, port))).await
}

/// The status of the answer to one request, whose body is not read.
async fn status(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    look: &Look,
) -> io::Result<u16> {
    let mut builder = http1::Builder::new();
    builder.title_case_headers(true).max_buf_size(HEAD_BYTES_MAX);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let request = http::Request::get(look.path.as_str())
        .header(HOST, &look.host)
        .header(USER_AGENT, headers::READINESS_AGENT)
        .header(CONNECTION, "close")
        .body(Empty::<bytes::Bytes>::new())
        .map_err(io::Error::other)?;
    // The answer's end may be the connection's: what came before it counts, and one that ends without an answer fails the request.
    let driven = async {
        drop(connection.await);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = sender.send_request(request) => Ok(answer.map_err(io::Error::other)?.status().as_u16()),
        () = driven => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod test {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use crate::domain::{Routing, RoutingSetting};

    use super::*;

    fn look() -> Look {
        let mut routing = Routing::default();
        routing.set(RoutingSetting::Readiness, "/health?deep=1").unwrap();
        Look { path: routing.readiness.unwrap(), host: "example.localhost".to_owned(), port: 5000 }
    }

    /// What a dyno that answers so is asked, and what comes of it.
    async fn asked(answer: &'static str) -> (String, io::Result<u16>) {
        let (ours, mut dynos) = duplex(1 << 20);
        let dyno = tokio::spawn(async move {
            let mut got = Vec::new();
            while !got.ends_with(b"\r\n\r\n") {
                got.push(dynos.read_u8().await.unwrap());
            }
            dynos.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(got).unwrap()
        });
        let status = status(ours, &look()).await;
        (dyno.await.unwrap(), status)
    }

    #[tokio::test]
    async fn a_dyno_is_asked_for_the_path_and_its_status_counts() {
        let (request, status) = asked("HTTP/1.1 204 No Content\r\n\r\n").await;
        assert!(
            request.starts_with("GET /health?deep=1 HTTP/1.1\r\nHost: example.localhost\r\n"),
            "{request}"
        );
        assert_eq!(status.unwrap(), 204);
        assert_eq!(asked("HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\n").await.1.unwrap(), 503);
        for poor in ["", "HTTP/1.1 20", "SSH-2.0-x\r\n\r\n"] {
            assert!(asked(poor).await.1.is_err(), "{poor:?}");
        }
    }
}
