//! Headers on their way through: what lives for one hop is taken out, what the platform promises is put in
//! (platform reference 4.5 and 4.6).

use std::time::SystemTime;

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, SERVER, TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::request::Parts;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, Version, response};
use hyper::body::Body;

use crate::domain::DynoProtocol;
use crate::router::client::Client;
use crate::router::validate::Wish;
use crate::wire::headers;

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static(headers::X_FORWARDED_FOR);
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static(headers::X_FORWARDED_PROTO);
static X_FORWARDED_PORT: HeaderName = HeaderName::from_static(headers::X_FORWARDED_PORT);
static X_REQUEST_START: HeaderName = HeaderName::from_static(headers::X_REQUEST_START);
static X_REQUEST_ID: HeaderName = HeaderName::from_static(headers::X_REQUEST_ID);

/// The request's identity: the client's own where it is well formed, else a new one.
pub(super) fn request_id(given: &HeaderMap) -> HeaderValue {
    let kept = given.get(&X_REQUEST_ID).filter(|id| headers::is_request_id(id.as_bytes()));
    kept.cloned().unwrap_or_else(|| {
        let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
        let mut buffer = uuid::Uuid::encode_buffer();
        value(id.hyphenated().encode_lower(&mut buffer))
    })
}

/// Who the request comes from: what the client says, then the client itself.
pub(super) fn forwarded_for(given: &HeaderMap, client: &Client) -> HeaderValue {
    let address = &client.told_address;
    let mut all = given.get_all(&X_FORWARDED_FOR).iter().peekable();
    if all.peek().is_none() {
        return address.clone();
    }
    let mut joined = Vec::new();
    for given in all {
        joined.extend_from_slice(given.as_bytes());
        joined.extend_from_slice(b", ");
    }
    joined.extend_from_slice(address.as_bytes());
    HeaderValue::from_bytes(&joined).unwrap_or_else(|_| address.clone())
}

/// What is put into a request.
pub(super) struct Stamp<'a> {
    /// Its identity.
    pub(super) request_id: &'a HeaderValue,
    /// Who it comes from.
    pub(super) fwd: &'a HeaderValue,
    /// When it arrived.
    pub(super) arrived: SystemTime,
}

/// Makes a client's request one to a dyno. The body is framed anew: `Content-Length` is left where the parser has left it.
pub(super) fn request(parts: &mut Parts, client: &Client, wish: Wish, stamp: &Stamp<'_>) {
    let protocol = parts.headers.get(UPGRADE).cloned();
    remove_hops(&mut parts.headers);
    remove_look_alikes(&mut parts.headers);
    parts.headers.remove(EXPECT);
    if let (Wish::Upgrade, Some(protocol)) = (wish, protocol) {
        upgrade(&mut parts.headers, protocol);
    }
    let since = stamp.arrived.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let put = &mut parts.headers;
    put.insert(&X_FORWARDED_FOR, stamp.fwd.clone());
    put.insert(&X_FORWARDED_PROTO, HeaderValue::from_static(client.scheme()));
    put.insert(&X_FORWARDED_PORT, client.told_port.clone());
    put.insert(&X_REQUEST_START, HeaderValue::from(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)));
    put.insert(&X_REQUEST_ID, stamp.request_id.clone());
    put.append(VIA, via(parts.version));
    if parts.version == Version::HTTP_2 {
        join_cookies(put);
    }
    // A dyno reads the origin form; an absolute target has named the host.
    name_host(parts);
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
}

/// Makes a dyno's answer one to a client. `Date` is put in by the server where it is missing.
pub(super) fn answer(parts: &mut response::Parts, client: Version) {
    // Chunks win over a length (RFC 9112 section 6.3), which would cut the answer off.
    if parts.headers.contains_key(TRANSFER_ENCODING) {
        parts.headers.remove(CONTENT_LENGTH);
    }
    remove_hops(&mut parts.headers);
    stamp_answer(parts, client);
}

/// As [`answer`], for an answer that turns the connection into a tunnel.
pub(super) fn switched(parts: &mut response::Parts) {
    let protocol = parts.headers.get(UPGRADE).cloned();
    remove_hops(&mut parts.headers);
    if let Some(protocol) = protocol {
        upgrade(&mut parts.headers, protocol);
    }
    stamp_answer(parts, Version::HTTP_11);
}

fn stamp_answer(parts: &mut response::Parts, client: Version) {
    // The version is each hop's own; the server lowers it for a client that speaks HTTP/1.0.
    parts.version = Version::HTTP_11;
    let put = &mut parts.headers;
    put.append(VIA, via(client));
    if !put.contains_key(SERVER) {
        put.insert(SERVER, HeaderValue::from_static(headers::SERVER));
    }
}

