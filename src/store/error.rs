//! What can go wrong in the store, by what the caller can do about it.

use std::path::PathBuf;

use thiserror::Error;
use uuid::Uuid;

use crate::domain::{
    AddOnName, AppId, AppName, AttachmentName, CustomDomain, Email, HostPattern, Pipeline, PipelineName,
    SshKey, Version,
};

/// Why a call on the store failed. Nothing was changed.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another app has the name: choose another.
    #[error("the name {0} is already taken")]
    NameTaken(AppName),
    /// The app does not exist, or no longer.
    #[error("there is no app {0}")]
    NoSuchApp(AppId),
    /// The release does not exist.
    #[error("there is no release {version} of app {app}")]
    NoSuchRelease {
        /// The app.
        app: AppId,
        /// The version that was asked for.
        version: Version,
    },
    /// The build does not exist.
    #[error("there is no build {0}")]
    NoSuchBuild(Uuid),
    /// The app has a drain to the same place.
    #[error("the app already has this drain")]
    DrainExists,
    /// The app has as many drains as it may.
    #[error("an app has at most {max} drains", max = crate::domain::Drain::PER_APP_MAX)]
    TooManyDrains,
    /// There is a user of that name.
    #[error("there is a user {0} already")]
    UserExists(Email),
    /// The user does not exist.
    #[error("there is no user {0}")]
    NoSuchUser(Email),
    /// The user owns an app: destroy it, or give it away.
    #[error("{user} owns the app {app}")]
    OwnsApps {
        /// The user.
        user: Email,
        /// One of the apps.
        app: AppName,
    },
    /// The user has as many tokens as one may.
    #[error("a user has at most {max} tokens", max = crate::domain::Authorization::PER_USER_MAX)]
    TooManyAuthorizations,
    /// The app is shared with that user.
    #[error("the app is shared with {0} already")]
    CollaboratorExists(Email),
    /// Another app, or the same, has the domain.
    #[error("the domain {0} is taken")]
    DomainTaken(HostPattern),
    /// A wildcard and a name below it would belong to apps of different owners.
    #[error("the domain {hostname} overlaps with {other} of another owner")]
    DomainOverlaps {
        /// What was to be added.
        hostname: HostPattern,
        /// What is there.
        other: HostPattern,
    },
    /// The app answers to the name already.
    #[error("the app has the domain {0} already")]
    DomainThere(HostPattern),
    /// The app has as many domains as it may.
    #[error("an app has at most {max} domains", max = CustomDomain::PER_APP_MAX)]
    TooManyDomains,
    /// The app has as many certificates as it may.
    #[error("an app has at most {max} certificates", max = crate::domain::SniEndpoint::PER_APP_MAX)]
    TooManySniEndpoints,
    /// Somebody has the key.
    #[error("somebody has this key already")]
    KeyTaken,
    /// The user has as many keys as one may.
    #[error("a user has at most {max} keys", max = SshKey::PER_USER_MAX)]
    TooManyKeys,
    /// The app has as many timed jobs as it may.
    #[error("an app has at most {max} timed jobs", max = crate::domain::Job::PER_APP_MAX)]
    TooManyJobs,
    /// Another pipeline has the name: choose another.
    #[error("there is a pipeline {0} already")]
    PipelineNameTaken(PipelineName),
    /// The user owns as many pipelines as one may.
    #[error("a user owns at most {max} pipelines", max = Pipeline::PER_OWNER_MAX)]
    TooManyPipelines,
    /// The pipeline has as many apps as it may.
    #[error("a pipeline has at most {max} apps", max = Pipeline::APPS_MAX)]
    TooManyInPipeline,
    /// The pipeline does not exist, or no longer.
    #[error("there is no such pipeline")]
    NoSuchPipeline,
    /// The app is in a pipeline: take it out of there first.
    #[error("the app {0} is in a pipeline already")]
    InPipeline(AppId),
    /// Another add-on has the name: choose another.
    #[error("there is an add-on {0} already")]
    AddOnNameTaken(AddOnName),
    /// The app has as many add-ons as it may.
    #[error("an app has at most {max} add-ons", max = crate::domain::AddOn::PER_APP_MAX)]
    TooManyAddOns,
    /// The app has something attached under that name.
    #[error("the app has an attachment {0} already")]
    AttachmentTaken(AttachmentName),
    /// The app has as many attachments as it may.
    #[error("an app has at most {max} attachments", max = crate::domain::Attachment::PER_APP_MAX)]
    TooManyAttachments,
    /// The app has as many backups, restores and copies as it may.
    #[error("an app has at most {max} backups and restores", max = crate::domain::Transfer::PER_APP_MAX)]
    TooManyTransfers,
    /// The app has as many webhooks as it may.
    #[error("an app has at most {max} webhooks", max = crate::domain::Webhook::PER_APP_MAX)]
    TooManyWebhooks,
    /// The database cannot be opened: check the directory and its permissions.
    #[error("cannot open the database {}", path.display())]
    Open {
        /// The database file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The host has no thread to give: it is at its limit of processes.
    #[error("cannot start the database's thread: the host is at its limit of threads")]
    Thread(#[source] std::io::Error),
    /// The file is damaged, or no database: restore it from a backup, or move it away.
    #[error("the database {} is damaged ({reason}); it was left as it is: restore it from a backup, or move it away to start afresh", path.display())]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The file belongs to another program.
    #[error("the database {} belongs to another program; it was left as it is", path.display())]
    Foreign {
        /// The database file.
        path: PathBuf,
    },
    /// The file was written by a newer version: run that version.
    #[error("the database {} has format {found}, this version knows formats up to {known}; it was left as it is: run the newer version", path.display())]
    Newer {
        /// The database file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format of this version.
        known: u32,
    },
    /// Bringing the database to a newer format failed; it keeps its old one.
    #[error("cannot bring the database from format {from} to the next")]
    Migrate {
        /// The format it has.
        from: u32,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// A row does not obey the domain's rules: the database was edited by hand, or is damaged.
    #[error("the database holds {table} that cannot be read: {reason}")]
    Record {
        /// The table.
        table: &'static str,
        /// Which rule is broken.
        reason: String,
    },
    /// SQLite failed: disk full, input or output error.
    #[error("the database cannot {attempt}")]
    Sql {
        /// What was tried.
        attempt: &'static str,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The process is ending.
    #[error("the store is shutting down")]
    ShuttingDown,
}

/// Names what was tried when SQLite fails.
pub(super) trait Attempt<T> {
    /// `attempt` completes "the database cannot ...".
    fn attempt(self, attempt: &'static str) -> Result<T, StoreError>;
}

impl<T> Attempt<T> for Result<T, rusqlite::Error> {
    fn attempt(self, attempt: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Sql { attempt, source })
    }
}
