//! Timed jobs and their runs.

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::domain::{AppId, Cadence, DynoId, DynoName, DynoSize, Job, JobId, JobRun, Overlap, RunState};
use crate::store::apps::require;
use crate::store::error::{Attempt, StoreError};
use crate::store::record::{all, first, signed};
use crate::store::{Store, now_s};

/// A job to be kept; the store adds its number and time.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// The app.
    pub app: AppId,
    /// Its command.
    pub command: String,
    /// How large its dynos are.
    pub size: DynoSize,
    /// When it runs.
    pub cadence: Cadence,
    /// The time zone of its cron expression.
    pub zone: String,
    /// What happens while its last run goes on.
    pub overlap: Overlap,
}

/// A run to be recorded.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Its job.
    pub job: JobId,
    /// The identity of its dyno.
    pub dyno: DynoId,
    /// The name of its dyno, where one is to be started.
    pub name: Option<DynoName>,
    /// How it begins: running, or left out.
    pub state: RunState,
}

// === impl Store ===

impl Store {
    /// Keeps a job.
    ///
    /// # Errors
    /// [`StoreError::NoSuchApp`], [`StoreError::TooManyJobs`], or the database fails.
    pub async fn add_job(&self, new: NewJob) -> Result<Job, StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to add a job")?;
            require(&transaction, new.app)?;
            let app = new.app.to_string();
            let count = "SELECT count(*) FROM jobs WHERE app_id = ?1";
            let count: i64 =
                transaction.query_row(count, [&app], |row| row.get(0)).attempt("count an app's jobs")?;
            if usize::try_from(count).unwrap_or(usize::MAX) >= Job::PER_APP_MAX {
                return Err(StoreError::TooManyJobs);
            }
            let created_at_s = now_s();
            let sql = "INSERT INTO jobs (app_id, command, size, cadence, zone, overlap, created_at_s) \
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            let values = params![
                app,
                new.command,
                new.size.as_str(),
                new.cadence.to_string(),
                new.zone,
                new.overlap.as_str(),
                created_at_s,
            ];
            transaction.execute(sql, values).attempt("keep a job")?;
            let id = JobId(transaction.last_insert_rowid().unsigned_abs());
            transaction.commit().attempt("keep a job")?;
            let NewJob { app, command, size, cadence, zone, overlap } = new;
            Ok(Job { id, app, command, size, cadence, zone, overlap, created_at_s })
        })
        .await
    }

    /// The jobs of an app by number, or with `None` of every app.
    ///
    /// # Errors
    /// The database fails.
    pub async fn jobs(&self, app: Option<AppId>) -> Result<Vec<Job>, StoreError> {
        self.call(move |connection| {
            let app = app.map(|app| app.to_string());
            let sql = "SELECT * FROM jobs WHERE ?1 IS NULL OR app_id = ?1 ORDER BY id";
            all(connection, "jobs", (sql, &[&app]), |record| record.job())
        })
        .await
    }

    /// One job of an app.
    ///
    /// # Errors
    /// The database fails.
    pub async fn job(&self, app: AppId, id: JobId) -> Result<Option<Job>, StoreError> {
        self.call(move |connection| {
            let sql = "SELECT * FROM jobs WHERE app_id = ?1 AND id = ?2";
            first(connection, "jobs", (sql, &[&app.to_string(), &signed(id.0)]), |record| record.job())
        })
        .await
    }

    /// Removes a job with the record of its runs; tells whether there was one. A run that goes on goes on.
    ///
    /// # Errors
    /// The database fails.
    pub async fn remove_job(&self, app: AppId, id: JobId) -> Result<bool, StoreError> {
        self.call(move |connection| {
            let sql = "DELETE FROM jobs WHERE app_id = ?1 AND id = ?2";
            let gone = connection.execute(sql, params![app.to_string(), signed(id.0)]);
            Ok(gone.attempt("remove a job")? > 0)
        })
        .await
    }

    /// Records a run that begins, or is left out, and forgets the oldest where there are too many; `None` where the job
    /// is gone.
    ///
    /// # Errors
    /// The database fails.
    pub async fn add_run(&self, new: NewRun) -> Result<Option<JobRun>, StoreError> {
        self.call(move |connection| {
            let transaction = connection.transaction().attempt("begin to record a run")?;
            if !has_job(&transaction, new.job)? {
                return Ok(None);
            }
            let now = now_s();
            let ended_at_s = (new.state != RunState::Running).then_some(now);
            let sql = "INSERT INTO job_runs (job_id, dyno_id, dyno, started_at_s, ended_at_s, state) \
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let values = params![
                signed(new.job.0),
                new.dyno.to_string(),
                new.name.as_ref().map(ToString::to_string),
                now,
                ended_at_s,
                new.state.as_str(),
            ];
            transaction.execute(sql, values).attempt("record a run")?;
            let id = transaction.last_insert_rowid().unsigned_abs();
            let old = "DELETE FROM job_runs WHERE job_id = ?1 AND state <> ?2 AND id NOT IN \
                       (SELECT id FROM job_runs WHERE job_id = ?1 ORDER BY id DESC LIMIT ?3)";
            let most = i64::try_from(Job::RUNS_MAX).unwrap_or(i64::MAX);
            let values = params![signed(new.job.0), RunState::Running.as_str(), most];
            transaction.execute(old, values).attempt("forget old runs")?;
            transaction.commit().attempt("record a run")?;
            let NewRun { job, dyno, name, state } = new;
            Ok(Some(JobRun { id, job, dyno, name, started_at_s: now, ended_at_s, state, reason: None }))
        })
        .await
    }

    /// Records how a run ended; nothing where its job is gone.
    ///
    /// # Errors
    /// The database fails.
    pub async fn finish_run(
        &self,
        id: u64,
        state: RunState,
        reason: Option<String>,
    ) -> Result<(), StoreError> {
        self.call(move |connection| {
            let sql = "UPDATE job_runs SET state = ?2, exit_status = ?3, reason = ?4, ended_at_s = ?5 \
                       WHERE id = ?1";
            let values = params![signed(id), state.as_str(), state.status(), reason, now_s()];
            connection.execute(sql, values).attempt("record the end of a run").map(drop)
        })
        .await
    }

    /// The runs of a job, newest first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn runs(&self, job: JobId) -> Result<Vec<JobRun>, StoreError> {
        self.call(move |connection| {
            let sql = "SELECT * FROM job_runs WHERE job_id = ?1 ORDER BY id DESC";
            all(connection, "job_runs", (sql, &[&signed(job.0)]), |record| record.job_run())
        })
        .await
    }

    /// The runs that go on, or went on when the last process of the node ended, with their apps.
    ///
    /// # Errors
    /// The database fails.
    pub async fn running_runs(&self) -> Result<Vec<(AppId, JobRun)>, StoreError> {
        self.call(|connection| {
            let sql = "SELECT job_runs.*, jobs.app_id FROM job_runs JOIN jobs ON jobs.id = job_runs.job_id \
                       WHERE state = ?1 ORDER BY job_runs.id";
            all(connection, "job_runs", (sql, &[&RunState::Running.as_str()]), |record| {
                Ok((record.app_id("app_id")?, record.job_run()?))
            })
        })
        .await
    }
}

fn has_job(connection: &Connection, id: JobId) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM jobs WHERE id = ?1";
    let found = connection.query_row(sql, [signed(id.0)], |_| Ok(())).optional();
    Ok(found.attempt("look for a job")?.is_some())
}
