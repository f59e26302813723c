//! `dyno ci`, `ci:info` and `ci:last`: test runs of a pipeline

use std::process::ExitCode;

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::builds_output;
use crate::cli::command::pipelines::{path, place_of};
use crate::cli::failure::Failure;
use crate::cli::output::{self, columns, heading};
use crate::wire::api::{CreateTestRun, Named, Pipeline, TestNode, TestRun};

/// How many runs are listed, the newest.
const LISTED_MAX: usize = 15;
/// How many characters of a commit are shown.
const COMMIT_CHARS: usize = 7;
/// The range of the newest run.
const NEWEST: &str = "number ..; order=desc,max=1";
/// How often it is asked whether tests go on, at most: the node answers when there is news, or after a second, and no run
/// takes a day.
const LOOKS_MAX: u32 = 24 * 60 * 60;

/// Show the newest test runs of a pipeline
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    pipeline: PipelineArgs,
}

/// Show what a test run said and how it ended; the exit status is that of the tests
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct InfoArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// Number of the test run
    #[arg(value_name = "NUMBER")]
    number: u64,
}

/// The same of the newest test run
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct LastArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
}

/// Names the pipeline.
#[derive(Debug, clap::Args)]
pub(super) struct PipelineArgs {
    #[command(flatten)]
    pub(super) app: AppArgs,
    /// Name of the pipeline [default: the one that the app is in]
    #[arg(short, long, value_name = "PIPELINE")]
    pub(super) pipeline: Option<String>,
}

impl PipelineArgs {
    /// The pipeline that is named, or that the app is in.
    pub(super) async fn find(&self, context: &Context) -> Result<Named, Failure> {
        match &self.pipeline {
            Some(name) => {
                let found: Pipeline = context.client.get(&path(name)).await?;
                Ok(Named { id: found.id, name: found.name })
            }
            None => Ok(place_of(context, &self.app.name()?).await?.pipeline),
        }
    }
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let pipeline = self.pipeline.find(context).await?;
        let range = format!("number ..; order=desc,max={LISTED_MAX}");
        let runs: Vec<TestRun> = context.client.get_range(&runs_path(&pipeline), &range).await?;
        if context.node.json {
            return output::json(&runs);
        }
        output::data(&rendered(&pipeline.name, &runs))
    }
}

impl InfoArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let pipeline = self.pipeline.find(context).await?;
        let run: TestRun = numbered(context, &pipeline, self.number).await?;
        shown(context, run).await
    }
}

impl LastArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let pipeline = self.pipeline.find(context).await?;
        let newest = newest(context, &pipeline).await?;
        shown(context, newest).await
    }
}

fn runs_path(pipeline: &Named) -> String {
    format!("{}/test-runs", path(&pipeline.id.to_string()))
}

/// The run of that number.
pub(super) async fn numbered(context: &Context, pipeline: &Named, number: u64) -> Result<TestRun, Failure> {
    context.client.get(&format!("{}/{number}", runs_path(pipeline))).await
}

/// The newest run; that there is none is a failure.
pub(super) async fn newest(context: &Context, pipeline: &Named) -> Result<TestRun, Failure> {
    let runs: Vec<TestRun> = context.client.get_range(&runs_path(pipeline), NEWEST).await?;
    let none = || Failure::Nothing(format!("The {} pipeline has no test runs.", pipeline.name));
    runs.into_iter().next().ok_or_else(none)
}

/// Begins a run of a source that was sent, and shows it to its end.
pub(super) async fn started(context: &Context, body: &CreateTestRun) -> Result<ExitCode, Failure> {
    let run = context.client.send_json::<TestRun>(Method::POST, "/test-runs", body);
    let run = output::action("Starting test run", run, |run| Some(format!("#{}", run.number))).await?;
    let number = run.number;
    let pipeline = run.pipeline.name.clone();
    tokio::select! {
        ended = shown(context, run) => ended,
        _ = tokio::signal::ctrl_c() => Err(Failure::TestsGoOn { pipeline, number }),
    }
}

