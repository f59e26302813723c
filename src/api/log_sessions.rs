//! `/apps/:app/log-sessions`: a session is asked for, and opened soon after under a name nobody can guess.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, BoxStream, StreamExt};
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::{Extensions, HeaderMap, StatusCode};
use uuid::Uuid;

use crate::api::asked::Asked;
use crate::api::body::Input;
use crate::api::error::ApiError;
use crate::api::shares::displaced;
use crate::api::state::Api;
use crate::domain::{App, AppId, Email};
use crate::flows::{self, Caller, ReleaseKey, Stranger};
use crate::logs::{Begin, Filter, HISTORY_LINES, SEARCH_LINES_MAX, SessionLine, Tail};
use crate::wire::api::{CreateLogSession, LogSession, timestamp};
use crate::wire::api_errors::{Missing, Refusal};
use crate::wire::event_stream;

/// How long a session waits to be opened, or to be opened again by a client that was cut off, seconds (platform reference
/// 5.3).
const OPEN_TIMEOUT_S: u64 = 360;

/// Lines of history when the client does not say.
const LINES_DEFAULT: usize = 100;

/// How long a stream of events is silent at most, seconds.
const PING_S: u64 = 15;

/// Longest pattern, bytes.
const PATTERN_BYTES_MAX: usize = 1000;

/// The most memory that a pattern may take once compiled, bytes.
const PATTERN_COMPILED_BYTES_MAX: usize = 1 << 20;

/// Sessions that wait to be opened, as many as [`displaced`] lets stay.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<Uuid, Session>>);

#[derive(Clone)]
struct Session {
    app: AppId,
    /// Who asked for it.
    user: Email,
    filter: Filter,
    lines: usize,
    tail: Tail,
    /// When it was asked for, or was last seen to be read.
    waits_since: Instant,
}

impl Session {
    fn is_waiting(&self) -> bool {
        self.waits_since.elapsed() < Duration::from_secs(OPEN_TIMEOUT_S)
    }
}

impl Sessions {
    fn add(&self, session: Session) -> Uuid {
        let id = Uuid::new_v4();
        // A map cannot be left half changed by a panic.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, session| session.is_waiting());
        let seen = all.iter().map(|(id, other)| (*id, &other.user, other.waits_since)).collect();
        if let Some(gone) = displaced(seen, &session.user) {
            all.remove(&gone);
        }
        all.insert(id, session);
        id
    }

    fn take(&self, id: Uuid) -> Option<Session> {
        let session = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id)?;
        session.is_waiting().then_some(session)
    }

    /// A session that stays: it may be opened again, even before it is noticed that its reader was cut off.
    fn keep(&self, id: Uuid) -> Option<Session> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let session = all.get_mut(&id).filter(|session| session.is_waiting())?;
        session.waits_since = Instant::now();
        Some(session.clone())
    }
}

pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    asked: Asked,
    Path(key): Path<String>,
    Input(request): Input<CreateLogSession>,
) -> Result<(StatusCode, Json<LogSession>), ApiError> {
    let app = api.app(&key).await?;
    let filter = filter(&api, &app, &request).await?;
    // Who names a time wants all of it.
    let names_time = filter.since.is_some() || filter.until.is_some();
    let default = if names_time { SEARCH_LINES_MAX } else { LINES_DEFAULT };
    let most = if filter.is_search() { SEARCH_LINES_MAX } else { HISTORY_LINES };
    let lines = request.lines.unwrap_or(default).min(most);
    let tail = if request.tail.unwrap_or(false) { Tail::Follow } else { Tail::End };
    let (user, waits_since) = (caller.user().clone(), Instant::now());
    let id = api.sessions.add(Session { app: app.id, user, filter, lines, tail, waits_since });
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = timestamp(i64::try_from(now_s).unwrap_or(i64::MAX));
    let logplex_url = asked.url(api.node.settings(), &format!("/logs/{id}"));
    Ok((StatusCode::CREATED, Json(LogSession { created_at: now.clone(), id, logplex_url, updated_at: now })))
}

