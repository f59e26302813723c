//! `/client/v11`: backups and what is made from them, in the form of the platform's data API, which the stock command asks for.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use tokio_util::io::ReaderStream;
use uuid::Uuid;

use crate::api::asked::Asked;
use crate::api::body::Input;
use crate::api::data_services::database;
use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::api::view_add_ons as view;
use crate::domain::{self, App, AppRight, Scope, TransferCause};
use crate::flows::{self, AddOnView, Caller};
use crate::wire::api::{
    BackupSchedule, CopyDatabase, DataTransfer, PublicUrl, RestoreBackup, SetBackupSchedule,
};
use crate::wire::api_errors::{AddOnRefusal, Missing, Refusal};

/// The time zone of a schedule that names none.
const ZONE: &str = "UTC";

async fn found(api: &Api, (app, key): (&str, &str)) -> Result<(App, domain::Transfer), ApiError> {
    let app = api.app(app).await?;
    let found = flows::data_transfer(&api.node, &app, key).await?;
    Ok((app, found))
}

pub(super) async fn list(
    State(api): State<Api>,
    Path(key): Path<String>,
) -> Result<Json<Vec<DataTransfer>>, ApiError> {
    let app = api.app(&key).await?;
    Ok(Json(flows::data_transfers(&api.node, &app).await?.iter().map(view::transfer).collect()))
}

pub(super) async fn show(
    State(api): State<Api>,
    Path((app, key)): Path<(String, String)>,
) -> Result<Json<DataTransfer>, ApiError> {
    Ok(Json(view::transfer(&found(&api, (&app, &key)).await?.1)))
}

pub(super) async fn destroy(
    State(api): State<Api>,
    Path((app, key)): Path<(String, String)>,
) -> Result<Json<DataTransfer>, ApiError> {
    let (_, found) = found(&api, (&app, &key)).await?;
    flows::delete_transfer(&api.node, &found).await?;
    Ok(Json(view::transfer(&found)))
}

pub(super) async fn cancel(
    State(api): State<Api>,
    Path((app, key)): Path<(String, String)>,
) -> Result<Json<DataTransfer>, ApiError> {
    let (_, found) = found(&api, (&app, &key)).await?;
    flows::cancel_transfer(&api.node, &found);
    Ok(Json(view::transfer(&found)))
}

pub(super) async fn verify(
    State(api): State<Api>,
    Path((app, key)): Path<(String, String)>,
) -> Result<Json<DataTransfer>, ApiError> {
    let (_, found) = found(&api, (&app, &key)).await?;
    Ok(Json(view::transfer(&flows::verify_backup(&api.node, &found).await?)))
}

pub(super) async fn public_url(
    State(api): State<Api>,
    asked: Asked,
    Path((app, key)): Path<(String, String)>,
) -> Result<Json<PublicUrl>, ApiError> {
    let (_, found) = found(&api, (&app, &key)).await?;
    let (path, expires_at_s) = flows::backup_link(&api.node, &found)?;
    let url = asked.secure_url(api.node.settings(), &path);
    Ok(Json(PublicUrl { expires_at: crate::wire::api::timestamp(expires_at_s), url }))
}

/// The file of a backup, for whoever knows this name of it.
pub(super) async fn file(State(api): State<Api>, Path(name): Path<String>) -> Result<Response, ApiError> {
    let none = || Refusal::NotFound(Missing::Transfer);
    let name = name.parse::<Uuid>().map_err(|_| none())?;
    let (file, length) = flows::linked_backup(&api.node, name).await?.ok_or_else(none)?;
    let headers =
        [(CONTENT_TYPE, "application/octet-stream".to_owned()), (CONTENT_LENGTH, length.to_string())];
    Ok((headers, Body::from_stream(ReaderStream::new(file))).into_response())
}

