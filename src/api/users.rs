//! `/users/:user`, and `/node/users`: who may log in, which is not part of the published API.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;

use crate::api::body::Input;
use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::api::view;
use crate::flows;
use crate::wire::api::{SetUser, User, UserRef};
use crate::wire::api_errors::{Missing, Refusal};

/// Characters of a name that is not there, as it is given back.
const NAME_CHARS_SHOWN: usize = 254;

pub(super) async fn list(State(api): State<Api>) -> Result<Json<Vec<User>>, ApiError> {
    Ok(Json(flows::users(&api.node).await?.iter().map(view::account).collect()))
}

/// Who a name stands for: what a client has to know to give somebody something. For everybody who may come in, as what is
/// shared with whom tells no less.
pub(super) async fn show(State(api): State<Api>, Path(key): Path<String>) -> Result<Json<UserRef>, ApiError> {
    let all = flows::user_names(&api.node).await?;
    let found = all.iter().find(|user| user.as_str().eq_ignore_ascii_case(&key));
    let found = found
        .ok_or_else(|| Refusal::NotFound(Missing::User(key.chars().take(NAME_CHARS_SHOWN).collect())))?;
    Ok(Json(view::user(found.as_str())))
}

pub(super) async fn create(
    State(api): State<Api>,
    Input(body): Input<SetUser>,
) -> Result<(StatusCode, Json<User>), ApiError> {
    let SetUser { email, password } = body;
    let made = flows::create_user(&api.node, &email.unwrap_or_default(), password).await?;
    Ok((StatusCode::CREATED, Json(view::account(&made))))
}

pub(super) async fn update(
    State(api): State<Api>,
    Path(email): Path<String>,
    Input(body): Input<SetUser>,
) -> Result<StatusCode, ApiError> {
    flows::set_password(&api.node, &email, body.password).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn destroy(
    State(api): State<Api>,
    Path(email): Path<String>,
) -> Result<Json<User>, ApiError> {
    Ok(Json(view::account(&flows::remove_user(&api.node, &email).await?)))
}
