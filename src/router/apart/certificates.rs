//! Certificates as they are sent: with their keys, from one process to another by a file that is in memory alone.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use crate::domain::{Certificate, Certificates, ChallengeAnswer, Hostname, SecretKey};
use crate::router::apart::frame::invalid;

/// A snapshot. Names that share a certificate, and certificates that share a key, share it after the journey too.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct CertificatesRecord {
    /// Base64 of DER.
    keys: Vec<String>,
    certificates: Vec<CertificateRecord>,
    /// Names, each with the place of its certificate.
    names: Vec<(String, usize)>,
    wildcards: Vec<(String, usize)>,
    own: Option<usize>,
    /// Names, each with what authorities are answered; builds that get no certificates by themselves leave them out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    answers: Vec<(String, AnswerRecord)>,
}

#[derive(Serialize, Deserialize)]
enum AnswerRecord {
    Http {
        token: String,
        text: String,
    },
    /// The place of a certificate.
    Tls(usize),
}

#[derive(Serialize, Deserialize)]
struct CertificateRecord {
    /// Base64 of DER.
    chain: Vec<String>,
    /// The place of its key.
    key: usize,
}

/// What has been written so far.
#[derive(Default)]
struct Places<'a> {
    record: CertificatesRecord,
    certificates: HashMap<*const Certificate, usize>,
    keys: HashMap<&'a [u8], usize>,
}

// === impl CertificatesRecord ===

impl From<&Certificates> for CertificatesRecord {
    fn from(all: &Certificates) -> Self {
        let mut places = Places::default();
        let own = all.own.as_ref().map(|own| places.place(own));
        let mut named = |(name, certificate): (&Hostname, _)| (name.to_string(), places.place(certificate));
        let names = all.names.iter().map(&mut named).collect();
        let wildcards = all.wildcards.iter().map(&mut named).collect();
        let answered = |(name, answer): (&Hostname, _)| (name.to_string(), places.answer(answer));
        let answers = all.answers.iter().map(answered).collect();
        Self { names, wildcards, own, answers, ..places.record }
    }
}

impl CertificatesRecord {
    /// The snapshot.
    ///
    /// # Errors
    /// A name in it is none, or it is not whole.
    pub(super) fn certificates(self) -> io::Result<Certificates> {
        let broken = || io::Error::from(io::ErrorKind::InvalidData);
        let der = |text: &String| BASE64_STANDARD.decode(text).map_err(invalid);
        let keys: Vec<_> =
            self.keys.iter().map(|key| der(key).map(SecretKey::new)).collect::<io::Result<_>>()?;
        let certificate = |record: &CertificateRecord| {
            let chain = record.chain.iter().map(der).collect::<io::Result<_>>()?;
            let key = keys.get(record.key).cloned().ok_or_else(broken)?;
            Ok::<_, io::Error>(Arc::new(Certificate { chain, key }))
        };
        let all: Vec<_> = self.certificates.iter().map(certificate).collect::<io::Result<_>>()?;
        let at = |place: usize| all.get(place).cloned().ok_or_else(broken);
        let named = |(name, place): (String, usize)| Ok((name.parse().map_err(invalid)?, at(place)?));
        let answered = |(name, answer): (String, AnswerRecord)| {
            let answer = match answer {
                AnswerRecord::Http { token, text } => ChallengeAnswer::Http { token, text },
                AnswerRecord::Tls(place) => ChallengeAnswer::Tls(at(place)?),
            };
            Ok::<_, io::Error>((name.parse().map_err(invalid)?, answer))
        };
        Ok(Certificates {
            answers: self.answers.into_iter().map(answered).collect::<io::Result<_>>()?,
            names: self.names.into_iter().map(named).collect::<io::Result<_>>()?,
            wildcards: self.wildcards.into_iter().map(named).collect::<io::Result<_>>()?,
            own: self.own.map(at).transpose()?,
        })
    }
}

// === impl Places ===

impl<'a> Places<'a> {
    /// The place of a certificate, which is written where it was not yet.
    fn place(&mut self, certificate: &'a Arc<Certificate>) -> usize {
        if let Some(known) = self.certificates.get(&Arc::as_ptr(certificate)) {
            return *known;
        }
        let key = certificate.key.reveal();
        let record = &mut self.record;
        let key = *self.keys.entry(key).or_insert_with(|| {
            record.keys.push(BASE64_STANDARD.encode(key));
            record.keys.len() - 1
        });
        let chain = certificate.chain.iter().map(|der| BASE64_STANDARD.encode(der)).collect();
        record.certificates.push(CertificateRecord { chain, key });
        let place = record.certificates.len() - 1;
        self.certificates.insert(Arc::as_ptr(certificate), place);
        place
    }

    fn answer(&mut self, answer: &'a ChallengeAnswer) -> AnswerRecord {
        match answer {
            ChallengeAnswer::Http { token, text } => {
                AnswerRecord::Http { token: token.clone(), text: text.clone() }
            }
            ChallengeAnswer::Tls(certificate) => AnswerRecord::Tls(self.place(certificate)),
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn certificates_come_back_as_they_were_sent() {
        let key = SecretKey::new(*b"key");
        let certificate = |text: &str, key: &SecretKey| {
            Arc::new(Certificate { chain: vec![text.into(), b"issuer".to_vec()], key: key.clone() })
        };
        let (one, two) = (certificate("one", &key), certificate("two", &SecretKey::new(*b"other")));
        let mut all = Certificates { own: Some(certificate("own", &key)), ..Certificates::default() };
        all.insert(&"a.example.com".parse().unwrap(), Arc::clone(&one));
        all.insert(&"b.example.com".parse().unwrap(), one);
        all.insert(&"*.example.com".parse().unwrap(), two);
        let http = ChallengeAnswer::Http { token: "token".to_owned(), text: "token.print".to_owned() };
        all.answers.insert("c.example.com".parse().unwrap(), http);
        let proof = ChallengeAnswer::Tls(certificate("proof", &key));
        all.answers.insert("d.example.com".parse().unwrap(), proof);
        let record = CertificatesRecord::from(&all);
        assert_eq!((record.keys.len(), record.certificates.len()), (2, 4), "each is there once");
        let text = serde_json::to_string(&record).unwrap();
        let back = serde_json::from_str::<CertificatesRecord>(&text).unwrap().certificates().unwrap();
        assert_eq!(back, all);
        assert!(Arc::ptr_eq(&back.names["a.example.com"], &back.names["b.example.com"]), "one certificate");
    }

    #[test]
    fn a_snapshot_that_is_not_whole_is_refused() {
        for text in [
            r#"{"keys":[],"certificates":[{"chain":[],"key":0}],"names":[],"wildcards":[],"own":null}"#,
            r#"{"keys":[],"certificates":[],"names":[["a.b",0]],"wildcards":[],"own":null}"#,
            r#"{"keys":["?"],"certificates":[],"names":[],"wildcards":[],"own":null}"#,
            r#"{"keys":[],"certificates":[],"names":[],"wildcards":[],"own":1}"#,
            r#"{"keys":[],"certificates":[],"names":[],"wildcards":[],"own":null,"answers":[["a.b",{"Tls":0}]]}"#,
        ] {
            let record: CertificatesRecord = serde_json::from_str(text).unwrap();
            assert!(record.certificates().is_err(), "{text}");
        }
    }
}
