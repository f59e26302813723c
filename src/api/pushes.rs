//! `POST /apps/:app/pushes`: a source archive in; out the transcript, the verdict (`wire::api::PushVerdict`), and after it
//! what a release command prints.

use std::path::PathBuf;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt};
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use tokio_stream::wrappers::UnboundedReceiverStream;
use uuid::Uuid;

use crate::api::error::ApiError;
use crate::api::source_body;
use crate::api::state::Api;
use crate::domain::Email;
use crate::flows::{self, Actor, BuildPermit, Caller, Push, Pushed, Role, Transcript};
use crate::wire::api::{PushStatus, PushVerdict, VERDICT_MARK};
use crate::wire::api_errors::Refusal;

/// What the hook tells of the push besides its source.
#[derive(Deserialize)]
pub(super) struct PushQuery {
    /// The commit.
    new: String,
    /// Who pushes, told by a hook that runs as the administrator.
    #[serde(default)]
    user: Option<String>,
}

/// The build goes on when its client goes away; it ends with the node.
pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
    query: Result<Query<PushQuery>, QueryRejection>,
    body: Body,
) -> Result<Response, ApiError> {
    let mut body = body.into_data_stream();
    match accept(&api, &caller, (&key, query), &mut body).await {
        Ok((push, permit)) => Ok(answer(&api, push, permit)),
        Err(error) => {
            // A client that still sends does not read why it should stop.
            source_body::drain(body).await;
            Err(error)
        }
    }
}

/// Takes the right to build before the source, so that a second push is refused at once.
async fn accept(
    api: &Api,
    caller: &Caller,
    (key, query): (&str, Result<Query<PushQuery>, QueryRejection>),
    body: &mut BodyDataStream,
) -> Result<(Push, BuildPermit), ApiError> {
    let app = api.app(key).await?;
    let Query(query) = query.map_err(|rejection| Refusal::BadRequest(rejection.body_text()))?;
    let actor = actor(caller, query.user)?;
    let commit = commit(query.new)?;
    let permit = flows::begin_push(&api.node, &app)?;
    let source = receive(api, body).await?;
    Ok((Push { app, source, commit, actor }, permit))
}

/// Under whose name the release is made. Only the administrator's own hooks speak for others.
fn actor(caller: &Caller, told: Option<String>) -> Result<Actor, Refusal> {
    match (caller.role(), told) {
        (Role::Administrator, Some(user)) => {
            let user: Email = user.parse().map_err(Refusal::UserName)?;
            Ok(Actor(user.to_string()))
        }
        (Role::Administrator | Role::Member, _) => Ok(caller.actor()),
    }
}

fn answer(api: &Api, push: Push, permit: BuildPermit) -> Response {
    let (transcript, lines) = Transcript::new();
    let node = api.node.clone();
    let verdict = tokio::spawn(async move { flows::push(&node, push, &transcript, permit).await });
    let text = UnboundedReceiverStream::new(lines).map(|line| encoded(&line));
    let end = stream::once(async {
        // A build that panicked has changed nothing that counts.
        let failed = Pushed { status: PushStatus::Failed, phase: None };
        let Pushed { status, phase } = verdict.await.unwrap_or(failed);
        // The verdict first: the ref moves whatever becomes of the release command.
        let verdict = stream::iter([Bytes::from(PushVerdict { status }.encode())]);
        match phase.map(flows::follow_release) {
            None => verdict.boxed(),
            Some(Ok(release)) => {
                let mark = stream::iter([Bytes::from_static(&[VERDICT_MARK])]);
                verdict.chain(mark).chain(release.map(|piece| unmarked(&piece))).boxed()
            }
            Some(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a pusher does not see a release");
                verdict.boxed()
            }
        }
    });
    let stream = text.chain(end.flatten()).map(Ok::<_, std::convert::Infallible>);
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from_stream(stream)).into_response()
}

/// A line of the transcript.
pub(super) fn encoded(line: &str) -> Bytes {
    [&unmarked(line.as_bytes()), &b"\n"[..]].concat().into()
}

/// Builds and release commands print what they like, but the mark of the verdict.
fn unmarked(bytes: &[u8]) -> Bytes {
    bytes.iter().copied().filter(|byte| *byte != VERDICT_MARK).collect()
}

/// A commit becomes part of texts and environments, so it is what git calls one.
fn commit(text: String) -> Result<String, Refusal> {
    let is_commit = matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_commit { Ok(text) } else { Err(Refusal::BadRequest("`new` is not a commit.".to_owned())) }
}

/// A file that is removed unless it is kept, also when its client goes away and nobody waits for it any more.
struct Unfinished(PathBuf);

impl Unfinished {
    fn keep(mut self) -> PathBuf {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            let _gone_or_never_made = std::fs::remove_file(&self.0);
        }
    }
}

/// Writes the source to a file of its own; a broken or too large one leaves nothing behind.
pub(super) async fn receive(api: &Api, body: &mut BodyDataStream) -> Result<PathBuf, ApiError> {
    let dir = api.node.settings().sources_dir();
    let file = Unfinished(dir.join(format!("{}.tar", Uuid::new_v4())));
    source_body::write(&file.0, body).await?;
    Ok(file.keep())
}
