//! `/pipeline-promotions`.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;

use crate::api::body::Input;
use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::api::view;
use crate::flows::{self, Caller, PromotionRequest};
use crate::wire::api::{CreatePromotion, PipelinePromotion, PromotionTarget};

pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Input(body): Input<CreatePromotion>,
) -> Result<(StatusCode, Json<PipelinePromotion>), ApiError> {
    let CreatePromotion { pipeline, source, targets } = body;
    let request = PromotionRequest {
        pipeline: pipeline.id,
        source: source.app.id,
        release: source.release.map(|release| release.id),
        targets: targets.into_iter().map(|target| target.app.id).collect(),
    };
    let promotion = flows::promote(&api.node, &caller, request).await?;
    Ok((StatusCode::CREATED, Json(view::promotion(&promotion))))
}

pub(super) async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<PipelinePromotion>, ApiError> {
    Ok(Json(view::promotion(&flows::promotion(&api.node, &caller, &id).await?)))
}

pub(super) async fn targets(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Vec<PromotionTarget>>, ApiError> {
    let promotion = flows::promotion(&api.node, &caller, &id).await?;
    Ok(Json(promotion.targets.iter().map(|target| view::promotion_target(&promotion, target)).collect()))
}
