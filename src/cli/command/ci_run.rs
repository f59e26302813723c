//! `dyno ci:run` and `ci:rerun`

use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use hyper::Method;
use hyper::body::Incoming;
use tokio::process::Command;

use crate::cli::Context;
use crate::cli::archive::{body_of, of_commit, of_directory};
use crate::cli::client::next_chunk;
use crate::cli::command::ci::{PipelineArgs, newest, numbered, started};
use crate::cli::command::deploy::sent;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::wire::api::{CreateTestRun, Named, Source, TestVerdict, VERDICT_MARK};

/// What a refusal names that says that an app is in no pipeline.
const COUPLING: &str = "pipeline_coupling";

/// Run the tests of a directory's files, as its app.json and its buildpack say; the exit status is theirs
///
/// The run is one of the pipeline that is named or that the app is in, and is kept: see ci:info. Of an app in no pipeline
/// nothing is kept.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// Directory with the app
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

/// Run the tests of a commit again; the exit status is theirs
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RerunArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// Number of the test run [default: the newest]
    #[arg(value_name = "NUMBER")]
    number: Option<u64>,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        match self.pipeline.find(context).await {
            Ok(pipeline) => self.recorded(context, &pipeline).await,
            Err(Failure::Refused(body)) if body.resource.as_deref() == Some(COUPLING) => {
                self.unrecorded(context).await
            }
            Err(failure) => Err(failure),
        }
    }

    /// A run of the pipeline's.
    async fn recorded(&self, context: &Context, pipeline: &Named) -> Result<ExitCode, Failure> {
        let url = sent(context, &self.dir).await?;
        let body = CreateTestRun {
            commit_branch: git(&self.dir, &["rev-parse", "--abbrev-ref", "HEAD"]).await.unwrap_or_default(),
            commit_message: git(&self.dir, &["log", "-1", "--format=%s"]).await.unwrap_or_default(),
            commit_sha: commit(&self.dir).await.unwrap_or_default(),
            pipeline: pipeline.id.to_string(),
            source_blob_url: url,
        };
        started(context, &body).await
    }

    /// A run for this caller alone.
    async fn unrecorded(&self, context: &Context) -> Result<ExitCode, Failure> {
        let app = self.pipeline.app.name()?;
        let archive = of_directory(&self.dir)?;
        let version = commit(&self.dir).await.map(|commit| format!("?version={commit}")).unwrap_or_default();
        let path = format!("/apps/{app}/test-runs{version}");
        let mut answer = context.client.push(&path, body_of(archive, "tar")?).await?;
        let verdict = followed(context, &mut answer).await?;
        if context.node.json {
            output::json(&verdict)?;
        }
        Ok(ExitCode::from(verdict.exit_code))
    }
}

impl RerunArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let pipeline = self.pipeline.find(context).await?;
        let earlier = match self.number {
            Some(number) => numbered(context, &pipeline, number).await?,
            None => newest(context, &pipeline).await?,
        };
        if !is_commit(&earlier.commit_sha) {
            let told = format!(
                "Test run #{} was not of a commit, so that there is nothing to run again: use `dyno ci:run`.",
                earlier.number
            );
            return Err(Failure::Nothing(told));
        }
        output::note(&format!("Rerunning test run #{}...\n", earlier.number));
        let archive = of_commit(&earlier.commit_sha)?;
        let sending = async {
            let source: Source = context.client.call(Method::POST, "/sources").await?;
            context.client.put(&source.source_blob.put_url, body_of(archive, "git")?).await?;
            Ok(source.source_blob.get_url)
        };
        let url = output::action("Sending the source", sending, |_| None).await?;
        let body = CreateTestRun {
            commit_branch: earlier.commit_branch,
            commit_message: earlier.commit_message,
            commit_sha: earlier.commit_sha,
            pipeline: pipeline.id.to_string(),
            source_blob_url: url,
        };
        started(context, &body).await
    }
}

/// What git says in a directory; nothing where that is no repository.
async fn git(dir: &Path, args: &[&str]) -> Option<String> {
    let mut git = Command::new("git");
    git.arg("-C").arg(dir).args(args);
    let told = git.stdin(Stdio::null()).stderr(Stdio::null()).output().await.ok()?;
    let text = String::from_utf8(told.stdout).ok()?.trim().to_owned();
    told.status.success().then_some(text)
}

/// The commit that a directory is at, where it is a repository.
async fn commit(dir: &Path) -> Option<String> {
    git(dir, &["rev-parse", "--verify", "--quiet", "HEAD"]).await.filter(|text| is_commit(text))
}

fn is_commit(text: &str) -> bool {
    text.len() >= 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Shows what the tests print; the verdict after its mark is the result.
async fn followed(context: &Context, answer: &mut Incoming) -> Result<TestVerdict, Failure> {
    let (mut verdict, mut is_over) = (Vec::new(), false);
    while let Some(chunk) = next_chunk(answer).await? {
        let (text, rest) = match chunk.iter().position(|byte| *byte == VERDICT_MARK) {
            _ if is_over => (&[][..], &chunk[..]),
            Some(at) => {
                is_over = true;
                (&chunk[..at], &chunk[at + 1..])
            }
            None => (&chunk[..], &[][..]),
        };
        // Data of `--json` has standard output for itself.
        if context.node.json {
            output::note_bytes(text);
        } else {
            output::bytes(text)?;
        }
        verdict.extend_from_slice(rest);
    }
    serde_json::from_slice(&verdict).map_err(|_| Failure::TestsCut)
}
