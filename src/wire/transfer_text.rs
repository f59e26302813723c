//! Why a transfer of what is in an add-on has failed, for whoever looks at it.

use std::fmt::Display;

use crate::domain::Bytes;

/// The file of a backup was changed, or the disk has lost some of it.
pub const NOT_AS_WRITTEN: &str = "the file of the backup is not what was written; take another backup";
/// The same, noticed when it was too late.
pub const CHANGED_MEANWHILE: &str =
    "the backup changed while it was read, and what was read is in place: restore another one";
/// The node ends.
pub const SHUTTING_DOWN: &str = "the node is shutting down";
/// A command has failed without a word.
pub const SILENT: &str = "its command did not say why";
/// Somebody did not want it any more.
pub const CUT_OFF: &str = "it was cut off";

/// What was attempted; completes "cannot ...".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The folder of backups.
    MakeFolder,
    /// The file of a backup.
    MakeFile,
    /// Its way to the disk.
    SyncFile,
    /// Its name, which makes it count.
    NameFile,
    /// The file of a backup.
    ReadFile,
    /// What comes.
    Read,
    /// Where it goes.
    Write,
}

/// The kernel has refused an attempt.
#[must_use]
pub fn cannot(attempt: Attempt, error: &dyn Display) -> String {
    let attempt = match attempt {
        Attempt::MakeFolder => "make the folder of backups",
        Attempt::MakeFile => "make the file of a backup",
        Attempt::SyncFile => "sync the file of a backup",
        Attempt::NameFile => "name the file of a backup",
        Attempt::ReadFile => "read the backup",
        Attempt::Read => "read what is transferred",
        Attempt::Write => "write what is transferred",
    };
    format!("cannot {attempt}: {error}")
}

/// Backups leave some of the disk to others.
#[must_use]
pub fn disk_nearly_full(reserve: Bytes) -> String {
    format!("less than {reserve} of the node's disk are free: make room first")
}

/// What a command has said of its failure.
#[must_use]
pub fn complaint(said: &str) -> String {
    match said.trim() {
        "" => SILENT.to_owned(),
        said => said.to_owned(),
    }
}
