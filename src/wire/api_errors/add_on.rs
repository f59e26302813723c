//! Refusals that are about add-ons.

use thiserror::Error;

use crate::domain::{AddOn, AddOnNameError, Attachment, AttachmentNameError};
use crate::wire::api_errors::ErrorId;

/// A request about an add-on that is understood and not done; nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AddOnRefusal {
    /// No service that the node has.
    #[error(
        "Couldn't find either the add-on service or the add-on plan of {name:?}. This node has: {known}."
    )]
    UnknownPlan {
        /// As it was named.
        name: String,
        /// Those that there are, with commas.
        known: String,
    },
    /// A plan of another service.
    #[error("{0} cannot be changed to a plan of another service.")]
    OtherService(String),
    /// No name of an add-on.
    #[error("Invalid name: {0}.")]
    AddOnName(#[source] AddOnNameError),
    /// Another add-on has the name.
    #[error("Name {0} is already taken by another add-on.")]
    AddOnNameTaken(String),
    /// The app has as many add-ons as it may.
    #[error("An app has at most {max} add-ons: destroy one first.", max = AddOn::PER_APP_MAX)]
    TooManyAddOns,
    /// No name of an attachment.
    #[error("Invalid attachment name: {0}.")]
    AttachmentName(#[source] AttachmentNameError),
    /// The app has something under that name.
    #[error("An add-on is attached to the app as {0} already.")]
    AttachmentTaken(String),
    /// The app has as many attachments as it may.
    #[error("An app has at most {max} attachments: detach one first.", max = Attachment::PER_APP_MAX)]
    TooManyAttachments,
    /// A config var that an attachment would take the place of.
    #[error("The app has a config var {0}: unset it first, or attach under another name.")]
    ConfigVarTaken(String),
    /// A config var of an add-on.
    #[error("The config var {name} belongs to the add-on {add_on}: it changes with that alone.")]
    ConfigVarOwned {
        /// The config var.
        name: String,
        /// The add-on.
        add_on: String,
    },
    /// An add-on that does not answer yet.
    #[error("The add-on {0} is still being created. Try again when `dyno addons:wait` returns.")]
    AddOnCreating(String),
    /// The last attachment of an add-on's own app.
    #[error("{0} is attached nowhere else: destroy it with addons:destroy instead.")]
    LastAttachment(String),
    /// Other apps lose the add-on.
    #[error(
        "{add_on} is attached to other apps too: {apps}. Destroy it with force, or detach it there first."
    )]
    AddOnInUse {
        /// The add-on.
        add_on: String,
        /// The apps, with commas.
        apps: String,
    },
    /// No slot is left for another service.
    #[error("The node runs as many containers as it can: destroy an add-on, or scale an app down.")]
    NoSlot,
    /// Something that is done only by who names the app once more.
    #[error("This needs to be confirmed: repeat it with `confirm` and the name of the app, {0}.")]
    Unconfirmed(String),
}

impl AddOnRefusal {
    /// Which kind it is.
    #[must_use]
    pub fn id(&self) -> ErrorId {
        match self {
            Self::Unconfirmed(_) => ErrorId::Unconfirmed,
            Self::NoSlot => ErrorId::Unavailable,
            Self::UnknownPlan { .. }
            | Self::OtherService(_)
            | Self::AddOnName(_)
            | Self::AddOnNameTaken(_)
            | Self::TooManyAddOns
            | Self::AttachmentName(_)
            | Self::AttachmentTaken(_)
            | Self::TooManyAttachments
            | Self::ConfigVarTaken(_)
            | Self::ConfigVarOwned { .. }
            | Self::AddOnCreating(_)
            | Self::LastAttachment(_)
            | Self::AddOnInUse { .. } => ErrorId::InvalidParams,
        }
    }
}
