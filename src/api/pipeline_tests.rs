//! Test runs of pipelines, what they say, and the config vars of their stage.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use uuid::Uuid;

use crate::api::asked::Asked;
use crate::api::body::Input;
use crate::api::config_vars::{Vars, vars};
use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::api::view;
use crate::domain::{Scope, TestStatus, TestedCommit};
use crate::flows::{self, Caller, TestPart, TestRunRequest, TestRunView};
use crate::wire::api::{ById, CreateTestRun, Named, TestNode, TestRun, UpdateTestRun, stable_id, timestamp};
use crate::wire::api_errors::{Missing, Refusal};

/// The last segment of the links to what is said before the tests, and by them.
const PARTS: [(&str, TestPart); 2] = [("setup", TestPart::Setup), ("tests", TestPart::Tests)];

pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<Json<Vec<TestRun>>, ApiError> {
    let runs = flows::test_runs(&api.node, &caller, &key).await?;
    Ok(Json(runs.iter().map(shown).collect()))
}

pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Input(body): Input<CreateTestRun>,
) -> Result<(StatusCode, Json<TestRun>), ApiError> {
    let CreateTestRun { commit_branch, commit_message, commit_sha, pipeline, source_blob_url } = body;
    let commit = TestedCommit { branch: commit_branch, message: commit_message, sha: commit_sha };
    let request = TestRunRequest { pipeline, url: source_blob_url, commit };
    let run = flows::start_test_run(&api.node, &caller, request).await?;
    Ok((StatusCode::CREATED, Json(shown(&run))))
}

pub(super) async fn show_numbered(
    State(api): State<Api>,
    caller: Caller,
    Path((key, number)): Path<(String, String)>,
) -> Result<Json<TestRun>, ApiError> {
    let number = number.parse().map_err(|_| Refusal::NotFound(Missing::TestRun))?;
    Ok(Json(shown(&flows::numbered_test_run(&api.node, &caller, (&key, number)).await?)))
}

pub(super) async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<TestRun>, ApiError> {
    Ok(Json(shown(&flows::test_run(&api.node, &caller, named(&id)?).await?)))
}

/// Ends the run, and answers when it has ended.
pub(super) async fn update(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Input(body): Input<UpdateTestRun>,
) -> Result<Json<TestRun>, ApiError> {
    if body.status.parse() != Ok(TestStatus::Cancelled) {
        return Err(Refusal::TestRunStatus.into());
    }
    Ok(Json(shown(&flows::cancel_test_run(&api.node, &caller, named(&id)?).await?)))
}

pub(super) async fn nodes(
    State(api): State<Api>,
    (asked, caller): (Asked, Caller),
    Path(id): Path<String>,
) -> Result<Json<Vec<TestNode>>, ApiError> {
    let found = flows::test_run(&api.node, &caller, named(&id)?).await?;
    Ok(Json(vec![shown_node(&api, &asked, &found)]))
}

/// What a run says, or has said, as text. Its link is its own secret.
pub(super) async fn output(
    State(api): State<Api>,
    Path((id, part)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let found = PARTS.iter().find(|(word, _)| *word == part);
    let (_, part) = found.ok_or(Refusal::NotFound(Missing::Route))?;
    let output = flows::test_output(&api.node, named(&id)?, *part).await?.take_until(api.closing());
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from_stream(output)).into_response())
}

/// Config vars hold secrets: not every token that sees pipelines sees them.
pub(super) async fn config(
    State(api): State<Api>,
    caller: Caller,
    Path((key, stage)): Path<(String, String)>,
) -> Result<Json<Vars>, ApiError> {
    caller.require_scope(Scope::ReadProtected)?;
    Ok(vars(&flows::stage_config(&api.node, &caller, (&key, &stage)).await?))
}

pub(super) async fn change_config(
    State(api): State<Api>,
    caller: Caller,
    Path((key, stage)): Path<(String, String)>,
    Input(changes): Input<BTreeMap<String, Option<String>>>,
) -> Result<Json<Vars>, ApiError> {
    caller.require_scope(Scope::WriteProtected)?;
    let changed = flows::change_stage_config(&api.node, &caller, (&key, &stage), changes).await?;
    Ok(vars(&changed))
}

fn named(id: &str) -> Result<Uuid, ApiError> {
    id.parse().map_err(|_| Refusal::NotFound(Missing::TestRun).into())
}

fn shown(view: &TestRunView) -> TestRun {
    let TestRunView { run, pipeline } = view;
    TestRun {
        actor_email: run.user.clone(),
        app_setup: None,
        clear_cache: true,
        commit_branch: run.commit.branch.clone(),
        commit_message: run.commit.message.clone(),
        commit_sha: run.commit.sha.clone(),
        created_at: timestamp(run.created_at_s),
        debug: false,
        dyno: None,
        id: run.id,
        message: run.message.clone(),
        number: run.number,
        organization: None,
        pipeline: Named { id: pipeline.id, name: pipeline.name.to_string() },
        source_blob_url: run.source_url.clone().unwrap_or_default(),
        status: run.status.as_str().to_owned(),
        updated_at: timestamp(run.updated_at_s),
        user: view::user(&run.user),
        warning_message: None,
    }
}

fn shown_node(api: &Api, asked: &Asked, view: &TestRunView) -> TestNode {
    let run = &view.run;
    // The stock command reads them under TLS alone.
    let url = |part: &str| asked.secure_url(api.node.settings(), &format!("/test-outputs/{}/{part}", run.id));
    let [(setup, _), (tests, _)] = PARTS;
    TestNode {
        created_at: timestamp(run.created_at_s),
        dyno: None,
        error_status: (run.status == TestStatus::Errored).then(|| run.status.as_str().to_owned()),
        exit_code: run.exit_code,
        id: stable_id("test-node", &run.id.to_string()),
        index: 0,
        message: run.message.clone(),
        output_stream_url: url(tests),
        pipeline: ById { id: run.pipeline },
        setup_stream_url: url(setup),
        status: run.status.as_str().to_owned(),
        test_run: ById { id: run.id },
        updated_at: timestamp(run.updated_at_s),
    }
}
