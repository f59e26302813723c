//! Header names and fixed values that the router reads or writes (platform reference 4.5 and 4.6).

/// Client addresses, the last one ours.
pub const X_FORWARDED_FOR: &str = "x-forwarded-for";
/// `http` or `https`.
pub const X_FORWARDED_PROTO: &str = "x-forwarded-proto";
/// The port the client sees.
pub const X_FORWARDED_PORT: &str = "x-forwarded-port";
/// Unix time of arrival, milliseconds.
pub const X_REQUEST_START: &str = "x-request-start";
/// The request's identity, also in the router's line.
pub const X_REQUEST_ID: &str = "x-request-id";
/// Lives for one hop only.
pub const KEEP_ALIVE: &str = "keep-alive";
/// A hop's keep-alive wish as old proxies spell it.
pub const PROXY_CONNECTION: &str = "proxy-connection";

/// Our entry in `Via`.
pub const VIA: &str = "1.1 heroku-router";
/// As [`VIA`], where the client speaks HTTP/2.
pub const VIA_HTTP2: &str = "2.0 heroku-router";
/// The one value of `TE` that HTTP/2 knows (RFC 9113 section 8.2.2).
pub const TRAILERS: &str = "trailers";
/// `Server` of answers that bring none.
pub const SERVER: &str = "Heroku";
/// `User-Agent` of what asks a web dyno whether it is ready.
pub const READINESS_AGENT: &str = "dyno-readiness";
/// `Content-Type` of our own pages.
pub const HTML: &str = "text/html; charset=utf-8";
/// `Content-Type` of what authorities are answered.
pub const PLAIN: &str = "text/plain";
/// Where authorities ask whether a name leads here, in front of the token (RFC 8555 section 8.3).
pub const CHALLENGE_PATH: &str = "/.well-known/acme-challenge/";
/// `Cache-Control` of our own pages.
pub const NO_CACHE: &str = "no-cache, no-store";
/// The cookie of session affinity (platform reference 4.7).
pub const AFFINITY_COOKIE: &str = "heroku-session-affinity";
/// How long the cookie holds, seconds.
pub const AFFINITY_AGE_S: u64 = 24 * 60 * 60;
/// The one expectation that can be met.
pub const CONTINUE: &str = "100-continue";

/// The fewest characters of a client's request identity that is kept.
pub const REQUEST_ID_LENGTH_MIN: usize = 20;
/// The most.
pub const REQUEST_ID_LENGTH_MAX: usize = 200;

/// `Set-Cookie` of session affinity; `expires` is an HTTP date.
#[must_use]
pub fn affinity_cookie(value: &str, host: &str, expires: &str) -> String {
    format!(
        "{AFFINITY_COOKIE}={value}; Version=1; Expires={expires}; Max-Age={AFFINITY_AGE_S}; Domain={host}; Path=/; HttpOnly"
    )
}

/// Whether dynos trust a header of this name (in lower case): the router writes it, or it frames a request.
#[must_use]
pub fn is_trusted(name: &str) -> bool {
    const FRAMING: [&str; 3] = ["content-length", "transfer-encoding", "host"];
    [X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_PORT, X_REQUEST_START, X_REQUEST_ID].contains(&name)
        || FRAMING.contains(&name)
}

/// Whether a header of this name (in lower case) lives for one hop only (RFC 9110 section 7.6.1).
#[must_use]
pub fn is_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "proxy-authenticate"
            | "proxy-authorization"
            | KEEP_ALIVE
            | PROXY_CONNECTION
    )
}

/// Whether a client's request identity is kept: 20 to 200 of `[A-Za-z0-9+/=-]`.
#[must_use]
pub fn is_request_id(text: &[u8]) -> bool {
    (REQUEST_ID_LENGTH_MIN..=REQUEST_ID_LENGTH_MAX).contains(&text.len())
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/=-".contains(byte))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn request_ids_are_kept_only_when_well_formed() {
        assert!(is_request_id(b"8601b555-6a83-4c12-8269-97c8e32cdb22"));
        assert!(is_request_id(&[b'a'; 20]) && is_request_id(&[b'/'; 200]));
        assert!(!is_request_id(&[b'a'; 19]) && !is_request_id(&[b'a'; 201]));
        assert!(!is_request_id(b"8601b555_6a83_4c12_8269_97c8e32cdb22"));
        assert!(!is_request_id(b"8601b555-6a83-4c12-8269 \"injected\""));
    }
}
