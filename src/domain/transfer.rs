//! Transfers of what is in an add-on: backups, and what is made from them.

use std::fmt;
use std::str::FromStr;

use jiff::Zoned;
use jiff::civil::Date;
use thiserror::Error;
use uuid::Uuid;

use crate::domain::AppId;

/// A day, seconds.
const DAY_S: i64 = 24 * 60 * 60;

/// A transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Its identity; the name of its file, where it is a backup.
    pub id: Uuid,
    /// The app in whose list it stands.
    pub app: AppId,
    /// The add-on that is read from, or, where a backup is read, written to.
    pub add_on: Uuid,
    /// Its number in the app's list.
    pub number: u32,
    /// What it does.
    pub kind: TransferKind,
    /// Whose doing it was.
    pub cause: TransferCause,
    /// What is read.
    pub from: String,
    /// What is written.
    pub to: String,
    /// How it fares.
    pub state: TransferState,
    /// Bytes of its dump.
    pub bytes: u64,
    /// SHA-256 of its dump, in hexadecimal; of a backup that is whole.
    pub digest: Option<String>,
    /// Why it failed.
    pub message: Option<String>,
    /// Whether it can be restored from, where that was tried.
    pub verified: Option<Verified>,
    /// Unix time of its beginning, seconds.
    pub created_at_s: i64,
    /// Unix time of its end, seconds.
    pub finished_at_s: Option<i64>,
}

/// What came of a restore into a container that was made for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Unix time, seconds.
    pub at_s: i64,
    /// Why it cannot be restored from; nothing where it can.
    pub fault: Option<String>,
}

/// What a transfer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferKind {
    /// From an add-on into a file.
    Backup,
    /// From a file into an add-on.
    Restore,
    /// From an add-on into another.
    Copy,
}

/// Whose doing a transfer was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferCause {
    /// Somebody's.
    Asked,
    /// A schedule's.
    Schedule,
}

/// How a transfer fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferState {
    /// It goes on.
    Running,
    /// It is done.
    Succeeded,
    /// It is not done.
    Failed,
    /// Somebody did not want it any more.
    Cancelled,
}

/// The text is none of the words that are kept.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no word of a transfer")]
pub struct UnknownTransferWord(String);

/// When backups of an add-on are taken: once a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupSchedule {
    /// Its identity.
    pub id: Uuid,
    /// The add-on.
    pub add_on: Uuid,
    /// What the app calls it.
    pub name: String,
    /// The hour, 0 to 23.
    pub hour: u8,
    /// The name of the time zone that the hour is of.
    pub zone: String,
    /// Unix time up to which it has been looked at, seconds.
    pub looked_at_s: i64,
}

/// How long backups are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupsKept {
    /// The most of an add-on, the newest.
    pub count: usize,
    /// Days after which one goes that is not the newest.
    pub days: u32,
}

impl Default for BackupsKept {
    fn default() -> Self {
        Self { count: 10, days: 30 }
    }
}

impl BackupsKept {
    /// The Unix time, seconds, before which everything began that is too old at `now_s`.
    #[must_use]
    pub fn since_s(self, now_s: i64) -> i64 {
        now_s - i64::from(self.days) * DAY_S
    }
}

impl TransferKind {
    /// As it is kept.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::Copy => "copy",
        }
    }
}

impl FromStr for TransferKind {
    type Err = UnknownTransferWord;

    fn from_str(text: &str) -> Result<Self, UnknownTransferWord> {
        let found = [Self::Backup, Self::Restore, Self::Copy].into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| UnknownTransferWord(text.to_owned()))
    }
}

impl TransferState {
    /// As it is kept.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl FromStr for TransferState {
    type Err = UnknownTransferWord;

    fn from_str(text: &str) -> Result<Self, UnknownTransferWord> {
        let all = [Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled];
        let found = all.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| UnknownTransferWord(text.to_owned()))
    }
}

impl Transfer {
    /// The most that one app has; those that are not kept any more leave room.
    pub const PER_APP_MAX: usize = 500;

    /// Its name in the app's list: `b001`, `a002` of a schedule, `r003`, `c004`.
    #[must_use]
    pub fn name(&self) -> TransferName {
        let letter = match (self.kind, self.cause) {
            (TransferKind::Backup, TransferCause::Asked) => 'b',
            (TransferKind::Backup, TransferCause::Schedule) => 'a',
            (TransferKind::Restore, _) => 'r',
            (TransferKind::Copy, _) => 'c',
        };
        TransferName { letter, number: self.number }
    }

    /// Whether `key` means it: its name, its number or its identity.
    #[must_use]
    pub fn is_meant(&self, key: &str) -> bool {
        let number = key.strip_prefix(['a', 'b', 'r', 'c']).unwrap_or(key).parse();
        number == Ok(self.number) || key.eq_ignore_ascii_case(&self.id.to_string())
    }

    /// Whether it is a backup that can be restored from.
    #[must_use]
    pub fn is_whole_backup(&self) -> bool {
        self.kind == TransferKind::Backup && self.state == TransferState::Succeeded
    }
}

/// The name of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferName {
    letter: char,
    number: u32,
}

impl fmt::Display for TransferName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:03}", self.letter, self.number)
    }
}

