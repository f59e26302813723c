//! `/apps/:app/releases` and `/release-outputs/:release`.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};

use crate::api::body::Input;
use crate::api::config_vars::{Vars, vars};
use crate::api::error::ApiError;
use crate::api::range::{Key, ListRange, Page, Property};
use crate::api::slugs;
use crate::api::state::Api;
use crate::api::view;
use crate::flows::{self, Caller, ReleaseKey, ReleaseView};
use crate::wire::api::{CreateRelease, Release, ReleaseName};
use crate::wire::api_errors::{Missing, Refusal};

/// How a list of releases may be ordered.
pub(super) const ORDERS: &[Property] = &[Property::number("version")];

/// By version, ascending; a `Range` chooses order, ends and number.
pub(super) async fn list(
    State(api): State<Api>,
    Path(key): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let app = api.app(&key).await?;
    let range = ListRange::of(&headers, ORDERS)?;
    let all = flows::releases(&api.node, &app).await?;
    let page = range.page(all, |view, _| Key::Number(view.release.version.0));
    let show = |release: &ReleaseView| view::release(&api.node, &app, release);
    let page: Page<Release> = page.shown(|releases| releases.iter().map(show).collect());
    Ok(page.answer())
}

pub(super) async fn show(
    State(api): State<Api>,
    Path((key, name)): Path<(String, String)>,
) -> Result<Json<Release>, ApiError> {
    let app = api.app(&key).await?;
    let release = flows::release(&api.node, &app, ReleaseKey::parse(&name)?).await?;
    Ok(Json(view::release(&api.node, &app, &release)))
}

pub(super) async fn config_vars(
    State(api): State<Api>,
    Path((key, name)): Path<(String, String)>,
) -> Result<Json<Vars>, ApiError> {
    let app = api.app(&key).await?;
    let release = flows::release(&api.node, &app, ReleaseKey::parse(&name)?).await?;
    Ok(vars(&release.release.config))
}

/// What a release command prints, or has printed, as text. Its link is its own secret.
pub(super) async fn output(State(api): State<Api>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let id = id.parse().map_err(|_| Refusal::NotFound(Missing::ReleaseOutput))?;
    let output = flows::release_output(&api.node, id).await?.take_until(api.closing());
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from_stream(output)).into_response())
}

/// Releases a slug that was sent, or one once more, or rolls back; without a release to the one before the current.
pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Path(key): Path<String>,
    Input(body): Input<CreateRelease>,
) -> Result<(StatusCode, Json<Release>), ApiError> {
    let app = api.app(&key).await?;
    let CreateRelease { release, slug, description } = body;
    if let Some(slug) = slug {
        if release.is_some() {
            return Err(Refusal::ReleaseSource.into());
        }
        let actor = caller.actor();
        let made = if let Ok((sent, _)) = flows::sent_slug(&api.node, &app, &slug) {
            flows::release_sent_slug(&api.node, &app, sent, (description, &actor)).await?
        } else {
            let target = slugs::release_with(&api, &app, &slug).await?;
            flows::release_again(&api.node, &app, target.version, description, &actor).await?
        };
        return Ok((StatusCode::CREATED, Json(view::release(&api.node, &app, &made))));
    }
    let target = match release {
        Some(ReleaseName::Number(number)) => Some(ReleaseKey::parse(&number.to_string())?),
        Some(ReleaseName::Text(text)) => Some(ReleaseKey::parse(&text)?),
        None => None,
    };
    let release = flows::rollback(&api.node, &app, target, &caller.actor()).await?;
    Ok((StatusCode::CREATED, Json(view::release(&api.node, &app, &release))))
}
