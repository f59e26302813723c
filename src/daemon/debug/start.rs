//! `dyno debug start`: starts one dyno's container beside the node, says how long that took and (with `--trace`) what each step
//! took, and clears it away. The container is the node's in all but its slug, which is empty, and its network, which is `lo` alone.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::daemon::Config;
use crate::runtime::spawner::{Lap, LimitsPolicy};
use crate::runtime::{Runtime, RuntimeConfig, Sandbox, Started};
use crate::sys::{clock, fs};

/// Pause before each start, so that the figures are those of a start out of the blue: the kernel is slower after a quiet spell.
const PAUSE: Duration = Duration::from_millis(300);
/// Most starts of one call.
pub(super) const STARTS_MAX: u32 = 1_000;

/// What is to be shown.
pub(super) struct Wish {
    /// How many starts; the one in the middle is shown.
    pub(super) starts: u32,
    /// Whether to show its steps.
    pub(super) is_traced: bool,
}

/// One start.
struct Measured {
    took: Duration,
    laps: Vec<Lap>,
}

/// Starts, measures, clears away, and tells.
pub(super) async fn start(config: &Config, sandbox: Sandbox, wish: Wish) -> Result<String, String> {
    let own = format!("debug-{}", std::process::id());
    let dir = config.run_dir.join(&own);
    let runtime = Runtime::connect(RuntimeConfig {
        run_dir: dir.clone(),
        binary: std::env::current_exe().map_err(|error| error.to_string())?,
        cgroup_root: format!("dyno-{own}"),
        limits: LimitsPolicy::Required,
    })
    .await
    .map_err(|error| told(&error))?;
    let measured = measure(&runtime, &sandbox, &wish).await;
    let groups = runtime.cgroups().clone();
    let ended = runtime.shutdown().await.map_err(|error| told(&error));
    let cleared = ended.and_then(|()| clear(&dir, || groups.teardown()));
    let mut measured = measured?;
    cleared?;
    measured.sort_by_key(|one| one.took);
    let middle = measured.len() / 2;
    let chosen = measured.get(middle).ok_or("nothing was started")?;
    Ok(text(chosen, measured.len()))
}

async fn measure(runtime: &Runtime, sandbox: &Sandbox, wish: &Wish) -> Result<Vec<Measured>, String> {
    let mut measured = Vec::new();
    for _ in 0..wish.starts.clamp(1, STARTS_MAX) {
        tokio::time::sleep(PAUSE).await;
        let began: Instant = clock::monotonic();
        let started = if wish.is_traced {
            runtime.start_traced(sandbox.clone()).await
        } else {
            runtime.start(sandbox.clone()).await
        };
        let took = began.elapsed();
        let Started { container, laps, .. } = started.map_err(|error| told(&error))?;
        container.kill().map_err(|error| told(&error))?;
        container.wait().await;
        container.remove().await.map_err(|error| told(&error))?;
        measured.push(Measured { took, laps });
    }
    Ok(measured)
}

/// Makes the directory that stands in for the slug, and says where.
pub(super) fn empty_slug(config: &Config) -> Result<PathBuf, String> {
    let path = config.lib_dir.join("scratch").join(format!("debug-slug-{}", std::process::id()));
    std::fs::create_dir_all(&path).map_err(|error| format!("could not make {}: {error}", path.display()))?;
    Ok(path)
}

fn clear<E: std::error::Error>(dir: &Path, groups: impl FnOnce() -> Result<(), E>) -> Result<(), String> {
    groups().map_err(|error| told(&error))?;
    fs::remove_tree(dir).map_err(|error| format!("could not remove {}: {error}", dir.display()))
}

/// Lines of a table: when each step began, how long it took, whose it was.
fn text(Measured { took, laps }: &Measured, starts: usize) -> String {
    let mut text = format!("{} µs from the request to the running application", took.as_micros());
    text.push_str(&if starts > 1 { format!(" (the median of {starts})\n") } else { "\n".to_owned() });
    if !laps.is_empty() {
        text.push_str(
            "   began     took  by       step (times in µs after the spawner took up the request)\n",
        );
    }
    for Lap { side, step, began_us, took_us } in laps {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{began_us:>8} {took_us:>8}  {:<8} {step}", side.to_string());
    }
    text
}

fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::runtime::spawner::Side;

    #[test]
    fn a_breakdown_is_a_table_and_a_bare_start_one_line() {
        let lap = Lap { side: Side::Init, step: "PivotRoot".to_owned(), began_us: 812, took_us: 74 };
        let took = Duration::from_micros(1931);
        let traced = text(&Measured { took, laps: vec![lap] }, 5);
        assert!(traced.starts_with("1931 µs") && traced.contains("(the median of 5)"), "{traced}");
        assert!(traced.ends_with("     812       74  init     PivotRoot\n"), "{traced}");
        assert_eq!(text(&Measured { took, laps: vec![] }, 1).lines().count(), 1);
    }
}
