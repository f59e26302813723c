//! `/apps/:app/slugs`, and the archives of slugs that were released, at links that need no credentials; others are sources.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;

use crate::api::asked::Asked;
use crate::api::body::Input;
use crate::api::catalog;
use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::api::view;
use crate::domain::{self, App, AppId, Release};
use crate::flows::{self, Caller, SentSlug, SlugBlob, SlugRequest};
use crate::wire::api::{self, CreateSlug, Named, Slug, timestamp};
use crate::wire::api_errors::{Missing, Refusal};

/// What an archive with gzip is.
const GZIP_TYPE: &str = "application/gzip";

/// Names a slug that is to be sent to its blob.
pub(super) async fn create(
    State(api): State<Api>,
    asked: Asked,
    caller: Caller,
    Path(key): Path<String>,
    Input(body): Input<CreateSlug>,
) -> Result<(StatusCode, Json<Slug>), ApiError> {
    let app = api.app(&key).await?;
    let request = SlugRequest {
        process_types: body.process_types,
        buildpack_description: body.buildpack_provided_description,
        checksum: body.checksum,
        commit: body.commit,
        commit_description: body.commit_description,
        stack: body.stack.map(|named| catalog::stack_name(&api, named)),
    };
    let (slug, blob) = flows::new_slug(&api.node, &app, request, &caller.actor())?;
    Ok((StatusCode::CREATED, Json(shown(&api, &asked, &slug, &blob))))
}

fn shown(api: &Api, asked: &Asked, slug: &SentSlug, blob: &SlugBlob) -> Slug {
    let (method, link) = match blob {
        SlugBlob::Put(link) => ("put", link),
        SlugBlob::Get(link) => ("get", link),
    };
    sent(slug, (method, asked.url(api.node.settings(), link)))
}

pub(super) async fn show(
    State(api): State<Api>,
    asked: Asked,
    Path((key, slug)): Path<(String, String)>,
) -> Result<Json<Slug>, ApiError> {
    let app = api.app(&key).await?;
    if let Ok((found, blob)) = flows::sent_slug(&api.node, &app, &slug) {
        return Ok(Json(shown(&api, &asked, &found, &blob)));
    }
    let (release, found) = found(&api, &app, &slug).await?;
    let link = flows::slug_link(&api.node, app.id, view::slug_id(&found.digest));
    Ok(Json(released(&release, &found, asked.url(api.node.settings(), &link))))
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

/// A slug, as a release has it.
fn released(release: &Release, slug: &domain::Slug, url: String) -> Slug {
    let types = release.process_types.iter().map(|(name, command)| (name.to_string(), command.clone()));
    Slug {
        blob: api::SlugBlob { method: "get".to_owned(), url },
        buildpack_provided_description: slug.buildpack_description.clone(),
        checksum: Some(format!("SHA256:{}", slug.digest)),
        commit: release.commit.clone(),
        commit_description: None,
        created_at: timestamp(slug.created_at_s),
        id: view::slug_id(&slug.digest),
        process_types: types.collect(),
        size: Some(slug.size.0),
        stack: Named::stable("stack", release.stack.as_str()),
        updated_at: timestamp(slug.created_at_s),
    }
}

/// A slug that was sent, or is to be, and not released under this identity.
fn sent(slug: &SentSlug, (method, url): (&str, String)) -> Slug {
    let types = slug.process_types.iter().map(|(name, command)| (name.to_string(), command.clone()));
    Slug {
        blob: api::SlugBlob { method: method.to_owned(), url },
        buildpack_provided_description: slug.buildpack_description.clone(),
        checksum: slug.checksum.as_ref().map(ToString::to_string),
        commit: slug.commit.clone(),
        commit_description: slug.commit_description.clone(),
        created_at: timestamp(slug.created_at_s),
        id: slug.id,
        process_types: types.collect(),
        size: None,
        stack: Named::stable("stack", slug.stack.as_str()),
        updated_at: timestamp(slug.created_at_s),
    }
}
