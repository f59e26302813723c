//! What every command says: help, data, progress, failures and exit status, held by golden files.
//!
//! One file of `golden` a command. Where a text is meant to change, `INSTA_UPDATE=always INSTA_FORCE_PASS=1 cargo test --test cli`
//! writes the files anew, and the difference is read by eye.
#![allow(unreachable_pub, reason = "a test exports nothing")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test a panic is how a failure is told"
)]

mod calls;
mod stage;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use futures_util::stream::{self, StreamExt as _};
use regex::{Captures, Regex};

use calls::{Calls, calls};
use stage::{Called, Stage};

/// Nodes at a time: each waits for its disk most of the time.
const STAGES: usize = 4;
/// Longer texts are other programs' scripts, of which the beginning is enough.
const LINES_MAX: usize = 200;
const LINES_OF_LONGER: usize = 3;
/// In a call each stands for the identity of the first of what its command lists.
const IDENTITIES: [(&str, &[&str]); 3] = [
    ("AUTHORIZATION", &["authorizations", "--json"]),
    ("WEBHOOK", &["webhooks", "-a", "example", "--json"]),
    ("DELIVERY", &["webhooks:deliveries", "-a", "example", "--json"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_command_says_what_its_golden_file_says() {
    let told = stream::iter(commands()).map(|command| async {
        let told = told(&command).await;
        (command, told)
    });
    let told: Vec<_> = told.buffer_unordered(STAGES).collect().await;
    let mut differing = Vec::new();
    for (command, told) in told {
        let held = std::panic::catch_unwind(|| {
            insta::with_settings!({
                snapshot_path => "golden", prepend_module_to_snapshot => false, omit_expression => true,
            }, { insta::assert_snapshot!(file_of(&command), told) });
        });
        if held.is_err() {
            differing.push(command);
        }
    }
    assert!(differing.is_empty(), "these say something else than their golden files: {differing:?}");
}

#[test]
fn every_golden_file_is_of_a_command_and_every_call_too() {
    let commands = commands();
    let names: BTreeSet<String> = commands.iter().map(|command| file_of(command)).collect();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/golden");
    for entry in std::fs::read_dir(dir).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            file.strip_suffix(".snap").is_some_and(|name| names.contains(name)),
            "{file} is of no command"
        );
    }
    for command in calls::named() {
        assert!(commands.iter().any(|known| known == command), "there is no command {command}");
    }
}

/// The name of a command's golden file.
fn file_of(command: &str) -> String {
    command.replace([' ', ':'], ".")
}

/// Every command of the grammar, hidden ones and those of several forms included, and the program itself.
fn commands() -> Vec<String> {
    let grammar = dyno::cli::grammar(&dyno::daemon::roles());
    let mut commands = vec![calls::PROGRAM.to_owned()];
    for command in grammar.get_subcommands() {
        commands.push(command.get_name().to_owned());
        let forms =
            command.get_subcommands().map(|form| format!("{} {}", command.get_name(), form.get_name()));
        commands.extend(forms);
    }
    commands
}

/// All that a command says: its help, and what comes of its calls on a fresh node.
async fn told(command: &str) -> String {
    let stage = Stage::open().await;
    let mut told = String::new();
    let words = command.split(' ').filter(|word| *word != calls::PROGRAM);
    let help: Vec<&str> = words.chain(["--help"]).collect();
    shown(&mut told, &stage, &help).await;
    match calls(command) {
        Calls::Made(calls) => {
            for call in calls {
                shown(&mut told, &stage, call).await;
            }
        }
        Calls::None(why) => {
            // Writing to a String cannot fail.
            let _ = writeln!(told, "Not called here: {why}.");
        }
    }
    told
}

async fn shown(told: &mut String, stage: &Stage, call: &[&str]) {
    let quoted = |word: &&str| if word.contains(' ') { format!("'{word}'") } else { (*word).to_owned() };
    let line = call.iter().map(quoted).collect::<Vec<_>>().join(" ");
    let Called { status, out, err } = match call {
        ["git", words @ ..] => {
            let _ = writeln!(told, "$ {line}");
            stage.git(words).await
        }
        words => {
            let _ = writeln!(told, "$ {}", format!("dyno {line}").trim_end());
            let mut called = Vec::with_capacity(words.len());
            for word in words {
                called.push(match IDENTITIES.iter().find(|(stands, _)| stands == word) {
                    Some((_, lists)) => stage.first_id(lists).await,
                    None => (*word).to_owned(),
                });
            }
            stage.call(&called.iter().map(String::as_str).collect::<Vec<_>>()).await
        }
    };
    for (stream, text) in [("stdout", out), ("stderr", err)] {
        if text.is_empty() {
            continue;
        }
        let _ = writeln!(told, "--- {stream}");
        let text = stable(&text, stage.dir.path());
        if text.lines().count() > LINES_MAX {
            let beginning: Vec<_> = text.lines().take(LINES_OF_LONGER).collect();
            let _ = writeln!(told, "{}\n<and so on>", beginning.join("\n"));
        } else {
            told.push_str(&text);
            told.push_str(if text.ends_with('\n') { "" } else { "<no line end>\n" });
        }
    }
    let _ = writeln!(told, "--- status {status}\n");
}

/// The text without what differs from call to call: places, identities, times, secrets.
fn stable(text: &str, dir: &Path) -> String {
    let text = text.replace(dir.to_str().unwrap(), "<dir>");
    let replaced = [
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<id>"),
        (r"\b[0-9a-f]{32,128}\b", "<hex>"),
        (r"\bdyno-[0-9a-f]{4}\*+", "dyno-<token>"),
        (r"Password: \w+", "Password: <password>"),
        (r"(?m)^[0-9a-f]{8}  ", "<id>  "),
        (r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d [+-]\d{4}( \(~ \d+[smh] ago\))?", "<time>"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", "<time>"),
        (r"\b(run|scheduler|release)\.\d{4}\b", "$1.<number>"),
        (r"dyno/\d+\.\d+\.\d+ [\w-]+", "dyno/<version> <machine>"),
        (r"(?m)^dyno \d+\.\d+\.\d+$", "dyno <version>"),
    ];
    replaced.iter().fold(text, |text, (pattern, by)| {
        let by = |found: &Captures<'_>| {
            let mut replaced = String::new();
            found.expand(by, &mut replaced);
            replaced
        };
        Regex::new(pattern).unwrap().replace_all(&text, by).into_owned()
    })
}
