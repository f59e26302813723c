//! Who may come in, what they may do there, and what every answer carries.

use std::net::IpAddr;

use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{ACCEPT, AUTHORIZATION, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::net::UnixStream;

use crate::api::error::{ApiError, refused, told};
use crate::api::rate;
use crate::api::routes::Need;
use crate::api::state::Api;
use crate::domain::Scope;
use crate::flows::{self, Caller, Stranger, Token};
use crate::sys::peer;
use crate::wire::api_errors::Refusal;
use crate::wire::credentials::{self, Credentials};

/// The request's identity, in answers and, appended to, in requests.
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// Characters of a client's own request identities that are given back.
const REQUEST_ID_CHARS_MAX: usize = 200;

/// How a client came in.
#[derive(Clone)]
pub enum Door {
    /// Over the unix socket: the peer's user decides.
    Socket {
        /// The user the node runs as.
        own_uid: u32,
    },
    /// Over TCP: a token decides; this one is the administrator's.
    Tcp(Token),
}

/// Who is at the other end of a unix socket, as the kernel says (`SO_PEERCRED`, unix(7)).
#[derive(Clone, Copy, Debug)]
pub(super) struct PeerInfo {
    uid: Option<u32>,
}

impl PeerInfo {
    /// Who is at the other end of `stream`; nobody, when the kernel does not say.
    pub(super) fn of(stream: &UnixStream) -> Self {
        Self { uid: peer::credentials(stream).ok().map(|peer| peer.uid) }
    }
}

/// What a connection is, told to the requests that come over it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Link {
    /// The unix socket.
    Socket(PeerInfo),
    /// TCP as it is, from there.
    Plain(IpAddr),
    /// TLS, from there.
    Tls(IpAddr),
}

impl Link {
    /// The address at its other end, where it has one.
    fn from(self) -> Option<IpAddr> {
        match self {
            Self::Plain(from) | Self::Tls(from) => Some(from),
            Self::Socket(_) => None,
        }
    }
}

/// What one route asks of those who take it.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) api: Api,
    pub(super) door: Door,
    pub(super) need: Need,
}

/// Lets those through who may take the route and speak version 3. Handlers find who it is as [`Caller`].
pub(super) async fn guard(
    State(gate): State<Gate>,
    params: RawPathParams,
    mut request: Request,
    next: Next,
) -> Response {
    if gate.need == Need::Nothing {
        return next.run(request).await;
    }
    let app = if let Need::Exec(_) = gate.need {
        app_in_credentials(request.headers())
    } else {
        params.iter().find(|(name, _)| *name == "app").map(|(_, value)| value.to_owned())
    };
    // Nothing but the header is read before it is known who asks.
    let (method, headers) = (request.method().clone(), request.headers().clone());
    let link = request.extensions().get::<Link>().copied();
    let admitted = admit(&gate, link, (&method, &headers), app.as_deref()).await;
    let caller = match admitted {
        Ok(caller) => caller,
        Err(error) => return challenged(error),
    };
    if let Some(stranger) = request.extensions().get::<Stranger>() {
        stranger.becomes_known();
    }
    let remaining = match rate::take(&gate.api, &gate.door, &caller) {
        Ok(remaining) => remaining,
        Err(refusal) => return refused(&refusal),
    };
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let user = caller.user().clone();
    request.extensions_mut().insert(caller);
    let mut response = next.run(request).await;
    if !method.is_safe() {
        // The path as the table has it: the one that was asked for may hold a secret.
        let (route, app, status) = (route.unwrap_or_default(), app.unwrap_or_default(), response.status());
        tracing::info!(target: "audit", %user, %method, route, app, %status, "a change was asked for");
    }
    if let Some(remaining) = remaining {
        response.headers_mut().insert(rate::REMAINING, remaining.into());
    }
    response
}

pub(super) async fn admit(
    gate: &Gate,
    link: Option<Link>,
    (method, headers): (&Method, &HeaderMap),
    app: Option<&str>,
) -> Result<Caller, ApiError> {
    let caller = who(gate, link, headers).await?;
    // A local client may leave the version out: there is only one.
    let silence = match (&gate.door, gate.need) {
        (Door::Socket { .. }, _) | (Door::Tcp(_), Need::Exec(_)) => Ok(()),
        (Door::Tcp(_), _) => Err(Refusal::Version),
    };
    speaks_version(headers, silence)?;
    if let Some(scope) = gate.need.scope(method) {
        caller.require_scope(scope)?;
    }
    match gate.need {
        Need::Node => caller.require_administrator()?,
        Need::App(right) | Need::Config(right) | Need::Exec(right) => {
            let app = gate.api.app(app.unwrap_or_default()).await?;
            flows::permit(&gate.api.node, &caller, &app, right).await?;
        }
        Need::Nothing | Need::Login | Need::Account | Need::Common => {}
    }
    Ok(caller)
}

