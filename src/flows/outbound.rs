//! Connections that the node makes because a user of an app says so: to addresses of the public Internet alone, unless the
//! administrator allows others.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::rustls::pki_types::ServerName;

use crate::domain::{DrainUrl, is_public};
use crate::logs::Tls;

/// To where such connections may lead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Addresses of the public Internet.
    #[default]
    Public,
    /// Any address, those of the node and its networks among them.
    Any,
}

/// Why there is no connection. Names no address: what is told of it goes to whoever gave the URL.
#[derive(Debug, Error)]
pub(super) enum ConnectError {
    /// The name means nothing, or is none that a certificate could have.
    #[error("its name is not found")]
    Name,
    /// The name means addresses that are not allowed, and no other.
    #[error("its address is not one of the public Internet")]
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
    let found = lookup_host((url.host.as_str(), url.port)).await.map_err(|_| ConnectError::Name)?;
    allowed(found, reach)
}

/// Those of `found` that may be connected to.
fn allowed(found: impl Iterator<Item = SocketAddr>, reach: Reach) -> Result<Vec<SocketAddr>, ConnectError> {
    let (mut allowed, mut were_there) = (Vec::new(), false);
    for address in found {
        were_there = true;
        // An address of version 4 in the clothes of version 6 is judged as what it is.
        let ip: IpAddr = address.ip().to_canonical();
        if reach == Reach::Any || is_public(ip) {
            allowed.push(address);
        }
    }
    match (allowed.is_empty(), were_there) {
        (false, _) => Ok(allowed),
        (true, true) => Err(ConnectError::NotAllowed),
        (true, false) => Err(ConnectError::Name),
    }
}

/// The `Host` header: the port only where it is not the scheme's own.
pub(super) fn host(url: &DrainUrl) -> String {
    let shown = url.to_string();
    let address = shown.split_once("://").map_or(shown.as_str(), |(_, address)| address);
    let usual = if url.transport.is_tls() { ":443" } else { ":80" };
    address.strip_suffix(usual).unwrap_or(address).to_owned()
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn only_addresses_of_the_internet_are_connected_to_unless_all_may_be() {
        let addresses = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 80)).collect()
        };
        let mixed = addresses(&["127.0.0.1", "1.1.1.1", "::1", "::ffff:10.0.0.1"]);
        let kept = allowed(mixed.clone().into_iter(), Reach::Public).unwrap();
        assert_eq!(kept, addresses(&["1.1.1.1"]));
        assert_eq!(allowed(mixed.clone().into_iter(), Reach::Any).unwrap(), mixed);
        let refused = allowed(addresses(&["169.254.169.254"]).into_iter(), Reach::Public).unwrap_err();
        assert!(matches!(refused, ConnectError::NotAllowed));
        assert!(matches!(allowed(std::iter::empty(), Reach::Any), Err(ConnectError::Name)));
    }
}
