//! The bodies of the Platform API v3, one file a resource: what a client sends and what it is answered.
//!
//! Shapes only. Which value goes into a field is decided by `api`; the command line reads the same types back.

mod account;
mod add_on;
mod app;
mod app_feature;
mod app_setup;
mod authorization;
mod build;
mod catalog;
mod death;
mod domain;
mod dyno;
mod formation;
mod log_drain;
mod log_session;
mod pipeline;
mod push;
mod release;
mod repository;
mod routing;
mod scheduler;
mod slug;
mod sni_endpoint;
mod source;
mod stack;
mod test_run;
mod transfer;
mod truth;
mod user;
mod webhook;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub use account::{Account, AccountFeature};
pub use add_on::{
    ActTerminal, ActiveCredential, AddOn, AddOnService, AttachedAddOn, Attachment, AttachmentRequest,
    BillingEntity, BringBack, ByName, CreateAddOn, CreateAttachment, Credential, DestroyAddOn, DoAct, Plan,
    Price, RemovedAddOn, ResolveAddOn, ResolveAttachment, ServiceFact, ServiceInfo, ServiceMessage,
    UpdateAddOn,
};
pub use app::{App, CreateApp, StackBuild, UpdateApp};
pub use app_feature::{AppFeature, UpdateAppFeature};
pub use app_setup::{AppSetup, CreateAppSetup, NewAppOfSetup, PostdeployResult, SetupOverrides};
pub use authorization::{AccessToken, Authorization, CreateAuthorization, REDACTED, UpdateAuthorization};
pub use build::{
    Build, BuildLine, BuildRef, BuildResult, BuildTiming, BuildpackInstallation, BuildpackRef,
    BuildpackUpdate, CreateBuild, NewBuildpack, NewSourceBlob, SourceBlob, UpdateBuildpacks,
};
pub use catalog::{DynoSize, Provider, Region};
pub use death::{Death, DeathCall, DeathMemory, DeathPressure, DeathTasks, Diagnosis};
pub use domain::{CreateDomain, CreateKey, Domain, Key};
pub use dyno::{CreateDyno, Dyno, ReleaseRef};
pub use formation::{FormationEntry, FormationUpdate, Quantity, SizeRef, UpdateFormation};
pub use log_drain::{CreateLogDrain, LogDrain};
pub use log_session::{CreateLogSession, LogSession};
pub use pipeline::{
    AppsAmong, CreateCoupling, CreatePromotion, FilterApps, Pipeline, PipelineCoupling, PipelineOwner,
    PipelinePromotion, PipelineTransfer, PromotedApp, PromotionSource, PromotionTarget, SetPipeline,
    TransferPipeline, UpdateCoupling,
};
pub use push::{PushStatus, PushVerdict, SUBMODULES_NAME, VERDICT_MARK};
pub use release::{Artifact, CreateRelease, Release, ReleaseName, SlugRef, UserRef};
pub use repository::{
    EVENT_HEADER, HUB_SIGNATURE_HEADER, MessageAnswer, PushEvent, Repository, SetRepository, SwitchRepository,
};
pub use routing::RoutingSetting;
pub use scheduler::{CreateJob, Job, JobRun};
pub use slug::{CreateSlug, Slug, SlugBlob};
pub use sni_endpoint::{CreateSniEndpoint, SniEndpoint, SslCert, UpdateDomain};
pub use source::{SOURCE_USER_AGENT, Source, SourcePlace};
pub use stack::Stack;
pub use test_run::{CreateTestRun, TestNode, TestRun, TestVerdict, UpdateTestRun};
pub use transfer::{
    BackupSchedule, CopyDatabase, DataTransfer, HourText, PublicUrl, RestoreBackup, SetBackupSchedule,
    TRANSFER_CUT_OFF, TransferCause, TransferLine, TransferOptions, WaitStatus,
};
pub use user::{Collaborator, CreateTransfer, Permission, SetCollaborator, SetUser, Transfer, User};
pub use webhook::{
    DeliveryAttempt, DeliveryPayload, EventPayload, EventRef, PAYLOAD_VERSION, SECRET_HEADER,
    SIGNATURE_HEADER, SetWebhook, WEBHOOK_USER_AGENT, Webhook, WebhookDelivery, WebhookEvent,
    WebhookMetadata, WebhookRef,
};

/// A reference to another object, by identity and name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Its identity.
    pub id: Uuid,
    /// Its name.
    pub name: String,
}

impl Named {
    /// A reference to something whose identity follows from its kind and name.
    #[must_use]
    pub fn stable(kind: &str, name: &str) -> Self {
        Self { id: stable_id(kind, name), name: name.to_owned() }
    }
}

/// The generation of an app: an object, or in the variant `3.sdk` its name alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Generation {
    /// `{"id": ..., "name": "cedar"}`.
    Object(Named),
    /// `"cedar"`.
    Name(String),
}

/// A reference to another object by identity alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ById {
    /// Its identity.
    pub id: Uuid,
}

/// The identity of something that is named, not stored (a stack, a size, a formation entry): the same on every node and
/// at every start.
#[must_use]
pub fn stable_id(kind: &str, name: &str) -> Uuid {
    let digest = Sha256::new().chain_update(kind).chain_update([0]).chain_update(name).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// A Unix time in seconds as the API writes times: ISO 8601, UTC, whole seconds (platform reference 7.1).
#[must_use]
pub fn timestamp(unix_s: i64) -> String {
    jiff::Timestamp::from_second(unix_s).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn times_are_whole_seconds_of_utc() {
        assert_eq!(timestamp(1_325_419_200), "2012-01-01T12:00:00Z");
        assert_eq!(timestamp(0), "1970-01-01T00:00:00Z");
        assert_eq!(timestamp(i64::MAX), "1970-01-01T00:00:00Z", "a time no calendar holds is no panic");
    }

    #[test]
    fn stable_identities_depend_on_kind_and_name_alone() {
        assert_eq!(stable_id("stack", "cedar-13"), stable_id("stack", "cedar-13"));
        assert_ne!(stable_id("stack", "cedar-13"), stable_id("size", "cedar-13"));
        assert_ne!(stable_id("a", "b\0c"), stable_id("a\0b", "c\0"));
    }
}
