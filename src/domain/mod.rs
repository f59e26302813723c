//! Nouns and rules of the product. No I/O, no clock, no `async`, no shape of a wire or a disk.
//!
//! Every value that comes from outside is parsed once into one of these types; what holds one may rely on its rules.

mod access;
mod acm;
mod add_on;
mod app;
mod app_setup;
mod build;
mod bytes;
mod certificate;
mod command_line;
mod config_vars;
mod cron;
mod custom_domain;
mod drain;
mod dyno;
mod feature;
mod formation;
mod hostname;
mod job;
mod manifest;
mod node_memory;
mod pipeline;
mod process_type;
mod reachable;
mod release;
mod repository;
mod route_table;
mod routing;
mod service;
mod size;
mod sni_endpoint;
mod source;
mod ssh_key;
mod stack;
mod tally;
mod test_run;
mod transfer;
mod webhook;

pub use access::{
    AppRight, Authorization, Collaborator, Email, EmailError, Scope, Scopes, UnknownRight, UnknownScope, User,
};
pub use acm::{
    CertificateOrder, FaultKind, OrderEvent, OrderFault, OrderProgress, OrderStage, PlacedOrder,
    UnknownFault, admitted,
};
pub use add_on::{AddOn, AddOnName, AddOnNameError, Attachment, AttachmentName, AttachmentNameError};
pub use app::{App, AppId, AppName, AppNameError};
pub use app_setup::{AppSetup, Postdeploy, SetupStatus};
pub use build::{Build, BuildPhase, BuildSource, BuildStatus, PhaseTime, Slug};
pub use bytes::Bytes;
pub use certificate::{Certificate, Certificates, ChallengeAnswer, SecretKey};
pub use command_line::{command_line, shell_quoted, shell_word};
pub use config_vars::{ConfigVars, ConfigVarsError};
pub use cron::{CronError, CronExpression};
pub use custom_domain::{CustomDomain, CustomDomainError, EndpointRef, is_given};
pub use drain::{Drain, DrainId, DrainUrl, DrainUrlError, Transport, Verification};
pub use dyno::{DynoId, DynoName, DynoNameError, DynoState};
pub use feature::{Feature, FeatureRow, Features, Switch, UnknownFeature};
pub use formation::{Formation, FormationEntry, QuantityChange, QuantityChangeError};
pub use hostname::{HostPattern, Hostname, HostnameError};
pub use job::{Cadence, CadenceError, Job, JobId, JobRun, Overlap, OverlapError, RunState};
pub use manifest::{Manifest, ManifestAddOn, ManifestDynos, ManifestValue, ManifestVar, VarNeed};
pub use node_memory::{MemoryShortage, NodeMemory};
pub use pipeline::{
    Coupling, Pipeline, PipelineName, PipelineNameError, Promotion, PromotionStatus, PromotionTarget, Stage,
    TargetOutcome, UnknownStage,
};
pub use process_type::{ProcessType, ProcessTypeError};
pub use reachable::{Reach, network};
pub use release::{Release, ReleasePhase, ReleaseStatus, SlugDigest, SlugDigestError, Version, VersionError};
pub use repository::{Branch, BranchError, Deploys, RepositoryLink, RepositoryUrl, RepositoryUrlError};
pub use route_table::{
    Affinity, Backend, Choice, DynoProtocol, Http2, NetnsAddress, Route, RouteOptions, RouteTable, WebState,
};
pub use routing::{ReadinessPath, Routing, RoutingError, RoutingRow, RoutingSetting};
pub use service::{Credentials, Plan, Service, ServiceCommands, disk_bounds};
pub use size::{DynoSize, ONE_OFFS_MAX, SizeLimits, SizeName, Sizes, UnknownSize};
pub use sni_endpoint::{CertificateError, CertificateFacts, CertificateSource, SniEndpoint, Standing};
pub use source::{ArchiveRoot, Checksum, ChecksumError, SourceUrl, SourceUrlError};
pub use ssh_key::{PublicKey, PublicKeyError, SshKey};
pub use stack::{StackName, StackNameError, StackVersion};
pub use tally::{Counted, Tally};
pub use test_run::{TestRun, TestStatus, TestedCommit, UnknownTestStatus};
pub use transfer::{
    BackupSchedule, BackupsKept, Transfer, TransferCause, TransferKind, TransferName, TransferState,
    UnknownTransferWord, Verified, is_time_to_verify, outlived,
};
pub use webhook::{
    Action, Attempt, Delivery, DeliveryStatus, Entity, Level, Secret, SecretError, UnknownDeliveryStatus,
    UnknownEntity, UnknownLevel, Webhook, WebhookEvent, WebhookUrl, WebhookUrlError,
};
