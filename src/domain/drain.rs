//! A drain: a place that an app's log lines are sent to, and the rules its URL obeys.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::Uri;
use thiserror::Error;
use uuid::Uuid;

use crate::domain::AppId;

/// The identity of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DrainId(pub Uuid);

impl fmt::Display for DrainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A place that an app's lines are sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drain {
    /// Its identity.
    pub id: DrainId,
    /// Whose lines.
    pub app: AppId,
    /// What the receiver tells drains apart by: `d.` and a UUID.
    pub token: String,
    /// Where to.
    pub url: DrainUrl,
    /// Unix time of creation, seconds.
    pub created_at_s: i64,
}

impl Drain {
    /// Drains that an app may have (platform reference 5.4).
    pub const PER_APP_MAX: usize = 5;
}

/// How lines travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Syslog frames over TCP.
    Syslog,
    /// Syslog frames over TLS.
    SyslogTls,
    /// Batches by `POST`.
    Http,
    /// Batches by `POST` over TLS.
    Https,
}

impl Transport {
    const ALL: [Self; 4] = [Self::Syslog, Self::SyslogTls, Self::Http, Self::Https];

    /// The scheme of its URLs.
    #[must_use]
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Syslog => "syslog",
            Self::SyslogTls => "syslog+tls",
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// Whether it is encrypted.
    #[must_use]
    pub fn is_tls(self) -> bool {
        matches!(self, Self::SyslogTls | Self::Https)
    }

    fn is_syslog(self) -> bool {
        matches!(self, Self::Syslog | Self::SyslogTls)
    }

    /// The port when the URL names none: RFC 3195's for plain syslog as on the platform, RFC 5425's over TLS.
    fn default_port(self) -> u16 {
        match self {
            Self::Syslog => 601,
            Self::SyslogTls => 6514,
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Whether the receiver's certificate must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// It must.
    Required,
    /// The URL ends in `#insecure`: any certificate will do.
    Waived,
}

/// Where a drain sends to. Shown without what may be secret: user, password, path and query stay inside.
#[derive(Clone, PartialEq, Eq)]
pub struct DrainUrl {
    text: String,
    /// How.
    pub transport: Transport,
    /// A name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// User and password as they stand in the URL, joined by a colon; percent-encoded.
    pub userinfo: Option<String>,
    /// Path and query; `/` for syslog.
    pub path: String,
    /// Of a TLS certificate.
    pub verification: Verification,
}

/// Why a text is no place to send lines to. Never repeats the text, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DrainUrlError {
    /// Over [`DrainUrl::LENGTH_MAX`].
    #[error("it has at most {max} characters", max = DrainUrl::LENGTH_MAX)]
    Length,
    /// No URL.
    #[error("it is no URL of the form scheme://host:port")]
    Form,
    /// Another scheme.
    #[error("its scheme is one of syslog, syslog+tls, http and https")]
    Scheme,
    /// No machine can be meant.
    #[error("its host is no name or address that something can be sent to")]
    Host,
    /// Zero, or no number.
    #[error("its port is a number from 1 to 65535")]
    Port,
    /// A path, a query or a password that syslog has no place for.
    #[error("syslog takes a host and a port, and neither path, query nor password")]
    Syslog,
    /// A fragment other than `#insecure` over TLS.
    #[error("the only fragment it may have is #insecure, and that with TLS")]
    Fragment,
}

impl DrainUrl {
    /// The most characters of a URL.
    pub const LENGTH_MAX: usize = 2048;

    /// The whole URL with what is secret in it: for its owner and for disk, never for a log.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }
}

/// `scheme://host:port`, and nothing that could be secret.
impl fmt::Display for DrainUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = (self.transport.scheme(), &self.host, self.port);
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}")
        } else {
            write!(f, "{scheme}://{host}:{port}")
        }
    }
}

impl fmt::Debug for DrainUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DrainUrl({self})")
    }
}

impl FromStr for DrainUrl {
    type Err = DrainUrlError;

    fn from_str(text: &str) -> Result<Self, DrainUrlError> {
        if text.len() > Self::LENGTH_MAX {
            return Err(DrainUrlError::Length);
        }
        let (address, fragment) =
            text.split_once('#').map_or((text, None), |(before, after)| (before, Some(after)));
        let uri: Uri = address.parse().map_err(|_| DrainUrlError::Form)?;
        let scheme = uri.scheme_str().ok_or(DrainUrlError::Form)?;
        let transport = Transport::ALL.into_iter().find(|transport| transport.scheme() == scheme);
        let transport = transport.ok_or(DrainUrlError::Scheme)?;
        let authority = uri.authority().ok_or(DrainUrlError::Form)?;
        let userinfo = authority.as_str().rsplit_once('@').map(|(userinfo, _)| userinfo.to_owned());
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        if transport.is_syslog() && (userinfo.is_some() || path != "/") {
            return Err(DrainUrlError::Syslog);
        }
        let verification = match fragment {
            None => Verification::Required,
            Some("insecure") if transport.is_tls() => Verification::Waived,
            Some(_) => return Err(DrainUrlError::Fragment),
        };
        let host = host(authority.host())?;
        let port = port(authority.as_str(), transport)?;
        Ok(Self { text: text.to_owned(), transport, host, port, userinfo, path, verification })
    }
}

