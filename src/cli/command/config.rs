//! `dyno config`, and what its siblings share.

use std::collections::BTreeMap;

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::releases::newest;
use crate::cli::command::releases_output::follow;
use crate::cli::failure::Failure;
use crate::cli::output::{self, heading, pairs, shown_app};
use crate::domain::shell_word;
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
            (false, true) => {
                let (lines, odd): (Vars, Vars) = vars.into_iter().partition(|(name, _)| is_shell_name(name));
                for name in odd.keys() {
                    output::note(&format!(
                        " \u{203a}   Warning: {name:?} is no name of a shell's and is left out.\n"
                    ));
                }
                output::data(&shell_lines(&lines))
            }
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

/// Whether a shell would take it for the name of a variable, and for nothing else.
fn is_shell_name(name: &str) -> bool {
    let is_letter = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    name.bytes().all(|b| is_letter(b) || b.is_ascii_digit()) && name.bytes().next().is_some_and(is_letter)
}

/// `NAME=value` lines for a shell.
pub(super) fn shell_lines(vars: &Vars) -> String {
    vars.iter().map(|(name, value)| format!("{name}={}\n", shell_word(value))).collect()
}

/// A change of config vars as its answer shows it.
pub(super) struct Changed {
    /// The config vars after it, all of them.
    pub(super) vars: Vars,
    /// The newest release after it.
    newest: Option<Release>,
    /// Whether that release is the change's own: what changes nothing makes none.
    is_new: bool,
}

impl Changed {
    /// The newest release, as `v12`.
    pub(super) fn version(&self) -> Option<String> {
        self.newest.as_ref().map(|release| format!("v{}", release.version))
    }

    /// Follows the release command, if the change has set one going.
    pub(super) async fn follow(&self, context: &Context, app: &str) -> Result<(), Failure> {
        match &self.newest {
            Some(release) if self.is_new => follow(context, app, release).await,
            Some(_) | None => Ok(()),
        }
    }
}

/// Changes config vars; null removes one.
pub(super) async fn change(
    context: &Context,
    app: &str,
    body: &impl serde::Serialize,
) -> Result<Changed, Failure> {
    let before = newest(context, app).await?.map(|release| release.version);
    let path = format!("/apps/{app}/config-vars");
    let vars: Vars = context.client.send_json(Method::PATCH, &path, body).await?;
    let newest = newest(context, app).await?;
    let is_new = newest.as_ref().map(|release| release.version) > before;
    Ok(Changed { vars, newest, is_new })
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
