//! Pushes in phases, told apart by the headers that a pusher sees.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::measure::{median, until};
use crate::support::node::TestNode;
use crate::{Arguments, OVERHEAD_AIM_S, Sample, bare, example};

/// Where a phase begins: what the line holds, and what the phase is called. The first begins with the command.
const PHASES: &[(&str, &str)] = &[
    ("", "send"),
    ("Building source", "prepare"),
    ("app detected", "compile"),
    ("Discovering process types", "pack"),
    ("Launching...", "release"),
];

/// One push: seconds of each phase, and of the way from the end of the push to the first answer.
struct Push {
    phases: Vec<f64>,
    /// From the accepted pack to the first answer.
    served: f64,
    /// From the command to the first answer.
    whole: f64,
}

/// Measures a sample and prints its table: whether the aim is reached.
pub fn measure(node: &TestNode, sample: &Sample, arguments: &Arguments) -> bool {
    let mut first = Vec::new();
    let mut source = None;
    for number in 0..arguments.first.max(1) {
        let app = format!("{}-{number}", sample.name);
        let tree = node.app(&app, &example(sample.name));
        first.push(push(node, &app, &tree, sample.changes.1));
        source = Some((app, tree));
    }
    let (app, tree) = source.expect("there is a first push");
    let file = tree.join(sample.changes.0);
    let original = std::fs::read_to_string(&file).unwrap();
    let mut cached = Vec::new();
    for number in 0..arguments.cached {
        let word = format!("Greeting-{number}");
        std::fs::write(&file, original.replace(sample.changes.1, &word)).unwrap();
        node.commit(&tree);
        cached.push(push(node, &app, &tree, &word));
    }
    let bare = bare::measure(sample, arguments.cached.min(5));
    print(sample, &[("first", &first, bare.first), ("cached", &cached, bare.cached)]);
    if cached.is_empty() {
        return true;
    }
    let overhead = median(cached.iter().map(|push| push.served)) - bare.cached;
    let is_reached = overhead < OVERHEAD_AIM_S;
    let told = if is_reached { "reached" } else { "missed" };
    println!("our own part of a cached push: {overhead:.2} s (aim: {OVERHEAD_AIM_S} s, {told})\n");
    is_reached
}

fn push(node: &TestNode, app: &str, tree: &Path, word: &str) -> Push {
    let begun = Instant::now();
    let mut child = Command::new("git")
        .args(["push", "heroku", "main"])
        .env("GIT_TERMINAL_PROMPT", "0")
        .current_dir(tree)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut begins = vec![0.0];
    let mut said = String::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        if PHASES.get(begins.len()).is_some_and(|(mark, _)| line.contains(mark)) {
            begins.push(begun.elapsed().as_secs_f64());
        }
        said.push_str(&line);
        said.push('\n');
    }
    assert!(child.wait().unwrap().success(), "{said}");
    assert_eq!(begins.len(), PHASES.len(), "a header is missing in\n{said}");
    let pushed = begun.elapsed().as_secs_f64();
    until("the app answers", || {
        let (status, body) = node.get(app, "/");
        status == 200 && body.contains(word)
    });
    let whole = begun.elapsed().as_secs_f64();
    let accepted = begins[1];
    let ends = begins.iter().skip(1).copied().chain([pushed, whole]);
    let starts = begins.iter().copied().chain([pushed]);
    Push { phases: starts.zip(ends).map(|(from, to)| to - from).collect(), served: whole - accepted, whole }
}

/// A table: a row a phase, a column a kind of push; medians, in seconds.
fn print(sample: &Sample, kinds: &[(&str, &Vec<Push>, f64)]) {
    println!(
        "## {}: seconds, medians of {} first and {} cached pushes\n",
        sample.name,
        kinds[0].1.len(),
        kinds[1].1.len()
    );
    println!("| phase | {} |", kinds.iter().map(|(kind, ..)| *kind).collect::<Vec<_>>().join(" | "));
    println!("| --- |{}", " ---: |".repeat(kinds.len()));
    let row = |name: &str, figure: &dyn Fn(&Push) -> f64| {
        let cells = kinds.iter().map(|(_, pushes, _)| format!("{:.2}", median(pushes.iter().map(figure))));
        println!("| {name} | {} |", cells.collect::<Vec<_>>().join(" | "));
    };
    let names = PHASES.iter().map(|(_, name)| *name).chain(["first answer"]);
    for (index, name) in names.enumerate() {
        row(name, &|push| push.phases[index]);
    }
    row("accepted pack to first answer", &|push| push.served);
    row("all", &|push| push.whole);
    let bare: Vec<_> = kinds.iter().map(|(.., bare)| format!("{bare:.2}")).collect();
    println!("| the bare package manager | {} |\n", bare.join(" | "));
}
