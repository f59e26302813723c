//! `/apps/:app/slugs/:slug`, and its archive, at a link that needs no credentials.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;

use crate::api::asked::Asked;
use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::api::view;
use crate::domain::{self, App, AppId, Release};
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
    let app = api.app(&key).await?;
    let (release, found) = found(&api, &app, &slug).await?;
    let link = flows::slug_link(&api.node, app.id, view::slug_id(&found.digest));
    Ok(Json(view::slug(&release, &found, asked.url(api.node.settings(), &link))))
}

/// Its archive. The app may have lost the slug since the link was made.
pub(super) async fn blob(
    State(api): State<Api>,
    Path((app, slug)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let missing = || Refusal::NotFound(Missing::Slug);
    let named = |text: &str| text.parse().map_err(|_| missing());
    let (id, slug_id) = (AppId(named(&app)?), named(&slug)?);
    if !flows::is_slug_link(&api.node, (id, slug_id), &query.unwrap_or_default()) {
        return Err(missing().into());
    }
    let (_, found) = found(&api, &api.app(&app).await?, &slug).await?;
    let archive = flows::slug_archive(&api.node, &found.digest).await?;
    Ok(([(CONTENT_TYPE, GZIP_TYPE)], Body::from_stream(archive)).into_response())
}

/// A slug of a release of the app; others' slugs are nobody's business here.
async fn found(api: &Api, app: &App, slug: &str) -> Result<(Release, domain::Slug), ApiError> {
    let missing = || Refusal::NotFound(Missing::Slug);
    let release = release_with(api, app, slug).await?;
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
