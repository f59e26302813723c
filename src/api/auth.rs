//! Who may come in, and what every answer carries.

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{ACCEPT, AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::net::UnixStream;

use crate::api::error::{refused, told};
use crate::api::state::Api;
use crate::flows::Token;
use crate::sys::peer;
use crate::wire::api_errors::Refusal;
use crate::wire::credentials;

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
    /// Over TCP: the token decides.
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

/// What is named by a secret of its own, and so needs no other: open log sessions, outputs of release commands.
const SECRET_PATHS: [&str; 2] = ["/logs/", "/release-outputs/"];

/// Lets administrators through, and only those who speak version 3.
pub(super) async fn guard(State((_, door)): State<(Api, Door)>, request: Request, next: Next) -> Response {
    let is_secret = SECRET_PATHS.iter().any(|start| request.uri().path().starts_with(start));
    let admitted = match &door {
        Door::Socket { own_uid } => {
            let peer = request.extensions().get::<ConnectInfo<PeerInfo>>().and_then(|info| info.0.uid);
            if peer.is_some_and(|uid| uid == 0 || uid == *own_uid) { Ok(()) } else { Err(Refusal::Peer) }
        }
        Door::Tcp(_) if is_secret => Ok(()),
        Door::Tcp(token) => holds(token, request.headers()),
    };
    // A local client may leave the version out, and one that follows a link does: there is only one version.
    let silence = match &door {
        Door::Tcp(_) if !is_secret => Err(Refusal::Version),
        Door::Tcp(_) | Door::Socket { .. } => Ok(()),
    };
    match admitted.and_then(|()| speaks_version(request.headers(), silence)) {
        Ok(()) => next.run(request).await,
        Err(refusal) => {
            let mut response = refused(&refusal);
            if refusal == Refusal::Credentials {
                let challenge = HeaderValue::from_static(credentials::CHALLENGE);
                response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            }
            response
        }
    }
}

fn holds(token: &Token, headers: &HeaderMap) -> Result<(), Refusal> {
    let value = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let is_right = value.and_then(credentials::secret).is_some_and(|secret| token.matches(&secret));
    if is_right { Ok(()) } else { Err(Refusal::Credentials) }
}

/// Any variant of version 3 is accepted: `version=3`, `version=3.sdk`. `silence` is what no version at all means.
fn speaks_version(headers: &HeaderMap, silence: Result<(), Refusal>) -> Result<(), Refusal> {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match accept.split_once("version=") {
        Some((_, version)) => {
            let word = version.split([',', ';', ' ', '"']).next().unwrap_or_default();
            if word == "3" || word.starts_with("3.") { Ok(()) } else { Err(Refusal::Version) }
        }
        None => silence,
    }
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
