//! `dyno sync`

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::deploy::{followed, sent, started};
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::sys::tree_watch::{Scope, TreeWatcher};
use crate::wire::api::NewSourceBlob;
use crate::wire::api_errors::ErrorId;

/// The most directories of a synced one: each takes one of the user's watches of the kernel.
const DIRECTORIES_MAX: usize = 16_384;
/// A repository's own files are no part of a source.
const NOT_WATCHED: &str = ".git";
/// Longest wait for a directory to settle, seconds: one that never does is deployed as it is.
const SETTLE_MAX_S: u64 = 60;
/// Between two attempts while another build of the app runs, seconds.
const BUSY_PAUSE_S: u64 = 5;
/// The most attempts while another build runs: as long as a build may take.
const BUSY_ATTEMPTS_MAX: u32 = 360;

/// Deploy a directory whenever it has changed and settled
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// Directory with the app
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// How long nothing may change before it is deployed, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    settle: u64,
    /// Deploy it at once, too
    #[arg(long)]
    now: bool,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        tokio::select! {
            // First, since who follows a build hears it as well.
            biased;
            _ = tokio::signal::ctrl_c() => {
                output::note("Syncing has ended. A build that was under way goes on: see `dyno builds`.\n");
                Ok(())
            }
            ended = self.sync(context, &app) => ended,
        }
    }

    async fn sync(&self, context: &Context, app: &str) -> Result<(), Failure> {
        let watcher = TreeWatcher::new().map_err(Failure::local("watch for changes"))?;
        let settle = Duration::from_secs(self.settle);
        // Before the first deploy, so that nothing is missed that changes during it.
        cover(&watcher, &self.dir)?;
        if self.now {
            deploy(context, app, &self.dir).await?;
        }
        loop {
            output::note(&format!("Watching {} for changes; Ctrl-C ends it.\n", self.dir.display()));
            watcher.changed().await.map_err(Failure::local("watch for changes"))?;
            settled(&watcher, &self.dir, settle).await?;
            deploy(context, app, &self.dir).await?;
        }
    }
}

fn cover(watcher: &TreeWatcher, dir: &Path) -> Result<(), Failure> {
    let scope = Scope { root: dir, but: OsStr::new(NOT_WATCHED), directories_max: DIRECTORIES_MAX };
    watcher.cover(scope).map_err(|source| {
        if source.kind() == std::io::ErrorKind::QuotaExceeded {
            let dir = dir.display();
            Failure::Usage(format!(
                "{dir} has more than {DIRECTORIES_MAX} directories: sync one with less in it."
            ))
        } else {
            Failure::Local { attempt: format!("watch {}", dir.display()), source }
        }
    })
}

/// Waits until nothing has changed for a while.
async fn settled(watcher: &TreeWatcher, dir: &Path, settle: Duration) -> Result<(), Failure> {
    let began = Instant::now();
    let mut last = began;
    loop {
        // Directories that have appeared, in which more may change.
        cover(watcher, dir)?;
        match pause(last.elapsed(), began.elapsed(), settle) {
            None => return Ok(()),
            Some(pause) => {
                if let Ok(changed) = timeout(pause, watcher.changed()).await {
                    changed.map_err(Failure::local("watch for changes"))?;
                    last = Instant::now();
                }
            }
        }
    }
}

/// How long to wait for further changes; none when it is time to deploy. `quiet` is how long nothing has changed, `since` how
/// long ago the first change was.
fn pause(quiet: Duration, since: Duration, settle: Duration) -> Option<Duration> {
    let left = settle.saturating_sub(quiet).min(Duration::from_secs(SETTLE_MAX_S).saturating_sub(since));
    (!left.is_zero()).then_some(left)
}

/// Deploys, and tells what became of it. What the files are to blame for is no reason to end: they will change again.
async fn deploy(context: &Context, app: &str, dir: &Path) -> Result<(), Failure> {
    for _ in 0..BUSY_ATTEMPTS_MAX {
        match attempt(context, app, dir).await {
            Ok(()) => return Ok(()),
            Err(Failure::Refused(body)) if body.id == ErrorId::Conflict.as_str() => {
                output::note(&format!("{} Trying again in {BUSY_PAUSE_S} s.\n", body.message));
                tokio::time::sleep(Duration::from_secs(BUSY_PAUSE_S)).await;
            }
            Err(
                failure @ (Failure::Build { .. }
                | Failure::ReleaseCommand { .. }
                | Failure::Connection { .. }),
            ) => {
                output::note(&failure.text());
                return Ok(());
            }
            Err(failure) => return Err(failure),
        }
    }
    Err(Failure::Nothing(format!("Another build of {app} has been running for too long.")))
}

async fn attempt(context: &Context, app: &str, dir: &Path) -> Result<(), Failure> {
    let url = sent(context, dir).await?;
    let build = started(context, app, NewSourceBlob { url, ..NewSourceBlob::default() }, &[]).await?;
    followed(context, app, &build).await
}

#[cfg(test)]
mod test {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_time_when_it_is_quiet_or_has_gone_on_for_too_long(
            quiet in 0u64..100_000, more in 0u64..100_000, settle in 1u64..60
        ) {
            let (quiet, settle) = (Duration::from_millis(quiet), Duration::from_secs(settle));
            let since = quiet + Duration::from_millis(more);
            let is_time = quiet >= settle || since >= Duration::from_secs(SETTLE_MAX_S);
            let pause = pause(quiet, since, settle);
            prop_assert_eq!(pause.is_none(), is_time);
            // Whoever waits so long without a change finds that it is time.
            if let Some(pause) = pause {
                prop_assert!(pause <= settle);
                prop_assert!(super::pause(quiet + pause, since + pause, settle).is_none());
            }
        }
    }
}