fn host(text: &str) -> Result<String, DrainUrlError> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        let is_nobody = match address {
            IpAddr::V4(address) => address.is_unspecified() || address.is_broadcast(),
            IpAddr::V6(address) => address.is_unspecified(),
        };
        let sendable = !is_nobody && !address.is_multicast();
        return if sendable { Ok(bare.to_owned()) } else { Err(DrainUrlError::Host) };
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // Digits and dots alone would be an address, and this one was none.
    let is_name = bare.len() <= 253
        && bare.split('.').all(is_label)
        && bare.bytes().any(|byte| byte.is_ascii_alphabetic());
    if is_name { Ok(bare.to_ascii_lowercase()) } else { Err(DrainUrlError::Host) }
}

fn port(authority: &str, transport: Transport) -> Result<u16, DrainUrlError> {
    let address = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
    // Colons inside brackets belong to the address.
    let after_host = address.rsplit_once(']').map_or(address, |(_, rest)| rest);
    match after_host.rsplit_once(':') {
        None => Ok(transport.default_port()),
        Some((_, digits)) => match digits.parse() {
            Ok(0) | Err(_) => Err(DrainUrlError::Port),
            Ok(port) => Ok(port),
        },
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn parse(text: &str) -> DrainUrl {
        text.parse().unwrap_or_else(|failed| panic!("{text}: {failed}"))
    }

    #[test]
    fn the_forms_of_the_platform_are_taken() {
        let url = parse("syslog://logs.example.com:514");
        assert_eq!(
            (url.transport, url.host.as_str(), url.port),
            (Transport::Syslog, "logs.example.com", 514)
        );
        assert_eq!(parse("syslog://logs.example.com").port, 601);
        assert_eq!(parse("syslog+tls://10.0.0.7").port, 6514);
        let url = parse("https://me:p%40ss@Logs.example.com/in?key=7#insecure");
        assert_eq!((url.host.as_str(), url.port), ("logs.example.com", 443));
        assert_eq!(url.userinfo.as_deref(), Some("me:p%40ss"));
        assert_eq!(url.path, "/in?key=7");
        assert_eq!(url.verification, Verification::Waived);
        assert_eq!(url.reveal(), "https://me:p%40ss@Logs.example.com/in?key=7#insecure");
        assert_eq!(parse("http://[::1]:9000/").to_string(), "http://[::1]:9000");
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_reason() {
        for (text, expected) in [
            ("", DrainUrlError::Form),
            ("logs.example.com:514", DrainUrlError::Form),
            ("udp://logs.example.com:514", DrainUrlError::Scheme),
            ("https://", DrainUrlError::Form),
            ("https://exa mple.com/", DrainUrlError::Form),
            ("https://-x-.example.com/", DrainUrlError::Host),
            ("syslog://0.0.0.0:514", DrainUrlError::Host),
            ("syslog://255.255.255.255:514", DrainUrlError::Host),
            ("syslog://1.2.3:514", DrainUrlError::Host),
            ("http://[ff02::1]/", DrainUrlError::Host),
            ("syslog://example.com:0", DrainUrlError::Port),
            ("syslog://example.com:514/path", DrainUrlError::Syslog),
            ("syslog://me:secret@example.com:514", DrainUrlError::Syslog),
            ("syslog://example.com:514#insecure", DrainUrlError::Fragment),
            ("https://example.com/#other", DrainUrlError::Fragment),
            (&format!("https://example.com/{}", "x".repeat(2048)), DrainUrlError::Length),
        ] {
            assert_eq!(text.parse::<DrainUrl>(), Err(expected), "{text}");
        }
        assert!("http://example.com:70000/".parse::<DrainUrl>().is_err());
    }

    #[test]
    fn nothing_secret_is_shown() {
        let url = parse("https://user:password@example.com/token?key=value");
        for shown in [url.to_string(), format!("{url:?}")] {
            assert!(shown.contains("https://example.com:443"), "{shown}");
            for secret in ["user", "password", "token", "value"] {
                assert!(!shown.contains(secret), "{shown}");
            }
        }
    }
}
