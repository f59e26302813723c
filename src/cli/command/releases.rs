//! `dyno releases`

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Now, columns, heading, shown_app};
use crate::wire::api::Release;

/// Show the releases of an app, newest first
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// Number of releases to show
    #[arg(short, long, default_value_t = 15, value_name = "COUNT")]
    num: usize,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let releases = newest_first(context, &app).await?;
        let current = releases.iter().find(|release| release.current).map(|release| release.version);
        let shown = &releases[..releases.len().min(self.num)];
        if context.node.json {
            return output::json(&shown);
        }
        output::data(&rendered(&app, shown, current, &Now::here()))
    }
}

/// Every release of an app.
pub(super) async fn newest_first(context: &Context, app: &str) -> Result<Vec<Release>, Failure> {
    let range = "version ..; order=desc,max=1000";
    let mut releases: Vec<Release> =
        context.client.get_range(&format!("/apps/{app}/releases"), range).await?;
    releases.sort_by_key(|release| std::cmp::Reverse(release.version));
    Ok(releases)
}

/// The release of that name (`v3`, `3`), or the newest.
pub(super) async fn named_or_newest(
    context: &Context,
    app: &str,
    name: Option<&str>,
) -> Result<Release, Failure> {
    match name {
        Some(name) => {
            let version = version(name)?;
            context.client.get(&format!("/apps/{app}/releases/{version}")).await
        }
        None => newest(context, app)
            .await?
            .ok_or_else(|| Failure::Nothing(format!("{} has no releases.", shown_app(app)))),
    }
}

/// The newest release of an app.
pub(super) async fn newest(context: &Context, app: &str) -> Result<Option<Release>, Failure> {
    let range = "version ..; order=desc,max=1";
    let releases: Vec<Release> = context.client.get_range(&format!("/apps/{app}/releases"), range).await?;
    Ok(releases.into_iter().max_by_key(|release| release.version))
}

/// A release as it is typed: `v3` or `3`.
pub(super) fn version(name: &str) -> Result<u64, Failure> {
    let version = name.strip_prefix('v').unwrap_or(name).parse();
    version.map_err(|_| Failure::Usage(format!("{name:?} is no release: name it by version, as v3.")))
}

/// What a release is, and how it fares where that is not well.
pub(super) fn change(release: &Release) -> String {
    let told = match release.status.as_str() {
        "pending" => " release command executing",
        "failed" => " release command failed",
        "expired" => " release expired",
        _ => "",
    };
    format!("{}{told}", release.description)
}

fn rendered(app: &str, releases: &[Release], current: Option<u64>, now: &Now) -> String {
    if releases.is_empty() {
        return format!("{} has no releases.\n", shown_app(app));
    }
    let title = match current {
        Some(version) => format!("{} Releases - Current: v{version}", shown_app(app)),
        None => format!("{} Releases", shown_app(app)),
    };
    let row = |release: &Release| {
        vec![
            format!("v{}", release.version),
            change(release),
            release.user.email.clone(),
            now.ago(&release.created_at),
        ]
    };
    heading(&title) + &columns(&releases.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
pub(super) mod test {
    use super::*;
    use crate::cli::output::test::now;

    pub(crate) fn release(version: u64, description: &str, status: &str) -> Release {
        let body = serde_json::json!({
            "addon_plan_names": [], "artifacts": [], "app": {"id": uuid::Uuid::nil(), "name": "example"},
            "created_at": "2026-11-18T01:59:00Z", "current": false, "description": description,
            "eligible_for_rollback": status == "succeeded", "id": uuid::Uuid::from_u128(version.into()),
            "output_stream_url": null, "slug": null, "status": status, "updated_at": "2026-11-18T01:59:00Z",
            "user": {"email": "me@example.com", "id": uuid::Uuid::nil()}, "version": version,
        });
        serde_json::from_value(body).unwrap()
    }

    #[test]
    fn releases_read_as_published() {
        let releases = [
            release(41, "Deploy 1a2b3c4d", "failed"),
            release(40, "Set FOO config vars", "succeeded"),
            release(9, "Deploy 575bfa8e", "succeeded"),
        ];
        insta::assert_snapshot!(rendered("example", &releases, Some(40), &now()), @r"
        === ⬢ example Releases - Current: v40

        v41  Deploy 1a2b3c4d release command failed  me@example.com  2026/11/18 01:59:00 +0000 (~ 1m ago)
        v40  Set FOO config vars                     me@example.com  2026/11/18 01:59:00 +0000 (~ 1m ago)
        v9   Deploy 575bfa8e                         me@example.com  2026/11/18 01:59:00 +0000 (~ 1m ago)
        ");
        assert_eq!(rendered("example", &[], None, &now()), "⬢ example has no releases.\n");
    }
}
