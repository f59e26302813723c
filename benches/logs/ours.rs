//! Containers, their init, their rings, and the log service of a node in this process.
//!
//! A ring that is full drops lines, for no program waits for us. So the programs write as fast as they are taken and no faster: they get
//! leave for so many lines beyond those that are in files.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use dyno::domain::AppId;
use dyno::logs::{Counter, LogService};
use dyno::runtime::{Access, Container, Exec, IdMapped, SandboxMount};

use crate::lines::{self, BLOCK_LINES, Counting};
use crate::measure::{cpu_of, until};
use crate::support::container::{Node, can_run};
use crate::{Load, Run};

/// Lines on their way at one time: less than one ring holds, should all be in one.
const WINDOW_LINES: u64 = 4096;
/// The app of all programs.
const APP: AppId = AppId(uuid::Uuid::from_u128(1));

pub fn run(load: Load) -> Option<Run> {
    if !can_run("logs") {
        return None;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    Some(runtime.block_on(carry(load)))
}

async fn carry(load: Load) -> Run {
    let node = Node::start().await;
    let program = node.root().join("bin/produce");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let dir = node.dir.path().join("logs");
    let logs = LogService::open(dir.clone()).unwrap();
    let (mut followed, mut leaves) = (Vec::new(), Vec::new());
    for number in 0..load.programs {
        let share = node.dir.path().join(format!("leave{number}"));
        leaves.push(leave(&share));
        let container = launch(&node, number, load, share).await;
        let ps = format!("web.{}", number + 1);
        followed.push((logs.follow_ring(APP, ps, container.log_ring()), container));
    }
    let inits: Vec<u32> = followed.iter().map(|(_, container)| container.init_pid()).collect();
    let before = own_cpu() + inits.iter().map(|pid| cpu_of(*pid)).sum::<Duration>();
    let began = Instant::now();
    let (meter, total) = (logs.clone(), load.total());
    let pacing = std::thread::spawn(move || pace(&meter, total, leaves)).join();
    let took = began.elapsed();
    let (pacing, leaves) = pacing.unwrap();
    let after = own_cpu() + inits.iter().map(|pid| cpu_of(*pid)).sum::<Duration>();
    for mut leave in leaves {
        leave.write_all(&[0]).unwrap();
    }
    for (follower, container) in followed {
        container.wait().await;
        follower.finish().await;
        container.remove().await.unwrap();
    }
    logs.flush().await;
    let lost = logs.counted(Counter::DynoLost) + logs.counted(Counter::QueueLost);
    assert_eq!(lost, 0, "lines were lost though they were paced");
    drop(logs);
    let mut counting = Counting::default();
    files_below(&dir).iter().for_each(|path| lines::count_file(&mut counting, path));
    Run { took, cpu: (after - before).saturating_sub(pacing), found: counting.tally() }
}

/// Where a program gets leave to write: a pipe with a name.
fn leave(share: &Path) -> File {
    std::fs::create_dir(share).unwrap();
    let pipe = share.join("leave");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::fs::set_permissions(&pipe, std::fs::Permissions::from_mode(0o644)).unwrap();
    // Both ways, so that opening it waits for nobody.
    OpenOptions::new().read(true).write(true).open(&pipe).unwrap()
}

async fn launch(node: &Node, number: u64, load: Load, share: PathBuf) -> Container {
    let mut sandbox = node.shell("");
    sandbox.process.argv =
        [vec!["/bin/produce".to_owned()], lines::producer_args(number, load, "/data/leave")].concat();
    sandbox.mounts.push(SandboxMount::Bind {
        source: IdMapped { path: share, disk: None },
        target: "/data".into(),
        access: Access::ReadOnly,
        exec: Exec::Denied,
    });
    node.run(sandbox).await.container
}

/// Gives leave by turns until every line is in a file; the processor time that this has taken, and the means to give more.
fn pace(logs: &LogService, total: u64, mut leaves: Vec<File>) -> (Duration, Vec<File>) {
    let each = total / leaves.len() as u64;
    let mut given = vec![0; leaves.len()];
    until("the last line", || {
        let written = logs.counted(Counter::Written);
        loop {
            let on_the_way = given.iter().sum::<u64>().saturating_sub(written);
            let next = (0..given.len()).min_by_key(|at| given[*at]).unwrap();
            if on_the_way + BLOCK_LINES > WINDOW_LINES || given[next] >= each {
                break;
            }
            leaves[next].write_all(&[0]).unwrap();
            given[next] += BLOCK_LINES;
        }
        written >= total
    });
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
    (Duration::new(time.tv_sec() as u64, time.tv_nsec() as u32), leaves)
}

/// Processor time of this process.
fn own_cpu() -> Duration {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID).unwrap();
    Duration::new(time.tv_sec() as u64, time.tv_nsec() as u32)
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let (mut files, mut todo) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => todo.push(path),
                false => files.push(path),
            }
        }
    }
    files.retain(|path| path.to_string_lossy().contains(".log"));
    files
}
