//! Webhooks: who is told of what becomes of an app, and how often it is tried.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;
use uuid::Uuid;

use crate::domain::{AppId, DrainUrl, DrainUrlError, Transport};

/// A place that is told of an app's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Its identity.
    pub id: Uuid,
    /// Whose events.
    pub app: AppId,
    /// Where to.
    pub url: WebhookUrl,
    /// Of what.
    pub include: BTreeSet<Entity>,
    /// How often it is tried.
    pub level: Level,
    /// What deliveries are signed with.
    pub secret: Secret,
    /// The `Authorization` header of deliveries.
    pub authorization: Option<Secret>,
    /// Unix time of creation, seconds.
    pub created_at_s: i64,
    /// Unix time of the last change, seconds.
    pub updated_at_s: i64,
}

impl Webhook {
    /// Webhooks that an app may have (platform reference 7.3).
    pub const PER_APP_MAX: usize = 10;
    /// Deliveries of one hook that may wait or be tried again; of later events it is told no more until there is room.
    pub const WAITING_MAX: usize = 100;
}

/// A text that is for receivers and the database, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// The text cannot be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it has 1 to {max} printable characters", max = Secret::LENGTH_MAX)]
pub struct SecretError;

impl Secret {
    const LENGTH_MAX: usize = 1024;

    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl FromStr for Secret {
    type Err = SecretError;

    /// Printable ASCII and spaces: it stands in a header.
    fn from_str(text: &str) -> Result<Self, SecretError> {
        let is_plain = |b: u8| b == b' ' || b.is_ascii_graphic();
        let holds = (1..=Self::LENGTH_MAX).contains(&text.len()) && text.bytes().all(is_plain);
        if holds { Ok(Self(text.to_owned())) } else { Err(SecretError) }
    }
}

/// Where a webhook leads: http or https. Shown without path and query, which may be secret.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl(DrainUrl);

/// Why a text is no place to tell. Never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WebhookUrlError {
    /// Another scheme.
    #[error("its scheme is http or https")]
    Scheme,
    /// A user or password, which belong elsewhere.
    #[error("it holds a user or password: name them as the authorization instead")]
    Userinfo,
    /// Something else.
    #[error(transparent)]
    Url(DrainUrlError),
}

impl WebhookUrl {
    /// The whole URL: for its owner and for disk, never for a log.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.reveal()
    }

    /// Its parts.
    #[must_use]
    pub fn parts(&self) -> &DrainUrl {
        &self.0
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookUrl({self})")
    }
}

impl FromStr for WebhookUrl {
    type Err = WebhookUrlError;

    fn from_str(text: &str) -> Result<Self, WebhookUrlError> {
        let url: DrainUrl = text.parse().map_err(|error| {
            let is_scheme = matches!(error, DrainUrlError::Scheme | DrainUrlError::Syslog);
            if is_scheme { WebhookUrlError::Scheme } else { WebhookUrlError::Url(error) }
        })?;
        match (url.transport, &url.userinfo) {
            (Transport::Syslog | Transport::SyslogTls, _) => Err(WebhookUrlError::Scheme),
            (Transport::Http | Transport::Https, Some(_)) => Err(WebhookUrlError::Userinfo),
            (Transport::Http | Transport::Https, None) => Ok(Self(url)),
        }
    }
}

/// How often a delivery is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Once.
    Notify,
    /// Until it is taken, or has been tried [`Level::ATTEMPTS_MAX`] times.
    Sync,
}

/// The text is no level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it is notify or sync")]
pub struct UnknownLevel;

impl Level {
    const ALL: [Self; 2] = [Self::Notify, Self::Sync];
    /// How often a delivery of `sync` is tried (platform reference 7.3).
    pub const ATTEMPTS_MAX: u32 = 10;
    /// The pause after the first failure; it doubles with each after it.
    const PAUSE_FIRST: Duration = Duration::from_secs(10);
    /// The longest pause. With it, ten attempts take about an hour.
    const PAUSE_MAX: Duration = Duration::from_secs(20 * 60);

