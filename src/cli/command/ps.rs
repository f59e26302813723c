//! `dyno ps`

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Now, heading, shown_app};
use crate::wire::api::Dyno;

/// The process type of one-off dynos.
const ONE_OFF: &str = "run";

/// List the dynos of an app
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// Process types to list; all when left out
    #[arg(value_name = "TYPE")]
    types: Vec<String>,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let name = self.app.name()?;
        let mut dynos: Vec<Dyno> = context.client.get(&format!("/apps/{name}/dynos")).await?;
        if !self.types.is_empty() {
            dynos.retain(|dyno| self.types.contains(&dyno.process_type));
        }
        match (context.node.json, dynos.is_empty(), self.types.as_slice()) {
            (true, ..) => output::json(&dynos),
            (false, true, []) => output::data(&format!("No dynos on {}\n", shown_app(&name))),
            (false, true, types) => {
                let types = types.join(", ");
                Err(Failure::Nothing(format!("No {types} dynos on {}", shown_app(&name))))
            }
            (false, false, _) => output::data(&rendered(dynos, &Now::here())),
        }
    }
}

/// One-off dynos first, the others in groups of one command, in the order of their names.
fn rendered(mut dynos: Vec<Dyno>, now: &Now) -> String {
    dynos.sort_by_key(|dyno| (dyno.process_type != ONE_OFF, sort_key(&dyno.name)));
    let (one_offs, others): (Vec<_>, Vec<_>) = dynos.iter().partition(|dyno| dyno.process_type == ONE_OFF);
    let mut text = String::new();
    // Writing to a String cannot fail.
    if !one_offs.is_empty() {
        text.push_str(&heading(&format!("{ONE_OFF}: one-off processes ({})", one_offs.len())));
        for dyno in &one_offs {
            let (size, at) = (&dyno.size, now.ago(&dyno.updated_at));
            let _ = writeln!(text, "{} ({size}): {} {at}: {}", dyno.name, dyno.state, dyno.command);
        }
        text.push('\n');
    }
    let switching = switching(&others);
    let mut groups: Vec<(&str, Vec<&Dyno>)> = Vec::new();
    for dyno in others {
        match groups.iter_mut().find(|(command, _)| *command == dyno.command) {
            Some((_, group)) => group.push(dyno),
            None => groups.push((&dyno.command, vec![dyno])),
        }
    }
    for (command, group) in groups {
        let (process_type, size) = (&group[0].process_type, &group[0].size);
        // While a dyno is replaced there are two of its name.
        let count = group.iter().map(|dyno| &dyno.name).collect::<BTreeSet<_>>().len();
        text.push_str(&heading(&format!("{process_type} ({size}): {command} ({count})")));
        for dyno in group {
            let at = now.ago(&dyno.updated_at);
            let release = if switching.contains(&dyno.process_type.as_str()) {
                format!(", v{}", dyno.release.version)
            } else {
                String::new()
            };
            let _ = writeln!(text, "{}: {} {at}{release}", dyno.name, dyno.state);
        }
        text.push('\n');
    }
    text
}

/// The process types of which dynos of several releases run, as while a new one boots behind the old.
fn switching<'a>(dynos: &[&'a Dyno]) -> BTreeSet<&'a str> {
    let mut releases = BTreeMap::<&str, BTreeSet<u64>>::new();
    for dyno in dynos {
        releases.entry(&dyno.process_type).or_default().insert(dyno.release.version);
    }
    releases.into_iter().filter(|(_, releases)| releases.len() > 1).map(|(name, _)| name).collect()
}

/// `web.10` comes after `web.9`.
fn sort_key(name: &str) -> (String, u64) {
    let (process_type, index) = name.rsplit_once('.').unwrap_or((name, ""));
    (process_type.to_owned(), index.parse().unwrap_or(0))
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::cli::output::test::now;

    fn dyno(name: &str, state: &str, command: &str, updated_at: &str) -> Dyno {
        let (process_type, _) = name.split_once('.').unwrap();
        let body = serde_json::json!({
            "attach_url": null, "command": command, "created_at": updated_at, "id": uuid::Uuid::nil(),
            "name": name, "release": {"id": uuid::Uuid::nil(), "version": 3},
            "app": {"id": uuid::Uuid::nil(), "name": "example"}, "size": "Standard-1X", "state": state,
            "type": process_type, "updated_at": updated_at,
        });
        serde_json::from_value(body).unwrap()
    }

    #[test]
    fn while_a_release_boots_behind_another_each_dyno_is_shown_with_its_own() {
        let mut new = dyno("web.1", "starting", "npm start", "2026-11-18T01:59:59Z");
        new.release.version = 4;
        let worker = dyno("worker.1", "up", "npm run work", "2026-11-18T01:59:59Z");
        let dynos = vec![dyno("web.1", "up", "npm start", "2026-11-18T01:55:00Z"), new, worker];
        insta::assert_snapshot!(rendered(dynos, &now()), @r"
        === web (Standard-1X): npm start (1)

        web.1: up 2026/11/18 01:55:00 +0000 (~ 5m ago), v3
        web.1: starting 2026/11/18 01:59:59 +0000 (~ 1s ago), v4

        === worker (Standard-1X): npm run work (1)

        worker.1: up 2026/11/18 01:59:59 +0000 (~ 1s ago)
        ");
    }

    #[test]
    fn dynos_are_grouped_by_command_and_sorted_by_number() {
        let dynos = vec![
            dyno("web.10", "up", "npm start", "2026-11-18T01:55:00Z"),
            dyno("worker.1", "starting", "npm run work", "2026-11-18T01:59:59Z"),
            dyno("web.2", "crashed", "npm start", "2026-11-18T01:59:40Z"),
            dyno("run.9157", "up", "bash", "2026-11-18T01:00:00Z"),
        ];
        insta::assert_snapshot!(rendered(dynos, &now()), @r"
        === run: one-off processes (1)

        run.9157 (Standard-1X): up 2026/11/18 01:00:00 +0000 (~ 1h ago): bash

        === web (Standard-1X): npm start (2)

        web.2: crashed 2026/11/18 01:59:40 +0000 (~ 20s ago)
        web.10: up 2026/11/18 01:55:00 +0000 (~ 5m ago)

        === worker (Standard-1X): npm run work (1)

        worker.1: starting 2026/11/18 01:59:59 +0000 (~ 1s ago)
        ");
    }
}
