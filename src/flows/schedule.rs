//! Timed jobs: keeping them, and running each when its time has come.
//!
//! ```text
//! jobs, last look, now ──▶ due (pure) ──▶ runs to start, and when to look again
//! ```
//!
//! One task looks; a run is recorded before its dyno is started, so that a killed node finds it. What was due while the
//! node was down is not made up for, as on the platform: a job that must not be missed looks for what is left to do.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use uuid::Uuid;

use crate::domain::{App, Cadence, DynoId, DynoSize, Job, JobId, JobRun, Overlap, ProcessType, RunState};
use crate::flows::Node;
use crate::flows::error::FlowError;
use crate::flows::features::metadata_of;
use crate::flows::ports::{
    Connection, Desired, EndCause, OneOff, OneOffEnd, OneOffExit, Scope, StartedOneOff,
};
use crate::flows::run::{TIME_TO_LIVE_MAX_S, free_name};
use crate::store::{NewJob, NewRun};
use crate::sys::clock;
use crate::wire::api_errors::{Missing, Refusal};
use crate::wire::logline::ApiLine;

/// The longest the task sleeps, seconds: the clock on the wall may be set meanwhile.
const LOOK_AGAIN_S: i64 = 60;
/// How late a run may begin, seconds; one that could begin only later is missed.
const LATE_MAX_S: i64 = 300;
/// Set back by no more than this, seconds, the clock repeats no run; set back by more, it was wrong before.
const CLOCK_BACK_MAX_S: i64 = 7200;

/// A job somebody wants.
#[derive(Clone, Debug)]
pub struct JobRequest {
    /// Its command, for a shell.
    pub command: String,
    /// When it runs.
    pub cadence: Cadence,
    /// The time zone of a cron expression; UTC when none is given.
    pub zone: Option<String>,
    /// What happens while its last run goes on.
    pub overlap: Overlap,
    /// How large its dynos are.
    pub size: DynoSize,
}

/// A job with what is shown of it.
#[derive(Clone, Debug)]
pub struct JobView {
    /// The job.
    pub job: Job,
    /// Its next run.
    pub next: Option<Timestamp>,
    /// Its last run.
    pub last: Option<JobRun>,
}

/// Adds a job.
///
/// # Errors
/// No command, a size the node has not, a time zone that is not known, times of UTC in another zone, too many jobs, the app is gone, or the node
/// fails.
pub async fn add_job(node: &Node, app: &App, request: JobRequest) -> Result<JobView, FlowError> {
    let JobRequest { command, cadence, zone, overlap, size } = request;
    let size = node.settings().quotas.sizes.known(size).map_err(Refusal::Size)?;
    if command.trim().is_empty() || command.contains('\0') {
        return Err(Refusal::NoCommand.into());
    }
    let zone = match (zone, &cadence) {
        (None, _) => "UTC".to_owned(),
        (Some(name), Cadence::Cron(_)) => {
            let known = TimeZone::get(&name).ok().and_then(|zone| zone.iana_name().map(str::to_owned));
            known.ok_or_else(|| Refusal::TimeZone(name.chars().take(100).collect()))?
        }
        (Some(_), Cadence::Every10Minutes | Cadence::Hourly { .. } | Cadence::Daily { .. }) => {
            return Err(Refusal::ZoneWithoutCron.into());
        }
    };
    let job = node.store().add_job(NewJob { app: app.id, command, size, cadence, zone, overlap }).await?;
    node.jobs_changed().notify_one();
    Ok(shown(job, None))
}

/// The jobs of an app, by number.
///
/// # Errors
/// The node fails.
pub async fn jobs(node: &Node, app: &App) -> Result<Vec<JobView>, FlowError> {
    let mut all = Vec::new();
    for job in node.store().jobs(Some(app.id)).await? {
        let last = node.store().runs(job.id).await?.into_iter().next();
        all.push(shown(job, last));
    }
    Ok(all)
}

fn shown(job: Job, last: Option<JobRun>) -> JobView {
    let next = zone_of(&job).and_then(|zone| job.cadence.next(now(), &zone));
    JobView { job, next, last }
}

