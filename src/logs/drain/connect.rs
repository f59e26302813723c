//! Connecting to a receiver, with TLS when its URL says so.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::domain::{DrainUrl, Reach};
use crate::logs::drain::address::{AddressError, addresses};
use crate::logs::drain::error::DeliverError;
use crate::logs::drain::tls::{Tls, certificate_error};

/// How long a connection and its handshake may take, seconds (platform reference 5.4).
const CONNECT_TIMEOUT_S: u64 = 3;

/// A stream of bytes in both directions.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection to a receiver.
pub(super) struct Connection {
    pub(super) stream: Box<dyn Duplex>,
    /// The socket below, for what only the kernel knows.
    pub(super) socket: OwnedFd,
}

/// How drains connect.
#[derive(Clone, Debug)]
pub(super) struct Way {
    /// Whom to believe.
    pub(super) tls: Arc<Tls>,
    /// To where.
    pub(super) reach: Reach,
}

/// Connects to the machine that `url` names.
pub(super) async fn connect(url: &DrainUrl, way: &Way) -> Result<Connection, DeliverError> {
    let limit = Duration::from_secs(CONNECT_TIMEOUT_S);
    let slow = |_| DeliverError::Slow { attempt: "take a connection", limit_s: CONNECT_TIMEOUT_S };
    tokio::time::timeout(limit, connect_in_time(url, way)).await.map_err(slow)?
}

async fn connect_in_time(url: &DrainUrl, way: &Way) -> Result<Connection, DeliverError> {
    let failed = |source| DeliverError::Connect { source };
    let allowed = addresses(url, way.reach).await.map_err(|error| match error {
        AddressError::Name { source } | AddressError::Own { source } => DeliverError::Connect { source },
        AddressError::NotAllowed => DeliverError::NotAllowed,
    })?;
    let stream = TcpStream::connect(&*allowed).await.map_err(failed)?;
    // Batches are written whole; what is left of one must not wait for the next.
    stream.set_nodelay(true).map_err(failed)?;
    let socket = stream.as_fd().try_clone_to_owned().map_err(failed)?;
    if !url.transport.is_tls() {
        return Ok(Connection { stream: Box::new(stream), socket });
    }
    let (tls, verification) = (Arc::clone(&way.tls), url.verification);
    let connector = tokio::task::spawn_blocking(move || tls.connector(verification)).await;
    let connector = connector.map_err(DeliverError::broken)??;
    let name = ServerName::try_from(url.host.clone()).map_err(|error| failed(io::Error::other(error)))?;
    let stream =
        connector.connect(name, stream).await.map_err(|source| match certificate_error(&source) {
            Some(error) => DeliverError::Certificate { error },
            None => DeliverError::Connect { source },
        })?;
    Ok(Connection { stream: Box::new(stream), socket })
}
