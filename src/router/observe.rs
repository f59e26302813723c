//! The last stage, which always runs: one line for every request of an app, however it ended, and its place in the figures.
//!
//! An [`Observation`] begins with the request and travels with it: through the stages, then with the answer's body or the
//! tunnel. The line is written when it is dropped; a drop before the end was reached means that the client has gone, since
//! the server drops all that belongs to a request when its connection breaks.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http::uri::PathAndQuery;
use http::{HeaderValue, Method, StatusCode, Uri, Version};

use crate::domain::{AppId, DynoName};
use crate::router::client::Client;
use crate::router::counters::{AppFigures, Entered, InHand};
use crate::router::serve::Shared;
use crate::router::streams::Stream;
use crate::wire::codes::Code;
use crate::wire::router_line::{Protocol, RouterLine, Socket, Trouble};

/// Where the router's lines go. Must not block.
pub trait RouterLog: Send + Sync {
    /// Takes the line of one request of `app`.
    fn line(&self, app: &AppId, line: &RouterLine<'_>);
}

/// A request as seen so far.
pub(super) struct Observation {
    shared: Arc<Shared>,
    client: Arc<Client>,
    head: Head,
    arrived: Instant,
    app: Option<(AppId, Entered)>,
    reached: Option<Reached>,
    status: u16,
    bytes: u64,
    trouble: Option<Trouble>,
    end: End,
    /// What it came in by, of a client that speaks HTTP/2.
    stream: Option<Arc<Stream>>,
}

/// What the line tells of the request itself.
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) host: Option<HeaderValue>,
    pub(super) request_id: HeaderValue,
    pub(super) fwd: HeaderValue,
    pub(super) version: Version,
    /// Who asks, where that may be told.
    pub(super) agent: Option<HeaderValue>,
}

struct Reached {
    dyno: DynoName,
    connect: Duration,
    since: Instant,
    /// Over with the request.
    _in_hand: Option<InHand>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    Reached,
}

impl Observation {
    /// Begins with a request's head.
    pub(super) fn begin(shared: Arc<Shared>, client: Arc<Client>, head: Head) -> Self {
        Self {
            shared,
            client,
            head,
            arrived: Instant::now(),
            app: None,
            reached: None,
            status: 0,
            bytes: 0,
            trouble: None,
            end: End::Open,
            stream: Stream::current(),
        }
    }

    /// The request is for `app`; counts it as in flight until the line is written.
    pub(super) fn belongs_to(&mut self, app: AppId) {
        self.app = Some((app, self.shared.apps.enter(app)));
    }

    /// Whose request it is.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The version of HTTP that the client speaks.
    pub(super) fn version(&self) -> Version {
        self.head.version
    }

    /// What it came in by, of a client that speaks HTTP/2.
    pub(super) fn stream(&self) -> Option<&Arc<Stream>> {
        self.stream.as_ref()
    }

    /// Requests in flight for the app, this one included.
    pub(super) fn in_flight(&self) -> usize {
        self.app.as_ref().map_or(0, |(_, entered)| entered.figures().in_flight())
    }

    /// A connection to `dyno` is there since now.
    pub(super) fn reached(&mut self, dyno: &DynoName, connect: Duration, in_hand: Option<InHand>) {
        self.reached =
            Some(Reached { dyno: dyno.clone(), connect, since: Instant::now(), _in_hand: in_hand });
    }

    /// The status that is sent.
    pub(super) fn answers(&mut self, status: u16) {
        self.status = status;
    }

    /// Bytes of the body that are sent.
    pub(super) fn sends(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// All went well to the end.
    pub(super) fn completes(&mut self) {
        self.end = End::Reached;
    }

    /// The end, with trouble; `status` is what the client was told, or would have been.
    pub(super) fn fails(&mut self, trouble: Trouble, status: u16) {
        self.trouble = Some(trouble);
        self.status = status;
        self.end = End::Reached;
    }

    /// Why a request that did not come to its end was dropped.
    fn dropped_for(&self) -> Trouble {
        if std::thread::panicking() {
            Code::H99.into()
        } else if self.shared.is_forced.load(Ordering::Relaxed) {
            Code::H24.into()
        } else if self.client.is_stalled() || self.stream.as_ref().is_some_and(|stream| stream.is_stalled()) {
            Trouble { sock: Some(Socket::Client), ..Code::H28.into() }
        } else {
            Trouble { sock: Some(Socket::Client), ..Code::H27.into() }
        }
    }

    fn count(&self, figures: &AppFigures) {
        figures.ends(self.status, self.trouble.map(|trouble| trouble.code));
        let Some(reached) = &self.reached else {
            figures.queue.takes(self.arrived.elapsed());
            return;
        };
        figures.queue.takes(reached.since.saturating_duration_since(self.arrived));
        figures.connect.takes(reached.connect);
        // How long a tunnel was open says nothing of how fast a dyno is.
        if self.status != StatusCode::SWITCHING_PROTOCOLS.as_u16() {
            figures.service.takes(reached.since.elapsed());
        }
    }

    fn line(&self) -> RouterLine<'_> {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let reached = self.reached.as_ref();
        let is_reuse = self.trouble.is_some_and(|trouble| trouble.code == Code::H31);
        RouterLine {
            trouble: self.trouble,
            method: self.head.method.as_str(),
            path: self.head.uri.path_and_query().map_or("", PathAndQuery::as_str),
            host: self.head.host.as_ref().map(text).unwrap_or_default(),
            request_id: text(&self.head.request_id),
            fwd: text(&self.head.fwd),
            dyno: reached.map(|reached| Cow::Borrowed(&reached.dyno)),
            connect_ms: reached.map(|reached| millis(reached.connect)),
            service_ms: reached.map(|reached| millis(reached.since.elapsed())),
            status: self.status,
            bytes: reached.map(|_| self.bytes),
            protocol: match self.head.version {
                Version::HTTP_10 => Protocol::Http10,
                Version::HTTP_2 => Protocol::Http2,
                _ => Protocol::Http11,
            },
            encryption: self.client.encryption(),
            agent: self.head.agent.as_ref().filter(|_| is_reuse).map(text),
        }
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        if self.end == End::Open {
            let trouble = self.dropped_for();
            self.fails(trouble, trouble.code.status());
        }
        // Nobody reads of a request that was for no app.
        if let Some((app, entered)) = &self.app {
            self.count(entered.figures());
            self.shared.log.line(app, &self.line());
        }
    }
}

/// A value as it is shown: bytes that are no text are replaced.
fn text(value: &HeaderValue) -> Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes())
}