/// Removes a job and the record of its runs. A run that goes on goes on.
///
/// # Errors
/// There is none of that number, or the node fails.
pub async fn remove_job(node: &Node, app: &App, id: JobId) -> Result<(), FlowError> {
    if node.store().remove_job(app.id, id).await? {
        return Ok(());
    }
    Err(Refusal::NotFound(Missing::Job(id.to_string())).into())
}

/// The runs of a job that are remembered, newest first.
///
/// # Errors
/// There is none of that number, or the node fails.
pub async fn job_runs(node: &Node, app: &App, id: JobId) -> Result<Vec<JobRun>, FlowError> {
    find(node, app, id).await?;
    Ok(node.store().runs(id).await?)
}

/// Runs a job now, whatever its schedule and its policy say: somebody asks for it.
///
/// # Errors
/// There is none of that number, nothing is deployed, there are too many dynos, or the node fails.
pub async fn run_job(node: &Node, app: &App, id: JobId) -> Result<JobRun, FlowError> {
    let job = find(node, app, id).await?;
    start(node, app, &job).await
}

async fn find(node: &Node, app: &App, id: JobId) -> Result<Job, FlowError> {
    let job = node.store().job(app.id, id).await?;
    job.ok_or_else(|| Refusal::NotFound(Missing::Job(id.to_string())).into())
}

/// Runs jobs when they are due, for as long as the node serves.
pub async fn keep_schedule(node: Node) {
    let mut looked = now();
    loop {
        let at = now();
        if looked.as_second() - at.as_second() > CLOCK_BACK_MAX_S {
            looked = at;
        }
        let next = match look(&node, looked, at).await {
            Ok(next) => {
                looked = looked.max(at);
                next
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "timed jobs wait for the database");
                None
            }
        };
        let pause = next.map_or(LOOK_AGAIN_S * 1000, |next| next.as_millisecond() - now().as_millisecond());
        let pause = u64::try_from(pause.clamp(0, LOOK_AGAIN_S * 1000)).unwrap_or_default();
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(pause)) => {}
            () = node.jobs_changed().notified() => {}
        }
    }
}

/// Starts what has become due since `looked`; tells when the next job is.
async fn look(node: &Node, looked: Timestamp, at: Timestamp) -> Result<Option<Timestamp>, FlowError> {
    let jobs: Vec<_> =
        node.store().jobs(None).await?.into_iter().filter_map(|job| Some((zone_of(&job)?, job))).collect();
    let Due { jobs: due, next } = due(&jobs, looked, at);
    for job in due {
        let Some(app) = node.store().app_by_id(job.app).await? else { continue };
        if let Err(error) = start_due(node, &app, job).await {
            tracing::warn!(app = %app.name, job = %job.id, error = &error as &dyn std::error::Error, "a timed job did not start");
        }
    }
    Ok(next)
}

/// What there is to do about jobs.
#[derive(Debug, PartialEq, Eq)]
struct Due<'a> {
    /// Those to start, by number.
    jobs: Vec<&'a Job>,
    /// When the next one is due.
    next: Option<Timestamp>,
}

/// The jobs that have become due after `looked` and not after `now`. A job that was due several times is started once, and
/// one whose time is long past not at all.
fn due(jobs: &[(TimeZone, Job)], looked: Timestamp, now: Timestamp) -> Due<'_> {
    let oldest = Timestamp::from_second(now.as_second() - LATE_MAX_S).unwrap_or(now);
    let is_due = |(zone, job): &&(TimeZone, Job)| {
        let made = Timestamp::from_second(job.created_at_s).unwrap_or(now);
        let since = looked.max(oldest).max(made);
        job.cadence.next(since, zone).is_some_and(|first| first <= now)
    };
    // Where the clock was set back, what was started by its earlier time is not started again.
    let after = now.max(looked);
    Due {
        jobs: jobs.iter().filter(is_due).map(|(_, job)| job).collect(),
        next: jobs.iter().filter_map(|(zone, job)| job.cadence.next(after, zone)).min(),
    }
}

/// The time zone of a job; none that is known any more where the machine has lost its data.
fn zone_of(job: &Job) -> Option<TimeZone> {
    match TimeZone::get(&job.zone) {
        Ok(zone) => Some(zone),
        Err(error) => {
            tracing::warn!(job = %job.id, zone = job.zone, %error, "a timed job's zone is not known here");
            None
        }
    }
}

