//! `transfer`: a backup of a data service and what is made from it, in the form of the platform's data API.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a transfer failed that went on when its node ended.
pub const TRANSFER_CUT_OFF: &str = "The node ended before it was done.";

/// A transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataTransfer {
    /// ISO time of its cancellation.
    pub canceled_at: Option<String>,
    /// ISO time of its beginning.
    pub created_at: String,
    /// SHA-256 of its dump, in hexadecimal. Of this node alone.
    #[serde(default)]
    pub digest: Option<String>,
    /// ISO time of its end.
    pub finished_at: Option<String>,
    /// What is read.
    pub from_name: String,
    /// `pg_dump`, or `gof3r` for a backup.
    pub from_type: String,
    /// What it says of itself.
    pub logs: Vec<TransferLine>,
    /// Its name in the app's list: `b001`. Of this node alone.
    #[serde(default)]
    pub name: String,
    /// Its number in the app's list.
    pub num: u32,
    /// Nothing in particular.
    pub options: TransferOptions,
    /// Bytes that have come through.
    pub processed_bytes: u64,
    /// The schedule whose doing it was.
    pub schedule: Option<TransferCause>,
    /// Bytes of what is read; nobody knows before its end.
    pub source_bytes: u64,
    /// ISO time of its beginning.
    pub started_at: String,
    /// Whether it came to a good end.
    pub succeeded: Option<bool>,
    /// What is written.
    pub to_name: String,
    /// `pg_restore`, or `gof3r` for a backup.
    pub to_type: String,
    /// What a restore from a backup is asked for with.
    #[serde(default)]
    pub to_url: Option<String>,
    /// ISO time of the last change.
    pub updated_at: String,
    /// Its identity.
    pub uuid: Uuid,
    /// ISO time at which it was tried out. Of this node alone.
    #[serde(default)]
    pub verified_at: Option<String>,
    /// Why it cannot be restored from. Of this node alone.
    #[serde(default)]
    pub verify_fault: Option<String>,
    /// None: what is not whole has failed.
    pub warnings: u32,
}

/// A line of a transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferLine {
    /// ISO time.
    pub created_at: String,
    /// The line.
    pub message: String,
}

/// Nothing in particular.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferOptions {}

/// The schedule of a transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferCause {
    /// The add-on that it is a schedule of: the schedule itself may have been replaced since.
    pub uuid: Uuid,
}

/// Body of `POST /client/v11/databases/:addon/restores`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreBackup {
    /// Where the backup is read, as `public-url` gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_url: Option<String>,
    /// Its name instead: `b001`, or `example::b001` of another app. Of this node alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
}

/// Body of `POST /client/v11/databases/:addon/transfers`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyDatabase {
    /// The add-on that is read; by its name or identity, or by its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_url: Option<String>,
    /// What it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_name: Option<String>,
}

/// Where a backup is read by whoever knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicUrl {
    /// ISO time from which on it is not.
    pub expires_at: String,
    /// Where.
    pub url: String,
}

/// When backups are taken. The stock command sends its hour as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetBackupSchedule {
    /// 0 to 23.
    pub hour: HourText,
    /// What the app calls it.
    #[serde(default)]
    pub schedule_name: Option<String>,
    /// The name of the time zone.
    #[serde(default)]
    pub timezone: Option<String>,
}

/// An hour, as a number or as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum HourText {
    /// `2`.
    Number(u8),
    /// `"02"`.
    Text(String),
}

impl HourText {
    /// The number; one that is no hour where it is no number.
    #[must_use]
    pub fn number(&self) -> u8 {
        match self {
            Self::Number(number) => *number,
            Self::Text(text) => text.parse().unwrap_or(u8::MAX),
        }
    }
}

/// When backups of an add-on are taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupSchedule {
    /// 0 to 23.
    pub hour: u8,
    /// What the app calls it.
    pub name: String,
    /// The name of the time zone.
    pub timezone: String,
    /// Its identity.
    pub uuid: Uuid,
}

/// Whether something is still waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the published shape has them")]
pub struct WaitStatus {
    /// In words.
    pub message: String,
    /// Whether it is.
    #[serde(rename = "waiting?")]
    pub is_waiting: bool,
    /// Whether it came to a bad end.
    #[serde(rename = "error?")]
    pub is_broken: bool,
}
