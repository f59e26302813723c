//! TLS at the router's door (RFC 8446, RFC 5246): which certificate a client is shown, tickets for its next connection, and a
//! bounded number of handshakes under way.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::ring::{self, Ticketer};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{Acceptor, ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ProtocolVersion, ServerConfig};
use tokio_rustls::server::TlsStream;

use crate::domain::{Certificate, Certificates, ChallengeAnswer, RouteTable};
use crate::router::client::{Client, Secured};
use crate::router::handshakes::Handshakes;
use crate::router::lookup::speaks_http2;
use crate::router::socket::Socket;
use crate::router::stray::is_stray;
use crate::wire::router_line::Encryption;

/// What is spoken inside (RFC 7301), the better one first.
const PROTOCOLS: [&[u8]; 3] = [HTTP2, b"http/1.1", b"http/1.0"];
/// The first of them, which not all apps have.
const HTTP2: &[u8] = b"h2";

/// What an authority speaks that asks for proof (RFC 8737).
const PROOF: &[u8] = b"acme-tls/1";

/// Shakes hands with clients.
pub(super) struct Tls {
    table: watch::Receiver<Arc<RouteTable>>,
    /// For authorities that ask for proof.
    proof: Arc<ServerConfig>,
    /// For names that have HTTP/2, and for those that have not.
    http2: Arc<ServerConfig>,
    http1: Arc<ServerConfig>,
    handshakes: Handshakes,
}

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    /// HTTP/1.1, or 1.0.
    Http1,
    /// HTTP/2.
    Http2,
}

/// What came of a client's first bytes.
pub(super) enum Shaken {
    /// Both sides have shaken hands.
    Agreed(Box<TlsStream<Socket>>, Spoken),
    /// It speaks plain HTTP.
    Stray(Socket),
    /// It is an authority, and has seen what it wanted to; nothing else is said.
    Proven,
}

/// What a handshake is for.
enum Met {
    Client(Box<TlsStream<Socket>>),
    Authority,
    Stray(Socket),
}

/// The answers of the last snapshot to authorities that ask for proof. They ask seldom, so that nothing is kept ready.
#[derive(Debug)]
struct Proofs {
    certificates: watch::Receiver<Arc<Certificates>>,
    provider: Arc<CryptoProvider>,
}

/// The certificates of the last snapshot, made usable as clients ask for them.
#[derive(Debug)]
struct Showcase {
    certificates: watch::Receiver<Arc<Certificates>>,
    provider: Arc<CryptoProvider>,
    ready: RwLock<Ready>,
}

/// Those of one snapshot that have been asked for; one that cannot be used is not tried twice.
#[derive(Debug, Default)]
struct Ready {
    of: Arc<Certificates>,
    /// By the address of the certificate in `of`, which stays there for as long.
    usable: HashMap<usize, Option<Arc<CertifiedKey>>>,
}

// === impl Tls ===

impl Tls {
    /// Shows what the last snapshot says. Tickets are good for this router's lifetime alone: their keys, which change every six
    /// hours, are nowhere else.
    ///
    /// # Errors
    /// The kernel gives no random numbers.
    pub(super) fn new(
        table: watch::Receiver<Arc<RouteTable>>,
        certificates: watch::Receiver<Arc<Certificates>>,
        handshakes_max: usize,
    ) -> Result<Self, rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let proofs = Proofs { certificates: certificates.clone(), provider: Arc::clone(&provider) };
        let mut proof = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(proofs));
        proof.alpn_protocols = vec![PROOF.to_vec()];
        let showcase = Showcase { certificates, provider: Arc::clone(&provider), ready: RwLock::default() };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(showcase));
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        config.ticketer = Ticketer::new()?;
        let mut http1 = config.clone();
        http1.alpn_protocols.retain(|protocol| protocol != HTTP2);
        let (http2, http1) = (Arc::new(config), Arc::new(http1));
        let proof = Arc::new(proof);
        Ok(Self { table, proof, http2, http1, handshakes: Handshakes::new(handshakes_max) })
    }

    /// Shakes hands with a client, and notes what came of it.
    ///
    /// # Errors
    /// It took too long, or what the client sent is no handshake, or none that this side agrees to; the client has been told.
    pub(super) async fn shake(&self, socket: Socket, client: &Client, time: Duration) -> io::Result<Shaken> {
        let handshake = async {
            if is_stray(socket.begun().await?) {
                return Ok(Met::Stray(socket));
            }
            let begun = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
            // Whoever has not greeted in full holds no place: work begins here.
            let _place = self.handshakes.begin(client.address).await?;
            if asks_for_proof(&begun.client_hello()) {
                let mut shown = begun.into_stream(Arc::clone(&self.proof)).await?;
                // Whether it has gone already is all the same.
                let _gone = shown.shutdown().await;
                return Ok(Met::Authority);
            }
            let asked = begun.client_hello().server_name().map(lower);
            let is_http2 = speaks_http2(&self.table.borrow(), asked.as_deref());
            let config = if is_http2 { &self.http2 } else { &self.http1 };
            begun.into_stream(Arc::clone(config)).await.map(|stream| Met::Client(Box::new(stream)))
        };
        let stream = match timeout(time, handshake).await.map_err(|_| io::ErrorKind::TimedOut)?? {
            Met::Client(stream) => stream,
            Met::Authority => return Ok(Shaken::Proven),
            Met::Stray(stray) => return Ok(Shaken::Stray(stray)),
        };
        let session = stream.get_ref().1;
        client.secures(Secured {
            encryption: match session.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => Encryption::Tls12,
                _ => Encryption::Tls13,
            },
            server_name: session.server_name().map(lower),
        });
        let spoken = if session.alpn_protocol() == Some(HTTP2) { Spoken::Http2 } else { Spoken::Http1 };
        Ok(Shaken::Agreed(stream, spoken))
    }
}