impl BackupSchedule {
    /// Whether a backup is due at `now`, a time of the schedule's own zone: its hour has begun since it was looked at last. Of several
    /// that were missed one is made up for.
    #[must_use]
    pub fn is_due(&self, now: &Zoned) -> bool {
        // On a day whose clocks skip the hour it is the next one.
        let hour = i8::try_from(self.hour).unwrap_or_default();
        let begun = [Ok(now.clone()), now.yesterday()].into_iter().flatten().find_map(|day| {
            let begin = day.date().at(hour, 0, 0, 0).to_zoned(day.time_zone().clone()).ok()?.timestamp();
            (begin <= now.timestamp()).then_some(begin.as_second())
        });
        begun.is_some_and(|begun| begun > self.looked_at_s)
    }
}

/// The hour of the day in which the newest backups are tried out.
const VERIFY_HOUR: i8 = 3;

/// Whether the newest backups are to be tried out at `now`: once in the hour for that, on a day on which they were not.
#[must_use]
pub fn is_time_to_verify(now: &Zoned, last: Option<Date>) -> bool {
    now.hour() == VERIFY_HOUR && last != Some(now.date())
}

/// Which of an add-on's backups, newest first, are kept no longer at `now_s`. The newest that is whole stays however old it is.
#[must_use]
pub fn outlived(backups: &[Transfer], kept: BackupsKept, now_s: i64) -> Vec<Uuid> {
    let newest = backups.iter().find(|backup| backup.is_whole_backup()).map(|backup| backup.id);
    let too_old = |backup: &Transfer| backup.created_at_s < kept.since_s(now_s);
    let ended = backups.iter().filter(|backup| backup.state != TransferState::Running);
    let gone = |(place, backup): (usize, &Transfer)| {
        (Some(backup.id) != newest && (place >= kept.count || too_old(backup))).then_some(backup.id)
    };
    ended.enumerate().filter_map(gone).collect()
}

#[cfg(test)]
mod test {
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use super::*;

    fn backup(number: u32, created_at_s: i64, state: TransferState) -> Transfer {
        Transfer {
            id: Uuid::from_u128(number.into()),
            app: AppId(Uuid::nil()),
            add_on: Uuid::nil(),
            number,
            kind: TransferKind::Backup,
            cause: TransferCause::Asked,
            from: String::new(),
            to: String::new(),
            state,
            bytes: 0,
            digest: None,
            message: None,
            verified: None,
            created_at_s,
            finished_at_s: None,
        }
    }

    #[test]
    fn a_transfer_is_meant_by_its_name_its_number_and_its_identity() {
        let transfer = backup(7, 0, TransferState::Succeeded);
        assert_eq!(transfer.name().to_string(), "b007");
        for key in ["b007", "7", "a7", &transfer.id.to_string()] {
            assert!(transfer.is_meant(key), "{key}");
        }
        assert!(!transfer.is_meant("b008") && !transfer.is_meant("x007") && !transfer.is_meant(""));
    }

    #[test]
    fn a_daily_backup_is_due_once_its_hour_has_begun() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let is_due = |zone: &str, looked: &str, now: &str| {
            let schedule = BackupSchedule {
                id: Uuid::nil(),
                add_on: Uuid::nil(),
                name: String::new(),
                hour: 2,
                zone: zone.to_owned(),
                looked_at_s: at(looked).as_second(),
            };
            schedule.is_due(&at(now).to_zoned(TimeZone::get(zone).unwrap()))
        };
        let noon = "2026-11-26T12:00:00Z";
        assert!(!is_due("UTC", noon, "2026-11-27T01:59:59Z"));
        assert!(is_due("UTC", noon, "2026-11-27T02:00:00Z") && is_due("UTC", noon, "2026-11-29T13:00:00Z"));
        assert!(!is_due("UTC", "2026-11-27T02:00:00Z", "2026-11-28T01:00:00Z"));
        let morning = "2026-11-27T09:00:00Z";
        assert!(!is_due("America/Los_Angeles", morning, "2026-11-27T09:59:00Z"));
        assert!(is_due("America/Los_Angeles", morning, "2026-11-27T10:00:00Z"));
    }

    #[test]
    fn backups_are_tried_out_once_a_night() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap().to_zoned(TimeZone::UTC);
        let night = at("2026-11-27T03:00:00Z");
        assert!(is_time_to_verify(&night, None) && is_time_to_verify(&at("2026-11-27T03:59:59Z"), None));
        assert!(!is_time_to_verify(&at("2026-11-27T02:59:59Z"), None));
        assert!(!is_time_to_verify(&at("2026-11-27T04:00:00Z"), None));
        assert!(!is_time_to_verify(&at("2026-11-27T03:30:00Z"), Some(night.date())), "it was done");
        assert!(is_time_to_verify(&at("2026-11-28T03:00:00Z"), Some(night.date())));
    }

    #[test]
    fn backups_go_when_they_are_too_many_or_too_old_but_for_the_newest_whole_one() {
        use TransferState::{Failed, Running, Succeeded};
        let day = 86_400;
        let all = [
            backup(5, 100 * day, Running),
            backup(4, 99 * day, Failed),
            backup(3, 98 * day, Succeeded),
            backup(2, 97 * day, Succeeded),
            backup(1, 50 * day, Succeeded),
        ];
        let gone = |count, days| {
            let gone = outlived(&all, BackupsKept { count, days }, 100 * day);
            gone.into_iter().map(|id| id.as_u128()).collect::<Vec<_>>()
        };
        assert_eq!(gone(10, 30), [1]);
        assert_eq!(gone(2, 300), [2, 1]);
        assert_eq!(gone(1, 300), [2, 1], "the newest whole one stays behind a failed one");
        assert_eq!(gone(10, 0), [4, 2, 1]);
    }
}
