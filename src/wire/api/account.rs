//! `account`: who the client is.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::wire::api::Named;

/// The account behind a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the published schema has these fields")]
pub struct Account {
    /// Always false: nothing is tracked.
    pub allow_tracking: bool,
    /// Always false.
    pub beta: bool,
    /// ISO time.
    pub created_at: String,
    /// The name that appears as "by user" in logs and releases.
    pub email: String,
    /// Always false.
    pub federated: bool,
    /// Its identity.
    pub id: Uuid,
    /// None: the node is its own authority.
    pub identity_provider: Option<Named>,
    /// ISO time, when known.
    pub last_login: Option<String>,
    /// A person's name, when known.
    pub name: Option<String>,
    /// None.
    pub sms_number: Option<String>,
    /// None.
    pub suspended_at: Option<String>,
    /// None: nothing is billed.
    pub delinquent_at: Option<String>,
    /// Always false.
    pub two_factor_authentication: bool,
    /// ISO time.
    pub updated_at: String,
    /// Always true.
    pub verified: bool,
    /// None.
    pub country_of_residence: Option<String>,
    /// None: there are no teams.
    pub default_organization: Option<Named>,
    /// None: there are no teams.
    pub default_team: Option<Named>,
}

/// A switch of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountFeature {
    /// ISO time.
    pub created_at: String,
    /// In words.
    pub description: String,
    /// Another name for people.
    pub display_name: Option<String>,
    /// Empty.
    pub doc_url: String,
    /// Whether it is on.
    pub enabled: bool,
    /// None.
    pub feedback_email: Option<String>,
    /// Its identity.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// `general`.
    pub state: String,
    /// ISO time.
    pub updated_at: String,
}
