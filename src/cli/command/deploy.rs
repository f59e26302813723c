//! `dyno deploy`

use std::path::{Path, PathBuf};

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::archive::{body_of, of_directory};
use crate::cli::command::builds_output;
use crate::cli::command::releases_output::follow;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::wire::api::{App, Build, CreateBuild, NewBuildpack, NewSourceBlob, Release, Source};

/// Build and release the files of a directory, without git
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// Directory with the app
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Address of an archive to build instead of a directory
    #[arg(long, value_name = "URL", conflicts_with = "dir")]
    source_url: Option<String>,
    /// Checksum that the archive must have: SHA256: and its digits
    #[arg(long, value_name = "CHECKSUM", requires = "source_url")]
    checksum: Option<String>,
    /// What the version of the source is called
    #[arg(long, value_name = "NAME")]
    version_name: Option<String>,
    /// Buildpack for this build alone; several in their order
    #[arg(long, value_name = "BUILDPACK")]
    buildpack: Vec<String>,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let url = match self.source_url {
            Some(url) => url,
            None => {
                // Before all is sent: it may be misspelled.
                let _: App = context.client.get(&format!("/apps/{app}")).await?;
                sent(context, &self.dir).await?
            }
        };
        let source = NewSourceBlob {
            url,
            checksum: self.checksum,
            version: self.version_name,
            version_description: None,
        };
        let build = started(context, &app, source, &self.buildpack).await?;
        followed(context, &app, &build).await
    }
}

/// Begins the build of a source; without buildpacks with those of the app.
pub(super) async fn started(
    context: &Context,
    app: &str,
    source_blob: NewSourceBlob,
    buildpacks: &[String],
) -> Result<Build, Failure> {
    let named = |name: &String| NewBuildpack { url: Some(name.clone()), name: None };
    let buildpacks: Vec<_> = buildpacks.iter().map(named).collect();
    let body = CreateBuild { source_blob, buildpacks: (!buildpacks.is_empty()).then_some(buildpacks) };
    context.client.send_json(Method::POST, &format!("/apps/{app}/builds"), &body).await
}

/// Sends the files of a directory, and tells where they are.
pub(super) async fn sent(context: &Context, dir: &Path) -> Result<String, Failure> {
    // Before anything is asked for: a directory that is none needs no place.
    let archive = of_directory(dir)?;
    let sending = async {
        let source: Source = context.client.call(Method::POST, "/sources").await?;
        context.client.put(&source.source_blob.put_url, body_of(archive, "tar")?).await?;
        Ok(source.source_blob.get_url)
    };
    output::action("Sending the source", sending, |_| None).await
}

/// Shows a build to its end, and that of its release command; fails if it does.
pub(super) async fn followed(context: &Context, app: &str, build: &Build) -> Result<(), Failure> {
    tokio::select! {
        shown = builds_output::show(context, &build.output_stream_url) => shown?,
        _ = tokio::signal::ctrl_c() => {
            return Err(Failure::BuildGoesOn { app: app.to_owned(), build: build.id });
        }
    }
    let ended: Build = context.client.get(&format!("/apps/{app}/builds/{}", build.id)).await?;
    let Some(made) = ended.release.as_ref().filter(|_| ended.status == "succeeded") else {
        return Err(Failure::Build { app: app.to_owned(), build: build.id });
    };
    if context.node.json {
        output::json(&ended)?;
    }
    let release: Release = context.client.get(&format!("/apps/{app}/releases/{}", made.id)).await?;
    follow(context, app, &release).await
}
