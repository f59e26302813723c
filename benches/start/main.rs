//! How fast containers start, here and elsewhere: `cargo bench --bench start -- --help`, and `benches/README.md`.
#![allow(unreachable_pub, clippy::allow_attributes, reason = "a program exports nothing")]
#![allow(clippy::print_stdout, clippy::expect_used, reason = "a program whose output is its purpose")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "figures for people"
)]

mod bundle;
mod field;
mod floor;
mod others;
mod ours;
mod stats;
mod tables;
mod view;

use std::io;
use std::process::{Command, ExitCode};

use clap::Parser;

use field::Field;
use others::Failure;
use tables::{Company, Pace};
use view::View;

#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
/// Compare the starts of containers: runc, youki, crun, bwrap, dyno, and the kernel's floor
#[derive(Debug, Parser)]
struct Arguments {
    /// Install runc, crun, bubblewrap and busybox-static first, from the system's packages
    #[arg(long)]
    install: bool,
    /// Install youki first, from its crate, into the bench's own directory (takes minutes)
    #[arg(long)]
    install_youki: bool,
    /// Control groups to be seen, one round each
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [View::V2, View::V1])]
    view: Vec<View>,
    /// Paired runs of each comparison
    #[arg(long, default_value_t = 50)]
    runs: usize,
    /// Only contenders in whose name one of these occurs; the floor always runs
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Which tables: pace, steps, throughput, alive, hangs
    #[arg(long, value_delimiter = ',', default_values_t = ["pace", "throughput", "alive"].map(str::to_owned))]
    tables: Vec<String>,
    /// The long form: up to 1,000 containers alive, and 1,000 runs under load in search of one that hangs
    #[arg(long)]
    full: bool,
    /// Cargo says so
    #[arg(long, hide = true)]
    bench: bool,
    /// Play one round in a process of its own
    #[arg(long, hide = true)]
    round: Option<String>,
}

/// Packages that youki is built with.
const YOUKI_NEEDS: &[&str] = &["libseccomp-dev", "pkg-config"];
/// It has none by default.
const YOUKI_FEATURES: &str = "v1,v2,seccomp";
/// Containers alive in the short form, and in the long one.
const ALIVE: &[usize] = &[0, 50, 100];
const ALIVE_FULL: &[usize] = &[0, 100, 500, 1_000];
/// Runs in search of a hang.
const HANG_RUNS: usize = 1_000;
/// Runs of each figure of throughput.
const THROUGHPUT_RUNS: usize = 120;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let result = match words.get(1).map(String::as_str) {
        Some(floor::ROLE) => floor::main(words.get(2..).unwrap_or_default()),
        _ => run(Arguments::parse()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> io::Result<()> {
    if let Some(group) = &arguments.round {
        let (view, group) = group.split_once('/').ok_or(io::ErrorKind::InvalidInput)?;
        let view = <View as clap::ValueEnum>::from_str(view, true).map_err(io::Error::other)?;
        return round(&arguments, view, group).map_err(|failure| io::Error::other(format!("{failure:?}")));
    }
    install(&arguments)?;
    println!("{}", machine());
    for view in &arguments.view {
        let group = format!("dyno-bench-{}", std::process::id());
        // A process of its own for each: what it sees cannot be taken back.
        let status = Command::new(std::env::current_exe()?)
            .args(std::env::args().skip(1))
            .args(["--round", &format!("{view:?}/{group}")])
            .status()?;
        view::remove_groups(&group);
        view::remove_groups(&format!("{group}-dyno"));
        if !status.success() {
            return Err(io::Error::other(format!("the round {view:?} failed")));
        }
    }
    Ok(())
}

fn round(arguments: &Arguments, view: View, group: &str) -> Result<(), Failure> {
    view.enter(group)?;
    let dir = tempfile::tempdir()?;
    let mut field = Field::set_up(dir.path(), group, view, &arguments.only)?;
    field.drop_broken();
    let has = |table: &str| arguments.tables.iter().any(|name| name == table);
    if has("pace") {
        for pace in [Pace::BackToBack, Pace::Gaps] {
            for company in [Company::None, Company::Busy] {
                tables::compare(&mut field, arguments.runs, pace, company);
            }
        }
    }
    if has("steps") {
        tables::steps(&field, arguments.runs)?;
    }
    if has("throughput") {
        tables::throughput(&mut field, THROUGHPUT_RUNS);
    }
    if has("alive") {
        let steps = if arguments.full { ALIVE_FULL } else { ALIVE };
        tables::among_others(&mut field, steps, arguments.runs)?;
    }
    if arguments.full || has("hangs") {
        tables::hangs(&mut field, HANG_RUNS);
    }
    field.finish()
}

fn install(arguments: &Arguments) -> io::Result<()> {
    let run = |program: &str, words: &[&str]| -> io::Result<()> {
        // From elsewhere: cargo would build another's program by the settings of this repository.
        let status = Command::new(program).args(words).current_dir("/").status()?;
        status.success().then_some(()).ok_or_else(|| io::Error::other(format!("{program} failed")))
    };
    if arguments.install {
        let packages = ["crun", "runc", "bubblewrap", "busybox-static"];
        run("apt-get", &[&["install", "-y", "--no-install-recommends"], &packages[..]].concat())?;
    }
    if arguments.install_youki {
        run("apt-get", &[&["install", "-y", "--no-install-recommends"], YOUKI_NEEDS].concat())?;
        let words = ["install", "youki", "--locked", "--features", YOUKI_FEATURES, "--root", others::OWN];
        run("cargo", &words)?;
    }
    Ok(())
}

/// The machine in one line.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("Linux {kernel}, {cpus} processors, load {}", read("/proc/loadavg"))
}
