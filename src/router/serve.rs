//! A request, from its head to its answer: validate, lookup, admit, pick, forward, answer, observe.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, SET_COOKIE, USER_AGENT};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::rustls;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::domain::{Affinity, Certificates, DynoId, DynoProtocol, Route, RouteTable};
use crate::router::admit::{Admission, admit};
use crate::router::affinity;
use crate::router::answer::{AnswerBody, Failure, failed, proven};
use crate::router::client::Client;
use crate::router::config::RouterConfig;
use crate::router::connect::Connector;
use crate::router::counters::{Apps, Loads, Quarantine};
use crate::router::download::{Download, Open};
use crate::router::forward::{Ask, ForwardError, Forwarded, forward};
use crate::router::listener::Ends;
use crate::router::lookup::{challenge_text, is_misdirected, lookup};
use crate::router::observe::{Head, Observation, RouterLog};
use crate::router::pool::Pool;
use crate::router::reach::Unreached;
use crate::router::rewrite::{self, Stamp};
use crate::router::tls::Tls;
use crate::router::upgrade::{TunnelEnds, tunnel};
use crate::router::upload::{Lingering, RequestBody, Trailers};
use crate::router::validate::{Valid, Wish, validate};
use crate::wire::codes::Code;
use crate::wire::headers;
use crate::wire::router_line::Encryption;

/// What all requests of one worker share; the first half all workers have in common.
pub(super) struct Shared {
    pub(super) config: RouterConfig,
    pub(super) table: watch::Receiver<Arc<RouteTable>>,
    pub(super) certificates: watch::Receiver<Arc<Certificates>>,
    pub(super) tls: Arc<Tls>,
    pub(super) log: Arc<dyn RouterLog>,
    pub(super) connector: Arc<dyn Connector>,
    pub(super) apps: Arc<Apps>,
    pub(super) quarantine: Arc<Quarantine>,
    pub(super) loads: Arc<Loads>,
    /// Connections that may be taken.
    pub(super) slots: Arc<Semaphore>,
    /// Connections to dynos: each belongs to the runtime that it was made in.
    pub(super) pool: Pool,
    /// Connections, tunnels and what they leave behind.
    pub(super) tasks: TaskTracker,
    /// No new requests.
    pub(super) closing: CancellationToken,
    /// Another router has the listeners: every answer is the last one of its connection.
    pub(super) finishing: CancellationToken,
    /// No more time for those in flight.
    pub(super) force: CancellationToken,
    /// Whether `force` has come.
    pub(super) is_forced: AtomicBool,
}

// === impl Shared ===

impl Shared {
    /// For a router of one worker, or the first of several.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub(super) fn new(config: RouterConfig, ends: Ends) -> Result<Self, rustls::Error> {
        let Ends { table, certificates, log, connector } = ends;
        let limits = config.limits;
        let common = Self {
            config,
            tls: Arc::new(Tls::new(table.clone(), certificates.clone(), limits.handshakes)?),
            table,
            certificates,
            log,
            connector,
            apps: Arc::default(),
            quarantine: Arc::default(),
            loads: Arc::default(),
            slots: Arc::new(Semaphore::new(limits.connections)),
            pool: Pool::default(),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            finishing: CancellationToken::new(),
            force: CancellationToken::new(),
            is_forced: AtomicBool::new(false),
        };
        Ok(common)
    }

    /// For one more worker.
    pub(super) fn beside(&self) -> Self {
        Self {
            config: self.config.clone(),
            table: self.table.clone(),
            certificates: self.certificates.clone(),
            tls: Arc::clone(&self.tls),
            log: Arc::clone(&self.log),
            connector: Arc::clone(&self.connector),
            apps: Arc::clone(&self.apps),
            quarantine: Arc::clone(&self.quarantine),
            loads: Arc::clone(&self.loads),
            slots: Arc::clone(&self.slots),
            pool: Pool::default(),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            finishing: CancellationToken::new(),
            force: CancellationToken::new(),
            is_forced: AtomicBool::new(false),
        }
    }
}

