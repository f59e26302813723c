//! `dyno authorizations`, `authorizations:create`, `:info`, `:update`, `:rotate` and `:revoke`

use hyper::Method;

use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::output::{self, columns, pairs};
use crate::wire::api::{Authorization, CreateAuthorization, UpdateAuthorization};

/// The path of tokens.
const PATH: &str = "/oauth/authorizations";

/// Show your tokens
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {}

/// Create a token
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CreateArgs {
    /// What it is for
    #[arg(short, long)]
    description: Option<String>,
    /// What it is to be good for: global, identity, read, write, read-protected, write-protected
    #[arg(short, long, value_delimiter = ',')]
    scope: Vec<String>,
    /// Seconds after which it is worth nothing
    #[arg(short, long, value_name = "SECONDS")]
    expires_in: Option<u32>,
    /// Print the token alone
    #[arg(short = 'S', long)]
    short: bool,
}

/// Show one of your tokens
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct InfoArgs {
    /// Its ID
    id: String,
}

/// Change what one of your tokens is said to be for
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct UpdateArgs {
    /// Its ID
    id: String,
    /// What it is for
    #[arg(short, long)]
    description: String,
}

/// Put a fresh token in the place of one, which is worth nothing from then on
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RotateArgs {
    /// Its ID
    id: String,
}

/// Take a token back
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RevokeArgs {
    /// Its ID
    id: String,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let all: Vec<Authorization> = context.client.get(PATH).await?;
        if context.node.json {
            return output::json(&all);
        }
        if all.is_empty() {
            return output::data("No OAuth authorizations.\n");
        }
        let row = |found: &Authorization| {
            vec![found.description.clone(), found.id.to_string(), found.scope.join(",")]
        };
        output::data(&columns(&all.iter().map(row).collect::<Vec<_>>()))
    }
}

impl CreateArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let scope = (!self.scope.is_empty()).then_some(self.scope);
        let body = CreateAuthorization { description: self.description, expires_in: self.expires_in, scope };
        let made = context.client.send_json(Method::POST, PATH, &body);
        let made: Authorization = output::action("Creating OAuth Authorization", made, |_| None).await?;
        match (context.node.json, self.short) {
            (true, _) => output::json(&made),
            (false, true) => output::data(&format!("{}\n", made.access_token.token)),
            (false, false) => output::data(&rendered(&made)),
        }
    }
}

impl InfoArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let found: Authorization = context.client.get(&path(&self.id)?).await?;
        if context.node.json { output::json(&found) } else { output::data(&rendered(&found)) }
    }
}

impl UpdateArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let path = path(&self.id)?;
        let body = UpdateAuthorization { description: Some(self.description), client: None };
        let changed = context.client.send_json(Method::PATCH, &path, &body);
        let changed: Authorization =
            output::action("Updating OAuth Authorization", changed, |_| None).await?;
        if context.node.json { output::json(&changed) } else { output::data(&rendered(&changed)) }
    }
}

impl RotateArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let path = format!("{}/actions/regenerate-tokens", path(&self.id)?);
        let rotated = context.client.call(Method::POST, &path);
        let rotated: Authorization =
            output::action("Rotating OAuth Authorization", rotated, |_| None).await?;
        if context.node.json { output::json(&rotated) } else { output::data(&rendered(&rotated)) }
    }
}

impl RevokeArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let path = path(&self.id)?;
        let revoked = context.client.call::<Authorization>(Method::DELETE, &path);
        let told = |found: &Authorization| Some(format!("revoked authorization from {}", found.description));
        let revoked = output::action("Revoking OAuth Authorization", revoked, told).await?;
        if context.node.json { output::json(&revoked) } else { Ok(()) }
    }
}

fn path(id: &str) -> Result<String, Failure> {
    let plain = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if plain {
        Ok(format!("{PATH}/{id}"))
    } else {
        Err(Failure::Usage(format!("{id:?} is no ID of an authorization: see `dyno authorizations`.")))
    }
}

fn rendered(found: &Authorization) -> String {
    let id = found.id.to_string();
    let scope = found.scope.join(",");
    let expires = found.access_token.expires_in.map(|seconds| format!("in {seconds} s"));
    let mut lines = vec![
        ("Client", "<none>"),
        ("ID", &id),
        ("Description", &found.description),
        ("Scope", &scope),
        ("Token", &found.access_token.token),
    ];
    if let Some(expires) = &expires {
        lines.push(("Expires", expires));
    }
    pairs(lines)
}