/// Starts a job at its time, as its policy says.
pub(super) async fn start_due(node: &Node, app: &App, job: &Job) -> Result<(), FlowError> {
    let running: Vec<_> =
        node.store().runs(job.id).await?.into_iter().filter(|run| run.state == RunState::Running).collect();
    match job.overlap {
        Overlap::Allow => {}
        Overlap::Forbid if running.is_empty() => {}
        Overlap::Forbid => {
            let dyno = DynoId(Uuid::new_v4());
            let skipped = NewRun { job: job.id, dyno, name: None, state: RunState::Skipped };
            node.store().add_run(skipped).await?;
            return Ok(());
        }
        Overlap::Replace => {
            for name in running.into_iter().filter_map(|run| run.name) {
                // One that has ended in between needs no stop.
                if let Err(error) = node.dynos().stop(app.id, Scope::Dyno(name)).await {
                    tracing::debug!(app = %app.name, job = %job.id, %error, "an earlier run is not stopped");
                }
            }
        }
    }
    start(node, app, job).await.map(drop)
}

/// Records a run and starts its dyno; how it ends is recorded by a task of its own, which ends with the dyno.
async fn start(node: &Node, app: &App, job: &Job) -> Result<JobRun, FlowError> {
    let (dyno, name) = (DynoId(Uuid::new_v4()), free_name(node, app, ProcessType::scheduler())?);
    let new = NewRun { job: job.id, dyno, name: Some(name.clone()), state: RunState::Running };
    let run = node.store().add_run(new).await?.ok_or(Refusal::NotFound(Missing::Job(job.id.to_string())))?;
    match start_dyno(node, app, job, &run).await {
        Ok(exit) => {
            tokio::spawn(follow(node.clone(), run.clone(), exit));
            Ok(run)
        }
        // The node ends; whether the dyno runs is for its next start to find out.
        Err(FlowError::Refused(Refusal::Closing)) => Err(Refusal::Closing.into()),
        Err(error) => {
            let reason = match &error {
                FlowError::Refused(refusal) => refusal.to_string(),
                FlowError::Fault { .. } => error.to_string(),
            };
            node.store().finish_run(run.id, RunState::NotStarted, Some(reason)).await?;
            Err(error)
        }
    }
}

async fn start_dyno(node: &Node, app: &App, job: &Job, run: &JobRun) -> Result<OneOffExit, FlowError> {
    let Desired { release, features, .. } = node.desired(app).await?;
    if release.slug.is_none() {
        return Err(Refusal::NotDeployed(app.name.to_string()).into());
    }
    let name = run.name.clone().ok_or_else(Refusal::no_app)?;
    let one_off = OneOff {
        id: run.dyno,
        name,
        app: app.clone(),
        env: metadata_of(run.dyno, app, &release, &features),
        release,
        command: job.command.clone(),
        size: job.size,
        connection: Connection::Log,
        time_to_live_s: TIME_TO_LIVE_MAX_S,
    };
    node.tell(app.id, &ApiLine::Scheduled { command: job.command.clone() });
    match node.dynos().run(one_off).await? {
        StartedOneOff::Detached(exit) => Ok(exit),
        StartedOneOff::Attached(_) => Err(Refusal::NotAttachable(run.dyno.to_string()).into()),
    }
}

/// Waits for the end of a run and records it.
async fn follow(node: Node, run: JobRun, exit: OneOffExit) {
    let state = match exit.await {
        Some(OneOffEnd { status, cause: EndCause::Itself }) => RunState::Ended { status },
        Some(OneOffEnd { status, cause: EndCause::Stopped }) => RunState::Stopped { status },
        None => RunState::NotStarted,
    };
    if let Err(error) = node.store().finish_run(run.id, state, None).await {
        tracing::error!(run = run.id, %error, "the end of a timed job's run is not recorded");
    }
}

/// A run of an earlier process whose dyno was found, or was not.
pub(super) async fn take_up(node: &Node, run: JobRun, exit: Option<OneOffExit>) -> Result<(), FlowError> {
    match exit {
        Some(exit) => drop(tokio::spawn(follow(node.clone(), run, exit))),
        None => node.store().finish_run(run.id, RunState::Lost, None).await?,
    }
    Ok(())
}

