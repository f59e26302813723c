//! Why a story was not told to its end.

use std::error::Error;

use thiserror::Error;

use crate::flows::ports::{DynosError, ServicesError};
use crate::stack::StackError;
use crate::store::StoreError;
use crate::wire::api_errors::{AddOnRefusal, Missing, Refusal};

/// Why a story failed: the request's fault, or the node's.
#[derive(Debug, Error)]
pub enum FlowError {
    /// The request cannot be done, and nothing has changed; the text is for the one who asked.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The node failed; the sources are for its own log.
    #[error("cannot {attempt}")]
    Fault {
        /// What was tried, completing "cannot ...".
        attempt: &'static str,
        /// Why it failed.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl FlowError {
    /// For `map_err`: names what was tried.
    pub fn fault<E: Error + Send + Sync + 'static>(attempt: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Fault { attempt, source: Box::new(source) }
    }
}

impl From<AddOnRefusal> for FlowError {
    fn from(refusal: AddOnRefusal) -> Self {
        Self::Refused(refusal.into())
    }
}

impl From<StoreError> for FlowError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NameTaken(name) => Refusal::NameTaken(name.to_string()).into(),
            StoreError::NoSuchApp(_) => Refusal::no_app().into(),
            StoreError::DrainExists => Refusal::DrainExists.into(),
            StoreError::TooManyDrains => Refusal::TooManyDrains.into(),
            StoreError::UserExists(user) => Refusal::UserExists(user).into(),
            StoreError::NoSuchUser(user) => Refusal::NotFound(Missing::User(user.to_string())).into(),
            StoreError::OwnsApps { user, app } => Refusal::OwnsApps { user, app }.into(),
            StoreError::TooManyAuthorizations => Refusal::TooManyAuthorizations.into(),
            StoreError::CollaboratorExists(user) => Refusal::CollaboratorExists(user).into(),
            StoreError::DomainThere(hostname) => Refusal::DomainThere(hostname).into(),
            StoreError::DomainTaken(hostname) => Refusal::DomainTaken(hostname).into(),
            StoreError::DomainOverlaps { hostname, other } => {
                Refusal::DomainOverlaps { hostname, other }.into()
            }
            StoreError::TooManyDomains => Refusal::TooManyDomains.into(),
            StoreError::TooManySniEndpoints => Refusal::TooManyCertificates.into(),
            StoreError::KeyTaken => Refusal::KeyTaken.into(),
            StoreError::TooManyKeys => Refusal::TooManyKeys.into(),
            StoreError::TooManyJobs => Refusal::TooManyJobs.into(),
            StoreError::PipelineNameTaken(name) => Refusal::PipelineNameTaken(name.to_string()).into(),
            StoreError::TooManyPipelines => Refusal::TooManyPipelines.into(),
            StoreError::TooManyInPipeline => Refusal::TooManyInPipeline.into(),
            StoreError::NoSuchPipeline => Refusal::NotFound(Missing::Pipeline).into(),
            StoreError::InPipeline(app) => Refusal::InPipeline(app.to_string()).into(),
            StoreError::AddOnNameTaken(name) => AddOnRefusal::AddOnNameTaken(name.to_string()).into(),
            StoreError::TooManyAddOns => AddOnRefusal::TooManyAddOns.into(),
            StoreError::AttachmentTaken(name) => AddOnRefusal::AttachmentTaken(name.to_string()).into(),
            StoreError::TooManyAttachments => AddOnRefusal::TooManyAttachments.into(),
            StoreError::TooManyTransfers => AddOnRefusal::TooManyTransfers.into(),
            StoreError::TooManyWebhooks => Refusal::TooManyWebhooks.into(),
            StoreError::ShuttingDown => Refusal::Closing.into(),
            StoreError::NoSuchRelease { .. }
            | StoreError::NoSuchBuild(_)
            | StoreError::Open { .. }
            | StoreError::Thread(_)
            | StoreError::Damaged { .. }
            | StoreError::Foreign { .. }
            | StoreError::Newer { .. }
            | StoreError::Migrate { .. }
            | StoreError::Record { .. }
            | StoreError::Sql { .. } => Self::Fault { attempt: "use the database", source: Box::new(error) },
        }
    }
}

impl From<ServicesError> for FlowError {
    fn from(error: ServicesError) -> Self {
        Self::Fault { attempt: "run a data service", source: Box::new(error) }
    }
}

impl From<StackError> for FlowError {
    fn from(error: StackError) -> Self {
        Self::Fault { attempt: "read what data services there are", source: Box::new(error) }
    }
}

impl From<DynosError> for FlowError {
    fn from(error: DynosError) -> Self {
        match error {
            DynosError::Refused(reason) => Refusal::Dynos(reason).into(),
            DynosError::NotStarted(reason) => {
                Refusal::Dynos(format!("The dyno could not be started: {reason}.")).into()
            }
            DynosError::Ended => Refusal::Closing.into(),
        }
    }
}
