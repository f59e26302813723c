//! The node's own certificate authority, and what it issues: for the API, and for the names that apps are given (RFC 5280).
//!
//! The authority is made once and kept; people make their clients trust its certificate, which anyone may read. What it
//! issues is made anew at every start, and the key of that is never on disk. Whoever trusts it believes it on names that end
//! with `.localhost` and on addresses alone: a node cannot pass for a host of the internet.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{ToSpan as _, Zoned};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, NameConstraints, date_time_ymd,
};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::domain::{Certificate, SecretKey};
use crate::sys::fs::write_atomically;

/// Names that every certificate has: clients check them, whichever way they came.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// Names of apps that are not there. Few clients take such a wildcard, so each app has a certificate of its own.
const ANY_APP: &str = "*.localhost";
/// The names that the authority may speak for: this one, and those below it.
const REALM: &str = "localhost";
/// How long the authority lasts, days.
const AUTHORITY_DAYS: i64 = 20 * 365;
/// How long a certificate lasts, days; some clients take no longer one. The node starts again before.
const CERTIFICATE_DAYS: i64 = 800;

/// The authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    path: PathBuf,
    /// Of all that is issued: making one takes longer than signing.
    key: KeyPair,
    der: SecretKey,
}

/// There is no authority, or it makes no certificate.
#[derive(Debug, Error)]
pub enum AuthorityError {
    /// A file of it.
    #[error("the file {} of the node's certificate authority", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A key or certificate that cannot be made or read.
    #[error("the node's certificate authority in {}: move it away, and a new one is made", path.display())]
    Certificate {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: rcgen::Error,
    },
    /// TLS cannot be set up with what was made.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
}

impl Authority {
    /// The authority in `dir`, made when there is none.
    ///
    /// # Errors
    /// Its files cannot be read or made.
    pub fn load(dir: &Path) -> Result<Self, AuthorityError> {
        let (key_path, path) = (dir.join("ca.key"), dir.join("ca.pem"));
        let file = |path: &Path| {
            let path = path.to_owned();
            move |source| AuthorityError::File { path, source }
        };
        let failed = |source| AuthorityError::Certificate { path: dir.to_owned(), source };
        match (std::fs::read_to_string(&key_path), std::fs::read_to_string(&path)) {
            (Ok(key), Ok(pem)) => {
                let key = KeyPair::from_pem(&key).map_err(failed)?;
                return Self::with(Issuer::new(authority_params(), key), pem, path);
            }
            // Half an authority is none: the certificate is written last.
            (Err(error), _) | (Ok(_), Err(error)) if error.kind() == io::ErrorKind::NotFound => {}
            (Err(error), _) => return Err(file(&key_path)(error)),
            (Ok(_), Err(error)) => return Err(file(&path)(error)),
        }
        std::fs::create_dir_all(dir).map_err(file(dir))?;
        let key = KeyPair::generate().map_err(failed)?;
        let params = authority_params();
        let pem = params.self_signed(&key).map_err(failed)?.pem();
        // What is written atomically is its owner's alone.
        write_atomically(&key_path, key.serialize_pem().as_bytes()).map_err(file(&key_path))?;
        write_atomically(&path, pem.as_bytes()).map_err(file(&path))?;
        Self::with(Issuer::new(params, key), pem, path)
    }

    fn with(issuer: Issuer<'static, KeyPair>, pem: String, path: PathBuf) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate()
            .map_err(|source| AuthorityError::Certificate { path: path.clone(), source })?;
        let der = SecretKey::new(key.serialize_der());
        Ok(Self { issuer, pem, path, key, der })
    }

    /// Its certificate, for those who are to trust it.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The file of its certificate.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the node itself, for who is shown no app's certificate.
    #[must_use]
    pub fn own_names(&self) -> Vec<String> {
        NAMES.into_iter().chain([ANY_APP]).map(str::to_owned).collect()
    }

