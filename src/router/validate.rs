//! The first stage: is this a request the platform takes, and for which host? Pure.
//!
//! The parser below has refused what is not HTTP; here are the platform's own rules (platform reference 4.2).

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::uri::Scheme;
use http::{HeaderMap, Method, StatusCode, Uri, Version};

use crate::router::answer::Failure;
use crate::router::config::Limits;
use crate::wire::headers;

/// Longest method, bytes.
const METHOD_BYTES_MAX: usize = 127;
/// The bytes of a request line beside method and target: two spaces and the version.
const REQUEST_LINE_REST_BYTES: usize = 10;
/// The bytes of a header line beside name and value: colon and space.
const HEADER_LINE_REST_BYTES: usize = 2;

/// A request that may go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Valid {
    /// The host in lower case, without port and trailing dot; empty where an HTTP/1.0 client named none.
    pub(super) host: String,
    /// What the client wants of the connection.
    pub(super) wish: Wish,
}

/// What a client wants of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// An answer.
    Answer,
    /// Another protocol, if the dyno agrees.
    Upgrade,
}

/// Judges a request's head.
///
/// # Errors
/// The request is over a limit, or says contradictory things.
pub(super) fn validate(parts: &Parts, limits: &Limits) -> Result<Valid, Failure> {
    if parts.method == Method::CONNECT {
        return Err(Failure::Malformed(StatusCode::METHOD_NOT_ALLOWED));
    }
    within_limits(parts, limits)?;
    if is_strange_target(&parts.uri) || is_strangely_framed(&parts.headers) {
        return Err(Failure::Malformed(StatusCode::BAD_REQUEST));
    }
    let host = host(parts)?;
    let wish = wish(parts)?;
    let expects_other =
        |value: &http::HeaderValue| !value.as_bytes().eq_ignore_ascii_case(headers::CONTINUE.as_bytes());
    if parts.headers.get_all(EXPECT).iter().any(expects_other) {
        return Err(Failure::Expectation);
    }
    Ok(Valid { host, wish })
}

fn within_limits(parts: &Parts, limits: &Limits) -> Result<(), Failure> {
    let method_bytes = parts.method.as_str().len();
    let target_bytes = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if method_bytes > METHOD_BYTES_MAX {
        return Err(Failure::Malformed(StatusCode::BAD_REQUEST));
    }
    if method_bytes + target_bytes + REQUEST_LINE_REST_BYTES > limits.request_line_bytes {
        return Err(Failure::Malformed(StatusCode::URI_TOO_LONG));
    }
    let is_over = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        let name_bytes = name.as_str().len();
        name_bytes > limits.header_name_bytes
            || name_bytes + value.len() + HEADER_LINE_REST_BYTES > limits.header_line_bytes
    };
    if parts.headers.len() > limits.headers || parts.headers.iter().any(is_over) {
        return Err(Failure::Malformed(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
    }
    Ok(())
}

/// A target is a path, `*`, or a whole address of HTTP; a host alone is for CONNECT (RFC 9112 section 3.2). What dynos get is
/// a path in any case, so nothing may be lost on the way to it.
fn is_strange_target(uri: &Uri) -> bool {
    match (uri.scheme(), uri.authority()) {
        (None, None) => false,
        (Some(scheme), Some(_)) => *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS,
        (Some(_), None) | (None, Some(_)) => true,
    }
}

/// Anything but one plain `chunked` is a coding that would be lost when the body is framed anew, or an attempt to make two
/// readers disagree about where the body ends. (The parser refuses differing lengths, and lets `chunked` win over a length.)
fn is_strangely_framed(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => false,
        (Some(only), None) => !only.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => true,
    }
}

/// An absolute target names the host itself, whatever `Host` says (RFC 9112 section 3.2.2).
fn host(parts: &Parts) -> Result<String, Failure> {
    let malformed = Failure::Malformed(StatusCode::BAD_REQUEST);
    let mut hosts = parts.headers.get_all(HOST).iter();
    let named = match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => return Err(malformed),
        (Some(only), None) => only.to_str().map_err(|_| malformed)?,
        (None, _) if parts.version == Version::HTTP_2 && parts.uri.authority().is_some() => "",
        (None, _) if parts.version >= Version::HTTP_11 => return Err(malformed),
        (None, _) => "",
    };
    if parts.version == Version::HTTP_2
        && let Some(authority) = parts.uri.authority()
        && (authority.as_str().contains('@')
            || (!named.is_empty() && !authority.as_str().eq_ignore_ascii_case(named)))
    {
        // Two hosts for one request, or a user's name in it (RFC 9113 section 8.3.1).
        return Err(malformed);
    }
    let named = parts.uri.authority().map_or(named, |authority| authority.as_str());
    let without_port = match named.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => named,
    };
    let name = without_port.strip_suffix('.').unwrap_or(without_port);
    Ok(name.to_ascii_lowercase())
}

/// Upgrades belong to HTTP/1.1, and a server may leave one be (RFC 9110 section 7.8): that of a request with a body, which would have to
/// be through before anything is switched.
fn wish(parts: &Parts) -> Result<Wish, Failure> {
    let tokens = parts.headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let asks =
        tokens.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case("upgrade"));
    match (asks && parts.version == Version::HTTP_11, parts.headers.contains_key(UPGRADE)) {
        (true, true) if has_body(&parts.headers) => Ok(Wish::Answer),
        (true, true) => Ok(Wish::Upgrade),
        (true, false) => Err(Failure::Malformed(StatusCode::BAD_REQUEST)),
        (false, _) => Ok(Wish::Answer),
    }
}

