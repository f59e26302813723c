//! `dyno features:enable` and `dyno features:disable`

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{self, shown_app};
use crate::domain::Switch;
use crate::wire::api::{AppFeature, UpdateAppFeature};

/// Switch a feature of an app on
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Enable {
    #[command(flatten)]
    which: Which,
}

/// Switch a feature of an app off
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Disable {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, clap::Args)]
struct Which {
    #[command(flatten)]
    app: AppArgs,
    /// The feature, such as preboot
    #[arg(value_name = "FEATURE")]
    feature: String,
}

impl Enable {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        set(context, &self.which, Switch::On).await
    }
}

impl Disable {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        set(context, &self.which, Switch::Off).await
    }
}

/// The feature's place in the API. The name becomes a part of a path, so it must be a plain word.
pub(in crate::cli) fn path(app: &str, feature: &str) -> Result<String, Failure> {
    let is_plain = !feature.is_empty() && feature.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if is_plain {
        Ok(format!("/apps/{app}/features/{feature}"))
    } else {
        Err(Failure::Usage(format!("{feature:?} is no feature: see `dyno features`.")))
    }
}

async fn set(context: &Context, which: &Which, to: Switch) -> Result<(), Failure> {
    let app = which.app.name()?;
    let path = path(&app, &which.feature)?;
    let doing = match to {
        Switch::On => "Enabling",
        Switch::Off => "Disabling",
    };
    let text = format!("{doing} {} for {}", which.feature, shown_app(&app));
    let body = UpdateAppFeature { enabled: to == Switch::On };
    let changed = context.client.send_json::<AppFeature>(Method::PATCH, &path, &body);
    let feature = output::action(&text, changed, |_| None).await?;
    if context.node.json { output::json(&feature) } else { Ok(()) }
}
