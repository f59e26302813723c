//! A node that is reached over TCP: where it is, how its certificate is told from others', and the token its user has for it.

use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use http::Uri;
use http::uri::Scheme;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use crate::cli::failure::Failure;
use crate::cli::netrc;

/// A token that is used in place of the one that `login` keeps.
const TOKEN_VARIABLE: &str = "DYNO_API_KEY";
/// Names of this very machine: what is sent there is seen by nobody else, so that TLS may be left out.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// A connection's bytes, under TLS or not.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// The address of a node's port: `https://node.example.com:5080`, or `http://localhost:5080` through a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    is_tls: bool,
    /// As a URL has it: an IPv6 address in brackets.
    name: String,
    port: u16,
}

impl Host {
    /// The node at `port` of this machine's loopback, in plain HTTP.
    pub(super) fn local(port: u16) -> Self {
        Self { is_tls: false, name: "localhost".to_owned(), port }
    }

    /// The begin of every URL of the node's.
    pub(super) fn origin(&self) -> String {
        format!("{}://{}", if self.is_tls { "https" } else { "http" }, self.authority())
    }

    /// The same without the scheme, and without the scheme's own port: what `Host` holds, and what names it in `.netrc`.
    pub(super) fn authority(&self) -> String {
        let own_port = if self.is_tls { HTTPS_PORT } else { HTTP_PORT };
        if self.port == own_port { self.name.clone() } else { format!("{}:{}", self.name, self.port) }
    }

    /// The number of the port.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is an address of this machine's loopback.
    pub(super) fn is_loopback(&self) -> bool {
        LOOPBACK.contains(&self.name.as_str())
    }

    /// Connects to it; `authority` is a file of certificates that are trusted beside the machine's own.
    pub(super) async fn connect(&self, authority: Option<&Path>) -> Result<Box<dyn Wire>, Failure> {
        let unreachable = |source| Failure::HostDown { origin: self.origin(), source };
        let name = self.name.trim_matches(['[', ']']);
        let stream = TcpStream::connect((name, self.port)).await.map_err(unreachable)?;
        // Requests are small and waited for.
        stream.set_nodelay(true).map_err(unreachable)?;
        if !self.is_tls {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| Failure::Usage(format!("{name} is no name that a certificate could be for.")))?;
        let connector = TlsConnector::from(Arc::new(configuration(authority)?));
        match connector.connect(name, stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(source) if is_about_a_certificate(&source) => {
                Err(Failure::Untrusted { origin: self.origin(), source })
            }
            Err(source) => Err(unreachable(source)),
        }
    }

    /// The token for it: the environment's, or the one that `login` has kept.
    pub(super) fn token(&self) -> Result<String, Failure> {
        match self.known_token()? {
            Some(token) => Ok(token),
            None => Err(Failure::LoggedOut(self.origin())),
        }
    }

    /// The same, where there is one.
    pub(super) fn known_token(&self) -> Result<Option<String>, Failure> {
        if let Some(token) = std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty()) {
            return Ok(Some(token));
        }
        Ok(netrc::login(&self.authority())?.map(|login| login.password))
    }
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let whole = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let uri: Uri = whole.parse().map_err(|_| format!("{text} is no address of a node"))?;
        let authority = uri.authority().ok_or_else(|| format!("{text} names no host"))?;
        if authority.as_str().contains('@') {
            return Err("a login does not belong into an address: see dyno login".to_owned());
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(format!(
                "{text} is more than the address of a node: leave out what follows the port"
            ));
        }
        let is_tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(_) | None => return Err("a node is reached by https:// or http://".to_owned()),
        };
        let port = authority.port_u16().unwrap_or(if is_tls { HTTPS_PORT } else { HTTP_PORT });
        let host = Self { is_tls, name: authority.host().to_ascii_lowercase(), port };
        if !host.is_tls && !host.is_loopback() {
            return Err(format!(
                "plain HTTP would show your token to everyone on the way to {}: use https://, or dyno tunnel",
                host.name
            ));
        }
        Ok(host)
    }
}

fn is_about_a_certificate(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<tokio_rustls::rustls::Error>());
    matches!(inner, Some(tokio_rustls::rustls::Error::InvalidCertificate(_)))
}

/// TLS as every client here does it: the machine's own roots, and those of a file.
fn configuration(authority: Option<&Path>) -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = authority {
        let attempt = || format!("read certificates in {}", path.display());
        let certificates = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|failed| Failure::local(attempt())(io::Error::other(failed.to_string())))?;
        roots.add_parsable_certificates(certificates);
    }
    let provider = Arc::new(crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let versions = versions.map_err(|failed| Failure::local("speak TLS")(io::Error::other(failed)))?;
    Ok(versions.with_root_certificates(roots).with_no_client_auth())
}

/// Where this user's programs keep small files of their own.
pub(super) fn data_dir() -> Result<PathBuf, Failure> {
    let given = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = given("XDG_DATA_HOME").or_else(|| Some(given("HOME")?.join(".local/share")));
    base.map(|base| base.join("dyno")).ok_or_else(no_home)
}

/// A home directory is asked for and there is none.
pub(super) fn no_home() -> Failure {
    Failure::Usage("HOME is not set: set it to the directory in which your files are.".to_owned())
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_a_name_and_a_port_and_nothing_else() {
        let origin = |text: &str| text.parse::<Host>().map(|host| host.origin());
        assert_eq!(origin("node.example.com").unwrap(), "https://node.example.com");
        assert_eq!(origin("https://Node.example.com:5080/").unwrap(), "https://node.example.com:5080");
        assert_eq!(origin("http://localhost:5080").unwrap(), "http://localhost:5080");
        assert_eq!(origin("http://[::1]:5080").unwrap(), "http://[::1]:5080");
        assert_eq!(origin("https://localhost:443").unwrap(), "https://localhost");
        for wrong in [
            "",
            "http://node.example.com",
            "http://localhost.example.com:5080",
            "https://me:secret@node.example.com",
            "https://node.example.com/apps",
            "ssh://node.example.com",
        ] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
        assert!(!origin("https://me:secret@node.example.com").unwrap_err().contains("secret"));
    }
}
