//! `dyno builds:info`

use std::fmt::Write as _;

use crate::cli::Context;
use crate::cli::command::builds::BuildArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Now, heading, pairs};
use crate::wire::api::Build;

/// Show one build, and how long its phases took
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    build: BuildArgs,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (_, build) = self.build.find(context).await?;
        if context.node.json { output::json(&build) } else { output::data(&rendered(&build, &Now::here())) }
    }
}

fn rendered(build: &Build, now: &Now) -> String {
    let names: Vec<&str> =
        build.buildpacks.iter().map(|one| one.name.as_deref().unwrap_or(&one.url)).collect();
    let buildpacks = names.join(", ");
    let version = build.source_blob.version.clone().unwrap_or_default();
    let when = now.ago(&build.created_at);
    let rows = [
        ("Buildpacks", buildpacks.as_str()),
        ("By", &build.user.email),
        ("Source", &build.source_blob.url),
        ("Stack", &build.stack),
        ("Status", &build.status),
        ("Version", &version),
        ("When", &when),
    ];
    let id = build.id;
    let mut text =
        heading(&format!("Build {id}")) + &pairs(rows.into_iter().filter(|(_, value)| !value.is_empty()));
    if !build.timings.is_empty() {
        let width = build.timings.iter().map(|timing| timing.phase.len()).max().unwrap_or_default();
        text.push('\n');
        text.push_str(&heading("Phases"));
        for timing in &build.timings {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{:width$}  {}.{:03} s", timing.phase, timing.ms / 1000, timing.ms % 1000);
        }
    }
    text
}

#[cfg(test)]
mod test {
    use uuid::Uuid;

    use super::*;
    use crate::cli::output::test::now;
    use crate::wire::api::{BuildTiming, BuildpackRef, ById, SourceBlob, UserRef};

    #[test]
    fn a_build_reads_as_its_record_says() {
        let build = Build {
            app: ById { id: Uuid::nil() },
            buildpacks: vec![BuildpackRef {
                url: "heroku/go".to_owned(),
                name: Some("heroku/go".to_owned()),
            }],
            created_at: "2026-11-18T01:59:00Z".to_owned(),
            generation: "cedar".to_owned(),
            id: Uuid::nil(),
            output_stream_url: String::new(),
            release: None,
            slug: None,
            source_blob: SourceBlob {
                checksum: None,
                url: String::new(),
                version: Some("v1.3.0".to_owned()),
                version_description: None,
            },
            stack: "cedar-13".to_owned(),
            status: "succeeded".to_owned(),
            timings: [("prepare", 1024), ("compile", 62_000)]
                .map(|(phase, ms)| BuildTiming { phase: phase.to_owned(), ms })
                .to_vec(),
            updated_at: "2026-11-18T01:59:00Z".to_owned(),
            user: UserRef { email: "me@example.com".to_owned(), id: Uuid::nil() },
        };
        insta::assert_snapshot!(rendered(&build, &now()), @r"
        === Build 00000000-0000-0000-0000-000000000000

        Buildpacks: heroku/go
        By:         me@example.com
        Stack:      cedar-13
        Status:     succeeded
        Version:    v1.3.0
        When:       2026/11/18 01:59:00 +0000 (~ 1m ago)

        === Phases

        prepare  1.024 s
        compile  62.000 s
        ");
    }
}
