//! The three paths of smart HTTP, for those who have a token and a right on the app.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};

use crate::domain::App;
use crate::flows::{self, Caller, FlowError, Node, Stranger, Token};
use crate::git::backend;
use crate::git::permit::{Denied, Service, app_for, hooked};
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
        Ok(Some(caller)) => {
            if let Some(stranger) = request.extensions().get::<Stranger>() {
                stranger.becomes_known();
            }
            caller
        }
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
    let Some(service) = service(request.uri()) else { return StatusCode::FORBIDDEN.into_response() };
    let name = repository.strip_suffix(".git").unwrap_or(repository);
    match app_for(state, caller, name, service).await {
        Ok(app) => run(state, caller, &app, request).await,
        Err(Denied::NoApp) => (StatusCode::NOT_FOUND, credentials::git_no_app(name)).into_response(),
        Err(Denied::Forbidden) => (StatusCode::FORBIDDEN, credentials::GIT_FORBIDDEN).into_response(),
        Err(Denied::Fault(error)) => failed(&error),
    }
}

/// What is asked for: by the query where refs are advertised, else by the path's last part.
fn service(uri: &Uri) -> Option<Service> {
    match uri.path().rsplit('/').next() {
        Some("refs") => Service::named(uri.query()?.strip_prefix("service=")?),
        Some(last) => Service::named(last),
        None => None,
    }
}

async fn caller(state: &GitState, headers: &HeaderMap) -> Result<Option<Caller>, FlowError> {
    let value = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    match value.and_then(credentials::read) {
        Some(shown) => flows::authenticate(&state.node, &state.token, &shown.secret).await,
        None => Ok(None),
    }
}

async fn run(state: &GitState, caller: &Caller, app: &App, request: Request) -> Response {
    if let Err(error) = state.repositories.ensure(app.id).await {
        return failed(&error);
    }
    let Some(running) = state.repositories.commands.begin(caller) else {
        return (StatusCode::TOO_MANY_REQUESTS, credentials::GIT_TOO_MANY).into_response();
    };
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
        .env("HTTP_GIT_PROTOCOL", text(parts.headers.get("git-protocol")));
    hooked(&mut command, state, app, caller);
    if parts.headers.contains_key(CONTENT_LENGTH) {
        command.env("CONTENT_LENGTH", header(CONTENT_LENGTH));
    }
    match backend::answer(command, body, running).await {
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
