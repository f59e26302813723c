//! The setting up of an app from a source that says what it needs (platform reference 2.3).

use uuid::Uuid;

use crate::domain::{AppId, AppName};

/// How far the setting up of an app is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetupStatus {
    /// It goes on.
    Pending,
    /// The app is as its source wants it.
    Succeeded,
    /// It is not, and will not be.
    Failed,
}

impl SetupStatus {
    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}

/// The setting up of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppSetup {
    /// Its identity.
    pub id: Uuid,
    /// The app, which may be gone.
    pub app: AppId,
    /// What it was called.
    pub app_name: AppName,
    /// Who asked for it.
    pub user: String,
    /// How far it is.
    pub status: SetupStatus,
    /// Why it has failed.
    pub failure: Option<String>,
    /// What is wrong with the source's `app.json`.
    pub manifest_errors: Vec<String>,
    /// The build of the source.
    pub build: Option<Uuid>,
    /// What the command after the first deploy printed, and its exit status.
    pub postdeploy: Option<Postdeploy>,
    /// Where somebody is led when it has succeeded.
    pub success_url: Option<String>,
    /// Unix time of its beginning, seconds.
    pub created_at_s: i64,
    /// Unix time of its last step, seconds.
    pub updated_at_s: i64,
}

/// What became of the command after the first deploy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Postdeploy {
    /// The beginning of what it printed.
    pub output: String,
    /// Its exit status.
    pub exit_code: u8,
}
