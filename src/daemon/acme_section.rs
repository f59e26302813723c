//! `[acme]` of the configuration: from whom the node gets certificates.

use std::path::PathBuf;

use http::Uri;
use serde::Deserialize;
use thiserror::Error;

use crate::domain::EmailError;
use crate::flows::{AcmeSettings, ChallengeKind};

/// The authority unless told otherwise: the one of which most programs get their certificates.
const DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// The section's shape.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AcmeSection {
    /// Whether the administrator agrees to the authority's terms.
    agree: bool,
    /// Where the authority says what it offers.
    directory: Option<String>,
    /// Whom it may write to.
    contact: Option<String>,
    /// File of the authority that vouches for its server.
    root: Option<PathBuf>,
    /// How names are proven.
    challenge: ChallengeName,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
enum ChallengeName {
    #[default]
    #[serde(rename = "http-01")]
    Http,
    #[serde(rename = "tls-alpn-01")]
    Tls,
}

/// Why certificates cannot be got so.
#[derive(Debug, Error)]
pub enum AcmeError {
    /// No address.
    #[error("directory is an https address such as {DIRECTORY}, not {0:?}")]
    Directory(String),
    /// No e-mail address.
    #[error("contact is an e-mail address, not {contact:?}: {source}")]
    Contact {
        /// The text.
        contact: String,
        /// Its defect.
        source: EmailError,
    },
}

impl AcmeSection {
    /// What the section says; nothing where nobody has agreed.
    pub(super) fn settings(self) -> Result<Option<AcmeSettings>, AcmeError> {
        let directory = self.directory.unwrap_or_else(|| DIRECTORY.to_owned());
        let is_address = directory
            .parse::<Uri>()
            .is_ok_and(|uri| uri.scheme_str() == Some("https") && uri.authority().is_some());
        if !is_address {
            return Err(AcmeError::Directory(directory));
        }
        let contact = match self.contact.map(|contact| (contact.parse::<crate::domain::Email>(), contact)) {
            Some((Err(source), contact)) => return Err(AcmeError::Contact { contact, source }),
            Some((Ok(_), contact)) => Some(contact),
            None => None,
        };
        let challenge = match self.challenge {
            ChallengeName::Http => ChallengeKind::Http,
            ChallengeName::Tls => ChallengeKind::Tls,
        };
        Ok(self.agree.then_some(AcmeSettings { directory, contact, root: self.root, challenge }))
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn settings(text: &str) -> Result<Option<AcmeSettings>, AcmeError> {
        toml::from_str::<AcmeSection>(text).unwrap().settings()
    }

    #[test]
    fn nothing_is_got_before_somebody_has_agreed() {
        assert_eq!(settings("").unwrap(), None);
        assert_eq!(settings("contact = \"me@example.com\"").unwrap(), None);
        let usual = settings("agree = true").unwrap().unwrap();
        assert_eq!((usual.directory.as_str(), usual.challenge), (DIRECTORY, ChallengeKind::Http));
        assert_eq!((usual.contact, usual.root), (None, None));
    }

    #[test]
    fn all_of_it_can_be_set_and_what_makes_no_sense_is_refused() {
        let text = "agree = true\ndirectory = \"https://localhost:14000/dir\"\ncontact = \"me@example.com\"\n\
                    root = \"/etc/ca.pem\"\nchallenge = \"tls-alpn-01\"";
        let set = settings(text).unwrap().unwrap();
        assert_eq!(
            (set.directory.as_str(), set.challenge),
            ("https://localhost:14000/dir", ChallengeKind::Tls)
        );
        assert_eq!((set.contact.as_deref(), set.root), (Some("me@example.com"), Some("/etc/ca.pem".into())));
        for text in ["directory = \"http://a.example/\"", "directory = \"here\""] {
            assert!(matches!(settings(text), Err(AcmeError::Directory(_))), "{text}");
        }
        assert!(matches!(settings("contact = \"me\""), Err(AcmeError::Contact { .. })));
        assert!(toml::from_str::<AcmeSection>("challenge = \"dns-01\"").is_err());
    }
}