/// Whether a body follows, as [`crate::router::intake`] sees it.
fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING)
        || headers
            .get_all(CONTENT_LENGTH)
            .iter()
            .any(|value| value.as_bytes().iter().any(|digit| *digit != b'0'))
}

#[cfg(test)]
mod test {
    use http::Request;

    use super::*;

    fn judge(build: impl FnOnce(http::request::Builder) -> http::request::Builder) -> Result<Valid, Failure> {
        let (parts, ()) = build(Request::builder()).body(()).unwrap().into_parts();
        validate(&parts, &Limits::default())
    }

    fn malformed(status: u16) -> Result<Valid, Failure> {
        Err(Failure::Malformed(StatusCode::from_u16(status).unwrap()))
    }

    #[test]
    fn hosts_are_compared_without_case_port_and_dot() {
        for text in ["a.localhost", "A.Localhost", "a.localhost:8080", "a.localhost.", "a.localhost.:80"] {
            assert_eq!(judge(|r| r.header("host", text)).unwrap().host, "a.localhost", "{text}");
        }
        let absolute = judge(|r| r.uri("http://b.localhost:1/x").header("host", "a.localhost"));
        assert_eq!(absolute.unwrap().host, "b.localhost");
        assert_eq!(judge(|r| r.version(Version::HTTP_10)).unwrap().host, "");
    }

    #[test]
    fn http2_names_the_host_in_its_own_way_and_once() {
        let ask = |uri: &'static str, host: Option<&'static str>| {
            judge(|r| {
                let r = r.version(Version::HTTP_2).uri(uri);
                match host {
                    Some(host) => r.header("host", host),
                    None => r,
                }
            })
        };
        for (uri, host) in [
            ("https://a.localhost/", None),
            ("https://A.localhost:443/", Some("a.localhost:443")),
            ("/", Some("a.localhost")),
        ] {
            assert_eq!(ask(uri, host).unwrap().host, "a.localhost", "{uri} {host:?}");
        }
        for (uri, host) in [
            ("https://a.localhost/", Some("b.localhost")),
            ("https://a.localhost/", Some("a.localhost:1")),
            ("https://x@a.localhost/", None),
            ("/", None),
        ] {
            assert_eq!(ask(uri, host), malformed(400), "{uri} {host:?}");
        }
    }

    #[test]
    fn a_host_is_named_once() {
        assert_eq!(judge(|r| r), malformed(400));
        assert_eq!(judge(|r| r.header("host", "a").header("host", "a")), malformed(400));
    }

    #[test]
    fn a_target_is_a_path_or_an_address_of_http() {
        for good in ["/", "/a", "*", "http://a/", "https://a"] {
            assert!(judge(|r| r.header("host", "a").uri(good)).is_ok(), "{good}");
        }
        for bad in ["a", "a:80", "ftp://a/", "xhttp://a/"] {
            assert_eq!(judge(|r| r.header("host", "a").uri(bad)), malformed(400), "{bad}");
        }
    }

    #[test]
    fn what_is_too_long_is_refused() {
        let long = "a".repeat(8192);
        assert_eq!(judge(|r| r.header("host", "a").uri(format!("/{long}"))), malformed(414));
        assert_eq!(judge(|r| r.header("host", "a").header("x", &long)), malformed(431));
        assert_eq!(judge(|r| r.header("host", "a").header("x".repeat(1001), "")), malformed(431));
        assert_eq!(judge(|r| r.header("host", "a").method("A".repeat(128).as_str())), malformed(400));
        assert!(judge(|r| r.header("host", "a").method("A".repeat(127).as_str())).is_ok());
        assert!(judge(|r| r.header("host", "a").header("x", "a".repeat(8189))).is_ok());
    }

    #[test]
    fn framing_is_plain_or_refused() {
        let coded =
            |coding: &'static str| judge(|r| r.header("host", "a").header("transfer-encoding", coding));
        assert!(coded("chunked").is_ok() && coded("Chunked").is_ok());
        for coding in ["gzip, chunked", "identity", "chunked, chunked", "xchunked"] {
            assert_eq!(coded(coding), malformed(400), "{coding}");
        }
    }

    #[test]
    fn only_one_expectation_can_be_met() {
        assert!(judge(|r| r.header("host", "a").header("expect", "100-Continue")).is_ok());
        assert_eq!(judge(|r| r.header("host", "a").header("expect", "a-pony")), Err(Failure::Expectation));
    }

    #[test]
    fn an_upgrade_says_to_what() {
        let upgrade =
            |r: http::request::Builder| r.header("host", "a").header("connection", "keep-alive, Upgrade");
        assert_eq!(judge(|r| upgrade(r).header("upgrade", "websocket")).unwrap().wish, Wish::Upgrade);
        assert_eq!(judge(upgrade), malformed(400));
        let plain = judge(|r| r.header("host", "a").header("upgrade", "h2c"));
        assert_eq!(plain.unwrap().wish, Wish::Answer);
    }

    #[test]
    fn tunnels_to_elsewhere_are_refused() {
        assert_eq!(judge(|r| r.method("CONNECT").uri("a:1").header("host", "a")), malformed(405));
    }
}