/// Puts a request into the form that a dyno's protocol asks for, whichever it has been in.
pub(super) fn for_dyno<B: Body>(request: Request<B>, protocol: DynoProtocol) -> Request<B> {
    let (mut parts, body) = request.into_parts();
    match protocol {
        DynoProtocol::Http1 => {
            name_host(&mut parts);
            parts.headers.remove(TE);
            parts.version = Version::HTTP_11;
            if body.size_hint().exact().is_none() {
                // Said aloud, since a GET's body would be left out otherwise.
                parts.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
        }
        DynoProtocol::Http2 => {
            parts.headers.remove(TRANSFER_ENCODING);
            // Trailers are taken, and servers of gRPC want that said.
            parts.headers.insert(TE, HeaderValue::from_static(headers::TRAILERS));
            parts.version = Version::HTTP_2;
            if let Some(host) = parts.headers.remove(HOST) {
                let path = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
                let named =
                    Uri::builder().scheme(Scheme::HTTP).authority(host.as_bytes()).path_and_query(path);
                // What has led to an app is a name.
                parts.uri = named.build().unwrap_or(parts.uri);
            }
        }
    }
    Request::from_parts(parts, body)
}

/// Our entry in `Via`, to either side: the version that the client speaks.
fn via(client: Version) -> HeaderValue {
    HeaderValue::from_static(if client == Version::HTTP_2 { headers::VIA_HTTP2 } else { headers::VIA })
}

/// HTTP/2 cuts cookies in pieces, which no server of HTTP/1 knows (RFC 9113 section 8.2.3). Several lines of a client of HTTP/1 are
/// none of ours to join.
fn join_cookies(headers: &mut HeaderMap) {
    let mut all = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (all.next(), all.next()) else { return };
    let joined = [first, second]
        .into_iter()
        .chain(all)
        .map(HeaderValue::as_bytes)
        .collect::<Vec<_>>()
        .join(&b"; "[..]);
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        headers.insert(COOKIE, joined);
    }
}

/// Names the host in a field of its own in place of a whole address (RFC 9112 section 3.2.2).
fn name_host(parts: &mut Parts) {
    if let Some(authority) = parts.uri.authority() {
        parts.headers.insert(HOST, value(authority.as_str()));
        let target = parts.uri.path_and_query().cloned();
        parts.uri = target.map_or_else(|| Uri::from_static("/"), Uri::from);
    }
}

fn upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, protocol);
}

/// Takes out what belongs to one connection (RFC 9110 section 7.6.1), and whatever `Connection` names besides.
fn remove_hops(headers: &mut HeaderMap) {
    for named in named_by_connection(headers) {
        headers.remove(named);
    }
    remove_all(headers, headers::is_hop);
}

/// Takes out names that many a server takes for one of ours, since a CGI variable has an underscore for every dash.
fn remove_look_alikes(headers: &mut HeaderMap) {
    remove_all(headers, |name| name.contains('_') && headers::is_trusted(&name.replace('_', "-")));
}

/// Takes out what has such a name. Most heads have nothing of the kind: to look at the few names that are there costs less than to
/// look for each that could be.
fn remove_all(headers: &mut HeaderMap, is_such: impl Fn(&str) -> bool) {
    let such: Vec<_> = headers.keys().filter(|name| is_such(name.as_str())).cloned().collect();
    for name in such {
        headers.remove(name);
    }
}

fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let tokens = values.flat_map(|value| value.split(',')).map(str::trim);
    // The two usual tokens name no header. Host and length are never a hop's own: naming them is an attack.
    let is_usual =
        |token: &&str| token.eq_ignore_ascii_case("keep-alive") || token.eq_ignore_ascii_case("close");
    let names = tokens.filter(|token| !is_usual(token)).filter_map(|token| token.parse::<HeaderName>().ok());
    names.filter(|name| *name != HOST && *name != CONTENT_LENGTH).collect()
}

