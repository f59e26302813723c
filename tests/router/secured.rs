//! How a client of a case uses TLS: the name that it asks for, what it offers, and what came of it.

use std::sync::Arc;

use dyno::domain::{Certificate, Certificates};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{Error, ProtocolVersion};

use crate::tls::{certificate, trusting};

/// What the router of a case shows: one certificate for two names, one for a third, and its own for its address.
const SHOWN: [&[&str]; 3] = [
    &["example.localhost", "alias.localhost", "www.example.com"],
    &["other.localhost"],
    &["localhost", "127.0.0.1"],
];

/// What `set` says of TLS.
#[derive(Debug)]
pub(crate) struct Secured {
    /// The name; an address is not told to the router (RFC 6066 section 3).
    pub(crate) name: String,
    /// What is offered to be spoken inside (RFC 7301).
    pub(crate) protocols: Vec<String>,
    /// `1.2` or `1.3`.
    pub(crate) version: String,
}

impl Default for Secured {
    fn default() -> Self {
        Self { name: "example.localhost".to_owned(), protocols: Vec::new(), version: "1.3".to_owned() }
    }
}

impl Secured {
    /// What the router of a case shows; the same for all of them, since keys take time.
    pub(crate) fn certificates() -> Certificates {
        let mut all = Certificates::default();
        for (names, shown) in SHOWN.iter().zip(keys()) {
            for name in *names {
                if let Ok(name) = name.parse() {
                    all.insert(&name, Arc::clone(shown));
                }
            }
        }
        all.own = keys().last().cloned();
        all
    }

    /// Shakes hands over `stream`.
    pub(crate) async fn shake(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let version = if self.version == "1.2" { &TLS12 } else { &TLS13 };
        let trusted: Vec<&Certificate> = keys().iter().map(|certificate| &**certificate).collect();
        let mut config = trusting(&trusted, &[version]);
        config.alpn_protocols = self.protocols.iter().map(|name| name.clone().into_bytes()).collect();
        let name = ServerName::try_from(self.name.clone()).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// What came of a handshake, in words.
    pub(crate) fn told(shaken: &std::io::Result<TlsStream<TcpStream>>) -> String {
        match shaken {
            Ok(stream) => {
                let session = stream.get_ref().1;
                let version = match session.protocol_version() {
                    Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
                    Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
                    other => panic!("no version of ours: {other:?}"),
                };
                let protocol = session.alpn_protocol().map(String::from_utf8_lossy);
                format!("{version}, {}", protocol.as_deref().unwrap_or("no protocol named"))
            }
            Err(error) => match error.get_ref().and_then(|error| error.downcast_ref::<Error>()) {
                Some(Error::AlertReceived(alert)) => format!("alert {alert:?}"),
                _ => format!("no handshake: {error}"),
            },
        }
    }
}

fn keys() -> &'static [Arc<Certificate>] {
    static KEYS: std::sync::OnceLock<Vec<Arc<Certificate>>> = std::sync::OnceLock::new();
    KEYS.get_or_init(|| SHOWN.iter().map(|names| certificate(names)).collect())
}
