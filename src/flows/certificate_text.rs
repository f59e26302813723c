//! Certificates as users bring them: PEM in any order, checked before they are kept (RFC 5280, RFC 7468).

use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier as _;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{InconsistentKeys, RootCertStore};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Name;

use crate::domain::{Certificate, CertificateError, CertificateFacts, HostPattern, SecretKey, Standing};
use crate::wire::api::timestamp;

/// Characters in a line of PEM.
const PEM_LINE_CHARACTERS: usize = 64;

/// Reads a chain in any order and the key of its first certificate. What is not part of the chain is left out.
///
/// # Errors
/// The texts are none, do not belong together, or hold no more at `now_s`, Unix time in seconds.
pub(super) fn read(chain: &str, key: &str, now_s: i64) -> Result<Certificate, CertificateError> {
    let given: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| CertificateError::Chain)?;
    if given.is_empty() {
        return Err(CertificateError::Chain);
    }
    if given.len() > CertificateError::CHAIN_MAX {
        return Err(CertificateError::Long);
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| CertificateError::Key)?;
    let own = given.iter().position(|certificate| is_for(certificate, &key).is_ok_and(|is_for| is_for));
    let own = match own {
        Some(own) => own,
        None => {
            return Err(is_for(&given[0], &key).map_or_else(|failed| failed, |_| CertificateError::Mismatch));
        }
    };
    let chain: Vec<Vec<u8>> = ordered(&given, own)?.into_iter().map(<[u8]>::to_vec).collect();
    let certificate = Certificate { chain, key: SecretKey::new(key.secret_der().to_vec()) };
    let facts = facts(&certificate).ok_or(CertificateError::Chain)?;
    if facts.names.is_empty() {
        return Err(CertificateError::Nameless);
    }
    if facts.expires_at_s < now_s {
        return Err(CertificateError::Expired(timestamp(facts.expires_at_s)));
    }
    Ok(certificate)
}

