//! Requests to an authority: one connection each, under TLS alone, with a bound on time and size.

use std::error::Error as StdError;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, RETRY_AFTER};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::domain::Verification;
use crate::logs::Tls;
use crate::sys::clock;

/// How long a request may take, from the look at the name to the end of the answer, seconds.
const REQUEST_TIMEOUT_S: u64 = 30;
/// The largest answer, bytes; a chain has some ten thousand.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// The port of addresses that name none.
const HTTPS_PORT: u16 = 443;

/// Where requests go out.
#[derive(Clone)]
pub(super) struct Https {
    tls: Arc<Tls>,
    /// Unix time before which the authority wants no more of what it refused, seconds; zero where it has not said.
    wanted_at_s: Arc<AtomicI64>,
}

type Failure = Box<dyn StdError + Send + Sync>;

impl Https {
    pub(super) fn new(tls: Arc<Tls>) -> Self {
        Self { tls, wanted_at_s: Arc::default() }
    }

    /// When the authority wants to be asked again, if it has said so last.
    pub(super) fn wanted_at_s(&self) -> Option<i64> {
        Some(self.wanted_at_s.load(Ordering::Relaxed)).filter(|at| *at > 0)
    }

    async fn send(self, request: Request<BodyWrapper<Bytes>>) -> Result<Response<Full<Bytes>>, Failure> {
        let (mut parts, body) = request.into_parts();
        let (host, port, named) = target(&parts.uri)?;
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        parts.uri = path.parse()?;
        parts.headers.insert(HOST, HeaderValue::from_str(&named)?);
        let stream = TcpStream::connect((host.as_str(), port)).await?;
        let tls = Arc::clone(&self.tls);
        // Reads files at first use.
        let connector = tokio::task::spawn_blocking(move || tls.connector(Verification::Required)).await??;
        let stream = connector.connect(ServerName::try_from(host)?, stream).await?;
        let (mut requests, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends with `requests`; its errors reach the answer.
        tokio::spawn(connection);
        let response = requests.send_request(Request::from_parts(parts, body)).await?;
        let (parts, body) = response.into_parts();
        let after = parts.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let after = after.filter(|_| !parts.status.is_success()).and_then(wanted_at);
        self.wanted_at_s.store(after.unwrap_or_default(), Ordering::Relaxed);
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?.to_bytes();
        Ok(Response::from_parts(parts, Full::new(body)))
    }
}

impl HttpClient for Https {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let sent = tokio::time::timeout(Duration::from_secs(REQUEST_TIMEOUT_S), self.clone().send(request));
        Box::pin(async move {
            let answered =
                sent.await.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()));
            answered.map(BytesResponse::from).map_err(Error::Other)
        })
    }
}

/// Host and port to connect to, and the `Host` header.
fn target(uri: &Uri) -> Result<(String, u16, String), Failure> {
    if uri.scheme_str() != Some("https") {
        return Err("the authority names an address that is not https".into());
    }
    let authority = uri.authority().ok_or("the authority names an address without a host")?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let named = match authority.port_u16() {
        Some(port) => format!("{}:{port}", authority.host()),
        None => authority.host().to_owned(),
    };
    Ok((host, authority.port_u16().unwrap_or(HTTPS_PORT), named))
}

/// The Unix time that `Retry-After` means (RFC 9110, section 10.2.3), seconds.
fn wanted_at(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.trim().parse::<u32>() {
        return Some(clock::unix_s().saturating_add(seconds.into()));
    }
    let since = httpdate::parse_http_date(text.trim()).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn addresses_are_https_alone() {
        let told = |text: &str| target(&text.parse().unwrap()).ok();
        let of = |host: &str, port, named: &str| Some((host.to_owned(), port, named.to_owned()));
        assert_eq!(told("https://a.example/x"), of("a.example", 443, "a.example"));
        assert_eq!(told("https://[::1]:14000/x"), of("::1", 14000, "[::1]:14000"));
        assert_eq!(told("http://a.example/x"), None);
        assert_eq!(told("/x"), None);
    }

    #[test]
    fn an_authority_says_when_it_wants_to_be_asked_again() {
        assert_eq!(wanted_at("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        let soon = wanted_at(" 120 ").unwrap() - clock::unix_s();
        assert!((110..=120).contains(&soon), "{soon}");
        assert_eq!(wanted_at("soon"), None);
    }
}
