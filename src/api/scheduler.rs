//! `/apps/:app/scheduler/jobs`, routes of our own.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;

use crate::api::body::Input;
use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::api::view;
use crate::domain::{DynoSize, JobId, Overlap};
use crate::flows::{self, JobRequest};
use crate::wire::api::{CreateJob, Job, JobRun};
use crate::wire::api_errors::{Missing, Refusal};

pub(super) async fn list(
    State(api): State<Api>,
    Path(key): Path<String>,
) -> Result<Json<Vec<Job>>, ApiError> {
    let app = api.app(&key).await?;
    let jobs = flows::jobs(&api.node, &app).await?;
    Ok(Json(jobs.iter().map(|job| view::job(&app, job)).collect()))
}

pub(super) async fn create(
    State(api): State<Api>,
    Path(key): Path<String>,
    Input(body): Input<CreateJob>,
) -> Result<(StatusCode, Json<Job>), ApiError> {
    let app = api.app(&key).await?;
    let job = flows::add_job(&api.node, &app, parse(body)?).await?;
    Ok((StatusCode::CREATED, Json(view::job(&app, &job))))
}

fn parse(body: CreateJob) -> Result<JobRequest, Refusal> {
    let CreateJob { command, schedule, time_zone, overlap, size } = body;
    let overlap = overlap.map(|overlap| overlap.parse().map_err(Refusal::Overlap)).transpose()?;
    let size = size.map(|size| size.parse().map_err(Refusal::Size)).transpose()?;
    Ok(JobRequest {
        command,
        cadence: schedule.parse().map_err(Refusal::Schedule)?,
        zone: time_zone,
        overlap: overlap.unwrap_or(Overlap::Allow),
        size: size.unwrap_or(DynoSize::Standard1X),
    })
}

pub(super) async fn destroy(
    State(api): State<Api>,
    Path((key, id)): Path<(String, String)>,
) -> Result<Json<serde_json::Value>, ApiError> {
    let app = api.app(&key).await?;
    flows::remove_job(&api.node, &app, job_id(&id)?).await?;
    Ok(Json(serde_json::json!({})))
}

pub(super) async fn run(
    State(api): State<Api>,
    Path((key, id)): Path<(String, String)>,
) -> Result<(StatusCode, Json<JobRun>), ApiError> {
    let app = api.app(&key).await?;
    let run = flows::run_job(&api.node, &app, job_id(&id)?).await?;
    Ok((StatusCode::CREATED, Json(view::job_run(&run))))
}

pub(super) async fn runs(
    State(api): State<Api>,
    Path((key, id)): Path<(String, String)>,
) -> Result<Json<Vec<JobRun>>, ApiError> {
    let app = api.app(&key).await?;
    let runs = flows::job_runs(&api.node, &app, job_id(&id)?).await?;
    Ok(Json(runs.iter().map(view::job_run).collect()))
}

fn job_id(text: &str) -> Result<JobId, Refusal> {
    text.parse().map(JobId).map_err(|_| Refusal::NotFound(Missing::Job(text.chars().take(20).collect())))
}