/// A header value of text that holds only what a value may hold.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod test {
    use std::time::Duration;

    use http::Request;

    use super::*;

    fn client() -> Client {
        Client::new("192.0.2.7".parse().unwrap(), 8080, Duration::ZERO)
    }

    fn forwarded(request: http::request::Builder, wish: Wish) -> (String, HeaderMap) {
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let (id, fwd) = (request_id(&parts.headers), forwarded_for(&parts.headers, &client()));
        let arrived = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_415_284_170);
        super::request(&mut parts, &client(), wish, &Stamp { request_id: &id, fwd: &fwd, arrived });
        (parts.uri.to_string(), parts.headers)
    }

    #[test]
    fn what_lives_for_one_hop_stays_behind() {
        let builder = Request::builder()
            .header("host", "a")
            .header("connection", "close, X-Secret, Host, content-length")
            .header("x-secret", "1")
            .header("content-length", "3")
            .header("keep-alive", "timeout=5")
            .header("te", "trailers")
            .header("trailer", "x")
            .header("upgrade", "h2c")
            .header("proxy-authorization", "x")
            .header("proxy-connection", "x")
            .header("expect", "100-continue")
            .header("accept", "*/*");
        let (_, headers) = forwarded(builder, Wish::Answer);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        let ours = [
            "via",
            "x-forwarded-for",
            "x-forwarded-port",
            "x-forwarded-proto",
            "x-request-id",
            "x-request-start",
        ];
        assert_eq!(left[..3], ["accept", "content-length", "host"]);
        assert_eq!(left[3..], ours);
    }

    #[test]
    fn the_platforms_headers_replace_and_append() {
        let builder = Request::builder()
            .header("x-forwarded-for", "10.0.0.1")
            .header("x-forwarded-for", "10.0.0.2, 10.0.0.3")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-port", "443")
            .header("x-request-start", "1")
            .header("x-request-id", "too short")
            .header("via", "1.0 proxy");
        let (_, headers) = forwarded(builder, Wish::Answer);
        assert_eq!(headers["x-forwarded-for"], "10.0.0.1, 10.0.0.2, 10.0.0.3, 192.0.2.7");
        assert_eq!(headers["x-forwarded-proto"], "http");
        assert_eq!(headers["x-forwarded-port"], "8080");
        assert_eq!(headers["x-request-start"], "1795415284170");
        assert_eq!(headers["x-request-id"].len(), 36);
        let via: Vec<_> = headers.get_all("via").iter().collect();
        assert_eq!(via, ["1.0 proxy", "1.1 heroku-router"]);
    }

    #[test]
    fn a_name_with_underscores_passes_unless_it_could_be_taken_for_ours() {
        let builder = Request::builder()
            .header("x_forwarded_for", "10.0.0.1")
            .header("x-forwarded_proto", "https")
            .header("content_length", "7")
            .header("transfer_encoding", "chunked")
            .header("my_header", "1");
        let (_, headers) = forwarded(builder, Wish::Answer);
        let left: Vec<_> = headers.keys().filter(|name| name.as_str().contains('_')).collect();
        assert_eq!(left, ["my_header"]);
    }

    #[test]
    fn a_good_request_id_is_kept() {
        let id = "0123456789abcdef/+=-";
        assert_eq!(
            forwarded(Request::builder().header("x-request-id", id), Wish::Answer).1["x-request-id"],
            id
        );
    }

    #[test]
    fn an_absolute_target_becomes_a_path_and_a_host() {
        let builder = Request::builder().uri("http://b.localhost:1/a%2Fb/../c?d").header("host", "a");
        let (target, headers) = forwarded(builder, Wish::Answer);
        assert_eq!(
            (target.as_str(), &headers["host"]),
            ("/a%2Fb/../c?d", &HeaderValue::from_static("b.localhost:1"))
        );
    }

    #[test]
    fn an_answer_in_chunks_has_no_length() {
        let builder =
            http::Response::builder().header("content-length", "2").header("transfer-encoding", "chunked");
        let (mut parts, ()) = builder.body(()).unwrap().into_parts();
        answer(&mut parts, Version::HTTP_11);
        assert!(!parts.headers.contains_key("content-length"));
    }

    #[test]
    fn pieces_of_cookies_are_one_line_again() {
        let cut = || Request::builder().uri("https://a/").header("cookie", "a=1").header("cookie", "b=2");
        let (_, headers) = forwarded(cut().version(Version::HTTP_2), Wish::Answer);
        let all: Vec<_> = headers.get_all("cookie").iter().collect();
        assert_eq!(all, ["a=1; b=2"]);
        assert_eq!(&headers["via"], "2.0 heroku-router");
        let (_, headers) = forwarded(cut(), Wish::Answer);
        assert_eq!(headers.get_all("cookie").iter().count(), 2, "HTTP/1 cuts nothing");
    }

    #[test]
    fn a_request_takes_the_form_of_either_protocol_and_back() {
        let body = || http_body_util::Full::new(bytes::Bytes::from_static(b"x"));
        let given = Request::builder().uri("/a?b").header("host", "example.com:1").body(body()).unwrap();
        let two = for_dyno(for_dyno(given, DynoProtocol::Http2), DynoProtocol::Http2);
        assert_eq!(two.uri(), "http://example.com:1/a?b");
        assert_eq!(
            (two.version(), &two.headers()["te"]),
            (Version::HTTP_2, &HeaderValue::from_static("trailers"))
        );
        assert!(!two.headers().contains_key("host"));
        let one = for_dyno(two, DynoProtocol::Http1);
        assert_eq!(
            (one.uri().to_string(), &one.headers()["host"]),
            ("/a?b".to_owned(), &HeaderValue::from_static("example.com:1"))
        );
        assert_eq!((one.version(), one.headers().len()), (Version::HTTP_11, 1));
    }

    #[test]
    fn an_upgrade_is_passed_on() {
        let builder = Request::builder().header("connection", "upgrade, x-y").header("upgrade", "websocket");
        let (_, headers) = forwarded(builder, Wish::Upgrade);
        assert_eq!(
            (&headers["connection"], &headers["upgrade"]),
            (&HeaderValue::from_static("Upgrade"), &HeaderValue::from_static("websocket"),)
        );
    }
}