/// Serves one request. It cannot fail: failures are answers.
pub(super) async fn serve(
    shared: Arc<Shared>,
    client: Arc<Client>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    let arrived = SystemTime::now();
    let head = Head {
        method: request.method().clone(),
        uri: request.uri().clone(),
        host: named_host(&request),
        agent: request.headers().get(USER_AGENT).filter(|_| request.version() == Version::HTTP_2).cloned(),
        request_id: rewrite::request_id(request.headers()),
        fwd: rewrite::forwarded_for(request.headers(), &client),
        version: request.version(),
    };
    let (version, is_head) = (head.version, head.method == Method::HEAD);
    let (mut parts, body) = request.into_parts();
    let mut route = None;
    let judged = validate(&parts, &shared.config.limits);
    let on_upgrade = parts.extensions.remove::<hyper::upgrade::OnUpgrade>();
    if let Ok(Valid { wish, .. }) = &judged {
        let stamp = Stamp { request_id: &head.request_id, fwd: &head.fwd, arrived };
        rewrite::request(&mut parts, &client, *wish, &stamp);
    }
    let mut observation = Observation::begin(Arc::clone(&shared), Arc::clone(&client), head);
    let valid = match judged {
        Ok(valid) => valid,
        Err(failure) => {
            // Only a request that was understood belongs to an app, and to its log.
            return Ok(failed(failure, None, observation));
        }
    };
    if let Some(text) = proof(&shared, &client, &parts, &valid.host) {
        return Ok(proven(text, observation));
    }
    // Who expects to be asked for a body sends none before; to read it would be to ask.
    let lingering = || {
        if version == Version::HTTP_2 || parts.headers.contains_key(EXPECT) {
            Lingering::None
        } else {
            Lingering::Read { shared: Arc::clone(&shared) }
        }
    };
    let body = RequestBody::new(body, shared.config.timers.idle, lingering);
    let request = Box::new(Request::from_parts(parts, body));
    let finishing = shared.finishing.clone();
    let mut answer = match dispatch(&shared, &valid, request, &mut route, &mut observation).await {
        Ok(forwarded) => answer(shared, forwarded, on_upgrade, observation),
        Err(failure) => failed(failure, route.as_deref(), observation),
    };
    if version == Version::HTTP_2 {
        if is_head {
            answer = without_page(answer);
        }
        return Ok(answer);
    }
    if finishing.is_cancelled() && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        // Told beforehand, not cut off afterwards: a client that sends its next request at this moment would lose it.
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    match (valid.wish, answer.status()) {
        (Wish::Upgrade, StatusCode::SWITCHING_PROTOCOLS) => client.switches(),
        (Wish::Upgrade, _) => client.stays(),
        (Wish::Answer, _) => {}
    }
    Ok(answer)
}

/// What an authority is told that asks in plain HTTP whether a name leads here. All else at such paths is the app's.
fn proof(shared: &Shared, client: &Client, head: &Parts, host: &str) -> Option<Bytes> {
    if !matches!(head.method, Method::GET | Method::HEAD) || client.encryption() != Encryption::Plain {
        return None;
    }
    let token = head.uri.path().strip_prefix(headers::CHALLENGE_PATH)?;
    let text = challenge_text(&shared.certificates.borrow(), host, token)?.to_owned();
    Some(Bytes::from(text))
}

/// Lookup, admit, pick and forward, for as long as the request may wait for a dyno.
async fn dispatch(
    shared: &Arc<Shared>,
    valid: &Valid,
    mut request: Box<Request<RequestBody>>,
    found: &mut Option<Arc<Route>>,
    observation: &mut Observation,
) -> Result<Forwarded, Failure> {
    let mut route = lookup(&shared.table.borrow(), &valid.host).ok_or(Failure::UnknownHost)?;
    observation.belongs_to(route.app);
    if is_misdirected(&shared.certificates.borrow(), observation.client().server_name(), &valid.host) {
        let is_reuse = observation.version() == Version::HTTP_2;
        return Err(Failure::Refused(if is_reuse { Code::H31 } else { Code::H32 }));
    }
    let wanted = affinity::wanted(request.headers());
    let ask = |route: &Route| Ask {
        wish: valid.wish,
        dyno: wanted.filter(|_| route.options.affinity == Affinity::Cookie),
        choice: route.options.choice,
        timers: shared.config.timers.of(&route.options),
        // No other protocol can be switched to over HTTP/2.
        protocol: if valid.wish == Wish::Upgrade { DynoProtocol::Http1 } else { route.options.dyno_protocol },
    };
    let mut wait = None;
    loop {
        *found = Some(Arc::clone(&route));
        let ask = ask(&route);
        observation.client().may_stall(ask.timers.idle);
        request.body_mut().may_idle(ask.timers.idle);
        request.body_mut().brings_trailers(trailers(observation.version(), ask.protocol));
        let at_last = match admit(&route, observation.in_flight(), shared.config.limits.in_flight_per_dyno) {
            Admission::Refuse(code) => return Err(Failure::Refused(code)),
            Admission::Hold => Failure::BootTimeout,
            Admission::Serve(backends) => match forward(shared, backends, request, ask, observation).await {
                Ok(forwarded) => return Ok(bind(&route, wanted, valid, forwarded)),
                Err(ForwardError::Failed(failure)) => return Err(failure),
                Err(ForwardError::Unreached(Unreached::Refused, _)) => return Err(Failure::ConnectRefused),
                Err(ForwardError::Unreached(Unreached::TimedOut, _)) => return Err(Failure::ConnectTimeout),
                Err(ForwardError::Unreached(Unreached::AllQuarantined, unsent)) => {
                    request = unsent;
                    Failure::NoneReachable
                }
            },
        };
        wait.get_or_insert_with(|| Wait::begin(shared)).change(shared, at_last).await?;
        route = lookup(&shared.table.borrow(), &valid.host).ok_or(Failure::UnknownHost)?;
    }
}

