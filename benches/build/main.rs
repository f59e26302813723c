//! What a push costs from `git push` to the first answer, beside the bare package manager; and what a build costs those who use an
//! app meanwhile: `cargo bench --bench build -- --help`, and `benches/README.md`. Root, and a built stack.
#![allow(unreachable_pub, clippy::allow_attributes, reason = "a program exports nothing")]
#![allow(dead_code, reason = "not every bench uses all that benches share")]
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

mod bare;
mod neighbour;
mod push;

#[path = "../measure.rs"]
mod measure;
#[path = "../deploy/requests.rs"]
mod requests;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use crate::support::node::TestNode;

/// Pushes of the Python and Node.js samples in phases, beside the bare package manager; and a loaded app while a build that eats
/// processors and memory runs beside it
#[derive(Debug, Parser)]
struct Arguments {
    /// First pushes of each sample, each of a new app with an empty cache
    #[arg(long, default_value_t = 3)]
    first: usize,
    /// Cached pushes of each sample, each with one changed line
    #[arg(long, default_value_t = 10)]
    cached: usize,
    /// Requests a second of the loaded app
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// How long the loaded app is watched, alone and beside the build, seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Which: push, neighbour
    #[arg(long, value_delimiter = ',', default_values_t = ["push", "neighbour"].map(str::to_owned))]
    only: Vec<String>,
    /// Cargo says so
    #[arg(long, hide = true)]
    bench: bool,
}

/// The loaded app.
const APP: &str = "loaded";
/// A node has this index, beside those of people and of tests.
const NUMBER: u32 = 7;
/// Our own part of a cached push, from the accepted pack to the first answer: what is aimed at, seconds.
const OVERHEAD_AIM_S: f64 = 1.5;
/// How much worse the slowest hundredth of requests may be beside a build: what is aimed at, in per cent.
const NEIGHBOUR_AIM_PERCENT: f64 = 10.0;

/// A sample and what its bare installation is.
pub struct Sample {
    /// `python`.
    pub name: &'static str,
    /// The file whose line changes from push to push, and what it holds of what the app answers.
    pub changes: (&'static str, &'static str),
    /// Installs what the sample needs in a directory with its files; the cache lies in `$CACHE`.
    pub bare: &'static str,
}

const SAMPLES: &[Sample] = &[
    Sample {
        name: "python",
        changes: ("app.py", "Hello"),
        bare: "rm -rf venv && python3 -m venv --without-pip venv && \
               python3 -m pip --python venv/bin/python install --quiet --no-compile --no-input --disable-pip-version-check \
               --cache-dir \"$CACHE\" --requirement requirements.txt",
    },
    Sample {
        name: "nodejs",
        changes: ("index.js", "Hello"),
        bare: "rm -rf node_modules && npm ci --silent --no-audit --no-fund --prefer-offline --cache \"$CACHE\"",
    },
];

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let has = |part: &str| arguments.only.iter().any(|name| name == part);
    let node = TestNode::configured("bench-build", NUMBER, "[dynos]\nmemory_check = false\n");
    let mut reached = true;
    if has("push") {
        for sample in SAMPLES {
            reached &= push::measure(&node, sample, &arguments);
        }
    }
    if has("neighbour") {
        reached &= neighbour::measure(&node, &arguments);
    }
    if reached { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}
