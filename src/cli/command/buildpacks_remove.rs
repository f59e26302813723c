//! `dyno buildpacks:remove`

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::buildpacks::{installed, names, place, plain, replace};
use crate::cli::failure::Failure;
use crate::cli::output::shown_app;

/// Remove a buildpack from those of an app
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// Which one
    #[arg(required_unless_present = "index", conflicts_with = "index")]
    buildpack: Option<String>,
    /// Which of the list, from 1
    #[arg(short, long, value_name = "N")]
    index: Option<usize>,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let mut list = names(&installed(context, &app).await?);
        if list.is_empty() {
            let none = format!(
                "No buildpacks were found. Next release on {} will detect buildpacks normally.",
                shown_app(&app)
            );
            return Err(Failure::Usage(none));
        }
        let wanted = self.buildpack.as_deref().map(plain);
        let found = match (wanted, place(self.index)?) {
            (Some(wanted), _) => list.iter().position(|name| name == wanted),
            (None, at) => at.filter(|at| *at < list.len()),
        };
        let found = found.ok_or_else(|| {
            let names = list.iter().enumerate().map(|(n, name)| format!("\n  {}. {name}", n + 1));
            Failure::Usage(format!("Buildpack not found. The app has:{}", names.collect::<String>()))
        })?;
        list.remove(found);
        replace(context, &app, list, "removed").await
    }
}