/// Whether trailers go on: where both sides speak HTTP/2, as gRPC wants it. Elsewhere they live for one hop, as the platform has it.
fn trailers(client: Version, dyno: DynoProtocol) -> Trailers {
    match (client, dyno) {
        (Version::HTTP_2, DynoProtocol::Http2) => Trailers::GoOn,
        _ => Trailers::StayBehind,
    }
}

/// The host as the client names it; HTTP/2 has a field of its own for it (RFC 9113 section 8.3.1).
fn named_host(request: &Request<Incoming>) -> Option<HeaderValue> {
    let authority = request.uri().authority().filter(|_| request.version() == Version::HTTP_2);
    let named = authority.and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    named.or_else(|| request.headers().get(HOST).cloned())
}

/// To a request for the head alone nothing is sent but that, which HTTP/1's server sees to by itself.
fn without_page(answer: Response<AnswerBody>) -> Response<AnswerBody> {
    let (mut parts, mut body) = answer.into_parts();
    if let AnswerBody::Page(Some(page)) = &body {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(page.len()));
        body = AnswerBody::Page(None);
    }
    Response::from_parts(parts, body)
}

/// Where the app asks for it, the answer leads the client back to the dyno it is from.
fn bind(route: &Route, wanted: Option<DynoId>, valid: &Valid, mut forwarded: Forwarded) -> Forwarded {
    if route.options.affinity == Affinity::Cookie
        && wanted != Some(forwarded.dyno)
        && let Some(cookie) = affinity::cookie(forwarded.dyno, &valid.host, SystemTime::now())
    {
        forwarded.response.headers_mut().append(SET_COOKIE, cookie);
    }
    forwarded
}

/// A request's wait for a dyno.
struct Wait {
    table: watch::Receiver<Arc<RouteTable>>,
    deadline: Instant,
}

impl Wait {
    fn begin(shared: &Shared) -> Self {
        // Not marked as seen: a change since the table was last read wakes at once.
        Self { table: shared.table.clone(), deadline: Instant::now() + shared.config.timers.queue }
    }

    /// Waits for another table, or a while where time alone may help; `at_last` is what it comes to at the deadline.
    async fn change(&mut self, shared: &Shared, at_last: Failure) -> Result<(), Failure> {
        let until = if at_last == Failure::NoneReachable {
            self.deadline.min(Instant::now() + shared.config.timers.retry_pause)
        } else {
            self.deadline
        };
        // A table that no longer changes, since its publisher is gone, is as good as one that has not changed yet.
        match timeout_at(until, self.table.changed()).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(_)) => tokio::time::sleep_until(until).await,
            Err(_) => {}
        }
        if Instant::now() < self.deadline { Ok(()) } else { Err(at_last) }
    }
}

/// A dyno's answer becomes the client's.
fn answer(
    shared: Arc<Shared>,
    forwarded: Forwarded,
    on_upgrade: Option<hyper::upgrade::OnUpgrade>,
    mut observation: Observation,
) -> Response<AnswerBody> {
    let Forwarded { mut response, connection, progress, timers, dyno: _ } = forwarded;
    let version = observation.version();
    observation.answers(response.status().as_u16());
    if let (StatusCode::SWITCHING_PROTOCOLS, Some(client)) = (response.status(), on_upgrade) {
        let ends = TunnelEnds { client, dyno: hyper::upgrade::on(&mut response), connection };
        let force = shared.force.clone();
        shared.tasks.spawn(async move { force.run_until_cancelled(tunnel(ends, timers, observation)).await });
        let (mut parts, _) = response.into_parts();
        rewrite::switched(&mut parts);
        return Response::from_parts(parts, AnswerBody::Page(None));
    }
    let (mut parts, body) = response.into_parts();
    rewrite::answer(&mut parts, version);
    if progress.as_ref().is_some_and(|progress| !progress.is_done()) {
        // Answered before all was read: the rest of the upload is not waited for.
        parts.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let trailers = trailers(version, connection.protocol);
    let open = Open { connection, progress, observation, idle: timers.idle, trailers };
    let download = Download::begin(shared, body, open);
    Response::from_parts(parts, AnswerBody::Relay(Box::new(download)))
}