    /// The word of the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Notify => "notify",
            Self::Sync => "sync",
        }
    }

    /// How long to wait after that many attempts, none of which was taken; nothing when it is given up.
    #[must_use]
    pub fn pause_after(self, attempts: u32) -> Option<Duration> {
        match self {
            Self::Notify => None,
            Self::Sync if attempts >= Self::ATTEMPTS_MAX => None,
            Self::Sync => {
                let doubled = Self::PAUSE_FIRST.saturating_mul(1 << attempts.saturating_sub(1).min(16));
                Some(doubled.min(Self::PAUSE_MAX))
            }
        }
    }
}

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        Self::ALL.into_iter().find(|level| level.as_str() == text).ok_or(UnknownLevel)
    }
}

/// What events are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entity {
    /// The app itself.
    App,
    /// A build.
    Build,
    /// Someone with whom it is shared.
    Collaborator,
    /// A domain.
    Domain,
    /// A dyno.
    Dyno,
    /// Its formation.
    Formation,
    /// A release.
    Release,
    /// A certificate.
    SniEndpoint,
}

/// The text is nothing of which a node tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "a node tells of api:app, api:build, api:collaborator, api:domain, api:dyno, api:formation, api:release and api:sni-endpoint"
)]
pub struct UnknownEntity;

impl Entity {
    const ALL: [Self; 8] = [
        Self::App,
        Self::Build,
        Self::Collaborator,
        Self::Domain,
        Self::Dyno,
        Self::Formation,
        Self::Release,
        Self::SniEndpoint,
    ];

    /// The word of the API in lists of what to include.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::App => "api:app",
            Self::Build => "api:build",
            Self::Collaborator => "api:collaborator",
            Self::Domain => "api:domain",
            Self::Dyno => "api:dyno",
            Self::Formation => "api:formation",
            Self::Release => "api:release",
            Self::SniEndpoint => "api:sni-endpoint",
        }
    }

    /// The word of the API for the thing itself.
    #[must_use]
    pub fn resource(self) -> &'static str {
        self.as_str().trim_start_matches("api:")
    }
}

impl FromStr for Entity {
    type Err = UnknownEntity;

    /// With or without `api:`.
    fn from_str(text: &str) -> Result<Self, UnknownEntity> {
        let named = |entity: &Self| entity.as_str() == text || entity.resource() == text;
        Self::ALL.into_iter().find(named).ok_or(UnknownEntity)
    }
}

/// What has become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is there.
    Create,
    /// It has changed.
    Update,
    /// It is gone.
    Destroy,
}

impl Action {
    /// The word of the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Destroy => "destroy",
        }
    }
}

/// Something that has become of an app, of which a webhook is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookEvent {
    /// Its identity.
    pub id: Uuid,
    /// The app.
    pub app: AppId,
    /// What it is about.
    pub entity: Entity,
    /// What receivers are sent of it, a JSON object.
    pub payload: String,
    /// Unix time, seconds.
    pub created_at_s: i64,
}

impl WebhookEvent {
    /// How many of an app are remembered, the newest.
    pub const KEPT_MAX: usize = 1000;
}

/// How a delivery fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// Not tried yet.
    Pending,
    /// Tried, and to be tried again.
    Retrying,
    /// Taken.
    Succeeded,
    /// Given up.
    Failed,
}

/// The text is no status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it is pending, retrying, succeeded or failed")]
pub struct UnknownDeliveryStatus;

impl DeliveryStatus {
    const ALL: [Self; 4] = [Self::Pending, Self::Retrying, Self::Succeeded, Self::Failed];

    /// The word of the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Retrying => "retrying",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}

impl FromStr for DeliveryStatus {
    type Err = UnknownDeliveryStatus;

    fn from_str(text: &str) -> Result<Self, UnknownDeliveryStatus> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(UnknownDeliveryStatus)
    }
}