    /// A certificate for these names and addresses.
    ///
    /// # Errors
    /// A name is none, or the certificate cannot be made.
    pub fn issue(&self, names: &[String]) -> Result<Certificate, AuthorityError> {
        let failed = |source| AuthorityError::Certificate { path: self.path.clone(), source };
        let mut params = CertificateParams::new(names).map_err(failed)?;
        params.distinguished_name.push(DnType::CommonName, "dyno");
        valid_for(&mut params, CERTIFICATE_DAYS);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&self.key, &self.issuer).map_err(failed)?;
        Ok(Certificate { chain: vec![certificate.der().to_vec()], key: self.der.clone() })
    }

    /// TLS under a fresh certificate for this machine, and for `addresses` on which it listens.
    ///
    /// # Errors
    /// A certificate cannot be made.
    pub fn acceptor(&self, addresses: &[IpAddr]) -> Result<TlsAcceptor, AuthorityError> {
        let mut names: Vec<String> = NAMES.map(str::to_owned).into();
        names.extend(
            addresses.iter().filter(|a| !a.is_unspecified() && !a.is_loopback()).map(ToString::to_string),
        );
        let Certificate { chain, key } = self.issue(&names)?;
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        let key = PrivateKeyDer::Pkcs8(key.reveal().to_vec().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// The same at every start, so that the authority is its key.
fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "dyno local authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName(REALM.to_owned())],
        excluded_subtrees: Vec::new(),
    });
    valid_for(&mut params, AUTHORITY_DAYS);
    params
}

/// From yesterday on, since clocks differ, for that many days.
fn valid_for(params: &mut CertificateParams, days: i64) {
    let midnight = |(year, month, day)| date_time_ymd(year, month, day);
    params.not_before = midnight(date_in(-1));
    params.not_after = midnight(date_in(days));
}

/// Year, month and day of the day that many days from now.
fn date_in(days: i64) -> (i32, u8, u8) {
    let date = Zoned::now().date().saturating_add(days.days());
    let number = |part: i8| u8::try_from(part).unwrap_or(1);
    (date.year().into(), number(date.month()), number(date.day()))
}

#[cfg(test)]
mod test {
    use std::os::unix::fs::PermissionsExt as _;

    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::client::danger::ServerCertVerifier as _;
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;

    use super::*;

    #[tokio::test]
    async fn the_authority_stays_and_its_certificates_are_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let first = Authority::load(&dir.path().join("authority")).unwrap();
        let again = Authority::load(&dir.path().join("authority")).unwrap();
        assert_eq!(first.pem(), again.pem());
        let mode = |name: &str| {
            let meta = std::fs::metadata(dir.path().join("authority").join(name)).unwrap();
            meta.permissions().mode() & 0o777
        };
        assert_eq!(mode("ca.key") & 0o077, 0, "others may read the key");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(first.pem().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        let address: IpAddr = "192.0.2.7".parse().unwrap();
        let acceptor = again.acceptor(&[address]).unwrap();
        for (name, is_known) in [
            ("localhost", true),
            ("127.0.0.1", true),
            ("::1", true),
            ("192.0.2.7", true),
            ("example.com", false),
        ] {
            let (near, far) = tokio::io::duplex(16 * 1024);
            let name = rustls::pki_types::ServerName::try_from(name).unwrap();
            let (client, _server) = tokio::join!(connector.connect(name.clone(), near), acceptor.accept(far));
            assert_eq!(client.is_ok(), is_known, "{name:?}");
        }
    }

    #[test]
    fn an_app_has_a_certificate_and_a_host_of_the_internet_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::load(dir.path()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = Arc::new(roots);
        let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(roots, provider);
        let verifier = verifier.build().unwrap();
        for (name, is_believed) in
            [("example.localhost", true), ("localhost", true), ("192.0.2.7", true), ("example.com", false)]
        {
            let shown = authority.issue(&[name.to_owned()]).unwrap();
            let certificate = CertificateDer::from(shown.chain[0].clone());
            let name = rustls::pki_types::ServerName::try_from(name).unwrap();
            let now = rustls::pki_types::UnixTime::now();
            let verdict = verifier.verify_server_cert(&certificate, &[], &name, &[], now);
            assert_eq!(verdict.is_ok(), is_believed, "{name:?}: {verdict:?}");
        }
    }
}
