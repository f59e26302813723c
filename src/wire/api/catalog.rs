//! What a node is made of: `region` and `dyno-size`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A region; a node is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// Where it is, as far as is known.
    pub country: String,
    /// ISO time.
    pub created_at: String,
    /// In words.
    pub description: String,
    /// Its identity.
    pub id: Uuid,
    /// Where it is, as far as is known.
    pub locale: String,
    /// `us`, which clients take for the usual one.
    pub name: String,
    /// Always false.
    pub private_capable: bool,
    /// Who runs it.
    pub provider: Provider,
    /// ISO time.
    pub updated_at: String,
}

/// Who runs a region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// `dyno`.
    pub name: String,
    /// `local`.
    pub region: String,
}

/// A size of dynos.
#[expect(clippy::struct_excessive_bools, reason = "the published schema has these fields")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DynoSize {
    /// The machine's.
    pub architecture: String,
    /// Shares of CPU, against the smallest.
    pub compute: u64,
    /// None: nothing is billed.
    pub cost: Option<u64>,
    /// Always false: the machine is shared.
    pub dedicated: bool,
    /// Billing units.
    pub precise_dyno_units: f64,
    /// `cedar`.
    pub generation: super::Generation,
    /// Its identity.
    pub id: Uuid,
    /// Memory, GB.
    pub memory: f64,
    /// `Standard-1X`.
    pub name: String,
    /// Always false.
    pub private_space_only: bool,
}
