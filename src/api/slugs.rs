//! `/apps/:app/slugs/:slug`.

use axum::Json;
use axum::extract::{Path, State};

use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::api::view;
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
    let releases = flows::releases(&api.node, &app).await?;
    let is_meant = |digest: &_| view::slug_id(digest).to_string().eq_ignore_ascii_case(&slug);
    let release = releases.iter().find(|view| view.release.slug.as_ref().is_some_and(is_meant));
    let release = &release.ok_or_else(missing)?.release;
    let digest = release.slug.as_ref().ok_or_else(missing)?;
    let found = flows::slug(&api.node, digest).await?.ok_or_else(missing)?;
    Ok(Json(view::slug(release, &found)))
}
