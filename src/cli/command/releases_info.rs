//! `dyno releases:info`

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::config::{Vars, shell_lines, shown};
use crate::cli::command::releases::{change, named_or_newest};
use crate::cli::failure::Failure;
use crate::cli::output::{self, Now, heading, pairs};
use crate::wire::api::Release;

/// Show one release and its config vars
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// Version of the release (v3); the newest when left out
    #[arg(value_name = "RELEASE")]
    release: Option<String>,
    /// Config vars as lines for a shell: NAME=value
    #[arg(short, long)]
    shell: bool,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let release = named_or_newest(context, &app, self.release.as_deref()).await?;
        if context.node.json {
            return output::json(&release);
        }
        let path = format!("/apps/{app}/releases/{}/config-vars", release.version);
        let vars: Vars = context.client.get(&path).await?;
        let vars = if self.shell { shell_lines(&vars) } else { shown(&vars) };
        output::data(&rendered(&release, &vars, &Now::here()))
    }
}

fn rendered(release: &Release, vars: &str, now: &Now) -> String {
    let addons = release.addon_plan_names.join(", ");
    let change = change(release);
    let eligible = if release.eligible_for_rollback { "Yes" } else { "No" };
    let when = now.ago(&release.created_at);
    let rows = [
        ("Add-ons", addons.as_str()),
        ("By", &release.user.email),
        ("Change", &change),
        ("Eligible for Rollback?", eligible),
        ("When", &when),
    ];
    let about = pairs(rows.into_iter().filter(|(_, value)| !value.is_empty()));
    let version = release.version;
    heading(&format!("Release v{version}"))
        + &about
        + "\n"
        + &heading(&format!("v{version} Config vars"))
        + vars
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::cli::command::releases::test::release;
    use crate::cli::output::test::now;

    #[test]
    fn a_release_reads_as_published() {
        let good = rendered(&release(24, "Deploy 575bfa8e", "succeeded"), "FOO: bar\n", &now());
        let bad = rendered(&release(25, "Set FOO config vars", "failed"), "", &now());
        insta::assert_snapshot!(good + &bad, @r"
        === Release v24

        By:                     me@example.com
        Change:                 Deploy 575bfa8e
        Eligible for Rollback?: Yes
        When:                   2026/11/18 01:59:00 +0000 (~ 1m ago)

        === v24 Config vars

        FOO: bar
        === Release v25

        By:                     me@example.com
        Change:                 Set FOO config vars release command failed
        Eligible for Rollback?: No
        When:                   2026/11/18 01:59:00 +0000 (~ 1m ago)

        === v25 Config vars
        ");
    }
}
