//! `pipeline`, `pipeline-coupling`, `pipeline-promotion` and `pipeline-promotion-target`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::wire::api::{ById, Generation, Named};

/// Apps that run one code base at several stages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pipeline {
    /// ISO time.
    pub created_at: String,
    /// The one there is.
    pub generation: Generation,
    /// Its identity.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub owner: Option<PipelineOwner>,
    /// ISO time.
    pub updated_at: String,
}

/// Whose a pipeline is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineOwner {
    /// The name; of our own, and left out in what clients send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The identity.
    pub id: Uuid,
    /// `user`: there are no teams.
    #[serde(rename = "type")]
    pub kind: String,
}

/// Body of `POST /pipelines`, and of `PATCH`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetPipeline {
    /// The name.
    pub name: String,
    /// Whose it is to be; the caller's when nobody is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<PipelineOwner>,
}

/// Body of `POST /pipeline-transfers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferPipeline {
    /// The pipeline.
    pub pipeline: ById,
    /// Whose it is to be.
    pub new_owner: PipelineOwner,
}

/// A pipeline that went from one user to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineTransfer {
    /// The pipeline.
    pub pipeline: ById,
    /// Whose it was.
    pub previous_owner: PipelineOwner,
    /// Whose it is.
    pub new_owner: PipelineOwner,
}

/// An app's place in a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineCoupling {
    /// The app.
    pub app: Named,
    /// ISO time.
    pub created_at: String,
    /// Its identity.
    pub id: Uuid,
    /// The pipeline.
    pub pipeline: Named,
    /// `test`, `review`, `development`, `staging` or `production`.
    pub stage: String,
    /// ISO time.
    pub updated_at: String,
}

/// Body of `POST /pipeline-couplings`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateCoupling {
    /// The app, by name or identity.
    pub app: String,
    /// The pipeline, by name or identity.
    pub pipeline: String,
    /// The stage.
    pub stage: String,
}

/// Body of `PATCH /pipeline-couplings/:coupling`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateCoupling {
    /// The stage.
    pub stage: String,
}

/// A slug that goes from one app to others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelinePromotion {
    /// ISO time.
    pub created_at: String,
    /// Its identity.
    pub id: Uuid,
    /// The pipeline.
    pub pipeline: ById,
    /// Where from.
    pub source: PromotionSource,
    /// `pending` while a release command runs, then `completed`.
    pub status: String,
    /// ISO time.
    pub updated_at: Option<String>,
}

/// Where a slug comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotionSource {
    /// The app.
    pub app: ById,
    /// The release of it; the one that runs when a client names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ById>,
}

/// An app in the body of a promotion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotedApp {
    /// The app.
    pub app: ById,
}

/// Body of `POST /pipeline-promotions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatePromotion {
    /// The pipeline.
    pub pipeline: ById,
    /// Where from.
    pub source: PromotionSource,
    /// Where to.
    pub targets: Vec<PromotedApp>,
}

/// An app that a slug goes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotionTarget {
    /// The app.
    pub app: ById,
    /// Why it has failed.
    pub error_message: Option<String>,
    /// Its identity.
    pub id: Uuid,
    /// The promotion.
    pub pipeline_promotion: ById,
    /// The release that was made of it.
    pub release: Option<ById>,
    /// `pending`, `succeeded` or `failed`.
    pub status: String,
}

/// Body of `POST /filters/apps`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterApps {
    /// What to look for.
    #[serde(rename = "in")]
    pub among: AppsAmong,
}

/// Apps by identity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppsAmong {
    /// The identities.
    #[serde(default)]
    pub id: Vec<Uuid>,
}