/// An event on its way to a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its identity.
    pub id: Uuid,
    /// The event.
    pub event: Uuid,
    /// What that is about.
    pub entity: Entity,
    /// The webhook.
    pub webhook: Uuid,
    /// How often that one is tried.
    pub level: Level,
    /// How it fares.
    pub status: DeliveryStatus,
    /// How often it was tried.
    pub attempts: u32,
    /// Unix time from which on it is tried next, seconds.
    pub next_attempt_at_s: Option<i64>,
    /// The last attempt.
    pub last_attempt: Option<Attempt>,
    /// Unix time of creation, seconds.
    pub created_at_s: i64,
    /// Unix time of the last change, seconds.
    pub updated_at_s: i64,
}

/// One attempt at a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Its identity.
    pub id: Uuid,
    /// The status of the receiver's answer, when there was one.
    pub code: Option<u16>,
    /// Why there was none, in one word or a few.
    pub error: Option<String>,
    /// Unix time of its begin, seconds.
    pub created_at_s: i64,
    /// Unix time of its end, seconds.
    pub updated_at_s: i64,
}

impl Attempt {
    /// Whether the receiver has taken it: any answer of success will do.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.code.is_some_and(|code| (200..300).contains(&code))
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn only_urls_of_the_web_without_passwords_are_taken() {
        let url: WebhookUrl = "https://hooks.example.com/in?key=7".parse().unwrap();
        assert_eq!(url.reveal(), "https://hooks.example.com/in?key=7");
        assert!(!format!("{url} {url:?}").contains("key"), "what may be secret is not shown");
        for (text, error) in [
            ("ftp://example.com", WebhookUrlError::Scheme),
            ("syslog://example.com:514", WebhookUrlError::Scheme),
            ("syslog://me:x@example.com:514/a", WebhookUrlError::Scheme),
            ("https://me:secret@example.com/", WebhookUrlError::Userinfo),
            ("example.com", WebhookUrlError::Url(DrainUrlError::Form)),
            ("http://0.0.0.0/", WebhookUrlError::Url(DrainUrlError::Host)),
        ] {
            assert_eq!(text.parse::<WebhookUrl>(), Err(error), "{text}");
        }
    }

    #[test]
    fn secrets_stand_in_headers_and_nowhere_else() {
        let secret: Secret = "a b".parse().unwrap();
        assert_eq!((secret.reveal(), format!("{secret:?}").as_str()), ("a b", "Secret"));
        for bad in ["", "a\r\nb: c", "ä", &"x".repeat(1025)] {
            assert_eq!(bad.parse::<Secret>(), Err(SecretError), "{bad:?}");
        }
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for entity in Entity::ALL {
            assert_eq!(entity.as_str().parse(), Ok(entity));
            assert_eq!(entity.resource().parse(), Ok(entity));
        }
        for status in DeliveryStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        assert_eq!("sync".parse(), Ok(Level::Sync));
        assert_eq!("api:moon".parse::<Entity>(), Err(UnknownEntity));
    }

    #[test]
    fn a_notice_is_sent_once_and_a_sync_ten_times_within_about_an_hour() {
        assert_eq!(Level::Notify.pause_after(1), None);
        let pauses: Vec<_> = (1..).map_while(|attempts| Level::Sync.pause_after(attempts)).collect();
        assert_eq!(u32::try_from(pauses.len()).unwrap() + 1, Level::ATTEMPTS_MAX);
        assert!(pauses.is_sorted());
        let total: Duration = pauses.iter().sum();
        assert!((3000..4500).contains(&total.as_secs()), "{total:?}");
        assert_eq!(Level::Sync.pause_after(u32::MAX), None);
    }

    #[test]
    fn any_answer_of_success_is_taken() {
        let attempt = |code| Attempt { id: Uuid::nil(), code, error: None, created_at_s: 0, updated_at_s: 0 };
        assert!(attempt(Some(204)).is_taken() && attempt(Some(299)).is_taken());
        for code in [None, Some(199), Some(301), Some(500)] {
            assert!(!attempt(code).is_taken(), "{code:?}");
        }
    }
}
