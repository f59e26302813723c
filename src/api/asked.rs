//! What of a request changes the form of its answer: the variant of version 3, and under which name the node was reached.

use axum::extract::FromRequestParts;
use http::header::HOST;
use http::request::Parts;

use crate::api::auth::{Link, version};
use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::domain::AppName;
use crate::flows::Settings;
use crate::wire::api::{Generation, Named};

/// The one generation a node is; clients change their behaviour on any other.
pub(super) const GENERATION: &str = "cedar";
/// The variant in which generations are plain words.
const SDK_VARIANT: &str = "3.sdk";
/// Names under which a node answers on its own machine, or at the near end of a tunnel.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// How a client asked.
pub(super) struct Asked {
    is_sdk: bool,
    link: Option<Link>,
    /// `localhost:5080`, when that is how the client named the node.
    host: Option<String>,
}

impl Asked {
    /// As if nobody in particular had asked, who sees plain version 3.
    pub(super) fn by_nobody() -> Self {
        Self { is_sdk: false, link: None, host: None }
    }

    /// The app's git URL: where the stock command derives it from its own settings, the same.
    pub(super) fn git_url(&self, settings: &Settings, app: &AppName) -> String {
        match (&self.host, self.link) {
            (Some(host), Some(Link::Plain(_) | Link::Tls(_))) => format!("https://{host}/{app}.git"),
            (Some(_) | None, _) => settings.git_url(app),
        }
    }

    /// A path of the node's as a URL that this client can open.
    pub(super) fn url(&self, settings: &Settings, path: &str) -> String {
        let scheme = if matches!(self.link, Some(Link::Tls(_))) { "https" } else { "http" };
        match &self.host {
            Some(host) => format!("{scheme}://{host}{path}"),
            None => format!("{scheme}://{}{path}", settings.git_address),
        }
    }

    /// The same for what the stock command opens under TLS alone, though it may have come without.
    pub(super) fn secure_url(&self, settings: &Settings, path: &str) -> String {
        match self.link {
            Some(Link::Plain(_)) => format!("https://localhost:{}{path}", settings.git_address.port()),
            Some(Link::Tls(_) | Link::Socket(_)) | None => self.url(settings, path),
        }
    }

    /// Where a client that came over TCP connects to a one-off dyno named by `secret`, which is asked for
    /// only then; on the socket there is no such place.
    pub(super) fn rendezvous_url(
        &self,
        settings: &Settings,
        secret: impl FnOnce() -> String,
    ) -> Option<String> {
        match self.link {
            Some(Link::Plain(_) | Link::Tls(_)) => {
                let own = || format!("localhost:{}", settings.git_address.port());
                // Clients need the port in words.
                let host = self.host.clone().filter(|host| has_port(host)).unwrap_or_else(own);
                Some(format!("rendezvous://{host}/{}", secret()))
            }
            Some(Link::Socket(_)) | None => None,
        }
    }

    /// The generation in the form of the variant.
    pub(super) fn generation(&self) -> Generation {
        if self.is_sdk {
            Generation::Name(GENERATION.to_owned())
        } else {
            Generation::Object(Named::stable("generation", GENERATION))
        }
    }
}

impl FromRequestParts<Api> for Asked {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, ApiError> {
        let host = parts.headers.get(HOST).and_then(|value| value.to_str().ok());
        Ok(Self {
            is_sdk: version(&parts.headers) == Some(SDK_VARIANT),
            link: parts.extensions.get::<Link>().copied(),
            host: host.filter(|host| is_local(host)).map(str::to_owned),
        })
    }
}

/// A name that may stand in URLs that others will read: nobody's choice but the client's own.
fn is_local(host: &str) -> bool {
    let port_follows = |rest: &str| {
        rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
    };
    LOCAL_NAMES.iter().any(|name| host.strip_prefix(name).is_some_and(port_follows))
}

fn has_port(host: &str) -> bool {
    !host.ends_with(']') && host.contains(':')
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn only_local_names_are_taken_up() {
        for host in ["localhost:5080", "localhost", "127.0.0.1:1", "[::1]:5080"] {
            assert!(is_local(host), "{host}");
        }
        for host in ["localhost.example.com", "example.com:80", "localhost:x", "localhost:80/x", "127.0.0.10"]
        {
            assert!(!is_local(host), "{host}");
        }
        assert!(has_port("[::1]:5080") && has_port("localhost:1"));
        assert!(!has_port("[::1]") && !has_port("localhost"));
    }
}
