//! Telling webhooks what has become of an app: the event is kept after the change that it tells of, and sent by
//! [`crate::flows::deliver_webhooks`].
//!
//! A node that is killed in between has changed the app and tells nobody; what is kept is told at least once.

use serde_json::Value;
use uuid::Uuid;

use crate::domain::{
    Action, App, Build, Collaborator, CustomDomain, Entity, ProcessType, Version, WebhookEvent,
};
use crate::flows::ports::{Desired, DynoView};
use crate::flows::{AppInfo, Node, ReleaseView, SniEndpointView};
use crate::store::StoreError;
use crate::sys::clock;
use crate::wire::api::{EventPayload, PAYLOAD_VERSION, UserRef, stable_id, timestamp};

/// What an event is about.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// The app itself.
    App(&'a AppInfo),
    /// A build, and the identity of the release that it led to.
    Build(&'a App, &'a Build, Option<(Version, Uuid)>),
    /// Someone with whom the app is shared.
    Collaborator(&'a App, &'a Collaborator),
    /// A domain.
    Domain(&'a App, &'a CustomDomain),
    /// A dyno, and the identity of its release.
    Dyno(&'a App, &'a DynoView, Uuid),
    /// One process type of the formation.
    Formation(&'a Desired, &'a ProcessType),
    /// A release.
    Release(&'a App, &'a ReleaseView),
    /// A certificate.
    SniEndpoint(&'a App, &'a SniEndpointView),
}

/// Shows subjects of events as the API does.
pub trait Describe: Send + Sync {
    /// The resource of the API.
    fn describe(&self, node: &Node, subject: Subject<'_>) -> Value;
}

// === impl Subject ===

impl Subject<'_> {
    fn entity(&self) -> Entity {
        match self {
            Self::App(_) => Entity::App,
            Self::Build(..) => Entity::Build,
            Self::Collaborator(..) => Entity::Collaborator,
            Self::Domain(..) => Entity::Domain,
            Self::Dyno(..) => Entity::Dyno,
            Self::Formation(..) => Entity::Formation,
            Self::Release(..) => Entity::Release,
            Self::SniEndpoint(..) => Entity::SniEndpoint,
        }
    }

    fn app(&self) -> &App {
        match self {
            Self::App(info) => &info.app,
            Self::Build(app, ..)
            | Self::Collaborator(app, _)
            | Self::Domain(app, _)
            | Self::Dyno(app, ..)
            | Self::Release(app, _)
            | Self::SniEndpoint(app, _) => app,
            Self::Formation(desired, _) => &desired.app,
        }
    }
}

/// Tells the webhooks of an app that want to know. What fails here is told to the node's log: the change is done.
pub async fn announce(node: &Node, subject: Subject<'_>, action: Action, actor: &str) {
    if let Err(error) = keep(node, subject, action, actor).await {
        tracing::error!(
            app = %subject.app().name, error = &error as &dyn std::error::Error,
            "the webhooks of an app are not told of a change"
        );
    }
}

async fn keep(node: &Node, subject: Subject<'_>, action: Action, actor: &str) -> Result<(), StoreError> {
    let app = subject.app().id;
    let entity = subject.entity();
    let all = node.store().webhooks(app).await?;
    if !all.iter().any(|webhook| webhook.include.contains(&entity)) {
        return Ok(());
    }
    let created_at_s = clock::unix_s();
    let now = timestamp(created_at_s);
    let id = Uuid::new_v4();
    let payload = EventPayload {
        action: action.as_str().to_owned(),
        actor: UserRef { email: actor.to_owned(), id: stable_id("user", actor) },
        created_at: now.clone(),
        data: node.describe(subject),
        id,
        previous_data: Value::Object(serde_json::Map::new()),
        published_at: Some(now.clone()),
        resource: entity.resource().to_owned(),
        sequence: None,
        updated_at: now,
        version: PAYLOAD_VERSION.to_owned(),
    };
    let payload = serde_json::to_string(&payload).unwrap_or_default();
    let event = WebhookEvent { id, app, entity, payload, created_at_s };
    match node.store().keep_event(event).await {
        // Destroyed meanwhile, and its webhooks with it.
        Err(StoreError::NoSuchApp(_)) => Ok(()),
        Err(error) => Err(error),
        Ok(0) => Ok(()),
        Ok(_) => {
            node.deliveries_added().notify_one();
            Ok(())
        }
    }
}
