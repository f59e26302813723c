//! `dyno ci:config`, `ci:config:get`, `ci:config:set` and `ci:config:unset`: the environment of a pipeline's tests

use std::collections::BTreeMap;

use hyper::Method;

use crate::cli::Context;
use crate::cli::command::ci::PipelineArgs;
use crate::cli::command::config::{Vars, shell_lines, shown};
use crate::cli::command::config_set::parse;
use crate::cli::command::pipelines::path;
use crate::cli::failure::Failure;
use crate::cli::output::{self, heading};
use crate::wire::api::Named;

/// Show the config vars of a pipeline's tests
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// Lines for a shell: NAME=value
    #[arg(short, long)]
    shell: bool,
}

/// Show the value of one of them; an empty line for one that is not set
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct GetArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// Name of the config var
    #[arg(value_name = "NAME")]
    name: String,
    /// A line for a shell: NAME=value
    #[arg(short, long)]
    shell: bool,
}

/// Set config vars of a pipeline's tests; they go before those of app.json
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct SetArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// Config vars to set
    #[arg(value_name = "NAME=VALUE", required = true)]
    vars: Vec<String>,
}

/// Remove config vars of a pipeline's tests
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct UnsetArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// Names of config vars
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let pipeline = self.pipeline.find(context).await?;
        let vars = vars(context, &pipeline).await?;
        match (context.node.json, self.shell) {
            (true, _) => output::json(&vars),
            (false, true) => output::data(&shell_lines(&vars)),
            (false, false) => output::data(&rendered(&pipeline.name, &vars)),
        }
    }
}

impl GetArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let pipeline = self.pipeline.find(context).await?;
        let mut found = vars(context, &pipeline).await?;
        found.retain(|name, _| *name == self.name);
        match (context.node.json, self.shell) {
            (true, _) => output::json(&found),
            (false, true) => output::data(&shell_lines(&found)),
            (false, false) => output::data(&(found.remove(&self.name).unwrap_or_default() + "\n")),
        }
    }
}

impl SetArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let set: Vars = self.vars.iter().map(|text| parse(text)).collect::<Result<_, _>>()?;
        let names: Vec<&str> = set.keys().map(String::as_str).collect();
        let changed = async {
            let pipeline = self.pipeline.find(context).await?;
            change(context, &pipeline, &set).await
        };
        let mut vars = output::action(&format!("Setting {}", names.join(", ")), changed, |_| None).await?;
        vars.retain(|name, _| set.contains_key(name));
        if context.node.json { output::json(&vars) } else { output::data(&shown(&vars)) }
    }
}

impl UnsetArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let body: BTreeMap<&str, Option<String>> =
            self.names.iter().map(|name| (name.as_str(), None)).collect();
        let changed = async {
            let pipeline = self.pipeline.find(context).await?;
            change(context, &pipeline, &body).await
        };
        let text = format!("Unsetting {}", self.names.join(", "));
        let vars = output::action(&text, changed, |_| None).await?;
        if context.node.json { output::json(&vars) } else { Ok(()) }
    }
}

fn config_path(pipeline: &Named) -> String {
    format!("{}/stage/test/config-vars", path(&pipeline.id.to_string()))
}

async fn vars(context: &Context, pipeline: &Named) -> Result<Vars, Failure> {
    context.client.get(&config_path(pipeline)).await
}

async fn change(context: &Context, pipeline: &Named, body: &impl serde::Serialize) -> Result<Vars, Failure> {
    context.client.send_json(Method::PATCH, &config_path(pipeline), body).await
}

fn rendered(pipeline: &str, vars: &Vars) -> String {
    if vars.is_empty() {
        return format!("The tests of the {pipeline} pipeline have no config vars.\n");
    }
    heading(&format!("{pipeline} test config vars")) + &shown(vars)
}
