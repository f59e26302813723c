//! `/apps/:app/slugs/:slug`.

use axum::Json;
use axum::extract::{Path, State};

use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::api::view;
use crate::domain::{App, Release};
use crate::flows;
use crate::wire::api::Slug;
use crate::wire::api_errors::{Missing, Refusal};

/// A slug of a release of the app; others' slugs are nobody's business here.
pub(super) async fn show(
    State(api): State<Api>,
    Path((key, slug)): Path<(String, String)>,
) -> Result<Json<Slug>, ApiError> {
    let app = api.app(&key).await?;
    let missing = || Refusal::NotFound(Missing::Slug);
    let release = release_with(&api, &app, &slug).await?;
    let digest = release.slug.as_ref().ok_or_else(missing)?;
    let found = flows::slug(&api.node, digest).await?.ok_or_else(missing)?;
    Ok(Json(view::slug(&release, &found)))
}

/// The newest release of the app that runs this slug.
pub(super) async fn release_with(api: &Api, app: &App, slug: &str) -> Result<Release, ApiError> {
    let releases = flows::releases(&api.node, app).await?;
    let is_meant = |digest: &_| view::slug_id(digest).to_string().eq_ignore_ascii_case(slug);
    let found = releases.into_iter().find(|view| view.release.slug.as_ref().is_some_and(is_meant));
    Ok(found.ok_or(Refusal::NotFound(Missing::Slug))?.release)
}
