//! Timed jobs: routes of our own, beside the platform's.

use serde::{Deserialize, Serialize};

use crate::wire::api::Named;

/// A job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its number.
    pub id: u64,
    /// Its app.
    pub app: Named,
    /// Its command, for a shell.
    pub command: String,
    /// `Standard-1X`.
    pub size: String,
    /// `every 10 minutes`, `hourly at :30`, `daily at 8:30` or a cron expression.
    pub schedule: String,
    /// The IANA name of the time zone of a cron expression.
    pub time_zone: String,
    /// `allow`, `forbid` or `replace`.
    pub overlap: String,
    /// ISO time.
    pub created_at: String,
    /// ISO time.
    pub next_run_at: Option<String>,
    /// The newest run.
    pub last_run: Option<JobRun>,
}

/// A run of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRun {
    /// Its number.
    pub id: u64,
    /// The number of its job.
    pub job: u64,
    /// The name of its dyno, `scheduler.1234`; none where none was started.
    pub dyno: Option<String>,
    /// ISO time.
    pub started_at: String,
    /// ISO time.
    pub ended_at: Option<String>,
    /// `running`, `ended`, `stopped`, `skipped`, `not started` or `lost`.
    pub state: String,
    /// The shell's number, where an end was seen.
    pub exit_status: Option<u8>,
    /// Why it was not started.
    pub reason: Option<String>,
}

/// Body of `POST /apps/:app/scheduler/jobs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateJob {
    /// Its command, for a shell.
    pub command: String,
    /// As in [`Job::schedule`].
    pub schedule: String,
    /// The IANA name of a time zone, for a cron expression; UTC when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// As in [`Job::overlap`]; `allow` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<String>,
    /// A dyno size; `Standard-1X` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
}
