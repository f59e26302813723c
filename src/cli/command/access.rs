//! `dyno access`, `access:add`, `access:update` and `access:remove`

use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{self, columns, shown_app};
use crate::wire::api::{AddOn, Attachment, Collaborator, SetCollaborator};

/// Show who may use an app
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
}

/// Share an app with a user of the node
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct AddArgs {
    #[command(flatten)]
    app: AppArgs,
    /// The user's name
    email: String,
    /// What the user may do: view, deploy, operate, manage; each holds those before it
    #[arg(short, long, value_delimiter = ',', value_name = "PERMISSION")]
    permissions: Vec<String>,
}

/// Change what a user may do with an app
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct UpdateArgs {
    #[command(flatten)]
    app: AppArgs,
    /// The user's name
    email: String,
    /// What the user may do: view, deploy, operate, manage; each holds those before it
    #[arg(short, long, value_delimiter = ',', value_name = "PERMISSION", required = true)]
    permissions: Vec<String>,
}

/// Share an app with a user no longer
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RemoveArgs {
    #[command(flatten)]
    app: AppArgs,
    /// The user's name
    email: String,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let path = format!("/apps/{}/collaborators", self.app.name()?);
        let all: Vec<Collaborator> = context.client.get(&path).await?;
        if context.node.json {
            return output::json(&all);
        }
        let row = |found: &Collaborator| {
            let permissions: Vec<_> = found.permissions.iter().map(|p| p.name.as_str()).collect();
            vec![found.user.email.clone(), found.role.clone(), permissions.join(",")]
        };
        output::data(&columns(&all.iter().map(row).collect::<Vec<_>>()))
    }
}

impl AddArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let text = format!("Adding {} access to the app {}", self.email, shown_app(&app));
        let body = SetCollaborator { user: Some(self.email), permissions: self.permissions, silent: None };
        let path = format!("/apps/{app}/collaborators");
        let added = context.client.send_json::<Collaborator>(Method::POST, &path, &body);
        let added = output::action(&text, added, told).await?;
        if context.node.json { output::json(&added) } else { Ok(()) }
    }
}

impl UpdateArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let text = format!("Updating {} in application {}", self.email, shown_app(&app));
        let body = SetCollaborator { user: None, permissions: self.permissions, silent: None };
        let path = path(&app, &self.email);
        let changed = context.client.send_json::<Collaborator>(Method::PATCH, &path, &body);
        let changed = output::action(&text, changed, told).await?;
        if context.node.json { output::json(&changed) } else { Ok(()) }
    }
}

impl RemoveArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let text = format!("Removing {} access from the app {}", self.email, shown_app(&app));
        let path = path(&app, &self.email);
        let removed = context.client.call::<Collaborator>(Method::DELETE, &path);
        let removed = output::action(&text, removed, |_| None).await?;
        tell_of_attachments(context, &app).await?;
        if context.node.json { output::json(&removed) } else { Ok(()) }
    }
}

/// Tells which other apps go on having the add-ons of an app that is shared with fewer people now.
async fn tell_of_attachments(context: &Context, app: &str) -> Result<(), Failure> {
    let add_ons: Vec<AddOn> = context.client.get(&format!("/apps/{app}/addons")).await?;
    for add_on in add_ons.iter().filter(|add_on| add_on.app.name == app) {
        let path = format!("/addons/{}/addon-attachments", add_on.id);
        let attachments: Vec<Attachment> = context.client.get(&path).await?;
        for has in attachments.iter().filter(|has| has.app.name != app) {
            output::note(&format!(
                "{} stays attached to {} as {}. If that was theirs: dyno addons:detach {} -a {}\n",
                add_on.name,
                shown_app(&has.app.name),
                has.name,
                has.name,
                has.app.name
            ));
        }
    }
    Ok(())
}

fn told(found: &Collaborator) -> Option<String> {
    found.permissions.last().map(|permission| permission.name.clone())
}

fn path(app: &str, email: &str) -> String {
    format!("/apps/{app}/collaborators/{}", utf8_percent_encode(email, NON_ALPHANUMERIC))
}
