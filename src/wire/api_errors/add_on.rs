//! Refusals that are about add-ons.

use thiserror::Error;

use crate::domain::{AddOn, AddOnNameError, Attachment, AttachmentNameError, Bytes, Transfer};
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
    /// An option of a service, such as a database that is to be followed.
    #[error(
        "The option {0} is not known: an add-on has a plan, a name and an attachment, and `fork` gives it the contents of another. Databases are not followed; `dyno pg:copy` fills one from another."
    )]
    Option(String),
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
    /// The owner of the app has as many add-ons as one may.
    #[error("The apps of one user have at most {max} add-ons: destroy one first.", max = AddOn::PER_OWNER_MAX)]
    TooManyOfOwner,
    /// The node has as many add-ons as it may.
    #[error("A node has at most {max} add-ons: destroy one first.", max = AddOn::PER_NODE_MAX)]
    TooManyOfNode,
    /// Memory that the node has not.
    #[error(
        "The plan asks for {wanted}, the add-ons of this node for {promised} already, and it has {total} to promise: choose a smaller plan, or destroy an add-on."
    )]
    AddOnMemory {
        /// What the plan has.
        wanted: Bytes,
        /// What the plans of all others have.
        promised: Bytes,
        /// What there is.
        total: Bytes,
    },
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
    /// An add-on that cannot be asked for anything now.
    #[error("{0} does not answer at the moment. Try again soon; its lines in the app's log say why.")]
    Away(String),
    /// Something that a service does not do.
    #[error("{service} cannot do {act}. It can do: {known}.")]
    NoSuchAct {
        /// The service.
        service: String,
        /// What was asked for.
        act: String,
        /// What there is, with commas.
        known: String,
    },
    /// Something for which the description of a service has no command.
    #[error("{service} cannot {what} here.")]
    CannotHere {
        /// The service.
        service: String,
        /// What it was to do.
        what: &'static str,
    },
    /// A service of which there are no backups.
    #[error("{0} takes no backups: its data is as durable as its volume.")]
    NoBackups(String),
    /// A backup that cannot be read: it goes on, or has failed.
    #[error("{0} is no whole backup: wait for its end with `dyno pg:backups:info {0}`, or name another one.")]
    NoWholeBackup(String),
    /// A copy from one service into another, or of something into itself.
    #[error("{from} cannot be copied to {to}: they must be two add-ons of one service.")]
    CopyBetween {
        /// What was to be read.
        from: String,
        /// What was to be written.
        to: String,
    },
    /// A backup whose add-on is destroyed.
    #[error("The add-on that {0} is of is destroyed: restore it into another instead.")]
    BackupOfNothing(String),
    /// Nothing at which backups are taken.
    #[error(
        "Backups are taken at an hour from 0 to 23 of a time zone such as Europe/Berlin: {hour} {zone} is none."
    )]
    BackupTime {
        /// The hour.
        hour: u8,
        /// The time zone.
        zone: String,
    },
    /// A backup, a restore or a copy of the add-on goes on.
    #[error("A backup, a restore or a copy of {0} goes on: wait for its end, or cancel it.")]
    TransferRunning(String),
    /// A backup that is being tried out is neither tried again nor deleted.
    #[error("{0} is being tried out: wait for the end of that.")]
    TrialRunning(String),
    /// The disk has no room for what is in a backup.
    #[error("The node's disk has no room to try {0} out: make room first, or delete older backups.")]
    NoRoomToTry(String),
    /// A backup that another machine has.
    #[error(
        "Only backups of this node can be restored from: name one that `dyno pg:backups` lists, or give an address that `dyno pg:backups:url` has printed."
    )]
    BackupElsewhere,
    /// What goes on cannot be deleted.
    #[error("{0} goes on: cancel it first.")]
    TransferGoesOn(String),
    /// As many go on as may.
    #[error("{0} backups, restores and copies go on at this node: wait for the end of one.")]
    TooManyRunning(usize),
    /// The app has as many as it may.
    #[error("An app has at most {max} backups and restores: delete one first.", max = Transfer::PER_APP_MAX)]
    TooManyTransfers,
    /// A command of the service that did not succeed.
    #[error("{act} of {add_on} failed: {said}")]
    ActFailed {
        /// What was to be done.
        act: String,
        /// The add-on.
        add_on: String,
        /// What the command said, or that it said nothing.
        said: String,
    },
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
            Self::TransferRunning(_) | Self::TransferGoesOn(_) | Self::TrialRunning(_) => ErrorId::Conflict,
            Self::NoSlot | Self::Away(_) | Self::TooManyRunning(_) | Self::NoRoomToTry(_) => {
                ErrorId::Unavailable
            }
            Self::UnknownPlan { .. }
            | Self::Option(_)
            | Self::OtherService(_)
            | Self::AddOnName(_)
            | Self::AddOnNameTaken(_)
            | Self::TooManyAddOns
            | Self::TooManyOfOwner
            | Self::TooManyOfNode
            | Self::AddOnMemory { .. }
            | Self::AttachmentName(_)
            | Self::AttachmentTaken(_)
            | Self::TooManyAttachments
            | Self::ConfigVarTaken(_)
            | Self::ConfigVarOwned { .. }
            | Self::AddOnCreating(_)
            | Self::CopyBetween { .. }
            | Self::NoBackups(_)
            | Self::BackupElsewhere
            | Self::CannotHere { .. }
            | Self::NoWholeBackup(_)
            | Self::BackupOfNothing(_)
            | Self::BackupTime { .. }
            | Self::TooManyTransfers
            | Self::NoSuchAct { .. }
            | Self::ActFailed { .. }
            | Self::LastAttachment(_)
            | Self::AddOnInUse { .. } => ErrorId::InvalidParams,
        }
    }
}
