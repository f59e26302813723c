//! Our runtime: a spawner that lives, asked over its socket.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use dyno::runtime::spawner::{Lap, LimitsPolicy};
use dyno::runtime::{Container, Network, Runtime, RuntimeConfig, Sandbox, Started, StdioFds, StdioKind};
use dyno::sys::netns;

use crate::bundle::{Bundle, IDLE, TRUE};
use crate::others::{Failure, HANG, Run};
use crate::stats::now_ns;
use crate::view::View;

/// A client of a spawner.
pub struct Ours {
    pub runtime: Runtime,
    waiter: tokio::runtime::Runtime,
    view: View,
}

/// Where a container's network comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Net {
    /// It is made with the container.
    Own,
    /// It was made before the request came.
    Ahead,
}

fn broken(error: &dyn std::error::Error) -> Failure {
    let causes = std::iter::successors(error.source(), |error| error.source());
    Failure::Broken(causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}")))
}

fn waiter() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

impl Ours {
    /// Starts a spawner below `dir`.
    pub fn start(dyno: &Path, dir: &Path, group: &str, view: View) -> Result<Ours, Failure> {
        let waiter = waiter();
        let limits = if view.has_limits() { LimitsPolicy::Required } else { LimitsPolicy::WhereOffered };
        let config = RuntimeConfig {
            run_dir: dir.join("run"),
            binary: dyno.to_owned(),
            cgroup_root: format!("{group}-dyno"),
            limits,
        };
        let runtime = waiter.block_on(Runtime::connect(config)).map_err(|error| broken(&error))?;
        Ok(Ours { runtime, waiter, view })
    }

    /// Another client of the same spawner.
    pub fn client(&self) -> Ours {
        Ours { runtime: self.runtime.clone(), waiter: waiter(), view: self.view }
    }

    fn sandbox(&self, bundle: &Bundle, program: &str) -> Sandbox {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("b{}", NEXT.fetch_add(1, Ordering::Relaxed));
        bundle.sandbox(&name, program, self.view)
    }

    /// Runs the workload to its end.
    pub fn run(&self, bundle: &Bundle, net: Net) -> Result<Run, Failure> {
        let mut sandbox = self.sandbox(bundle, TRUE);
        let ahead = match net {
            Net::Own => None,
            Net::Ahead => Some(netns::create()?),
        };
        if let Some(namespace) = &ahead {
            use std::os::fd::AsRawFd;
            let path = format!("/proc/{}/fd/{}", std::process::id(), namespace.as_raw_fd());
            sandbox.network = Network::Joined(path.into());
        }
        let began = now_ns();
        let Started { container, stdio, .. } =
            self.waiter.block_on(self.runtime.start(sandbox)).map_err(|error| broken(&error))?;
        let StdioFds::Pipes { stdout, .. } = stdio else { return Err(Failure::Broken("no pipes".into())) };
        let ended = self.waiter.block_on(async { tokio::time::timeout(HANG, container.wait()).await });
        let exit = ended.map_err(|_| Failure::Hang)?;
        self.waiter.block_on(container.remove()).map_err(|error| broken(&error))?;
        let whole_ns = now_ns() - began;
        let mut stamp = [0; 8];
        File::from(stdout).read_exact(&mut stamp)?;
        if !exit.is_success() {
            return Err(Failure::Broken(format!("{exit:?}")));
        }
        Ok(Run { first_ns: u64::from_ne_bytes(stamp).saturating_sub(began), whole_ns })
    }

    /// What each step of a start takes, and the whole as the client sees it, in microseconds.
    pub fn laps(&self, bundle: &Bundle) -> Result<(Vec<Lap>, u64), Failure> {
        let sandbox = self.sandbox(bundle, IDLE);
        let began = now_ns();
        let start = self.runtime.start_traced(sandbox);
        let Started { container, laps, .. } = self.waiter.block_on(start).map_err(|error| broken(&error))?;
        let took_us = (now_ns() - began) / 1000;
        self.end(&container)?;
        Ok((laps, took_us))
    }

    /// Starts one that stays.
    pub fn idle(&self, bundle: &Bundle) -> Result<Container, Failure> {
        let mut sandbox = self.sandbox(bundle, IDLE);
        // As a dyno's output goes; a pipe that nobody reads would end it.
        sandbox.stdio = StdioKind::Log;
        let started = self.waiter.block_on(self.runtime.start(sandbox)).map_err(|error| broken(&error))?;
        Ok(started.container)
    }

    /// Ends one that stays: nanoseconds until its end is known, and until everything of it is cleared away.
    pub fn end(&self, container: &Container) -> Result<(u64, u64), Failure> {
        let began = now_ns();
        container.kill().map_err(|error| broken(&error))?;
        self.waiter.block_on(container.wait());
        let known = now_ns() - began;
        self.waiter.block_on(container.remove()).map_err(|error| broken(&error))?;
        Ok((known, now_ns() - began))
    }

    /// Ends the spawner and removes its groups.
    pub fn finish(self) -> Result<(), Failure> {
        let groups = self.runtime.cgroups().clone();
        self.waiter.block_on(self.runtime.shutdown()).map_err(|error| broken(&error))?;
        groups.teardown().map_err(|error| broken(&error))
    }
}
