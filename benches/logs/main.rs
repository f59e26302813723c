//! How many lines a second get from programs to files, and at what cost, beside rsyslog and systemd-journald:
//! `cargo bench --bench logs -- --help`, and `benches/README.md`. Root.
#![allow(unreachable_pub, clippy::allow_attributes, reason = "a program exports nothing")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program whose output is its purpose")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a benchmark that cannot go on may stop; figures are for people"
)]

mod journald;
mod lines;
mod ours;
mod rsyslog;

#[path = "../measure.rs"]
mod measure;

#[path = "../../tests/support/mod.rs"]
mod support;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::lines::Tally;
use crate::measure::median;

/// Lines from programs to files, beside rsyslog and systemd-journald
#[derive(Debug, Parser)]
struct Arguments {
    /// Lines of each run, all programs together
    #[arg(long, default_value_t = 400_000)]
    lines: u64,
    /// Bytes of a line, its end included
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(40..=4000))]
    bytes: u16,
    /// Programs that write at once, one table each
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4])]
    programs: Vec<u64>,
    /// Runs of each, by turns
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Which: dyno, rsyslog, journald
    #[arg(long, value_delimiter = ',', default_values_t = ["dyno", "rsyslog", "journald"].map(str::to_owned))]
    only: Vec<String>,
    /// Cargo says so
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is to be carried.
#[derive(Clone, Copy, Debug)]
struct Load {
    programs: u64,
    /// Of each program.
    lines: u64,
    bytes: u16,
}

impl Load {
    fn total(self) -> u64 {
        self.programs * self.lines
    }
}

/// What a run took.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// From the first line to the last one in a file.
    took: Duration,
    /// Processor time of everything but the programs.
    cpu: Duration,
    /// What was found in the files afterwards.
    found: Tally,
}

/// One run of a contender; none where it is not installed.
type Carry = fn(Load) -> Option<Run>;

/// A contender, and its runs.
struct Contender {
    name: &'static str,
    run: Carry,
    runs: Vec<Run>,
}

fn main() -> ExitCode {
    if lines::is_producer() {
        lines::produce();
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::parse();
    let mut is_whole = true;
    for programs in &arguments.programs {
        let load = Load { programs: *programs, lines: arguments.lines / programs, bytes: arguments.bytes };
        is_whole &= compare(&arguments, load);
    }
    if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints one table; whether no line was lost.
fn compare(arguments: &Arguments, load: Load) -> bool {
    let all: [(&str, Carry); 3] =
        [("dyno", ours::run), ("rsyslog", rsyslog::run), ("journald", journald::run)];
    let chosen = all.into_iter().filter(|(name, _)| arguments.only.iter().any(|only| only == name));
    let mut contenders: Vec<_> =
        chosen.map(|(name, run)| Contender { name, run, runs: Vec::new() }).collect();
    for _ in 0..arguments.rounds {
        for contender in &mut contenders {
            contender.runs.extend((contender.run)(load));
        }
    }
    println!(
        "\n{} lines of {} bytes by {} programs, medians of {} runs",
        load.total(),
        load.bytes,
        load.programs,
        arguments.rounds
    );
    println!("  {:<10} {:>12} {:>14} {:>10}", "", "lines/s", "CPU us/line", "lost");
    let mut is_whole = true;
    for Contender { name, runs, .. } in &contenders {
        if runs.is_empty() {
            println!("  {name:<10} {:>12}", "not here");
            continue;
        }
        let rate = median(runs.iter().map(|run| load.total() as f64 / run.took.as_secs_f64()));
        let cpu = median(runs.iter().map(|run| run.cpu.as_secs_f64() * 1e6 / load.total() as f64));
        let lost: u64 = runs.iter().map(|run| run.found.lost(load)).sum();
        is_whole &= lost == 0;
        println!("  {name:<10} {rate:>12.0} {cpu:>14.2} {lost:>10}");
    }
    is_whole
}
