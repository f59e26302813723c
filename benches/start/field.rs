//! All contenders side by side, run by turns so that whatever drifts on the machine hits all alike.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::bundle::Bundle;
use crate::floor::Floor;
use crate::others::{self, Failure, Program, Run};
use crate::ours::{Net, Ours};
use crate::stats::Samples;
use crate::view::View;

/// Busy processes while a machine "under load" is measured.
const LOAD: usize = 4;
/// First runs that may hang before a contender counts as one that does not work here.
const WORKS_TRIES: usize = 5;

/// Who runs.
#[derive(Debug, Clone)]
pub enum Contender {
    Program(Program),
    Ours(Net),
    Floor(Net),
}

impl Contender {
    /// As in the tables.
    pub fn name(&self) -> &'static str {
        match self {
            Contender::Program(program) => program.name,
            Contender::Ours(Net::Own) => "dyno spawner",
            Contender::Ours(Net::Ahead) => "dyno spawner, network made ahead",
            Contender::Floor(Net::Own) => "floor, resident",
            Contender::Floor(Net::Ahead) => "floor, resident, network made ahead",
        }
    }

    /// By whose median ours is divided.
    pub fn is_floor(&self) -> bool {
        matches!(self, Contender::Floor(Net::Own))
    }
}

/// One contender's figures.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    pub first: Samples,
    pub whole: Samples,
    pub hangs: u32,
    /// The last complaint, and how many there were.
    pub broken: Option<(u32, String)>,
}

/// Everything that is needed to run any of them.
pub struct Field {
    pub bundle: Bundle,
    pub group: String,
    pub view: View,
    pub ours: Ours,
    pub contenders: Vec<Contender>,
    floor: Floor,
    runs: u32,
}

impl Field {
    /// Sets everything up below `dir`.
    pub fn set_up(dir: &Path, group: &str, view: View, only: &[String]) -> Result<Field, Failure> {
        let dyno = PathBuf::from(env!("CARGO_BIN_EXE_dyno"));
        let bundle = Bundle::make(dir, view, group)?;
        // First of all: it must be born while this process has one thread.
        let floor = Floor::start(&bundle, group, view, 0)?;
        let ours = Ours::start(&dyno, dir, group, view)?;
        let mut contenders: Vec<_> = others::programs(&dyno).into_iter().map(Contender::Program).collect();
        contenders.extend([Net::Own, Net::Ahead].map(Contender::Ours));
        contenders.extend([Net::Ahead, Net::Own].map(Contender::Floor));
        contenders.retain(|one| {
            one.is_floor() || only.is_empty() || only.iter().any(|part| one.name().contains(part.as_str()))
        });
        Ok(Field { bundle, group: group.to_owned(), view, ours, contenders, floor, runs: 0 })
    }

    /// Leaves out who cannot run here, and says why.
    pub fn drop_broken(&mut self) {
        for contender in self.contenders.clone() {
            // One that hangs at times is counted by the tables; one that always does is not worth the wait.
            let mut tried = self.run(&contender);
            for _ in 1..WORKS_TRIES {
                if matches!(tried, Err(Failure::Hang)) {
                    tried = self.run(&contender);
                }
            }
            if let Err(failure) = tried {
                println!("  left out: {}: {failure:?}", contender.name());
                self.contenders.retain(|one| one.name() != contender.name());
            }
        }
    }

    /// Runs the workload once.
    pub fn run(&mut self, contender: &Contender) -> Result<Run, Failure> {
        self.runs += 1;
        match contender {
            Contender::Program(program) => program.run(&self.bundle, &format!("run{}", self.runs)),
            Contender::Ours(net) => self.ours.run(&self.bundle, *net),
            Contender::Floor(net) => self.floor.run(*net),
        }
    }

    /// Runs every contender `rounds` times, by turns, with a pause before each run.
    pub fn rounds(&mut self, rounds: usize, pause: impl Fn() -> Duration) -> Vec<(Contender, Figures)> {
        let mut all: Vec<_> =
            self.contenders.clone().into_iter().map(|one| (one, Figures::default())).collect();
        for _ in 0..rounds {
            for (contender, figures) in &mut all {
                std::thread::sleep(pause());
                figures.take(self.run(contender));
            }
        }
        all
    }

    /// Ends what it started.
    pub fn finish(self) -> Result<(), Failure> {
        self.floor.finish()?;
        self.ours.finish()
    }
}

impl Figures {
    /// Adds a run.
    pub fn take(&mut self, run: Result<Run, Failure>) {
        match run {
            Ok(Run { first_ns, whole_ns }) => {
                self.first.push(first_ns);
                self.whole.push(whole_ns);
            }
            Err(Failure::Hang) => self.hangs += 1,
            Err(Failure::Broken(said)) => {
                let before = self.broken.as_ref().map_or(0, |(count, _)| *count);
                self.broken = Some((before + 1, said));
            }
        }
    }
}

/// Busy processes, ended when dropped.
pub struct Load(Vec<Child>);

impl Load {
    /// Starts them.
    pub fn start() -> Load {
        let busy = || {
            let mut command = Command::new("/bin/busybox");
            command.args(["sh", "-c", "while :; do :; done"]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("a busy process")
        };
        Load((0..LOAD).map(|_| busy()).collect())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _gone = child.kill();
            let _reaped = child.wait();
        }
    }
}
