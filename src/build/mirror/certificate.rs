//! The authority of one build, and what it issues: made for it, never on the host's disk, and trusted by nobody else.

use std::sync::Arc;

use jiff::{ToSpan as _, Zoned};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// How long it all lasts, in days: no build takes longer.
const DAYS: i64 = 2;

/// No certificate could be made.
#[derive(Debug, Error)]
pub(in crate::build) enum IdentityError {
    /// A key or a certificate.
    #[error("the certificate of the mirror cannot be made")]
    Certificate(#[from] rcgen::Error),
    /// TLS with them.
    #[error("TLS of the mirror cannot be set up")]
    Tls(#[from] rustls::Error),
}

/// What the mirror of a build shows, and by what the build knows it.
pub(in crate::build) struct Identity {
    /// Under a certificate for all hosts of the mirror.
    pub(in crate::build) acceptor: TlsAcceptor,
    /// The authority's certificate, for the build's trust store.
    pub(in crate::build) authority: String,
}

impl Identity {
    /// A fresh authority and a certificate of it for these hosts.
    pub(in crate::build) fn new(hosts: impl Iterator<Item = String>) -> Result<Self, IdentityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = named("dyno build mirror");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        valid(&mut params);
        let key = KeyPair::generate()?;
        let authority = params.self_signed(&key)?.pem();
        let issuer = Issuer::new(params, key);

        let mut params = CertificateParams::new(hosts.collect::<Vec<_>>())?;
        params.distinguished_name = named("dyno build mirror, files");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        valid(&mut params);
        let key = KeyPair::generate()?;
        let certificate = CertificateDer::from(params.signed_by(&key, &issuer)?.der().to_vec());
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), authority })
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut all = DistinguishedName::new();
    all.push(DnType::CommonName, name);
    all
}

/// From yesterday on, since clocks differ.
fn valid(params: &mut CertificateParams) {
    let day = |days: i64| {
        let date = Zoned::now().date().saturating_add(days.days());
        let number = |part: i8| u8::try_from(part).unwrap_or(1);
        date_time_ymd(date.year().into(), number(date.month()), number(date.day()))
    };
    params.not_before = day(-1);
    params.not_after = day(DAYS);
}