fn now() -> Timestamp {
    Timestamp::try_from(clock::now()).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::domain::AppId;

    fn job(cadence: &str, created: &str) -> (TimeZone, Job) {
        let created: Timestamp = created.parse().unwrap();
        let job = Job {
            id: JobId(1),
            app: AppId(Uuid::nil()),
            command: "true".to_owned(),
            size: DynoSize::default(),
            cadence: cadence.parse().unwrap(),
            zone: "Europe/Berlin".to_owned(),
            overlap: Overlap::Allow,
            created_at_s: created.as_second(),
        };
        // By its rule, so that no data of the machine is needed.
        (TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap(), job)
    }

    fn starts(jobs: &[(TimeZone, Job)], looked: &str, now: &str) -> (usize, String) {
        let due = due(jobs, looked.parse().unwrap(), now.parse().unwrap());
        (due.jobs.len(), due.next.unwrap().to_string())
    }

    #[test]
    fn a_job_starts_once_when_its_time_has_come() {
        let jobs = [job("every 10 minutes", "2026-11-26T00:00:00Z")];
        let ten = "2026-11-26T10:10:00Z".to_owned();
        assert_eq!(starts(&jobs, "2026-11-26T10:00:00Z", "2026-11-26T10:09:59Z"), (0, ten));
        let twenty = || "2026-11-26T10:20:00Z".to_owned();
        assert_eq!(starts(&jobs, "2026-11-26T10:09:59Z", "2026-11-26T10:10:00Z"), (1, twenty()));
        assert_eq!(starts(&jobs, "2026-11-26T10:10:00Z", "2026-11-26T10:10:01Z"), (0, twenty()));
    }

    #[test]
    fn what_is_late_starts_once_and_what_is_too_late_is_missed() {
        let jobs = [job("* * * * *", "2026-11-26T00:00:00Z"), job("30 * * * *", "2026-11-26T00:00:00Z")];
        let next = || "2026-11-26T10:41:00Z".to_owned();
        assert_eq!(starts(&jobs, "2026-11-26T08:00:00Z", "2026-11-26T10:40:00Z"), (1, next()));
        let next = "2026-11-26T10:35:00Z".to_owned();
        assert_eq!(starts(&jobs, "2026-11-26T10:29:00Z", "2026-11-26T10:34:00Z"), (2, next));
    }

    #[test]
    fn a_job_begins_with_the_first_time_after_it_was_made() {
        let jobs = [job("every 10 minutes", "2026-11-26T10:10:01Z")];
        let (count, _) = starts(&jobs, "2026-11-26T10:09:00Z", "2026-11-26T10:10:02Z");
        assert_eq!(count, 0);
    }

    #[test]
    fn a_clock_that_is_set_back_a_little_repeats_nothing() {
        let jobs = [job("every 10 minutes", "2026-11-26T00:00:00Z")];
        let (count, next) = starts(&jobs, "2026-11-26T10:10:05Z", "2026-11-26T10:00:00Z");
        assert_eq!((count, next.as_str()), (0, "2026-11-26T10:20:00Z"));
    }

    /// Counts the starts of a day when somebody looks every 20 seconds.
    fn starts_of_a_day(cadence: &str, from: &str) -> usize {
        let from: Timestamp = from.parse().unwrap();
        let jobs = [job(cadence, "2020-01-01T00:00:00Z")];
        let at = |second: i64| Timestamp::from_second(from.as_second() + second).unwrap();
        (0..24 * 3600).step_by(20).map(|second| due(&jobs, at(second), at(second + 20)).jobs.len()).sum()
    }

    #[test]
    fn no_run_is_lost_or_doubled_when_clocks_change() {
        // From half past midnight, over twenty-four hours: the shown day is one hour shorter, or longer.
        for (day, hours) in [("2026-03-28T23:30:00Z", 24), ("2026-10-24T22:30:00Z", 24)] {
            assert_eq!(starts_of_a_day("30 2 * * *", day), 1, "{day}");
            assert_eq!(starts_of_a_day("0 * * * *", day), hours, "{day}");
            assert_eq!(starts_of_a_day("every 10 minutes", day), hours * 6, "{day}");
        }
    }
}
