//! Every refusal of the API: identity, status and sentence in one table (platform reference 7.1).

mod add_on;
mod error_id;
mod missing;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use add_on::AddOnRefusal;
pub use error_id::ErrorId;
pub use missing::{Missing, Unknown};

use crate::domain::{
    AppName, AppNameError, AppRight, Authorization, BranchError, BuildStatus, CadenceError, CertificateError,
    ChecksumError, ConfigVarsError, CustomDomain, CustomDomainError, Drain, DrainUrlError, DynoSize, Email,
    EmailError, HostPattern, Job, MemoryShortage, OverlapError, Pipeline, PipelineNameError, PublicKeyError,
    QuantityChangeError, RepositoryUrlError, RoutingError, Scope, SecretError, SniEndpoint, SourceUrlError,
    SshKey, StackName, TestStatus, UnknownDeliveryStatus, UnknownEntity, UnknownLevel, UnknownRight,
    UnknownScope, UnknownSize, UnknownStage, Version, Webhook, WebhookUrlError,
};

/// The body of every answer that is not a success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What kind of refusal, for programs.
    pub id: String,
    /// What went wrong, for people.
    pub message: String,
    /// What was not found, when something was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
}

/// A request that is understood and not done; nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// What the request names does not exist.
    #[error("{0}")]
    NotFound(Missing),
    /// The request cannot be read.
    #[error("{0}")]
    BadRequest(String),
    /// The `Accept` header asks for another version.
    #[error("The API speaks version 3: send `Accept: application/vnd.heroku+json; version=3`.")]
    Version,
    /// No credentials, or wrong ones.
    #[error("Invalid credentials provided.")]
    Credentials,
    /// Something of an app that is not shared, or not so far.
    #[error("You do not have access to the app {app}: that needs the permission {}.", right.as_str())]
    NoAccess {
        /// The app.
        app: String,
        /// What would be needed.
        right: AppRight,
    },
    /// Something that only the administrator does.
    #[error("Only the administrator of the node may do that.")]
    Administrator,
    /// A buildpack by a path of the node's host, from somebody who may not look there.
    #[error("A buildpack in a directory of the node is for its administrator to set, with buildpacks:set.")]
    HostBuildpack,
    /// A token that is not good for that.
    #[error("The token does not allow that: it lacks the scope {}.", .0.as_str())]
    Scope(Scope),
    /// A token that would be good for more than the one that asks for it.
    #[error("A token cannot have scopes that the one that makes it lacks.")]
    WiderScopes,
    /// A token that would be good for longer than the one that asks for it.
    #[error(
        "This token ends earlier than the one to rotate: rotate with a token that lasts as long, or with your password."
    )]
    LongerToken,
    /// No scope.
    #[error("Invalid scope: {0}.")]
    ScopeName(#[source] UnknownScope),
    /// No right.
    #[error("Invalid permission: {0}.")]
    Permission(#[source] UnknownRight),
    /// No name of a user.
    #[error("Invalid e-mail address: {0}.")]
    UserName(#[source] EmailError),
    /// A password too short or too long.
    #[error("A password has {min} to {max} characters.")]
    Password {
        /// The fewest bytes.
        min: usize,
        /// The most bytes.
        max: usize,
    },
    /// There is such a user.
    #[error("There is a user {0} already.")]
    UserExists(Email),
    /// A user whose apps would be nobody's.
    #[error("{user} owns the app {app}: transfer or destroy it first.")]
    OwnsApps {
        /// The user.
        user: Email,
        /// One of the apps.
        app: AppName,
    },
    /// A user with as many tokens as one may have.
    #[error("You have {max} tokens, the most there may be: revoke some first.", max = Authorization::PER_USER_MAX)]
    TooManyAuthorizations,
    /// A token for another program that would sign in with a node's users.
    #[error("The node has no OAuth clients: leave `client` out.")]
    NoClients,
    /// The app is the user's, or shared already.
    #[error("{0} already has access to the app.")]
    CollaboratorExists(Email),
    /// A name that cannot be an app's.
    #[error("Invalid domain: {0}.")]
    Domain(#[source] CustomDomainError),
    /// A setting of how requests are led that cannot be.
    #[error("Invalid routing setting: {0}.")]
    Routing(#[source] RoutingError),
    /// Another app answers to the name.
    #[error("{0} is currently in use by another app.")]
    DomainTaken(HostPattern),
    /// A wildcard and a name below it would belong to apps of different owners.
    #[error(
        "{hostname} is currently in use by another app: {other} belongs to another owner, and so does what a wildcard covers. \
         Ask them to add it, or use a name that the wildcard does not cover."
    )]
    DomainOverlaps {
        /// What was to be added.
        hostname: HostPattern,
        /// What is there.
        other: HostPattern,
    },
    /// The app has the name already.
    #[error("{0} is a domain of this app already: `dyno domains` lists them.")]
    DomainThere(HostPattern),
    /// The app has as many domains as it may.
    #[error("You have added the maximum number of domains ({max}).", max = CustomDomain::PER_APP_MAX)]
    TooManyDomains,
    /// No certificate that can be shown.
    #[error("Invalid certificate: {0}.")]
    Certificate(#[source] CertificateError),
    /// A certificate that is for other names.
    #[error("The certificate does not cover {0}.")]
    CertificateName(HostPattern),
    /// The app has as many certificates as it may.
    #[error("You have added the maximum number of certificates ({max}).", max = SniEndpoint::PER_APP_MAX)]
    TooManyCertificates,
    /// A certificate that the node looks after.
    #[error(
        "The certificate {0} is renewed automatically: add one of your own with certs:add, or switch to that with certs:auto:disable."
    )]
    AutomaticCertificate(String),
    /// The node gets no certificates by itself.
    #[error(
        "This node gets no certificates: its administrator chooses an authority and agrees to its terms, in [acme] of the configuration."
    )]
    NoAuthority,
    /// The app wants no certificates that the node gets.
    #[error("Automatic Certificate Management is disabled on {0}: enable it with certs:auto:enable.")]
    AcmOff(String),
    /// No public key.
    #[error("Invalid public key: {0}.")]
    PublicKey(#[source] PublicKeyError),
    /// Somebody has the key.
    #[error("Key is already in use by another account, or by yours.")]
    KeyTaken,
    /// The user has as many keys as one may.
    #[error("You have added the maximum number of keys ({max}).", max = SshKey::PER_USER_MAX)]
    TooManyKeys,
    /// Too many wrong passwords.
    #[error("Too many failed attempts to log in: wait {pause_s} seconds.")]
    TooManyLogins {
        /// How long, seconds.
        pause_s: u64,
    },
    /// A client of another machine that speaks without TLS.
    #[error("From another machine the API is reached over TLS alone: use https.")]
    TlsOnly,
    /// Too many requests.
    #[error("Your account reached the API rate limit. Please wait a few minutes before making new requests.")]
    RateLimit,
    /// A local user who does not administer the node.
    #[error("Only root and the user the node runs as may use its socket.")]
    Peer,
    /// Another app has the name.
    #[error("Name {0} is already taken")]
    NameTaken(String),
    /// The name breaks the rules.
    #[error(
        "Name must start with a letter, end with a letter or digit and can only contain lowercase letters, digits, and dashes, and has 3 to 30 characters."
    )]
    Name(AppNameError),
    /// The quantity is none.
    #[error("Invalid quantity: {0}.")]
    Quantity(#[source] QuantityChangeError),
    /// The size is none.
    #[error("Invalid dyno size: {0}.")]
    Size(#[source] UnknownSize),
    /// More dynos than an app may have.
    #[error("Cannot run {wanted} dynos: an app has at most {limit}.")]
    TooManyDynos {
        /// How many were asked for.
        wanted: u32,
        /// How many an app may have.
        limit: u32,
    },
    /// More dynos of a size than a type may have.
    #[error("Cannot update to more than {limit} {size} size dynos per process type.")]
    TooManyPerType {
        /// How many a type may have.
        limit: u32,
        /// The size.
        size: DynoSize,
    },
    /// More memory than the node has left.
    #[error("Not enough memory: {0}. Scale to fewer or smaller dynos, or raise dynos.memory_overcommit.")]
    Memory(#[source] MemoryShortage),
    /// A time to stop over the longest.
    #[error("A stop may take at most {limit_s} seconds.")]
    StopGrace {
        /// The longest, seconds.
        limit_s: u64,
    },
    /// More one-off dynos than an app may have.
    #[error("Cannot run more than {limit} one-off dynos of an app at once.")]
    TooManyOneOffs {
        /// How many may run.
        limit: usize,
    },
    /// Config vars no environment can carry.
    #[error("Invalid config vars: {0}.")]
    ConfigVars(#[source] ConfigVarsError),
    /// No place to send lines to.
    #[error("Invalid drain destination: {0}.")]
    DrainUrl(#[source] DrainUrlError),
    /// The app has that drain.
    #[error("Already exists")]
    DrainExists,
    /// The app has as many drains as it may.
    #[error("You have already added the maximum number of drains allowed ({max}).", max = Drain::PER_APP_MAX)]
    TooManyDrains,
    /// Something of add-ons.
    #[error(transparent)]
    AddOn(#[from] AddOnRefusal),
    /// A webhook that lacks something.
    #[error("A webhook has a url, a level, and at least one event to include.")]
    WebhookParts,
    /// No place to tell.
    #[error("Invalid webhook URL: {0}.")]
    WebhookUrl(#[source] WebhookUrlError),
    /// No level.
    #[error("Invalid level: {0}.")]
    WebhookLevel(#[source] UnknownLevel),
    /// Nothing that a node tells of.
    #[error("Invalid include: {0}.")]
    WebhookInclude(#[source] UnknownEntity),
    /// No secret.
    #[error("Invalid secret or authorization: {0}.")]
    WebhookSecret(#[source] SecretError),
    /// The app has as many webhooks as it may.
    #[error("An app has at most {max} webhooks: remove one first.", max = Webhook::PER_APP_MAX)]
    TooManyWebhooks,
    /// No status of a delivery.
    #[error("Invalid status: {0}.")]
    DeliveryStatus(#[source] UnknownDeliveryStatus),
    /// No time.
    #[error("A time is written as in 2026-11-23T10:00:00Z.")]
    LogTime,
    /// No regular expression; the text says what is wrong with it.
    #[error("Invalid pattern: {0}.")]
    LogPattern(String),
    /// A one-off dyno without a command.
    #[error("A one-off dyno needs a command.")]
    NoCommand,
    /// More commands that wait for their client than an app may have.
    #[error("{limit} commands of this app wait for their client: attach to them, or wait half a minute.")]
    TooManyVisits {
        /// How many.
        limit: usize,
    },
    /// The node cannot listen where the stock command comes to visit a dyno.
    #[error(
        "The stock command cannot come in: the node's log says why. Use `dyno ps:exec` and `dyno ps:copy`."
    )]
    NoExec,
    /// An app that has no commands run in its dynos.
    #[error("{0} has commands in its dynos switched off: dyno features:enable runtime-heroku-exec -a {0}")]
    VisitsOff(String),
    /// A type of one-off dyno that is taken by the formation or malformed.
    #[error("{0} is no type for a one-off dyno.")]
    OneOffType(String),
    /// A lifetime over the longest.
    #[error("time_to_live has at most {limit_s} seconds.")]
    TimeToLive {
        /// The longest, seconds.
        limit_s: u64,
    },
    /// Nothing to run yet.
    #[error("Nothing has been deployed to {0} yet: git push first.")]
    NotDeployed(String),
    /// A release that cannot run again.
    #[error("Cannot roll back to {0}: it has no slug, or it failed.")]
    RollbackTarget(Version),
    /// No release to roll back to.
    #[error("There is no earlier release to roll back to.")]
    NoRollbackTarget,
    /// More sources on their way than a user may have.
    #[error("{max} sources of yours are on their way: wait until one has arrived.")]
    TooManySources {
        /// How many.
        max: usize,
    },
    /// Two things to make a release of.
    #[error("A release is made of a slug, or of a release to roll back to: name one of them.")]
    ReleaseSource,
    /// A slug whose archive has not come.
    #[error(
        "The archive of this slug has not been sent yet: PUT it to the slug's blob.url, then release the slug."
    )]
    SlugNotSent,
    /// Another archive than the one that was meant.
    #[error(
        "The archive of this slug is not the one that its checksum names: make another slug, and send that."
    )]
    SlugChecksum,
    /// A slug that no dyno could run; the text is one clause.
    #[error("The slug cannot be released: {0}.")]
    SlugUnfit(String),
    /// Process types of a slug beyond a Procfile's bounds.
    #[error(
        "A slug has at most {types} process types, each with a command of at most {bytes} bytes that is not empty."
    )]
    SlugTypes {
        /// The most types.
        types: usize,
        /// The most bytes of a command.
        bytes: usize,
    },
    /// What is said of a slug is too long.
    #[error("What is said of a slug has at most {limit} characters each, none of them NUL.")]
    SlugSaid {
        /// The most characters.
        limit: usize,
    },
    /// A time zone that this machine does not know.
    #[error("Time zone {0} is not known on this node: name it as in Europe/Berlin.")]
    TimeZone(String),
    /// Times of the platform's three ways in another zone.
    #[error("Only a cron expression has a time zone: the other schedules go by UTC.")]
    ZoneWithoutCron,
    /// No schedule.
    #[error("Invalid schedule: {0}.")]
    Schedule(CadenceError),
    /// No policy.
    #[error("Invalid overlap: {0}.")]
    Overlap(OverlapError),
    /// As many jobs as an app may have.
    #[error("An app has at most {max} scheduled jobs: remove one first.", max = Job::PER_APP_MAX)]
    TooManyJobs,
    /// No name of a pipeline.
    #[error("Invalid pipeline name: {0}.")]
    PipelineName(#[source] PipelineNameError),
    /// Another pipeline has the name.
    #[error("There is a pipeline {0} already.")]
    PipelineNameTaken(String),
    /// As many pipelines as one may own.
    #[error("One owns at most {max} pipelines: destroy one first.", max = Pipeline::PER_OWNER_MAX)]
    TooManyPipelines,
    /// As many apps as a pipeline may have.
    #[error("A pipeline has at most {max} apps: remove one first.", max = Pipeline::APPS_MAX)]
    TooManyInPipeline,
    /// Somebody else's pipeline.
    #[error("Only the owner of the pipeline {0}, or the administrator of the node, may do that.")]
    NotYourPipeline(String),
    /// A pipeline in which the caller may not do that with anything.
    #[error(
        "You cannot do that in the pipeline {pipeline}: it needs to be yours, or the permission {} on an app in it.",
        right.as_str()
    )]
    NoPartInPipeline {
        /// The pipeline.
        pipeline: String,
        /// What would be needed.
        right: AppRight,
    },
    /// A stage without config vars of its own.
    #[error("Only the stage test has config vars of its own.")]
    StageConfig,
    /// A test run that has ended.
    #[error("The test run is over: it has {}.", .0.as_str())]
    TestRunOver(TestStatus),
    /// Something else than the end of a test run.
    #[error("A test run can be set to cancelled alone.")]
    TestRunStatus,
    /// The app is in a pipeline.
    #[error("{0} is in a pipeline already: remove it from there first.")]
    InPipeline(String),
    /// No stage.
    #[error("Invalid stage: {0}.")]
    Stage(#[source] UnknownStage),
    /// An app that the pipeline does not have.
    #[error("{0} is not in that pipeline.")]
    NotInPipeline(String),
    /// Nobody to promote to.
    #[error("Name the apps to promote to.")]
    NoTargets,
    /// More targets than a pipeline has apps.
    #[error("A promotion has at most {max} targets.", max = Pipeline::APPS_MAX)]
    TooManyTargets,
    /// A release that cannot be promoted.
    #[error("Cannot promote {version} of {app}: it has not succeeded, or has no slug.")]
    PromotedRelease {
        /// The app.
        app: String,
        /// The release.
        version: Version,
    },
    /// A promotion onto the app that is promoted.
    #[error("{0} cannot be promoted to itself.")]
    PromotedToItself(String),
    /// A target that runs the slug already.
    #[error("{app} runs this slug already, as {version}.")]
    PromotedAlready {
        /// The target.
        app: String,
        /// The release of it that has the slug.
        version: Version,
    },
    /// A target on another stack.
    #[error("{app} is on the stack {stack}, and the slug was built on {built_on}: set the stack first.")]
    PromotedToOtherStack {
        /// The target.
        app: String,
        /// Its stack.
        stack: StackName,
        /// The slug's stack.
        built_on: StackName,
    },
    /// A pipeline for somebody else.
    #[error("A pipeline belongs to whoever makes it: leave `owner` out.")]
    PipelineOwner,
    /// More apps in one question than a node answers for.
    #[error("At most {max} apps can be asked for at once.")]
    Filter {
        /// How many may be named.
        max: usize,
    },
    /// The command of another release runs.
    #[error(
        "Release {version} of the app is pending: its command runs in {dyno}. Try again when it has ended, or end it with `dyno ps:stop {dyno}`."
    )]
    ReleasePending {
        /// The release.
        version: Version,
        /// The dyno that runs its command.
        dyno: String,
    },
    /// Another push of the app is being built.
    #[error("Another build of {0} is running. Try again when it has ended.")]
    BuildRunning(String),
    /// The stack is not built on this node.
    #[error("Stack {0} is not built on this node. Run `dyno stack:build {0}` first.")]
    StackNotBuilt(StackName),
    /// The dyno is not waiting for a terminal.
    #[error("Dyno {0} is not waiting to be attached to.")]
    NotAttachable(String),
    /// A process type that is in nobody's formation.
    #[error("{0} is no process type.")]
    ProcessType(String),
    /// Too many builds wait on the node.
    #[error("Too many builds wait for their turn on this node. Try again in a while.")]
    TooManyBuilds,
    /// Too many slugs are fetched from the node.
    #[error("Too many slugs are fetched from this node at the moment. Try again in a while.")]
    TooManySlugs,
    /// A body over its limit.
    #[error("The body is longer than {limit_kib} KiB.")]
    BodyTooLarge {
        /// The limit, KiB.
        limit_kib: usize,
    },
    /// A `Range` that a list cannot give.
    #[error("That is no part of the list: write `Range: {0} ..; order=desc, max=10`.")]
    Range(&'static str),
    /// More than a source may hold.
    #[error(
        "The source is larger than 1 GB unpacked. Remove what the app does not need from the repository."
    )]
    SourceTooLarge,
    /// No place of a source.
    #[error("Invalid source URL: {0}.")]
    SourceUrl(#[source] SourceUrlError),
    /// No place of a repository.
    #[error("Invalid repository URL: {0}.")]
    RepositoryUrl(#[source] RepositoryUrlError),
    /// No branch.
    #[error("Invalid branch: {0}.")]
    Branch(#[source] BranchError),
    /// A message that somebody else has signed.
    #[error("The message is not signed with the secret: see X-Hub-Signature-256.")]
    Signature,
    /// No checksum.
    #[error("Invalid checksum: {0}.")]
    Checksum(#[source] ChecksumError),
    /// A source of which too much is said.
    #[error("The version of a source and its description have at most {limit} characters.")]
    SourceSaid {
        /// The most characters.
        limit: usize,
    },
    /// A source is sent once.
    #[error("That source was sent already: ask for another with POST /sources.")]
    SourceSent,
    /// A buildpack that no build could use.
    #[error("The buildpack {name} cannot be used: {reason}.")]
    Buildpack {
        /// As it was named, without secrets.
        name: String,
        /// Why not, one clause.
        reason: String,
    },
    /// More buildpacks than a build may have.
    #[error("A build has at most {limit} buildpacks.")]
    TooManyBuildpacks {
        /// The most.
        limit: usize,
    },
    /// A build that has ended.
    #[error("The build does not run any more: it has {}.", .0.as_str())]
    BuildOver(BuildStatus),
    /// A build that has made its slug.
    #[error("The build has made its slug, which is being released: roll back when it is.")]
    BuildReleases,
    /// No room to receive a source.
    #[error("The node's disk is full. Make room, then push again.")]
    DiskFull,
    /// The supervisor refuses; the text says what is in the way.
    #[error("{0}")]
    Dynos(String),
    /// The node is going down.
    #[error("The node is shutting down.")]
    Closing,
    /// The endpoint needs an upgraded connection.
    #[error("This endpoint speaks dyno-attach/1: send `Connection: Upgrade` and `Upgrade: dyno-attach/1`.")]
    UpgradeRequired,
}

impl Refusal {
    /// Which kind it is.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "a table, one row a refusal")]
    pub fn id(&self) -> ErrorId {
        match self {
            Self::NotFound(_) => ErrorId::NotFound,
            Self::BadRequest(_) | Self::UpgradeRequired | Self::TlsOnly => ErrorId::BadRequest,
            Self::Version => ErrorId::NotAcceptable,
            Self::Credentials | Self::Signature => ErrorId::Unauthorized,
            Self::Peer
            | Self::NoAccess { .. }
            | Self::Administrator
            | Self::HostBuildpack
            | Self::NotYourPipeline(_)
            | Self::NoPartInPipeline { .. }
            | Self::Scope(_)
            | Self::LongerToken
            | Self::WiderScopes => ErrorId::Forbidden,
            Self::TooManyLogins { .. } | Self::RateLimit => ErrorId::RateLimit,
            Self::BodyTooLarge { .. } => ErrorId::TooLarge,
            Self::AddOn(refusal) => refusal.id(),
            Self::Range(_) => ErrorId::Range,
            Self::NameTaken(_)
            | Self::Name(_)
            | Self::ScopeName(_)
            | Self::Permission(_)
            | Self::UserName(_)
            | Self::Domain(_)
            | Self::Routing(_)
            | Self::DomainTaken(_)
            | Self::DomainOverlaps { .. }
            | Self::DomainThere(_)
            | Self::TooManyDomains
            | Self::NoClients
            | Self::Certificate(_)
            | Self::CertificateName(_)
            | Self::TooManyCertificates
            | Self::AutomaticCertificate(_)
            | Self::NoAuthority
            | Self::AcmOff(_)
            | Self::PublicKey(_)
            | Self::KeyTaken
            | Self::TooManyKeys
            | Self::Password { .. }
            | Self::UserExists(_)
            | Self::OwnsApps { .. }
            | Self::TooManyAuthorizations
            | Self::CollaboratorExists(_)
            | Self::Quantity(_)
            | Self::Size(_)
            | Self::TooManyDynos { .. }
            | Self::TooManyPerType { .. }
            | Self::Memory(_)
            | Self::StopGrace { .. }
            | Self::TooManyOneOffs { .. }
            | Self::TooManyVisits { .. }
            | Self::VisitsOff(_)
            | Self::ConfigVars(_)
            | Self::DrainUrl(_)
            | Self::WebhookParts
            | Self::WebhookUrl(_)
            | Self::WebhookLevel(_)
            | Self::WebhookInclude(_)
            | Self::WebhookSecret(_)
            | Self::TooManyWebhooks
            | Self::DeliveryStatus(_)
            | Self::LogTime
            | Self::LogPattern(_)
            | Self::DrainExists
            | Self::TooManyDrains
            | Self::TimeZone(_)
            | Self::ZoneWithoutCron
            | Self::Schedule(_)
            | Self::Overlap(_)
            | Self::TooManyJobs
            | Self::NoCommand
            | Self::OneOffType(_)
            | Self::TimeToLive { .. }
            | Self::NotDeployed(_)
            | Self::PipelineName(_)
            | Self::PipelineNameTaken(_)
            | Self::TooManyPipelines
            | Self::PipelineOwner
            | Self::TooManyInPipeline
            | Self::InPipeline(_)
            | Self::Stage(_)
            | Self::StageConfig
            | Self::TestRunStatus
            | Self::NotInPipeline(_)
            | Self::NoTargets
            | Self::TooManyTargets
            | Self::PromotedRelease { .. }
            | Self::PromotedToItself(_)
            | Self::PromotedAlready { .. }
            | Self::PromotedToOtherStack { .. }
            | Self::Filter { .. }
            | Self::RollbackTarget(_)
            | Self::NoRollbackTarget
            | Self::ProcessType(_)
            | Self::StackNotBuilt(_)
            | Self::SourceTooLarge
            | Self::SourceUrl(_)
            | Self::RepositoryUrl(_)
            | Self::Branch(_)
            | Self::Checksum(_)
            | Self::SourceSaid { .. }
            | Self::TooManyBuildpacks { .. }
            | Self::Buildpack { .. }
            | Self::TooManySources { .. }
            | Self::SlugNotSent
            | Self::SlugChecksum
            | Self::SlugUnfit(_)
            | Self::SlugTypes { .. }
            | Self::SlugSaid { .. }
            | Self::ReleaseSource => ErrorId::InvalidParams,
            Self::BuildRunning(_)
            | Self::BuildOver(_)
            | Self::TestRunOver(_)
            | Self::BuildReleases
            | Self::SourceSent
            | Self::ReleasePending { .. }
            | Self::NotAttachable(_) => ErrorId::Conflict,
            Self::TooManyBuilds
            | Self::TooManySlugs
            | Self::Dynos(_)
            | Self::DiskFull
            | Self::Closing
            | Self::NoExec => ErrorId::Unavailable,
        }
    }

    /// The answer's body.
    #[must_use]
    pub fn body(&self) -> ErrorBody {
        let resource =
            if let Self::NotFound(missing) = self { missing.resource().map(str::to_owned) } else { None };
        ErrorBody { id: self.id().as_str().to_owned(), message: self.to_string(), resource }
    }

    /// No such app.
    #[must_use]
    pub fn no_app() -> Self {
        Self::NotFound(Missing::App)
    }

    /// No such process type; these there are.
    #[must_use]
    pub fn no_type<T: ToString>(name: &str, known: impl IntoIterator<Item = T>) -> Self {
        Self::NotFound(Missing::ProcessType(Unknown::new(name, known)))
    }
}

/// The body of a fault's answer. What happened is in the node's own log under `request`, and told without its cause: that
/// may name files.
#[must_use]
pub fn fault_body(attempt: &str, request: &str) -> ErrorBody {
    ErrorBody {
        id: ErrorId::InternalServerError.as_str().to_owned(),
        message: format!("The node failed: {attempt}. Its own log says more, under request {request}."),
        resource: None,
    }
}

#[cfg(test)]
mod test {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_distinct_words() {
        let words: HashSet<_> = ErrorId::ALL.iter().map(|id| id.as_str()).collect();
        assert_eq!(words.len(), ErrorId::ALL.len());
        assert!(ErrorId::ALL.iter().all(|id| (400..600).contains(&id.status())));
    }

    #[test]
    fn the_body_of_something_missing_names_the_resource() {
        let body = serde_json::to_string(&Refusal::no_app().body()).unwrap();
        assert_eq!(body, r#"{"id":"not_found","message":"Couldn't find that app.","resource":"app"}"#);
        let body = serde_json::to_string(&Refusal::Credentials.body()).unwrap();
        assert_eq!(body, r#"{"id":"unauthorized","message":"Invalid credentials provided."}"#);
    }

    #[test]
    fn limits_appear_in_their_sentences() {
        assert_eq!(
            Refusal::TooManyDynos { wanted: 101, limit: 100 }.to_string(),
            "Cannot run 101 dynos: an app has at most 100."
        );
    }
}
