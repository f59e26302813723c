//! `dyno ci:run`

use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use hyper::body::Incoming;
use tokio::process::Command;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::archive::{body_of, of_directory};
use crate::cli::client::next_chunk;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::wire::api::{TestVerdict, VERDICT_MARK};

/// Run the tests of a directory's files, as its app.json and its buildpack say; the exit status is theirs
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// Directory with the app
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let app = self.app.name()?;
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

/// The commit that a directory is at, where it is a repository.
async fn commit(dir: &Path) -> Option<String> {
    let mut git = Command::new("git");
    git.arg("-C").arg(dir).args(["rev-parse", "--verify", "--quiet", "HEAD"]);
    let told = git.stdin(Stdio::null()).stderr(Stdio::null()).output().await.ok()?;
    let text = String::from_utf8(told.stdout).ok()?.trim().to_owned();
    let is_commit = text.len() >= 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    (told.status.success() && is_commit).then_some(text)
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
