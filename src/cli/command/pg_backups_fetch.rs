//! `dyno pg:backups:url` and `download`

use std::path::PathBuf;

use hyper::Method;

use crate::cli::Context;
use crate::cli::command::pg_backups::{BackupArgs, transfer_path};
use crate::cli::download::to_new_file;
use crate::cli::failure::Failure;
use crate::cli::output::{self, megabytes};
use crate::wire::api::{DataTransfer, PublicUrl};

/// What a downloaded backup is called.
const DOWNLOAD: &str = "latest.dump";

/// Show an address under which a backup can be read for an hour
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct UrlArgs {
    #[command(flatten)]
    backup: BackupArgs,
}

/// Copy a backup into a file here
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DownloadArgs {
    #[command(flatten)]
    backup: BackupArgs,
    /// File to write, which must not be there
    #[arg(short, long, value_name = "FILE", default_value = DOWNLOAD)]
    output: PathBuf,
}

impl UrlArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (app, found) = self.backup.find(context).await?;
        output::data(&format!("{}\n", url(context, &app, &found).await?.url))
    }
}

impl DownloadArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (app, found) = self.backup.find(context).await?;
        let url = url(context, &app, &found).await?.url;
        let text = format!("Getting {} into {}", found.name, self.output.display());
        let got = to_new_file(context, &url, &self.output, found.digest.as_deref());
        output::action(&text, got, |bytes| Some(megabytes(*bytes))).await.map(drop)
    }
}

async fn url(context: &Context, app: &str, of: &DataTransfer) -> Result<PublicUrl, Failure> {
    context.client.call(Method::POST, &transfer_path(app, &of.name, "/actions/public-url")).await
}
