//! How requests of an app are led to its web dynos. The platform has no such resource.

use serde::{Deserialize, Serialize};

/// A setting, as one app has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutingSetting {
    /// Its name.
    pub name: String,
    /// What holds for the app.
    pub value: String,
    /// What holds unless an app has chosen.
    pub default: String,
    /// What it does.
    pub description: String,
}