pub(super) async fn capture(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<(StatusCode, Json<DataTransfer>), ApiError> {
    let found = database(&api, (&caller, Scope::Write), &key).await?;
    let begun = flows::capture_backup(&api.node, (&found, &found.app), TransferCause::Asked).await?;
    Ok((StatusCode::CREATED, Json(view::transfer(&begun))))
}

pub(super) async fn restore(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
    Input(body): Input<RestoreBackup>,
) -> Result<(StatusCode, Json<DataTransfer>), ApiError> {
    let found = database(&api, (&caller, Scope::Write), &key).await?;
    let backup = meant(&api, &caller, (&found, body)).await?;
    let begun = flows::restore_backup(&api.node, (&found, &found.app), &backup).await?;
    Ok((StatusCode::CREATED, Json(view::transfer(&begun))))
}

/// The backup that is meant: by its address, which is a right by itself, or by its name, in an app that is the caller's to operate.
async fn meant(
    api: &Api,
    caller: &Caller,
    (into, body): (&AddOnView, RestoreBackup),
) -> Result<domain::Transfer, ApiError> {
    let none = || Refusal::NotFound(Missing::Transfer);
    if let Some(id) = body.backup_url.as_ref().and_then(|url| url.strip_prefix(view::BACKUP_URL)) {
        let (app, backup) = flows::backup_of_id(&api.node, id).await?.ok_or_else(none)?;
        flows::permit(&api.node, caller, &app, AppRight::Operate).await?;
        return Ok(backup);
    }
    if let Some(url) = body.backup_url {
        let name = flows::link_name(&url).ok_or(Refusal::AddOn(AddOnRefusal::BackupElsewhere))?;
        return Ok(flows::linked_transfer(&api.node, name).await?.ok_or_else(none)?);
    }
    let key = body.backup.ok_or_else(none)?;
    let (app, key) = match key.split_once("::") {
        Some((app, key)) => (api.app(app).await?, key),
        None => (into.app.clone(), key.as_str()),
    };
    flows::permit(&api.node, caller, &app, AppRight::Operate).await?;
    Ok(flows::data_transfer(&api.node, &app, key).await?)
}

pub(super) async fn copy(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
    Input(body): Input<CopyDatabase>,
) -> Result<(StatusCode, Json<DataTransfer>), ApiError> {
    let into = database(&api, (&caller, Scope::Write), &key).await?;
    let from = body.from_url.unwrap_or_default();
    let from = database(&api, (&caller, Scope::Write), &flows::add_on_key(&api.node, &from).await?).await?;
    let begun = flows::copy_add_on(&api.node, (&from, &into), &into.app).await?;
    Ok((StatusCode::CREATED, Json(view::transfer(&begun))))
}

pub(super) async fn schedules(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<Json<Vec<BackupSchedule>>, ApiError> {
    let found = database(&api, (&caller, Scope::Read), &key).await?;
    let all = flows::backup_schedules(&api.node, &found).await?;
    Ok(Json(all.into_iter().map(view::schedule).collect()))
}

pub(super) async fn schedule(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
    Input(body): Input<SetBackupSchedule>,
) -> Result<(StatusCode, Json<BackupSchedule>), ApiError> {
    let found = database(&api, (&caller, Scope::Write), &key).await?;
    let name = body.schedule_name.unwrap_or_else(|| found.add_on.name.to_string());
    let zone = body.timezone.as_deref().unwrap_or(ZONE);
    let set = flows::schedule_backups(&api.node, &found, (&name, body.hour.number(), zone)).await?;
    Ok((StatusCode::CREATED, Json(view::schedule(set))))
}

pub(super) async fn unschedule(
    State(api): State<Api>,
    caller: Caller,
    Path((key, id)): Path<(String, String)>,
) -> Result<Json<BackupSchedule>, ApiError> {
    let found = database(&api, (&caller, Scope::Write), &key).await?;
    let all = flows::backup_schedules(&api.node, &found).await?;
    let schedule = all.into_iter().find(|schedule| schedule.id.to_string() == id || schedule.name == id);
    let schedule = schedule.ok_or(Refusal::NotFound(Missing::Schedule))?;
    flows::unschedule_backups(&api.node, &found).await?;
    Ok(Json(view::schedule(schedule)))
}
