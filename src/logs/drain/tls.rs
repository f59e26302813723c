//! TLS towards receivers: whom to believe, and what is wrong with a certificate in the words of the platform.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{self, CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use crate::domain::Verification;
use crate::logs::drain::error::DeliverError;

/// Whose certificates hold.
#[derive(Clone, Debug, Default)]
pub enum Trust {
    /// Those of the authorities that this host trusts (`ca-certificates`, or the file that `SSL_CERT_FILE` names).
    #[default]
    Host,
    /// Those of the authorities in this file, PEM.
    File(PathBuf),
}

/// Both ways to set up TLS; made at first use.
#[derive(Debug)]
pub struct Tls {
    trust: Trust,
    verified: Mutex<Option<Arc<ClientConfig>>>,
}

// === impl Tls ===

impl Tls {
    /// Trusts whom `trust` says; nothing is read yet.
    #[must_use]
    pub fn new(trust: Trust) -> Self {
        Self { trust, verified: Mutex::default() }
    }

    /// Connects to those whose certificates are `verification`; reads files at first use.
    ///
    /// # Errors
    /// This host trusts nobody, or the provider of cryptography fails.
    pub fn connector(&self, verification: Verification) -> Result<TlsConnector, DeliverError> {
        let config = match verification {
            Verification::Waived => Arc::new(unverified()?),
            Verification::Required => {
                let mut made = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
                match &*made {
                    Some(config) => Arc::clone(config),
                    None => Arc::clone(made.insert(Arc::new(verified(&self.trust)?))),
                }
            }
        };
        Ok(TlsConnector::from(config))
    }
}

fn verified(trust: &Trust) -> Result<ClientConfig, DeliverError> {
    let found = match trust {
        Trust::Host => rustls_native_certs::load_native_certs(),
        Trust::File(path) => rustls_native_certs::load_certs_from_paths(Some(path), None),
    };
    let mut roots = RootCertStore::empty();
    // A certificate that cannot be used is no reason to distrust the others.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(DeliverError::NoTrust);
    }
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    Ok(builder.map_err(DeliverError::broken)?.with_root_certificates(roots).with_no_client_auth())
}

fn unverified() -> Result<ClientConfig, DeliverError> {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let anyone = Arc::new(Anyone(provider()));
    let builder = builder.map_err(DeliverError::broken)?.dangerous();
    Ok(builder.with_custom_certificate_verifier(anyone).with_no_client_auth())
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// What is wrong with the certificate, if that is why a handshake failed.
pub(super) fn certificate_error(failed: &std::io::Error) -> Option<String> {
    let failed: &Error = failed.get_ref()?.downcast_ref()?;
    let Error::InvalidCertificate(reason) = failed else { return None };
    let expired = matches!(reason, CertificateError::Expired | CertificateError::ExpiredContext { .. });
    let unknown = matches!(reason, CertificateError::UnknownIssuer);
    let other_host =
        matches!(reason, CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. });
    let words = match (expired, unknown, other_host) {
        (true, _, _) => "certificate expired",
        (_, true, _) => "unknown ca",
        (_, _, true) => "hostname check failed",
        (false, false, false) => "bad certificate",
    };
    Some(words.to_owned())
}

/// Believes everybody, for URLs that say `#insecure`. Signatures are checked, so that whoever answers at least holds the
/// key of the certificate it shows.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
