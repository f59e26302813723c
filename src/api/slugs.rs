//! `/apps/:app/slugs/:slug`, and its archive, a route of our own.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;

use crate::api::asked::Asked;
use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::api::view;
use crate::domain::{self, App, Release};
use crate::flows;
use crate::wire::api::Slug;
use crate::wire::api_errors::{Missing, Refusal};

/// What an archive with gzip is.
const GZIP_TYPE: &str = "application/gzip";

pub(super) async fn show(
    State(api): State<Api>,
    asked: Asked,
    Path((key, slug)): Path<(String, String)>,
) -> Result<Json<Slug>, ApiError> {
    let (release, found) = found(&api, &key, &slug).await?;
    let path = format!("/apps/{key}/slugs/{}/blob", view::slug_id(&found.digest));
    Ok(Json(view::slug(&release, &found, asked.url(api.node.settings(), &path))))
}

/// Its archive.
pub(super) async fn blob(
    State(api): State<Api>,
    Path((key, slug)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let (_, found) = found(&api, &key, &slug).await?;
    let archive = flows::slug_archive(&api.node, &found.digest)?;
    Ok(([(CONTENT_TYPE, GZIP_TYPE)], Body::from_stream(archive)).into_response())
}

/// A slug of a release of the app; others' slugs are nobody's business here.
async fn found(api: &Api, key: &str, slug: &str) -> Result<(Release, domain::Slug), ApiError> {
    let app = api.app(key).await?;
    let missing = || Refusal::NotFound(Missing::Slug);
    let release = release_with(api, &app, slug).await?;
    let digest = release.slug.clone().ok_or_else(missing)?;
    let found = flows::slug(&api.node, &digest).await?.ok_or_else(missing)?;
    Ok((release, found))
}

/// The newest release of the app that runs this slug.
pub(super) async fn release_with(api: &Api, app: &App, slug: &str) -> Result<Release, ApiError> {
    let releases = flows::releases(&api.node, app).await?;
    let is_meant = |digest: &_| view::slug_id(digest).to_string().eq_ignore_ascii_case(slug);
    let found = releases.into_iter().find(|view| view.release.slug.as_ref().is_some_and(is_meant));
    Ok(found.ok_or(Refusal::NotFound(Missing::Slug))?.release)
}
