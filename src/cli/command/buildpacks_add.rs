//! `dyno buildpacks:add`

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::buildpacks::{installed, names, place, plain, replace};
use crate::cli::failure::Failure;

/// Add a buildpack to those of an app, at the end or at a place
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// A name such as heroku/nodejs, the address of a git repository (with #BRANCH, #TAG or #COMMIT) or of an archive,
    /// or an absolute path on the node
    buildpack: String,
    /// Where in the list, from 1
    #[arg(short, long, value_name = "N")]
    index: Option<usize>,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let mut list = names(&installed(context, &app).await?);
        let wanted = plain(&self.buildpack).to_owned();
        if list.contains(&wanted) {
            return Err(Failure::Usage(format!("The buildpack {wanted} is already set on your app.")));
        }
        let at = place(self.index)?.unwrap_or(list.len()).min(list.len());
        list.insert(at, wanted);
        replace(context, &app, list, "added").await
    }
}
