//! The fifth stage: the request goes to a dyno, and the head of its answer comes back.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, SET_COOKIE, TRANSFER_ENCODING};
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::time::{Instant, sleep_until};

use crate::domain::{Backend, Choice, DynoId, DynoProtocol};
use crate::router::answer::Failure;
use crate::router::config::{Limits, Timers};
use crate::router::observe::Observation;
use crate::router::pool::DynoConnection;
use crate::router::reach::{Kept, Unreached, reach};
use crate::router::rewrite;
use crate::router::serve::Shared;
use crate::router::upload::{Progress, RequestBody, Stand, UploadError};
use crate::router::validate::Wish;

/// The bytes of a header line beside name and value: colon and space.
const HEADER_LINE_REST_BYTES: usize = 2;

/// A dyno's answer, as far as its head.
pub(super) struct Forwarded {
    /// The head, and the body to come.
    pub(super) response: Response<Incoming>,
    /// Whose it is.
    pub(super) dyno: DynoId,
    /// The connection it comes by.
    pub(super) connection: DynoConnection,
    /// Where the upload stands, if there is one.
    pub(super) progress: Option<Arc<Progress>>,
    /// How long things may take for this app.
    pub(super) timers: Timers,
}

/// What is asked of a dyno beyond the request itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    /// What the client wants of its connection.
    pub(super) wish: Wish,
    /// The dyno it is to be, if that can be reached.
    pub(super) dyno: Option<DynoId>,
    /// Which one where that says nothing.
    pub(super) choice: Choice,
    /// How long things may take for this app.
    pub(super) timers: Timers,
    /// What its dynos are spoken to in.
    pub(super) protocol: DynoProtocol,
}

/// Why there is no answer.
pub(super) enum ForwardError {
    /// No dyno was reached and none has seen a byte: the request may wait and try again.
    Unreached(Unreached, Box<Request<RequestBody>>),
    /// It is over.
    Failed(Failure),
}

/// Sends `request` to one of `backends`. Once a dyno has seen a byte of it there is no second try.
pub(super) async fn forward(
    shared: &Shared,
    backends: &[Backend],
    mut request: Box<Request<RequestBody>>,
    ask: Ask,
    observation: &mut Observation,
) -> Result<Forwarded, ForwardError> {
    let progress = request.body().progress();
    let mut kept = Kept::Welcome;
    loop {
        let reached = match reach(shared, backends, ask, kept).await {
            Ok(reached) => reached,
            Err(unreached) => return Err(ForwardError::Unreached(unreached, request)),
        };
        observation.reached(&reached.backend.dyno, reached.connect, reached.in_hand);
        let mut connection = reached.connection;
        let shaped = rewrite::for_dyno(*request, connection.protocol);
        let answer = connection.sender.send(shaped);
        match first_byte(answer, progress.as_deref(), ask.timers.first_byte).await {
            Ok(Ok(response)) => {
                judge(&response, ask.wish, &shared.config.limits).map_err(ForwardError::Failed)?;
                let (dyno, timers) = (connection.dyno, ask.timers);
                return Ok(Forwarded { response, dyno, connection, progress, timers });
            }
            Ok(Err(mut refused)) => match refused.take_message() {
                // The dyno had closed a kept connection before the first byte: as good as never sent.
                Some(unsent) => {
                    request = Box::new(unsent);
                    kept = Kept::Unwanted;
                }
                None => return Err(ForwardError::Failed(explain(refused.error(), progress.as_deref()))),
            },
            Err(failure) => return Err(ForwardError::Failed(failure)),
        }
    }
}

/// Waits for the head of the answer, for as long as the dyno may take from when it has had all there was to have.
async fn first_byte<T>(
    answer: impl Future<Output = T>,
    progress: Option<&Progress>,
    limit: Duration,
) -> Result<T, Failure> {
    let sent = Instant::now();
    let timer = sleep_until(sent + limit);
    tokio::pin!(answer, timer);
    loop {
        tokio::select! {
            biased;
            answer = &mut answer => return Ok(answer),
            () = &mut timer => {
                let owed_since = match progress.map_or(Stand::DynoOwes(sent), Progress::stand) {
                    Stand::DynoOwes(since) | Stand::Done(since) => since,
                    // The upload's own timer watches the client.
                    Stand::ClientOwes | Stand::Failed(_) => Instant::now(),
                };
                if owed_since + limit <= Instant::now() {
                    return Err(Failure::Timeout);
                }
                timer.as_mut().reset(owed_since + limit);
            }
        }
    }
}

/// What the error of an exchange means. The client's own failure comes first: it makes the dyno's connection fail too.
fn explain(error: &hyper::Error, progress: Option<&Progress>) -> Failure {
    if let Some(failure) = progress.and_then(Progress::failure) {
        return match failure {
            UploadError::Closed => Failure::ClientClosed,
            UploadError::Idle => Failure::ClientIdle,
            UploadError::Malformed => Failure::BadChunk,
        };
    }
    if error.is_parse_too_large() {
        Failure::OversizedHeader
    } else if error.is_parse() && error.to_string().contains(CONTENT_LENGTH.as_str()) {
        Failure::InvalidContentLength
    } else if error.is_parse() {
        Failure::PoorAnswer
    } else {
        Failure::ClosedWithoutAnswer
    }
}

/// The platform's limits on a dyno's answer (platform reference 4.5).
fn judge(response: &Response<Incoming>, wish: Wish, limits: &Limits) -> Result<(), Failure> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS && wish == Wish::Answer {
        return Err(Failure::PoorAnswer);
    }
    judge_headers(response.headers(), limits)
}

fn judge_headers(headers: &HeaderMap, limits: &Limits) -> Result<(), Failure> {
    // The parser takes a length that is said twice; a client could read it in another way. Chunks win over any length.
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let is_plain = |value: &http::HeaderValue| value.as_bytes().iter().all(u8::is_ascii_digit);
    let is_unclear = lengths.next().is_some_and(|first| !is_plain(first)) || lengths.next().is_some();
    if is_unclear && !headers.contains_key(TRANSFER_ENCODING) {
        return Err(Failure::InvalidContentLength);
    }
    for (name, value) in headers {
        let bytes = name.as_str().len() + value.len() + HEADER_LINE_REST_BYTES;
        if name == SET_COOKIE && bytes > limits.cookie_line_bytes {
            return Err(Failure::OversizedCookie);
        }
        if bytes > limits.answer_header_line_bytes {
            return Err(Failure::OversizedHeader);
        }
    }
    Ok(())
}

#[cfg(test)]
mod test {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn answers_have_limits_too() {
        let limits = Limits::default();
        let judged = |name, bytes: usize| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_bytes(&vec![b'a'; bytes]).unwrap());
            judge_headers(&headers, &limits)
        };
        let rest = "set-cookie: ".len();
        assert_eq!(judged(SET_COOKIE, 8192 - rest), Ok(()));
        assert_eq!(judged(SET_COOKIE, 8193 - rest), Err(Failure::OversizedCookie));
        assert_eq!(judged(http::header::ETAG, 9000), Ok(()));
        assert_eq!(judged(http::header::ETAG, 512 * 1024), Err(Failure::OversizedHeader));
    }
}
