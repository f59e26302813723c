//! `dyno rollback`

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::releases::{newest_first, version};
use crate::cli::command::releases_output::follow;
use crate::cli::failure::Failure;
use crate::cli::output::{self, shown_app};
use crate::wire::api::{CreateRelease, Release, ReleaseName};

/// Go back to an earlier release, by making a new one of it
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// Version to go back to (v3); the one before the current when left out
    #[arg(value_name = "RELEASE")]
    release: Option<String>,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let releases = newest_first(context, &app).await?;
        let target = target(&releases, self.release.as_deref())?;
        let undo = releases.iter().find(|release| release.current).map(|release| release.version);
        let body = CreateRelease {
            release: Some(ReleaseName::Text(target.id.to_string())),
            ..CreateRelease::default()
        };
        let path = format!("/apps/{app}/releases");
        let made = context.client.send_json(Method::POST, &path, &body);
        let text = format!("Rolling back {} to v{}", shown_app(&app), target.version);
        let told = |release: &Release| Some(format!("v{}", release.version));
        let made: Release = output::action(&text, made, told).await?;
        let warn = |text: &str| output::note(&format!(" \u{203a}   Warning: {text}\n"));
        warn("Rollback affects code and config vars; it doesn't add or remove addons.");
        if let Some(version) = undo {
            warn(&format!("To undo, run: dyno rollback v{version}"));
        }
        if context.node.json {
            output::json(&made)?;
        }
        follow(context, &app, &made).await
    }
}

/// The named release, or the second of those that can be gone back to (the first is the current one).
fn target<'a>(releases: &'a [Release], name: Option<&str>) -> Result<&'a Release, Failure> {
    match name {
        Some(name) => {
            let version = version(name)?;
            let found = releases.iter().find(|release| release.version == version);
            found.ok_or_else(|| {
                Failure::Nothing(format!("There is no release v{version}: see `dyno releases`."))
            })
        }
        None => {
            let current = releases.iter().find(|release| release.current).map(|release| release.version);
            let earlier = |release: &&Release| {
                release.eligible_for_rollback && current.is_none_or(|current| release.version < current)
            };
            let nothing = || {
                Failure::Nothing(
                    "There is no earlier release to roll back to: see `dyno releases`.".to_owned(),
                )
            };
            releases.iter().find(earlier).ok_or_else(nothing)
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::cli::command::releases::test::release;

    #[test]
    fn the_default_target_is_the_last_good_release_before_the_current() {
        let releases = [
            release(5, "failed", "failed"),
            Release { current: true, ..release(4, "current", "succeeded") },
            release(3, "failed", "failed"),
            release(2, "good", "succeeded"),
        ];
        assert_eq!(target(&releases, None).unwrap().version, 2);
        assert_eq!(target(&releases, Some("v3")).unwrap().version, 3);
        assert_eq!(target(&releases, Some("4")).unwrap().version, 4);
        assert!(matches!(target(&releases, Some("v9")), Err(Failure::Nothing(_))));
        assert!(matches!(target(&releases, Some("vx")), Err(Failure::Usage(_))));
        assert!(matches!(target(&releases[..3], None), Err(Failure::Nothing(_))));
    }
}
