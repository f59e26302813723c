//! `dyno config:set`

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::config::{Changed, Vars, change, shown};
use crate::cli::failure::Failure;
use crate::cli::output::{self, shown_app};

/// Config vars that dynos never see, for the node sets variables of the same names (platform reference 1.4).
const OVERRIDDEN: [&str; 2] = ["PORT", "DYNO"];

/// Set config vars, which makes a release and restarts the app
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// Config vars to set
    #[arg(value_name = "NAME=VALUE", required = true)]
    vars: Vec<String>,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let vars = self.vars.iter().map(|text| parse(text)).collect::<Result<Vec<_>, _>>()?;
        let app = self.app.name()?;
        let names: Vec<_> = vars.iter().map(|(name, _)| name.clone()).collect();
        let body: Vars = vars.into_iter().collect();
        for name in OVERRIDDEN.iter().filter(|name| body.contains_key(**name)) {
            output::note(&format!(
                " \u{203a}   Warning: every dyno gets a {name} of its own from the node: no dyno sees what you set.\n"
            ));
        }
        let text = format!("Setting {} and restarting {}", names.join(", "), shown_app(&app));
        let changed = output::action(&text, change(context, &app, &body), Changed::version).await?;
        let set: Vars = changed.vars.iter().filter(|(name, _)| body.contains_key(*name)).map(owned).collect();
        if context.node.json {
            output::json(&set)?;
        } else {
            output::data(&format!("\n{}", shown(&set)))?;
        }
        changed.follow(context, &app).await
    }
}

fn owned((name, value): (&String, &String)) -> (String, String) {
    (name.clone(), value.clone())
}

pub(super) fn parse(text: &str) -> Result<(String, String), Failure> {
    let refuse = || Failure::Usage(format!("{text} is invalid. Must be in the format FOO=bar."));
    let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(refuse)?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_value_may_hold_anything() {
        assert_eq!(parse("A=b=c d").unwrap(), ("A".to_owned(), "b=c d".to_owned()));
        assert_eq!(parse("A=").unwrap(), ("A".to_owned(), String::new()));
        assert!(parse("A").is_err());
        assert!(parse("=b").is_err());
    }
}
