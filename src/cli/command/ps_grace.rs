//! `dyno ps:grace`

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{self, shown_app};
use crate::wire::api::{FormationEntry, FormationUpdate, UpdateFormation};

/// The word for the node's own span.
const DEFAULT: &str = "default";

/// Show how long dynos may take to stop after SIGTERM, or change it: worker=300, worker=default
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// TYPE=SECONDS or TYPE=default
    #[arg(value_name = "CHANGE")]
    changes: Vec<String>,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let updates: Vec<FormationUpdate> =
            self.changes.iter().map(|text| parse(text)).collect::<Result<_, _>>()?;
        let app = self.app.name()?;
        let path = format!("/apps/{app}/formation");
        let formation: Vec<FormationEntry> = if updates.is_empty() {
            context.client.get(&path).await?
        } else {
            let body = UpdateFormation { updates };
            let changed = context.client.send_json(Method::PATCH, &path, &body);
            let text = format!("Changing how long dynos of {} may take to stop", shown_app(&app));
            output::action(&text, changed, |_| None).await?
        };
        if context.node.json { output::json(&formation) } else { output::data(&listed(&formation)) }
    }
}

fn parse(text: &str) -> Result<FormationUpdate, Failure> {
    let refuse =
        || Failure::Usage(format!("{text:?} is no time to stop: write worker=300 or worker=default."));
    let (process_type, seconds) =
        text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(refuse)?;
    let seconds = if seconds == DEFAULT { 0 } else { seconds.parse().map_err(|_| refuse())? };
    Ok(FormationUpdate {
        process_type: Some(process_type.to_owned()),
        quantity: None,
        size: None,
        stop_grace_s: Some(seconds),
    })
}

fn listed(formation: &[FormationEntry]) -> String {
    let entry = |entry: &FormationEntry| {
        let span = entry.stop_grace_s.map_or_else(|| DEFAULT.to_owned(), |seconds| seconds.to_string());
        format!("{}={span}", entry.process_type)
    };
    formation.iter().map(entry).collect::<Vec<_>>().join(" ") + "\n"
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_time_to_stop_is_seconds_or_the_nodes_own() {
        assert_eq!(parse("worker=300").unwrap().stop_grace_s, Some(300));
        assert_eq!(parse("worker=default").unwrap().stop_grace_s, Some(0));
        for bad in ["worker", "=3", "worker=", "worker=-1", "worker=1.5", "worker=long"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
