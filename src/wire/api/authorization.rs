//! `oauth-authorization`: a token, and what asks for one.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::wire::api::{ById, UserRef};

/// A token of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorization {
    /// The token.
    pub access_token: AccessToken,
    /// Never set: there are no clients but the user's own.
    pub client: Option<ById>,
    /// ISO time.
    pub created_at: String,
    /// What it is for.
    pub description: String,
    /// Never set.
    pub grant: Option<ById>,
    /// Its identity.
    pub id: Uuid,
    /// Never set.
    pub refresh_token: Option<ById>,
    /// What it is good for.
    pub scope: Vec<String>,
    /// Never set: tokens are sessions of their own.
    pub session: Option<ById>,
    /// ISO time.
    pub updated_at: String,
    /// Whose it is.
    pub user: UserRef,
}

/// The token itself: whole in the answer that made it, later its first characters.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessToken {
    /// Seconds it is still good for; without end, when none.
    pub expires_in: Option<i64>,
    /// Its identity.
    pub id: Uuid,
    /// The token.
    pub token: String,
}

/// Never shown: it ends up in messages of panics and logs.
impl std::fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccessToken(..)")
    }
}

/// What stands in place of the rest of a token.
pub const REDACTED: &str = "**********";

/// Body of `PATCH /oauth/authorizations/:id`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateAuthorization {
    /// What it is for, from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A client for which it would be; there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<serde_json::Value>,
}

/// Body of `POST /oauth/authorizations`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateAuthorization {
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Seconds after which it is worth nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u32>,
    /// What it is to be good for; everything when nothing is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Vec<String>>,
}
