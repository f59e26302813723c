//! `dyno features`

use std::fmt::Write as _;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{self, heading, shown_app};
use crate::wire::api::AppFeature;

/// List what an app may switch on and off
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let features: Vec<AppFeature> = context.client.get(&format!("/apps/{app}/features")).await?;
        if context.node.json { output::json(&features) } else { output::data(&rendered(&app, features)) }
    }
}

fn rendered(app: &str, mut features: Vec<AppFeature>) -> String {
    features.sort_by(|a, b| a.name.cmp(&b.name));
    let width = features.iter().map(|feature| feature.name.len()).max().unwrap_or(0);
    let mut text = heading(&format!("App Features {}", shown_app(app)));
    for feature in features {
        let mark = if feature.enabled { '+' } else { ' ' };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "[{mark}] {:width$}  {}", feature.name, feature.description);
    }
    text
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn features_are_listed_by_name_with_what_is_on() {
        let feature = |name: &str, enabled| AppFeature {
            created_at: String::new(),
            description: format!("What {name} does"),
            display_name: None,
            doc_url: String::new(),
            enabled,
            feedback_email: None,
            id: uuid::Uuid::nil(),
            name: name.to_owned(),
            state: "general".to_owned(),
            updated_at: String::new(),
        };
        let features = vec![feature("preboot", true), feature("log-runtime-metrics", false)];
        insta::assert_snapshot!(rendered("example", features), @r"
        === App Features ⬢ example

        [ ] log-runtime-metrics  What log-runtime-metrics does
        [+] preboot              What preboot does
        ");
    }
}