/// Shows what a run says to its end, and how that came; the exit status is that of the tests.
async fn shown(context: &Context, run: TestRun) -> Result<ExitCode, Failure> {
    let nodes: Vec<TestNode> = context.client.get(&format!("/test-runs/{}/test-nodes", run.id)).await?;
    for node in &nodes {
        builds_output::show(context, &node.setup_stream_url).await?;
        builds_output::show(context, &node.output_stream_url).await?;
    }
    let mut ended = run;
    for _ in 0..LOOKS_MAX {
        ended = numbered(context, &ended.pipeline, ended.number).await?;
        if !matches!(ended.status.as_str(), "pending" | "building" | "running") {
            break;
        }
    }
    let nodes: Vec<TestNode> = context.client.get(&format!("/test-runs/{}/test-nodes", ended.id)).await?;
    if context.node.json {
        output::json(&ended)?;
    } else {
        output::data(&format!("\n{}\n", line(&ended)))?;
    }
    let told = nodes.first().and_then(|node| node.exit_code);
    let status = told.unwrap_or_else(|| u8::from(ended.status != "succeeded"));
    Ok(ExitCode::from(status))
}

/// `✓ #1 main:b157aa6 succeeded`.
fn line(run: &TestRun) -> String {
    let short: String = run.commit_sha.chars().take(COMMIT_CHARS).collect();
    let message = run.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
    format!("{} #{} {}:{short} {}{message}", sign(&run.status), run.number, run.commit_branch, run.status)
}

fn sign(status: &str) -> &'static str {
    match status {
        "succeeded" => "\u{2713}",
        "failed" => "\u{2717}",
        "errored" | "cancelled" => "!",
        _ => "-",
    }
}

fn rendered(pipeline: &str, runs: &[TestRun]) -> String {
    let head = heading(&format!("Showing latest test runs for the {pipeline} pipeline"));
    if runs.is_empty() {
        return format!("The {pipeline} pipeline has no test runs.\n");
    }
    let row = |run: &TestRun| {
        let short = run.commit_sha.chars().take(COMMIT_CHARS).collect();
        let sign = sign(&run.status).to_owned();
        vec![sign, run.number.to_string(), run.commit_branch.clone(), short, run.status.clone()]
    };
    head + &columns(&runs.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod test {
    use uuid::Uuid;

    use super::*;
    use crate::wire::api::UserRef;

    #[test]
    fn runs_are_listed_and_told_as_the_platform_does() {
        let run = |number, status: &str| TestRun {
            actor_email: String::new(),
            app_setup: None,
            clear_cache: true,
            commit_branch: "main".to_owned(),
            commit_message: "A change".to_owned(),
            commit_sha: "b157aa6f".repeat(5),
            created_at: String::new(),
            debug: false,
            dyno: None,
            id: Uuid::nil(),
            message: (status == "cancelled").then(|| "Cancelled by me@example.com.".to_owned()),
            number,
            organization: None,
            pipeline: Named { id: Uuid::nil(), name: "example".to_owned() },
            source_blob_url: String::new(),
            status: status.to_owned(),
            updated_at: String::new(),
            user: UserRef { email: String::new(), id: Uuid::nil() },
            warning_message: None,
        };
        let runs = [run(10, "succeeded"), run(9, "failed"), run(8, "cancelled")];
        let lines: String = runs.iter().map(|run| line(run) + "\n").collect();
        insta::assert_snapshot!(rendered("example", &runs) + &lines, @r"
        === Showing latest test runs for the example pipeline

        ✓  10  main  b157aa6  succeeded
        ✗  9   main  b157aa6  failed
        !  8   main  b157aa6  cancelled
        ✓ #10 main:b157aa6 succeeded
        ✗ #9 main:b157aa6 failed
        ! #8 main:b157aa6 cancelled: Cancelled by me@example.com.
        ");
        assert_eq!(rendered("example", &[]), "The example pipeline has no test runs.\n");
    }
}