async fn filter(api: &Api, app: &App, request: &CreateLogSession) -> Result<Filter, ApiError> {
    let mut filter = Filter {
        ps: request.dyno.clone().or(request.process_type.clone()),
        source: request.source.clone(),
        pattern: request.grep.as_deref().map(pattern).transpose()?,
        ..Filter::default()
    };
    if let Some(key) = &request.release {
        let (since, until) = flows::release_time(&api.node, app, ReleaseKey::parse(key)?).await?;
        (filter.since, filter.until) = (Some(since), until);
    }
    if let Some(since) = &request.since {
        let since: jiff::Timestamp = since.parse().map_err(|_| Refusal::LogTime)?;
        let since = SystemTime::from(since);
        filter.since = Some(filter.since.map_or(since, |earliest| earliest.max(since)));
    }
    Ok(filter)
}

fn pattern(text: &str) -> Result<regex::bytes::Regex, Refusal> {
    let refused = |reason: String| Refusal::LogPattern(reason.lines().last().unwrap_or_default().to_owned());
    if text.len() > PATTERN_BYTES_MAX {
        return Err(refused(format!("it is longer than {PATTERN_BYTES_MAX} bytes")));
    }
    regex::bytes::RegexBuilder::new(text)
        .size_limit(PATTERN_COMPILED_BYTES_MAX)
        .build()
        .map_err(|failed| refused(failed.to_string()))
}

/// Streams lines: as events to whoever accepts those, which is the platform's own tool, otherwise as text. A session opens
/// once, but for events again and again, since their readers come back when they are cut off. A tail ends with its client,
/// or when the node closes.
pub(super) async fn open(
    State(api): State<Api>,
    Path(id): Path<String>,
    headers: HeaderMap,
    extensions: Extensions,
) -> Result<Response, ApiError> {
    let known = || extensions.get::<Stranger>().into_iter().for_each(Stranger::becomes_known);
    let id = id.parse().map_err(|_| Refusal::NotFound(Missing::LogSession))?;
    let gone = || Refusal::NotFound(Missing::LogSession);
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if header(ACCEPT.as_str()).is_some_and(|accepted| accepted.contains(event_stream::CONTENT_TYPE)) {
        let last = header(event_stream::LAST_EVENT_ID).and_then(|last| last.parse().ok());
        let session = api.sessions.keep(id).ok_or_else(gone)?;
        known();
        return Ok(events(&api, id, session, last));
    }
    let Session { app, filter, lines, tail, .. } = api.sessions.take(id).ok_or_else(gone)?;
    known();
    let lines = api.node.logs().session(app, filter, lines, tail);
    let bytes = lines.map(|line| Ok::<_, Infallible>(line.to_bytes())).take_until(api.closing());
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from_stream(bytes)).into_response())
}

fn events(api: &Api, id: Uuid, session: Session, last: Option<u64>) -> Response {
    let begin = last.map_or(Begin::Newest(session.lines), Begin::After);
    let lines = api.node.logs().numbered_session(session.app, session.filter, begin, session.tail);
    let first = match session.tail {
        Tail::End => vec![event_stream::RETRY_AT_ONCE.to_vec()],
        Tail::Follow => Vec::new(),
    };
    let sessions = Arc::clone(&api.sessions);
    let events = stream::unfold((lines, sessions), move |(mut lines, sessions)| async move {
        let event = event_or_ping(&mut lines).await?;
        // While it is read it does not expire.
        let _or_pushed_out = sessions.keep(id);
        Some((event, (lines, sessions)))
    });
    let bytes = stream::iter(first).chain(events).map(Ok::<_, Infallible>).take_until(api.closing());
    let headers = [(CONTENT_TYPE, event_stream::CONTENT_TYPE), (CACHE_CONTROL, "no-cache")];
    (headers, Body::from_stream(bytes)).into_response()
}

async fn event_or_ping(lines: &mut BoxStream<'static, SessionLine>) -> Option<Vec<u8>> {
    match tokio::time::timeout(Duration::from_secs(PING_S), lines.next()).await {
        Ok(shown) => shown.map(|shown| event_stream::event(shown.number, &shown.line)),
        Err(_) => Some(event_stream::PING.to_vec()),
    }
}
