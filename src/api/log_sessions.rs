//! `/apps/:app/log-sessions`: a session is asked for, and opened soon after under a name nobody can guess.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use uuid::Uuid;

use crate::api::body::Input;
use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::domain::AppId;
use crate::logs::{Filter, HISTORY_LINES, Tail};
use crate::wire::api::{CreateLogSession, LogSession, timestamp};
use crate::wire::api_errors::{Missing, Refusal};

/// How long a session waits to be opened, seconds (platform reference 5.3).
const OPEN_TIMEOUT_S: u64 = 360;

/// The most sessions that wait; a further one pushes the oldest out.
const SESSIONS_MAX: usize = 1000;

/// Lines of history when the client does not say.
const LINES_DEFAULT: usize = 100;

/// Sessions that wait to be opened.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<Uuid, Session>>);

struct Session {
    app: AppId,
    filter: Filter,
    lines: usize,
    tail: Tail,
    asked_at: Instant,
}

impl Sessions {
    fn add(&self, session: Session) -> Uuid {
        let id = Uuid::new_v4();
        // A map cannot be left half changed by a panic.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, session| session.asked_at.elapsed() < Duration::from_secs(OPEN_TIMEOUT_S));
        if all.len() >= SESSIONS_MAX
            && let Some(oldest) = all.iter().min_by_key(|(_, session)| session.asked_at).map(|(id, _)| *id)
        {
            all.remove(&oldest);
        }
        all.insert(id, session);
        id
    }

    fn take(&self, id: Uuid) -> Option<Session> {
        let session = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id)?;
        (session.asked_at.elapsed() < Duration::from_secs(OPEN_TIMEOUT_S)).then_some(session)
    }
}

pub(super) async fn create(
    State(api): State<Api>,
    Path(key): Path<String>,
    Input(request): Input<CreateLogSession>,
) -> Result<(StatusCode, Json<LogSession>), ApiError> {
    let app = api.app(&key).await?;
    let filter = Filter { ps: request.dyno.or(request.process_type), source: request.source };
    let lines = request.lines.unwrap_or(LINES_DEFAULT).min(HISTORY_LINES);
    let tail = if request.tail.unwrap_or(false) { Tail::Follow } else { Tail::End };
    let asked_at = Instant::now();
    let id = api.sessions.add(Session { app: app.id, filter, lines, tail, asked_at });
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = timestamp(i64::try_from(now_s).unwrap_or(i64::MAX));
    let logplex_url = format!("http://{}/logs/{id}", api.node.settings().git_address);
    Ok((StatusCode::CREATED, Json(LogSession { created_at: now.clone(), id, logplex_url, updated_at: now })))
}

/// Streams display lines; a session opens once. A tail ends with its client, or when the node closes.
pub(super) async fn open(State(api): State<Api>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let session = id.parse().ok().and_then(|id| api.sessions.take(id));
    let session = session.ok_or(Refusal::NotFound(Missing::LogSession))?;
    let lines = api.node.logs().session(session.app, session.filter, session.lines, session.tail);
    let bytes =
        lines.map(|line| Ok::<_, std::convert::Infallible>(line.to_bytes())).take_until(api.closing());
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from_stream(bytes)).into_response())
}
