//! Source code in an archive: where it is, what it must be, and where in it the app begins.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::domain::{DrainUrl, DrainUrlError, Transport};

/// Where in an archive the app's own root is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ArchiveRoot {
    /// The archive's.
    #[default]
    Top,
    /// The archive's, or that of the one directory which holds everything, as code hosts pack a repository.
    TopOrOnlyDirectory,
}

/// Where an archive is fetched from: http or https. Shown without user, password, path and query, which may be secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceUrl(DrainUrl);

/// Why a text is no place of an archive. Never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SourceUrlError {
    /// Another scheme.
    #[error("its scheme is http or https")]
    Scheme,
    /// Something else.
    #[error(transparent)]
    Url(DrainUrlError),
}

impl SourceUrl {
    /// Its parts.
    #[must_use]
    pub fn parts(&self) -> &DrainUrl {
        &self.0
    }

    /// Address and path, without user, password and query: for whoever may see the app's builds.
    #[must_use]
    pub fn without_secrets(&self) -> String {
        let path = self.0.path.split('?').next().unwrap_or_default();
        format!("{}{path}", self.0)
    }

    /// Where an answer says that the archive is instead: a whole URL, or a path at the same place.
    ///
    /// # Errors
    /// It is neither.
    pub fn redirected(&self, location: &str) -> Result<Self, SourceUrlError> {
        match location.strip_prefix('/') {
            // `//host/path` keeps the scheme alone.
            Some(rest) if rest.starts_with('/') => {
                format!("{}:{location}", self.0.transport.scheme()).parse()
            }
            Some(_) => format!("{}{location}", self.0).parse(),
            None => location.parse(),
        }
    }
}

impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceUrl({self})")
    }
}

impl FromStr for SourceUrl {
    type Err = SourceUrlError;

    fn from_str(text: &str) -> Result<Self, SourceUrlError> {
        let url: DrainUrl = text.parse().map_err(|error| {
            let is_scheme = matches!(error, DrainUrlError::Scheme | DrainUrlError::Syslog);
            if is_scheme { SourceUrlError::Scheme } else { SourceUrlError::Url(error) }
        })?;
        match url.transport {
            Transport::Syslog | Transport::SyslogTls => Err(SourceUrlError::Scheme),
            Transport::Http | Transport::Https => Ok(Self(url)),
        }
    }
}

/// The SHA-256 that an archive must have, as `SHA256:` and 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum(String);

/// The text is no checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it is SHA256: and 64 hexadecimal digits")]
pub struct ChecksumError;

impl Checksum {
    const ALGORITHM: &str = "SHA256:";

    /// The digits, in small letters.
    #[must_use]
    pub fn digits(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::ALGORITHM, self.0)
    }
}

impl FromStr for Checksum {
    type Err = ChecksumError;

    fn from_str(text: &str) -> Result<Self, ChecksumError> {
        let (algorithm, digits) = text.split_at_checked(Self::ALGORITHM.len()).ok_or(ChecksumError)?;
        let holds = algorithm.eq_ignore_ascii_case(Self::ALGORITHM)
            && digits.len() == 64
            && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if holds { Ok(Self(digits.to_ascii_lowercase())) } else { Err(ChecksumError) }
    }
}

#[cfg(test)]
mod test {
    use proptest::prelude::*;

    use super::*;

    fn url(text: &str) -> SourceUrl {
        text.parse().unwrap_or_else(|failed| panic!("{text}: {failed}"))
    }

    #[test]
    fn archives_are_fetched_over_http_alone() {
        assert_eq!(url("https://example.com/a.tgz?t=1").parts().path, "/a.tgz?t=1");
        for bad in
            ["file://host/etc/passwd", "ftp://example.com/a", "syslog://example.com:514/x", "git://x/y"]
        {
            assert_eq!(
                bad.parse::<SourceUrl>().err().map(|e| e.to_string().contains("http")),
                Some(true),
                "{bad}"
            );
        }
        assert!(
            "/etc/passwd".parse::<SourceUrl>().is_err() && "file:///etc/passwd".parse::<SourceUrl>().is_err()
        );
    }

    #[test]
    fn nothing_secret_is_shown() {
        let secret = url("https://me:password@example.com/a/b.tgz?token=x");
        assert_eq!(secret.without_secrets(), "https://example.com:443/a/b.tgz");
        assert_eq!(
            format!("{secret} {secret:?}"),
            "https://example.com:443 SourceUrl(https://example.com:443)"
        );
    }

    #[test]
    fn an_answer_leads_elsewhere_or_to_another_path() {
        let first = url("https://me:password@example.com/a");
        let path = first.redirected("/b?c").unwrap();
        assert_eq!((path.parts().host.as_str(), path.parts().path.as_str()), ("example.com", "/b?c"));
        assert_eq!(path.parts().userinfo, None, "credentials are for the first place alone");
        assert_eq!(first.redirected("//other.example/b").unwrap().parts().host, "other.example");
        assert_eq!(first.redirected("http://other.example/b").unwrap().parts().port, 80);
        for bad in ["b", "", "file:///etc/passwd", "javascript:1"] {
            assert!(first.redirected(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_checksum_reads_back(digits in "[0-9a-fA-F]{64}", algorithm in "(SHA|sha)256") {
            let sum: Checksum = format!("{algorithm}:{digits}").parse().unwrap();
            prop_assert_eq!(sum.digits(), digits.to_ascii_lowercase());
            prop_assert_eq!(sum.to_string().parse::<Checksum>(), Ok(sum));
        }

        #[test]
        fn nothing_else_is_a_checksum(text in "\\PC{0,80}") {
            let is_one = text.get(..7).is_some_and(|head| head.eq_ignore_ascii_case("sha256:"))
                && text.len() == 71
                && text[7..].bytes().all(|byte| byte.is_ascii_hexdigit());
            prop_assert_eq!(text.parse::<Checksum>().is_ok(), is_one);
        }
    }
}
