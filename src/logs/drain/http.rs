//! Sending batches by `POST`, over one connection that is kept.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;

use crate::domain::{Drain, DrainUrl};
use crate::logs::drain::batch::Batch;
use crate::logs::drain::connect::{Way, connect};
use crate::logs::drain::error::DeliverError;
use crate::wire::drain;

/// How long a receiver may take to answer, seconds (platform reference 5.4).
const REQUEST_TIMEOUT_S: u64 = 5;
/// How long an unused connection is kept, seconds; receivers close it about then.
const IDLE_MAX_S: u64 = 120;
/// How long a connection is used at all, seconds: receivers behind balancers move (platform reference 5.4).
const CONNECTION_AGE_MAX_S: u64 = 5 * 3600;
/// An answer longer than this costs its connection, bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// The connection of one drain, kept between batches.
pub(super) struct HttpSender {
    connection: Option<Kept>,
}

struct Kept {
    requests: SendRequest<Full<Bytes>>,
    opened: Instant,
    used: Instant,
}

// === impl HttpSender ===

impl HttpSender {
    pub(super) fn new() -> Self {
        Self { connection: None }
    }

    /// Sends a batch under `frame_id` and waits for the answer.
    pub(super) async fn send(
        &mut self,
        drain: &Drain,
        way: &Way,
        (batch, frame_id): (&Batch, &str),
    ) -> Result<(), DeliverError> {
        let request = || request(drain, batch, frame_id);
        if let Some(mut kept) = self.connection.take().filter(Kept::is_fresh) {
            match kept.answer(request()?).await {
                // The receiver has closed it while it was idle. That is no failure of the receiver.
                Err(DeliverError::Broken { .. }) => {}
                result => return self.keep(kept, result),
            }
        }
        let connection = connect(&drain.url, way).await?;
        let (requests, connection) = http1::Builder::new()
            .title_case_headers(true)
            .handshake(TokioIo::new(connection.stream))
            .await
            .map_err(DeliverError::broken)?;
        // Ends with the connection, which ends with `requests`; its errors reach the sender.
        tokio::spawn(connection);
        let mut kept = Kept { requests, opened: Instant::now(), used: Instant::now() };
        let result = kept.answer(request()?).await;
        self.keep(kept, result)
    }

    /// Keeps a connection on which an answer came, whatever it says.
    fn keep(&mut self, kept: Kept, result: Result<StatusCode, DeliverError>) -> Result<(), DeliverError> {
        let status = result?;
        self.connection = Some(Kept { used: Instant::now(), ..kept });
        judge(status)
    }
}

// === impl Kept ===

impl Kept {
    fn is_fresh(&self) -> bool {
        self.used.elapsed() < Duration::from_secs(IDLE_MAX_S)
            && self.opened.elapsed() < Duration::from_secs(CONNECTION_AGE_MAX_S)
            && !self.requests.is_closed()
    }

    async fn answer(&mut self, request: Request<Full<Bytes>>) -> Result<StatusCode, DeliverError> {
        let exchange = async {
            self.requests.ready().await.map_err(DeliverError::broken)?;
            let response = self.requests.send_request(request).await.map_err(DeliverError::broken)?;
            let status = response.status();
            // Read to its end, so that the connection can take the next request.
            Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.map(drop).ok();
            Ok(status)
        };
        let slow = |_| DeliverError::Slow { attempt: "answer", limit_s: REQUEST_TIMEOUT_S };
        tokio::time::timeout(Duration::from_secs(REQUEST_TIMEOUT_S), exchange).await.map_err(slow)?
    }
}

/// What a status means for the batch. Redirects are not followed.
fn judge(status: StatusCode) -> Result<(), DeliverError> {
    let number = status.as_u16();
    match number {
        200..=299 => Ok(()),
        // What balancers say of a receiver that is away, and receivers of a sender that is too fast.
        429 | 502..=504 => Err(DeliverError::Busy { status: number }),
        400..=499 => Err(DeliverError::Refused { status: number }),
        _ => Err(DeliverError::Failed { status: number }),
    }
}

fn request(drain: &Drain, batch: &Batch, frame_id: &str) -> Result<Request<Full<Bytes>>, DeliverError> {
    let mut body = Vec::new();
    for line in &batch.lines {
        drain::http_frame(line, &mut body);
    }
    let mut request = Request::post(&drain.url.path)
        .header(HOST, host(&drain.url))
        .header(CONTENT_TYPE, drain::CONTENT_TYPE)
        .header(drain::MSG_COUNT, batch.lines.len())
        .header(drain::FRAME_ID, frame_id)
        .header(drain::DRAIN_TOKEN, &drain.token)
        .header(USER_AGENT, drain::USER_AGENT);
    if let Some(userinfo) = &drain.url.userinfo {
        // Each on its own: a colon may be encoded in either.
        let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
        let mut plain: Vec<u8> = percent_decode_str(user).collect();
        plain.push(b':');
        plain.extend(percent_decode_str(password));
        request = request.header(AUTHORIZATION, format!("Basic {}", STANDARD.encode(plain)));
    }
    request.body(Full::new(body.into())).map_err(DeliverError::broken)
}

/// The `Host` header: the port only where it is not the scheme's own.
fn host(url: &DrainUrl) -> String {
    let shown = url.to_string();
    let address = shown.split_once("://").map_or(shown.as_str(), |(_, address)| address);
    let usual = if url.transport.is_tls() { ":443" } else { ":80" };
    address.strip_suffix(usual).unwrap_or(address).to_owned()
}
