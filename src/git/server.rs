//! The three paths of smart HTTP, for those who have a token and a right on the app.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::domain::{App, AppRight, Scope};
use crate::flows::{self, Caller, FlowError, Node, Token};
use crate::git::backend;
use crate::git::repository::{Repositories, git};
use crate::wire::credentials;

/// What the endpoint works with.
#[derive(Clone)]
pub struct GitState {
    /// The node.
    pub node: Node,
    /// The administrator's: whoever has it may read and push every app.
    pub token: Token,
    /// Where the repositories are.
    pub repositories: Arc<Repositories>,
    /// The API's socket, to which the hooks talk.
    pub socket: PathBuf,
}

/// The service that takes pushes.
const RECEIVE: &str = "git-receive-pack";
/// Services that git asks for.
const SERVICES: [&str; 2] = ["git-upload-pack", RECEIVE];

/// The endpoint's routes.
pub fn router(state: GitState) -> Router {
    Router::new()
        .route("/{repository}/info/refs", get(serve))
        .route("/{repository}/git-upload-pack", post(serve))
        .route("/{repository}/git-receive-pack", post(serve))
        .with_state(state)
}

async fn serve(State(state): State<GitState>, Path(repository): Path<String>, request: Request) -> Response {
    let caller = match caller(&state, request.headers()).await {
        Ok(Some(caller)) => caller,
        Ok(None) => return strange(),
        Err(error) => return failed(&error),
    };
    serve_to(&state, &caller, &repository, request).await
}

/// Whoever shows no token that is worth something is asked for one.
fn strange() -> Response {
    let challenge = [(WWW_AUTHENTICATE, credentials::CHALLENGE)];
    (StatusCode::UNAUTHORIZED, challenge, credentials::GIT_UNAUTHORIZED).into_response()
}

async fn serve_to(state: &GitState, caller: &Caller, repository: &str, request: Request) -> Response {
    // Old clients fetch files directly; this endpoint speaks the smart protocol alone.
    let is_advertisement = request.uri().path().ends_with("/info/refs");
    let query = request.uri().query().unwrap_or_default();
    if is_advertisement && !SERVICES.iter().any(|service| query == format!("service={service}")) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let name = repository.strip_suffix(".git").unwrap_or(repository);
    let app = match flows::find(&state.node, name).await {
        Ok(app) => app,
        Err(FlowError::Refused(_)) => {
            return (StatusCode::NOT_FOUND, credentials::git_no_app(name)).into_response();
        }
        Err(error) => return failed(&error),
    };
    let pushes = query.ends_with(RECEIVE) || request.uri().path().ends_with(RECEIVE);
    let scope = if pushes { Scope::Write } else { Scope::Read };
    match permit(state, caller, &app, scope).await {
        Ok(()) => run(state, caller, &app, request).await,
        Err(FlowError::Refused(_)) => (StatusCode::FORBIDDEN, credentials::GIT_FORBIDDEN).into_response(),
        Err(error) => failed(&error),
    }
}

async fn caller(state: &GitState, headers: &HeaderMap) -> Result<Option<Caller>, FlowError> {
    let value = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    match value.and_then(credentials::read) {
        Some(shown) => flows::authenticate(&state.node, &state.token, &shown.secret).await,
        None => Ok(None),
    }
}

/// Code may hold as much as config vars, and a push changes what runs: both ask for more than to look.
async fn permit(state: &GitState, caller: &Caller, app: &App, scope: Scope) -> Result<(), FlowError> {
    caller.require_scope(scope)?;
    flows::permit(&state.node, caller, app, AppRight::Deploy).await
}

async fn run(state: &GitState, caller: &Caller, app: &App, request: Request) -> Response {
    if let Err(error) = state.repositories.ensure(app.id).await {
        return failed(&error);
    }
    let (parts, body) = request.into_parts();
    // The repository is the app's, whatever the app is called now.
    let rest = parts.uri.path().trim_start_matches('/').split_once('/').map_or("", |(_, rest)| rest);
    let header = |name: http::HeaderName| text(parts.headers.get(name));
    let mut command = git();
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", &state.repositories.dir)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", format!("/{}/{rest}", Repositories::name(app.id)))
        .env("REQUEST_METHOD", parts.method.as_str())
        .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
        .env("REMOTE_USER", caller.user().as_str())
        .env("REMOTE_ADDR", "127.0.0.1")
        .env("CONTENT_TYPE", header(CONTENT_TYPE))
        .env("HTTP_CONTENT_ENCODING", header(CONTENT_ENCODING))
        .env("HTTP_GIT_PROTOCOL", text(parts.headers.get("git-protocol")))
        .env("DYNO_SOCKET", &state.socket)
        .env("DYNO_HOOK_APP", app.id.to_string())
        .env("DYNO_HOOK_USER", caller.user().as_str());
    if parts.headers.contains_key(CONTENT_LENGTH) {
        command.env("CONTENT_LENGTH", header(CONTENT_LENGTH));
    }
    match backend::answer(command, body).await {
        Ok(response) => response,
        Err(error) => failed(&error),
    }
}

fn text(value: Option<&HeaderValue>) -> &str {
    value.and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn failed(error: &(dyn std::error::Error + 'static)) -> Response {
    tracing::error!(error, "a git request failed");
    let mut response = Response::new(Body::from(format!("{error}\n")));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}
