//! `app`: the object, and what creates and changes one.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::wire::api::{Generation, Named, UserRef, truth};

/// An app, as the published schema has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the published schema has these fields")]
pub struct App {
    /// Automated certificate management.
    pub acm: bool,
    /// Never set.
    pub archived_at: Option<String>,
    /// What the last build detected: `Python`.
    pub buildpack_provided_description: Option<String>,
    /// The stack of the next build.
    pub build_stack: Named,
    /// ISO time.
    pub created_at: String,
    /// `cedar`: clients change their behaviour on anything else.
    pub generation: Generation,
    /// Where to push.
    pub git_url: String,
    /// Its identity, kept through renames.
    pub id: Uuid,
    /// Never set.
    pub internal_routing: Option<bool>,
    /// Whether the maintenance page is shown.
    pub maintenance: bool,
    /// Its name.
    pub name: String,
    /// Never set.
    pub organization: Option<Named>,
    /// Whose it is.
    pub owner: UserRef,
    /// How its processes are counted; some clients ask.
    pub process_tier: String,
    /// Where it runs.
    pub region: Named,
    /// ISO time of the current release.
    pub released_at: Option<String>,
    /// Bytes of the git repository; none before the first deploy.
    pub repo_size: Option<u64>,
    /// Bytes of the compressed slug; none before the first deploy.
    pub slug_size: Option<u64>,
    /// Never set.
    pub space: Option<Named>,
    /// Where to push over SSH; not in the published schema, and left out where the node takes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_git_url: Option<String>,
    /// The stack of the current release.
    pub stack: Named,
    /// Which build of that stack it is; not in the published schema, and left out before the first deploy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack_version: Option<StackBuild>,
    /// Never set.
    pub team: Option<Named>,
    /// ISO time.
    pub updated_at: String,
    /// Where it answers.
    pub web_url: Option<String>,
}

/// Which build of a stack an app runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackBuild {
    /// Its content version.
    pub version: String,
    /// ISO time of that build, where it was kept.
    pub built_at: Option<String>,
    /// The build that the next deploy stands on, where it is another: security updates make one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newer: Option<Box<StackBuild>>,
}

/// Body of `POST /apps`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateApp {
    /// Its name; the node makes one up when none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its stack, by name; the node's default when none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
    /// Taken and ignored: a node is one region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// Body of `PATCH /apps/:app`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateApp {
    /// The stack of the next build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_stack: Option<String>,
    /// Whether the maintenance page is shown; libraries send 0 and 1 as well.
    #[serde(default, deserialize_with = "truth::possible", skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<bool>,
    /// A new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}
