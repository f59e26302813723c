//! `/apps/:app/repository`, and `/repository-events/:link`, where a repository's host tells of pushes.

use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::sync::Semaphore;

use crate::api::asked::Asked;
use crate::api::body::Input;
use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::api::view;
use crate::domain::{App, Deploys, RepositoryLink};
use crate::flows::{self, Caller, Heard, Message};
use crate::wire::api::{
    EVENT_HEADER, HUB_SIGNATURE_HEADER, MessageAnswer, Repository, SetRepository, SwitchRepository,
};
use crate::wire::api_errors::{Missing, Refusal};
use crate::wire::repository_text;

/// The longest message, bytes: it lists up to 2048 commits, of which none is read.
const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// The most messages that are read at once; more wait, within the time that theirs may take.
const MESSAGES_AT_ONCE_MAX: usize = 8;
/// How long a message may take to arrive, seconds.
const MESSAGE_TIMEOUT_S: u64 = 30;
/// Where messages go.
const EVENTS_PATH: &str = "/repository-events";

pub(super) async fn show(
    State(api): State<Api>,
    Path(key): Path<String>,
) -> Result<Json<Repository>, ApiError> {
    let app = api.app(&key).await?;
    let link = flows::repository(&api.node, &app).await?;
    Ok(shown(&api, &app, &link))
}

/// The secret is told in this one answer.
pub(super) async fn set(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
    Input(body): Input<SetRepository>,
) -> Result<(StatusCode, Json<Repository>), ApiError> {
    let app = api.app(&key).await?;
    let at = (body.url.as_str(), body.branch.as_str());
    let link = flows::connect_repository(&api.node, &app, at, &caller.actor()).await?;
    let Json(shown) = shown(&api, &app, &link);
    let told = Repository { secret: Some(link.secret.reveal().to_owned()), ..shown };
    Ok((StatusCode::CREATED, Json(told)))
}

pub(super) async fn switch(
    State(api): State<Api>,
    Path(key): Path<String>,
    Input(body): Input<SwitchRepository>,
) -> Result<Json<Repository>, ApiError> {
    let app = api.app(&key).await?;
    let deploys = if body.auto_deploy { Deploys::Automatic } else { Deploys::Off };
    let link = flows::switch_deploys(&api.node, &app, deploys).await?;
    Ok(shown(&api, &app, &link))
}

pub(super) async fn remove(
    State(api): State<Api>,
    Path(key): Path<String>,
) -> Result<Json<Repository>, ApiError> {
    let app = api.app(&key).await?;
    let link = flows::disconnect_repository(&api.node, &app).await?;
    Ok(shown(&api, &app, &link))
}

/// Messages that are read.
pub(super) struct Hearing(Semaphore);

impl Default for Hearing {
    fn default() -> Self {
        Self(Semaphore::new(MESSAGES_AT_ONCE_MAX))
    }
}

/// The signature decides, over the body as it came; nothing is read for whoever does not even know of a link.
pub(super) async fn hear(
    State(api): State<Api>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<MessageAnswer>), ApiError> {
    let id = id.parse().map_err(|_| Refusal::NotFound(Missing::Repository))?;
    flows::is_listened_for(&api.node, id).await?;
    let header =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let message = Message {
        event: header(EVENT_HEADER),
        signature: header(HUB_SIGNATURE_HEADER),
        body: whole(&api.hearing, body).await?,
    };
    Ok(match flows::hear_of_push(&api.node, id, &message).await? {
        Heard::Deploys => answered(StatusCode::ACCEPTED, repository_text::ASKED),
        Heard::Ignored(why) => answered(StatusCode::OK, why),
    })
}

fn answered(status: StatusCode, message: &str) -> (StatusCode, Json<MessageAnswer>) {
    (status, Json(MessageAnswer { message: message.to_owned() }))
}

async fn whole(hearing: &Hearing, body: Body) -> Result<Bytes, ApiError> {
    let limited = async {
        let _turn = hearing.0.acquire().await?;
        Limited::new(body, MESSAGE_BYTES_MAX).collect().await
    };
    let early = |reason: &str| Refusal::BadRequest(format!("The body ends too early ({reason})."));
    match tokio::time::timeout(Duration::from_secs(MESSAGE_TIMEOUT_S), limited).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Refusal::BodyTooLarge { limit_kib: MESSAGE_BYTES_MAX >> 10 }.into())
        }
        Ok(Err(error)) => Err(early(&error.to_string()).into()),
        Err(_) => Err(early("it takes too long").into()),
    }
}

/// The repository's host is told the node's own address, whatever the client calls it.
fn shown(api: &Api, app: &App, link: &RepositoryLink) -> Json<Repository> {
    let path = format!("{EVENTS_PATH}/{}", link.id);
    Json(view::repository(app, link, Asked::by_nobody().url(api.node.settings(), &path)))
}
