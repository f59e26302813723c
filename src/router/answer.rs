//! The sixth stage: what the client gets. The only place where a failure becomes status, page and code.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, SERVER};
use http::{HeaderValue, Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};

use crate::domain::Route;
use crate::router::download::{Download, DownloadError};
use crate::router::observe::Observation;
use crate::router::streams::Stream;
use crate::wire::codes::Code;
use crate::wire::headers;
use crate::wire::pages::{Page, framed};
use crate::wire::router_line::{Socket, Trouble};

/// Every way a request can fail before its answer has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It is not for any app: over a limit or contradictory. No line.
    Malformed(StatusCode),
    /// No app has this host. No line.
    UnknownHost,
    /// Something is expected that the platform does not do.
    Expectation,
    /// The client's chunks are malformed.
    BadChunk,
    /// The client closed its connection.
    ClientClosed,
    /// The client fell silent.
    ClientIdle,
    /// The app cannot serve at the moment, for the reason the code names.
    Refused(Code),
    /// Every dyno that was tried refused the connection.
    ConnectRefused,
    /// No dyno that was tried took the connection.
    ConnectTimeout,
    /// No dyno came up in time.
    BootTimeout,
    /// All dynos were left alone for too long.
    NoneReachable,
    /// The dyno did not answer in time.
    Timeout,
    /// The dyno closed its connection instead of answering.
    ClosedWithoutAnswer,
    /// The dyno's answer is not HTTP.
    PoorAnswer,
    /// A cookie of the answer is too long.
    OversizedCookie,
    /// A header of the answer is too long.
    OversizedHeader,
    /// The answer's length makes no sense.
    InvalidContentLength,
}

/// What a failure is to the client, and to the log.
struct Told {
    status: u16,
    trouble: Option<Trouble>,
    page: Option<Page>,
}

impl Failure {
    fn told(self) -> Told {
        let plain = |code: Code| Told {
            status: code.status(),
            trouble: Some(code.into()),
            page: Some(Page::ApplicationError),
        };
        let restricted = |detail| Told {
            trouble: Some(Trouble { detail: Some(detail), ..Code::H25.into() }),
            ..plain(Code::H25)
        };
        let clients = |status, trouble: Trouble| Told { status, trouble: Some(trouble), page: None };
        let caused = |cause| Trouble { cause: Some(cause), ..Code::H26.into() };
        let left = |code: Code| clients(code.status(), Trouble { sock: Some(Socket::Client), ..code.into() });
        match self {
            Self::Malformed(status) => Told { status: status.as_u16(), trouble: None, page: None },
            Self::UnknownHost => Told { status: 404, trouble: None, page: Some(Page::NoSuchApp) },
            Self::Expectation => clients(417, caused("unsupported expect header value")),
            Self::BadChunk => clients(400, caused("bad chunk")),
            Self::ClientClosed => left(Code::H27),
            Self::ClientIdle => left(Code::H28),
            Self::Refused(Code::H80) => Told { page: Some(Page::Maintenance), ..plain(Code::H80) },
            Self::Refused(Code::H81) => Told { page: Some(Page::Welcome), ..plain(Code::H81) },
            Self::Refused(code) => plain(code),
            Self::ConnectRefused => plain(Code::H21),
            Self::ConnectTimeout => plain(Code::H19),
            Self::BootTimeout => plain(Code::H20),
            Self::NoneReachable => plain(Code::H99),
            Self::Timeout => plain(Code::H12),
            Self::ClosedWithoutAnswer => plain(Code::H13),
            Self::PoorAnswer => plain(Code::H17),
            Self::OversizedCookie => restricted("oversized cookie"),
            Self::OversizedHeader => restricted("oversized header"),
            Self::InvalidContentLength => restricted("invalid content length"),
        }
    }
}

/// The answer to a request that failed, with the app's own page where it has one.
pub(super) fn failed(
    failure: Failure,
    route: Option<&Route>,
    mut observation: Observation,
) -> Response<AnswerBody> {
    let told = failure.told();
    match told.trouble {
        Some(trouble) => observation.fails(trouble, told.status),
        None => observation.completes(),
    }
    drop(observation);
    let page = told.page.map_or_else(Bytes::new, |page| Bytes::from(html(page, route)));
    let mut response = Response::new(AnswerBody::Page(Some(page).filter(|page| !page.is_empty())));
    *response.status_mut() = StatusCode::from_u16(told.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let put = response.headers_mut();
    put.insert(SERVER, HeaderValue::from_static(headers::SERVER));
    if told.page.is_some() {
        put.insert(CONTENT_TYPE, HeaderValue::from_static(headers::HTML));
        put.insert(CACHE_CONTROL, HeaderValue::from_static(headers::NO_CACHE));
    } else {
        // What such a client sends next is not to be trusted.
        put.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The answer to an authority that asks whether a name leads here. It is nothing of the app's, so its log tells nothing.
pub(super) fn proven(text: Bytes, mut observation: Observation) -> Response<AnswerBody> {
    observation.completes();
    drop(observation);
    let mut response = Response::new(AnswerBody::Page(Some(text)));
    let put = response.headers_mut();
    put.insert(SERVER, HeaderValue::from_static(headers::SERVER));
    put.insert(CONTENT_TYPE, HeaderValue::from_static(headers::PLAIN));
    response
}

fn html(page: Page, route: Option<&Route>) -> String {
    let own = route.and_then(|route| match page {
        Page::ApplicationError => route.error_page.as_deref(),
        Page::Maintenance => route.maintenance_page.as_deref(),
        Page::Welcome | Page::NoSuchApp => None,
    });
    own.map_or_else(|| page.html(), |url| framed(page, url))
}

/// The body of an answer.
pub(super) enum AnswerBody {
    /// One of the platform's own pages, or none.
    Page(Option<Bytes>),
    /// A dyno's.
    Relay(Box<Download>),
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = DownloadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, DownloadError>>> {
        match &mut *self {
            Self::Page(page) => {
                // A client that never makes room for it would hold its place for ever.
                if let (Some(_), Some(stream)) = (&page, Stream::current()) {
                    stream.gives();
                }
                Poll::Ready(page.take().map(|page| Ok(Frame::data(page))))
            }
            Self::Relay(download) => download.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Page(page) => page.is_none(),
            Self::Relay(download) => download.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Page(page) => SizeHint::with_exact(
                page.as_ref().map_or(0, |page| u64::try_from(page.len()).unwrap_or(u64::MAX)),
            ),
            Self::Relay(download) => download.size_hint(),
        }
    }
}
