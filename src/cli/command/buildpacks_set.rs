//! `dyno buildpacks:set`

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::buildpacks::{installed, names, place, plain, replace};
use crate::cli::failure::Failure;

/// Set the buildpack of an app, the first or the one at a place
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// A name such as heroku/nodejs, the address of a git repository (with #BRANCH, #TAG or #COMMIT) or of an archive,
    /// or an absolute path on the node
    buildpack: String,
    /// Which of the list, from 1
    #[arg(short, long, value_name = "N")]
    index: Option<usize>,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let mut list = names(&installed(context, &app).await?);
        let wanted = plain(&self.buildpack).to_owned();
        let at = place(self.index)?.unwrap_or(0);
        if list.iter().enumerate().any(|(index, name)| *name == wanted && index != at) {
            return Err(Failure::Usage(format!("The buildpack {wanted} is already set on your app.")));
        }
        match list.get_mut(at) {
            Some(place) => *place = wanted,
            None => list.push(wanted),
        }
        replace(context, &app, list, "set").await
    }
}