/// Who sent the request.
async fn who(gate: &Gate, link: Option<Link>, headers: &HeaderMap) -> Result<Caller, ApiError> {
    let node = &gate.api.node;
    let token = match &gate.door {
        Door::Socket { own_uid } => {
            let peer = if let Some(Link::Socket(peer)) = link { peer.uid } else { None };
            return if peer.is_some_and(|uid| uid == 0 || uid == *own_uid) {
                Ok(Caller::administrator(node))
            } else {
                Err(Refusal::Peer.into())
            };
        }
        Door::Tcp(token) => token,
    };
    let Some(Credentials { user, secret }) = shown(headers) else {
        return Err(Refusal::Credentials.into());
    };
    if let Some(caller) = flows::authenticate(node, token, &secret).await? {
        return Ok(caller);
    }
    // A password opens one door only: the one behind which a token is made.
    let by_password = match (gate.need == Need::Login, user) {
        (true, Some(user)) => flows::log_in(node, (&user, secret), link.and_then(Link::from)).await?,
        (true, None) | (false, _) => None,
    };
    by_password.ok_or_else(|| Refusal::Credentials.into())
}

fn shown(headers: &HeaderMap) -> Option<Credentials> {
    headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(credentials::read)
}

/// The app that the exec manager's clients name in place of a user.
fn app_in_credentials(headers: &HeaderMap) -> Option<String> {
    shown(headers)?.user
}

/// The app of a request of the exec manager, as it was named.
pub(super) struct AppInCredentials(pub(super) String);

impl FromRequestParts<Api> for AppInCredentials {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, ApiError> {
        app_in_credentials(&parts.headers).map(Self).ok_or_else(|| Refusal::no_app().into())
    }
}

fn challenged(error: ApiError) -> Response {
    let mut response = axum::response::IntoResponse::into_response(error);
    if response.status() == http::StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static(credentials::CHALLENGE);
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

/// A handler behind [`guard`] has one; another has none, and says so as it would to a stranger.
impl FromRequestParts<Api> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Response> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| refused(&Refusal::Credentials))
    }
}

impl Need {
    /// What a token must be good for; nothing in particular, when any token will do.
    fn scope(self, method: &Method) -> Option<Scope> {
        match (self, method.is_safe()) {
            (Self::Nothing | Self::Login, _) => None,
            (Self::Account, _) => Some(Scope::Identity),
            (Self::Common | Self::App(_), true) => Some(Scope::Read),
            (Self::Common | Self::App(_), false) => Some(Scope::Write),
            (Self::Config(_) | Self::Exec(_), true) => Some(Scope::ReadProtected),
            (Self::Config(_) | Self::Exec(_), false) => Some(Scope::WriteProtected),
            (Self::Node, _) => Some(Scope::Global),
        }
    }
}

/// Any variant of version 3 is accepted: `version=3`, `version=3.sdk`. `silence` is what no version at all means.
fn speaks_version(headers: &HeaderMap, silence: Result<(), Refusal>) -> Result<(), Refusal> {
    match version(headers) {
        Some(word) if word == "3" || word.starts_with("3.") => Ok(()),
        Some(_) => Err(Refusal::Version),
        None => silence,
    }
}

/// The version that the client asks for.
pub(super) fn version(headers: &HeaderMap) -> Option<&str> {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (_, version) = accept.split_once("version=")?;
    version.split([',', ';', ' ', '"']).next()
}

/// Gives every answer a `Request-Id`: a fresh one, after those the client brought. A fault is told under the fresh one.
pub(super) async fn request_id(request: Request, next: Next) -> Response {
    let brought = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let fresh = uuid::Uuid::new_v4();
    let id = match brought {
        Some(ids) if ids.len() <= REQUEST_ID_CHARS_MAX => format!("{ids},{fresh}"),
        Some(_) | None => fresh.to_string(),
    };
    let mut response = told(next.run(request).await, &fresh.to_string());
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

#[cfg(test)]
mod test {
    use super::*;

    fn speaks(accept: &'static str) -> bool {
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
        speaks_version(&headers, Err(Refusal::Version)).is_ok()
    }

    #[test]
    fn every_variant_of_version_3_is_spoken() {
        assert!(speaks("application/vnd.heroku+json; version=3"));
        assert!(speaks("application/vnd.heroku+json; version=3.sdk"));
        assert!(!speaks("application/vnd.heroku+json; version=2"));
        assert!(!speaks("application/vnd.heroku+json; version=30"));
        assert!(!speaks("application/json"));
        assert!(speaks_version(&HeaderMap::new(), Ok(())).is_ok());
    }
}