/// Whether who greets so is an authority that asks for proof: it offers that protocol, and no other (RFC 8737, section 3).
fn asks_for_proof(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|offered| offered.eq([PROOF]))
}

fn lower(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

// === impl Showcase ===

impl ResolvesServerCert for Showcase {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let now = Arc::clone(&self.certificates.borrow());
        let certificate = now.shown(hello.server_name())?;
        self.usable(&now, certificate)
            // Better a name that does not fit than none: the client says what is wrong.
            .or_else(|| self.usable(&now, now.own.as_ref()?))
    }
}

impl Showcase {
    fn usable(&self, now: &Arc<Certificates>, certificate: &Arc<Certificate>) -> Option<Arc<CertifiedKey>> {
        let address = Arc::as_ptr(certificate).addr();
        {
            let ready = self.ready.read().unwrap_or_else(PoisonError::into_inner);
            if Arc::ptr_eq(&ready.of, now)
                && let Some(known) = ready.usable.get(&address)
            {
                return known.clone();
            }
        }
        let made = self.made(certificate);
        let mut ready = self.ready.write().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&ready.of, now) {
            *ready = Ready { of: Arc::clone(now), usable: HashMap::new() };
        }
        ready.usable.insert(address, made.clone());
        made
    }

    fn made(&self, certificate: &Certificate) -> Option<Arc<CertifiedKey>> {
        made(certificate, &self.provider)
    }
}

fn made(certificate: &Certificate, provider: &CryptoProvider) -> Option<Arc<CertifiedKey>> {
    let chain = certificate.chain.iter().cloned().map(CertificateDer::from).collect();
    let key = PrivateKeyDer::try_from(certificate.key.reveal().to_vec());
    let made = key
        .map_err(|reason| rustls::Error::General(reason.to_owned()))
        .and_then(|key| CertifiedKey::from_der(chain, key, provider));
    match made {
        Ok(made) => Some(Arc::new(made)),
        Err(error) => {
            tracing::warn!(%error, "a certificate cannot be shown to clients");
            None
        }
    }
}

// === impl Proofs ===

impl ResolvesServerCert for Proofs {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let now = Arc::clone(&self.certificates.borrow());
        // Without one the handshake fails: a name that is not asked for has no proof.
        match now.answers.get(lower(hello.server_name()?).as_str())? {
            ChallengeAnswer::Tls(certificate) => unchecked(certificate, &self.provider),
            ChallengeAnswer::Http { .. } => None,
        }
    }
}

/// As [`made`], without a look at the certificate: what makes one a proof is an extension that no client knows, so that a check would
/// refuse it.
fn unchecked(certificate: &Certificate, provider: &CryptoProvider) -> Option<Arc<CertifiedKey>> {
    let chain = certificate.chain.iter().cloned().map(CertificateDer::from).collect();
    let key = PrivateKeyDer::try_from(certificate.key.reveal().to_vec()).ok()?;
    let key = provider.key_provider.load_private_key(key).ok()?;
    Some(Arc::new(CertifiedKey::new(chain, key)))
}
