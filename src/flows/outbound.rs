//! Connections that the node makes because a user of an app says so: to addresses of the public Internet alone, unless the
//! administrator allows others.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::domain::{DrainUrl, Reach};
use crate::logs::{self, AddressError, Tls};

/// Why there is no connection. Names no address: what is told of it goes to whoever gave the URL.
#[derive(Debug, Error)]
pub(super) enum ConnectError {
    /// The name means nothing, or is none that a certificate could have.
    #[error("its name is not found")]
    Name,
    /// The name means addresses that are not allowed, and no other.
    #[error("its address is not one of the public Internet beyond the node")]
    NotAllowed,
    /// Nobody answers there.
    #[error("it cannot be connected to")]
    Connect(#[source] io::Error),
    /// Who answers cannot prove to be meant.
    #[error("its certificate is not trusted")]
    Tls,
}

/// A connection, encrypted or not.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Connects to where `url` leads, over TLS where its scheme says so.
pub(super) async fn connect(
    url: &DrainUrl,
    tls: &Arc<Tls>,
    reach: Reach,
) -> Result<Box<dyn Duplex>, ConnectError> {
    // The address that is judged is the one that is connected to: a name may mean another in a moment.
    let allowed = addresses(url, reach).await?;
    let stream = TcpStream::connect(&*allowed).await.map_err(ConnectError::Connect)?;
    if !url.transport.is_tls() {
        return Ok(Box::new(stream));
    }
    let (tls, verification) = (Arc::clone(tls), url.verification);
    let connector = tokio::task::spawn_blocking(move || tls.connector(verification)).await;
    let connector = connector.map_err(|_| ConnectError::Tls)?.map_err(|_| ConnectError::Tls)?;
    let name = ServerName::try_from(url.host.clone()).map_err(|_| ConnectError::Name)?;
    let stream = connector.connect(name, stream).await.map_err(|_| ConnectError::Tls)?;
    Ok(Box::new(stream))
}

/// Where `url` leads now, as far as that is allowed.
pub(super) async fn addresses(url: &DrainUrl, reach: Reach) -> Result<Vec<SocketAddr>, ConnectError> {
    logs::addresses(url, reach).await.map_err(|error| match error {
        AddressError::Name { .. } => ConnectError::Name,
        AddressError::NotAllowed => ConnectError::NotAllowed,
        AddressError::Own { source } => ConnectError::Connect(source),
    })
}

/// The `Host` header: the port only where it is not the scheme's own.
pub(super) fn host(url: &DrainUrl) -> String {
    let shown = url.to_string();
    let address = shown.split_once("://").map_or(shown.as_str(), |(_, address)| address);
    let usual = if url.transport.is_tls() { ":443" } else { ":80" };
    address.strip_suffix(usual).unwrap_or(address).to_owned()
}
