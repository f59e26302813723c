//! `stack`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A stack the node knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    /// ISO time.
    pub created_at: String,
    /// Whether new apps get it.
    pub default: bool,
    /// Its identity.
    pub id: Uuid,
    /// `cedar-13`.
    pub name: String,
    /// `public`, or `unavailable` while it has not been built on this node.
    pub state: String,
    /// ISO time.
    pub updated_at: String,
}
