//! `app-setup`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::wire::api::{BuildRef, Named, NewBuildpack, NewSourceBlob};

/// The setting up of an app from a source that says what it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppSetup {
    /// The app, which is gone where its source says nonsense of it.
    pub app: Named,
    /// The build of its source, once there is one.
    pub build: Option<BuildRef>,
    /// ISO time.
    pub created_at: String,
    /// Why it has failed.
    pub failure_message: Option<String>,
    /// Its identity.
    pub id: Uuid,
    /// What is wrong with the source's `app.json`.
    pub manifest_errors: Vec<String>,
    /// What became of the command after the first deploy.
    pub postdeploy: Option<PostdeployResult>,
    /// Where somebody is led when it has succeeded.
    pub resolved_success_url: Option<String>,
    /// `pending`, `succeeded` or `failed`.
    pub status: String,
    /// ISO time.
    pub updated_at: String,
}

/// What became of the command after the first deploy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostdeployResult {
    /// Its exit status.
    pub exit_code: u8,
    /// What it printed.
    pub output: String,
}

/// Body of `POST /app-setups`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateAppSetup {
    /// What the app is to be.
    #[serde(default)]
    pub app: Option<NewAppOfSetup>,
    /// Where its source is.
    pub source_blob: NewSourceBlob,
    /// What is to be otherwise than the source says.
    #[serde(default)]
    pub overrides: Option<SetupOverrides>,
}

/// What an app is to be that is set up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewAppOfSetup {
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// Its stack.
    #[serde(default)]
    pub stack: Option<String>,
}

/// What is to be otherwise than a source says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupOverrides {
    /// Config vars.
    #[serde(default)]
    pub env: Option<BTreeMap<String, String>>,
    /// Buildpacks.
    #[serde(default)]
    pub buildpacks: Option<Vec<NewBuildpack>>,
}
