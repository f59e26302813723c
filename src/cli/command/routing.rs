//! `dyno routing`

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{self, heading, shown_app};
use crate::wire::api::RoutingSetting;

/// Show how requests are led to an app's web dynos, or change it: first-byte=60s, least-connections=on, readiness=/health
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// SETTING=VALUE or SETTING=default
    #[arg(value_name = "CHANGE")]
    changes: Vec<String>,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let changes: BTreeMap<String, String> =
            self.changes.iter().map(|text| parse(text)).collect::<Result<_, _>>()?;
        let app = self.app.name()?;
        let path = format!("/apps/{app}/routing");
        let settings: Vec<RoutingSetting> = if changes.is_empty() {
            context.client.get(&path).await?
        } else {
            let changed = context.client.send_json(Method::PATCH, &path, &changes);
            let text = format!("Changing how requests of {} are led", shown_app(&app));
            output::action(&text, changed, |_| None).await?
        };
        if context.node.json { output::json(&settings) } else { output::data(&rendered(&app, &settings)) }
    }
}

fn parse(text: &str) -> Result<(String, String), Failure> {
    let change = text.split_once('=').filter(|(name, value)| !name.is_empty() && !value.is_empty());
    let (name, value) = change.ok_or_else(|| {
        Failure::Usage(format!("{text:?} is no change: write first-byte=60s or first-byte=default."))
    })?;
    Ok((name.to_owned(), value.to_owned()))
}

fn rendered(app: &str, settings: &[RoutingSetting]) -> String {
    let width = |of: fn(&RoutingSetting) -> usize| settings.iter().map(of).max().unwrap_or(0);
    let (names, values) = (width(|one| one.name.len()), width(|one| one.value.len()));
    let mut text = heading(&format!("Routing {}", shown_app(app)));
    for RoutingSetting { name, value, description, .. } in settings {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:names$}  {value:values$}  {description}");
    }
    text
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_change_has_a_name_and_a_value() {
        assert_eq!(parse("readiness=/a?b=c").unwrap(), ("readiness".to_owned(), "/a?b=c".to_owned()));
        for bad in ["first-byte", "=60s", "first-byte=", ""] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
