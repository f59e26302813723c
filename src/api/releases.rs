//! `/apps/:app/releases`.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};

use crate::api::body::Input;
use crate::api::config_vars::{Vars, vars};
use crate::api::error::ApiError;
use crate::api::range::{ListRange, NEXT_RANGE, Page};
use crate::api::state::Api;
use crate::api::view;
use crate::flows::{self, ReleaseKey};
use crate::wire::api::{CreateRelease, Release, ReleaseName};
use crate::wire::api_errors::Refusal;

/// By version, ascending; a `Range` chooses order, ends and number.
pub(super) async fn list(
    State(api): State<Api>,
    Path(key): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let app = api.app(&key).await?;
    let range = ListRange::of(&headers)?;
    let Page { items, next } =
        range.page(flows::releases(&api.node, &app).await?, |view| view.release.version.0);
    let shown: Vec<Release> = items.iter().map(|release| view::release(&app, release)).collect();
    Ok(match next {
        Some(next) => (StatusCode::PARTIAL_CONTENT, [(NEXT_RANGE, next)], Json(shown)).into_response(),
        None => Json(shown).into_response(),
    })
}

pub(super) async fn show(
    State(api): State<Api>,
    Path((key, name)): Path<(String, String)>,
) -> Result<Json<Release>, ApiError> {
    let app = api.app(&key).await?;
    let release = flows::release(&api.node, &app, ReleaseKey::parse(&name)?).await?;
    Ok(Json(view::release(&app, &release)))
}

pub(super) async fn config_vars(
    State(api): State<Api>,
    Path((key, name)): Path<(String, String)>,
) -> Result<Json<Vars>, ApiError> {
    let app = api.app(&key).await?;
    let release = flows::release(&api.node, &app, ReleaseKey::parse(&name)?).await?;
    Ok(vars(&release.release.config))
}

/// Rolls back; without a release to the one before the current.
pub(super) async fn create(
    State(api): State<Api>,
    Path(key): Path<String>,
    Input(body): Input<CreateRelease>,
) -> Result<(StatusCode, Json<Release>), ApiError> {
    let app = api.app(&key).await?;
    let CreateRelease { release, slug } = body;
    if slug.is_some() {
        return Err(Refusal::ReleaseSource.into());
    }
    let target = match release {
        Some(ReleaseName::Number(number)) => Some(ReleaseKey::parse(&number.to_string())?),
        Some(ReleaseName::Text(text)) => Some(ReleaseKey::parse(&text)?),
        None => None,
    };
    let release = flows::rollback(&api.node, &app, target, &api.actor()).await?;
    Ok((StatusCode::CREATED, Json(view::release(&app, &release))))
}