/// Whether the key is a certificate's.
fn is_for(
    certificate: &CertificateDer<'static>,
    key: &PrivateKeyDer<'static>,
) -> Result<bool, CertificateError> {
    let provider = ring::default_provider();
    let key = provider.key_provider.load_private_key(key.clone_key()).map_err(|_| CertificateError::Kind)?;
    match CertifiedKey::new(vec![certificate.clone()], key).keys_match() {
        Ok(()) => Ok(true),
        Err(tokio_rustls::rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Ok(false),
        Err(_) => Err(CertificateError::Chain),
    }
}

/// The certificate at `own`, and after each the one that signed it. One that signed itself ends the chain, and is left out where
/// there are others: clients have it, or do not believe it.
fn ordered<'a>(given: &'a [CertificateDer<'static>], own: usize) -> Result<Vec<&'a [u8]>, CertificateError> {
    let parsed: Vec<X509Certificate<'a>> = given
        .iter()
        .map(|der| X509Certificate::from_der(der).map(|(_, parsed)| parsed))
        .collect::<Result<_, _>>()
        .map_err(|_| CertificateError::Chain)?;
    let mut chain = vec![own];
    loop {
        let last = &parsed[chain[chain.len() - 1]];
        let has_signed = |(at, other): &(usize, &X509Certificate<'_>)| {
            !chain.contains(at)
                && other.subject().as_raw() == last.issuer().as_raw()
                && last.verify_signature(Some(other.public_key())).is_ok()
        };
        match parsed.iter().enumerate().find(has_signed) {
            Some((next, other)) if other.subject().as_raw() != other.issuer().as_raw() => chain.push(next),
            Some(_) | None => return Ok(chain.into_iter().map(|at| &*given[at]).collect()),
        }
    }
}

/// What a certificate says of itself; none where it cannot be read.
pub(super) fn facts(certificate: &Certificate) -> Option<CertificateFacts> {
    let (_, parsed) = X509Certificate::from_der(certificate.chain.first()?).ok()?;
    let names = match parsed.subject_alternative_name().ok()? {
        Some(extension) => {
            let names = extension.value.general_names.iter();
            names
                .filter_map(|name| {
                    if let GeneralName::DNSName(name) = name { Some(name.to_ascii_lowercase()) } else { None }
                })
                .collect()
        }
        None => common_host(parsed.subject()).into_iter().collect(),
    };
    Some(CertificateFacts {
        subject: slashed(parsed.subject()),
        issuer: slashed(parsed.issuer()),
        names,
        starts_at_s: parsed.validity().not_before.timestamp(),
        expires_at_s: parsed.validity().not_after.timestamp(),
    })
}

/// The host that a common name is: what a certificate without the extension for names is for (RFC 6125, section 6.4.4), as
/// `openssl req` makes it unless told otherwise, and with it the platform's `certs:generate`.
fn common_host(subject: &X509Name<'_>) -> Option<String> {
    let name = subject.iter_common_name().last()?.as_str().ok()?.to_ascii_lowercase();
    name.parse::<HostPattern>().is_ok().then_some(name)
}

/// `/C=DE/O=Example/CN=www.example.com`
fn slashed(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    for attribute in name.iter_attributes() {
        let kind =
            x509_parser::objects::oid2abbrev(attribute.attr_type(), x509_parser::objects::oid_registry());
        let kind = kind.map_or_else(|_| attribute.attr_type().to_id_string(), str::to_owned);
        // Writing to a String cannot fail.
        let _ = write!(text, "/{kind}={}", attribute.as_str().unwrap_or("?"));
    }
    text
}

/// The chain as PEM.
#[must_use]
pub fn pem(certificate: &Certificate) -> String {
    let mut text = String::new();
    for der in &certificate.chain {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let mut rest = BASE64_STANDARD.encode(der);
        while !rest.is_empty() {
            let after = rest.split_off(rest.len().min(PEM_LINE_CHARACTERS));
            text.push_str(&rest);
            text.push('\n');
            rest = after;
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}

/// Whether an authority that this machine trusts vouches for a certificate. Reads the machine's list: not for threads that must not
/// block.
pub(super) fn standing(certificate: &Certificate) -> Standing {
    let mut roots = RootCertStore::empty();
    // One that cannot be used is no reason to distrust the others.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if is_vouched_for(certificate, roots) { Standing::Trusted } else { Standing::Unknown }
}

fn is_vouched_for(certificate: &Certificate, roots: RootCertStore) -> bool {
    let name = facts(certificate).and_then(|facts| facts.names.into_iter().next());
    // A wildcard is no name; any name that it stands for will do.
    let name = name.and_then(|name| ServerName::try_from(name.replacen('*', "any", 1)).ok());
    let mut chain = certificate.chain.iter().map(|der| CertificateDer::from(der.as_slice()));
    let (Some(name), Some(own)) = (name, chain.next()) else { return false };
    let others: Vec<_> = chain.collect();
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(ring::default_provider()));
    let Ok(verifier) = verifier.build() else { return false };
    verifier.verify_server_cert(&own, &others, &name, &[], UnixTime::now()).is_ok()
}

#[cfg(test)]
mod test {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

    use super::*;

    const NOW_S: i64 = 1_795_415_284;

    struct Made {
        pem: String,
        key: KeyPair,
        params: CertificateParams,
    }

    fn authority(name: &str, above: Option<&Made>) -> Made {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        signed(params, above)
    }

    fn signed(params: CertificateParams, above: Option<&Made>) -> Made {
        let key = KeyPair::generate().unwrap();
        let made = match above {
            None => params.self_signed(&key),
            Some(above) => params.signed_by(&key, &Issuer::from_params(&above.params, &above.key)),
        };
        Made { pem: made.unwrap().pem(), key, params }
    }

    fn server(names: &[&str], above: Option<&Made>) -> Made {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "Example");
        signed(params, above)
    }

    #[test]
    fn a_chain_is_put_in_order_and_freed_of_what_is_none_of_it() {
        let root = authority("root", None);
        let middle = authority("middle", Some(&root));
        let own = server(&["WWW.example.com", "*.example.com"], Some(&middle));
        let stranger = authority("stranger", None);
        let text = [&root, &stranger, &middle, &own].map(|made| made.pem.as_str()).concat();
        let read = read(&text, &own.key.serialize_pem(), NOW_S).unwrap();
        assert_eq!(pem(&read).replace('\r', ""), format!("{}{}", own.pem, middle.pem).replace('\r', ""));
        let facts = facts(&read).unwrap();
        assert_eq!(facts.names, ["www.example.com", "*.example.com"]);
        assert!(facts.subject.contains("/O=Example") && facts.issuer.contains("/CN=middle"), "{facts:?}");
        assert!(facts.starts_at_s < NOW_S && facts.expires_at_s > NOW_S);
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(root.pem.as_bytes()).unwrap()).unwrap();
        assert!(is_vouched_for(&read, roots));
        assert!(!is_vouched_for(&read, RootCertStore::empty()));
        assert_eq!(standing(&read), Standing::Unknown);
    }

    #[test]
    fn a_common_name_is_the_host_where_no_other_names_are_given() {
        let named = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let mut params = CertificateParams::new(names).unwrap();
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(rcgen::DnType::CommonName, "Secure.example.com");
            let made = signed(params, None);
            facts(&read(&made.pem, &made.key.serialize_pem(), NOW_S).unwrap()).unwrap().names
        };
        assert_eq!(named(&[]), ["secure.example.com"]);
        assert_eq!(named(&["www.example.com"]), ["www.example.com"]);
    }

    #[test]
    fn what_cannot_be_shown_is_refused_without_a_word_of_the_key() {
        let own = server(&["www.example.com"], None);
        let (pem, key) = (own.pem.as_str(), own.key.serialize_pem());
        let other = server(&["www.example.com"], None).key.serialize_pem();
        let mut old = CertificateParams::new(vec!["www.example.com".to_owned()]).unwrap();
        (old.not_before, old.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(2020, 1, 1));
        let old = signed(old, None);
        let nameless = signed(CertificateParams::new(Vec::new()).unwrap(), None);
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        for (chain, key, failed) in [
            ("", key.as_str(), CertificateError::Chain),
            ("hello", &key, CertificateError::Chain),
            (&key, &key, CertificateError::Chain),
            (&pem.repeat(11), &key, CertificateError::Long),
            (pem, "", CertificateError::Key),
            (pem, pem, CertificateError::Key),
            (pem, encrypted, CertificateError::Key),
            (pem, &other, CertificateError::Mismatch),
            (&nameless.pem, &nameless.key.serialize_pem(), CertificateError::Nameless),
            (
                &old.pem,
                &old.key.serialize_pem(),
                CertificateError::Expired("2020-01-01T00:00:00Z".to_owned()),
            ),
        ] {
            assert_eq!(read(chain, key, NOW_S), Err(failed));
        }
    }
}
