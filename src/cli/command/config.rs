//! `dyno config`, and what its siblings share.

use std::collections::BTreeMap;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{self, heading, pairs, shown_app};
use crate::wire::api::Release;

/// Config vars as the API sends them.
pub(super) type Vars = BTreeMap<String, String>;

/// Show the config vars of an app
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// Lines for a shell: NAME=value
    #[arg(short, long)]
    shell: bool,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let vars: Vars = context.client.get(&format!("/apps/{app}/config-vars")).await?;
        match (context.node.json, self.shell) {
            (true, _) => output::json(&vars),
            (false, true) => output::data(&shell_lines(&vars)),
            (false, false) => output::data(&rendered(&app, &vars)),
        }
    }
}

fn rendered(app: &str, vars: &Vars) -> String {
    if vars.is_empty() {
        return format!("{} has no config vars.\n", shown_app(app));
    }
    heading(&format!("{} Config Vars", shown_app(app))) + &shown(vars)
}

/// `NAME: value` lines, lined up.
pub(super) fn shown(vars: &Vars) -> String {
    pairs(vars.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

fn shell_lines(vars: &Vars) -> String {
    vars.iter().map(|(name, value)| format!("{name}={}\n", shell_quoted(value))).collect()
}

fn shell_quoted(value: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:=@%+,".contains(&b);
    if !value.is_empty() && value.bytes().all(plain) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', r"'\''"))
    }
}

/// The newest release of an app, `v12`.
pub(super) async fn newest_release(context: &Context, app: &str) -> Result<Option<String>, Failure> {
    let range = "version ..; order=desc,max=1";
    let releases: Vec<Release> = context.client.get_range(&format!("/apps/{app}/releases"), range).await?;
    Ok(releases.iter().map(|release| release.version).max().map(|version| format!("v{version}")))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn config_vars_are_shown_lined_up_or_quoted() {
        let vars = Vars::from([
            ("DATABASE_URL".to_owned(), "postgres://x".to_owned()),
            ("FOO".to_owned(), "it's $5".to_owned()),
        ]);
        insta::assert_snapshot!(rendered("example", &vars) + &shell_lines(&vars), @r"
        === ⬢ example Config Vars

        DATABASE_URL: postgres://x
        FOO:          it's $5
        DATABASE_URL=postgres://x
        FOO='it'\''s $5'
        ");
        assert_eq!(rendered("example", &Vars::new()), "⬢ example has no config vars.\n");
    }
}
