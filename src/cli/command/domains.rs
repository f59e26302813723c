//! `dyno domains`, `domains:add`, `domains:info`, `domains:update`, `domains:remove`, `domains:clear` and `domains:wait`

use std::time::Duration;

use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{self, heading, pairs, ruled, shown_app};
use crate::wire::acm_text;
use crate::wire::api::{CreateDomain, Domain, UpdateDomain};

/// The kind of a name that a user gave.
const CUSTOM: &str = "custom";
/// The status of a name that the router does not answer to yet.
const PENDING: &str = "pending";
/// Between two looks at a name that is waited for.
const WAIT_INTERVAL: Duration = Duration::from_secs(1);
/// Looks at it: five minutes of them.
const WAIT_LOOKS_MAX: u32 = 300;

/// Show the names that an app answers to
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
}

/// Have an app answer to a further name
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct AddArgs {
    #[command(flatten)]
    app: AppArgs,
    /// The host name, such as www.example.com or *.example.com
    hostname: String,
    /// Name of the certificate that is shown for it [default: none]
    #[arg(short, long, value_name = "NAME")]
    cert: Option<String>,
}

/// Show another certificate for a name
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct UpdateArgs {
    #[command(flatten)]
    app: AppArgs,
    /// The host name
    hostname: String,
    /// Name of the certificate
    #[arg(long, value_name = "NAME")]
    cert: String,
}

/// Show all that is known of a name
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct InfoArgs {
    #[command(flatten)]
    app: AppArgs,
    /// The host name
    hostname: String,
}

/// Have an app answer to a name no longer
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RemoveArgs {
    #[command(flatten)]
    app: AppArgs,
    /// The host name
    hostname: String,
}

/// Have an app answer to none but the name it was given
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ClearArgs {
    #[command(flatten)]
    app: AppArgs,
}

/// Wait until the router answers to a name, or to all of them
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct WaitArgs {
    #[command(flatten)]
    app: AppArgs,
    /// The host name [default: all of the app's]
    hostname: Option<String>,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let domains = all(context, &app).await?;
        if context.node.json { output::json(&domains) } else { output::data(&rendered(&app, &domains)) }
    }
}

impl AddArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let text = format!("Adding {} to {}", self.hostname, shown_app(&app));
        let body = CreateDomain { hostname: self.hostname, sni_endpoint: self.cert };
        let path = format!("/apps/{app}/domains");
        let added = context.client.send_json::<Domain>(Method::POST, &path, &body);
        let added = output::action(&text, added, |_| None).await?;
        if context.node.json {
            return output::json(&added);
        }
        output::data(&format!(
            "{} now leads to {} on this node: point its DNS record at this machine, as {} does.\n",
            added.hostname,
            shown_app(&app),
            added.cname.as_deref().unwrap_or("the app's given name"),
        ))
    }
}

impl InfoArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let domain: Domain = context.client.get(&path(&app, &self.hostname)).await?;
        if context.node.json { output::json(&domain) } else { output::data(&described(&domain)) }
    }
}

impl UpdateArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let text = format!("Updating {} to use the {} certificate", self.hostname, self.cert);
        let body = UpdateDomain { sni_endpoint: Some(self.cert) };
        let path = path(&app, &self.hostname);
        let changed = context.client.send_json::<Domain>(Method::PATCH, &path, &body);
        let changed = output::action(&text, changed, |_| None).await?;
        if context.node.json { output::json(&changed) } else { Ok(()) }
    }
}

impl RemoveArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let removed = remove(context, &app, &self.hostname).await?;
        if context.node.json { output::json(&removed) } else { Ok(()) }
    }
}

impl ClearArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let mut removed = Vec::new();
        for domain in all(context, &app).await?.iter().filter(|domain| domain.kind == CUSTOM) {
            removed.push(remove(context, &app, &domain.hostname).await?);
        }
        if context.node.json {
            return output::json(&removed);
        }
        if removed.is_empty() {
            output::note(&format!("{} has no domains of its own to remove.\n", shown_app(&app)));
        }
        Ok(())
    }
}

impl WaitArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let names = match self.hostname {
            Some(hostname) => vec![hostname],
            None => {
                let pending = all(context, &app).await?.into_iter().filter(|found| found.status == PENDING);
                pending.map(|found| found.hostname).collect()
            }
        };
        if names.is_empty() && !context.node.json {
            output::note(&format!("The router answers to every name of {}.\n", shown_app(&app)));
        }
        let mut waited_for = Vec::new();
        for name in &names {
            let waited = wait(context, &app, name);
            waited_for.push(output::action(&format!("Waiting for {name}"), waited, |_| None).await?);
        }
        if context.node.json { output::json(&waited_for) } else { Ok(()) }
    }
}

async fn all(context: &Context, app: &str) -> Result<Vec<Domain>, Failure> {
    context.client.get(&format!("/apps/{app}/domains")).await
}

async fn remove(context: &Context, app: &str, hostname: &str) -> Result<Domain, Failure> {
    let path = path(app, hostname);
    let removed = context.client.call::<Domain>(Method::DELETE, &path);
    output::action(&format!("Removing {hostname} from {}", shown_app(app)), removed, |_| None).await
}

async fn wait(context: &Context, app: &str, hostname: &str) -> Result<Domain, Failure> {
    let path = path(app, hostname);
    for _ in 0..WAIT_LOOKS_MAX {
        let domain: Domain = context.client.get(&path).await?;
        if domain.status != PENDING {
            return Ok(domain);
        }
        tokio::time::sleep(WAIT_INTERVAL).await;
    }
    Err(Failure::Usage(format!(
        "The router does not answer to {hostname} after {} s: see `dyno domains:info {hostname} -a {app}`.",
        WAIT_INTERVAL.as_secs() * u64::from(WAIT_LOOKS_MAX)
    )))
}

fn path(app: &str, hostname: &str) -> String {
    format!("/apps/{app}/domains/{}", utf8_percent_encode(hostname, NON_ALPHANUMERIC))
}

fn rendered(app: &str, domains: &[Domain]) -> String {
    let mut text = heading(&format!("{} Heroku Domain", shown_app(app)));
    for given in domains.iter().filter(|domain| domain.kind != CUSTOM) {
        text += &format!("{}\n", given.hostname);
    }
    let is_automatic = domains.iter().any(|domain| domain.acm_status.is_some());
    let row = |domain: &Domain| {
        let endpoint = domain.sni_endpoint.as_ref().map(|endpoint| endpoint.name.clone());
        let mut row = vec![
            domain.hostname.clone(),
            record_type(&domain.hostname).to_owned(),
            domain.cname.clone().unwrap_or_default(),
            endpoint.unwrap_or_else(|| "undefined".to_owned()),
        ];
        if is_automatic {
            row.push(acm_text::shown(domain.acm_status.as_deref()).to_owned());
        }
        row
    };
    let custom: Vec<_> = domains.iter().filter(|domain| domain.kind == CUSTOM).map(row).collect();
    if custom.is_empty() {
        return text;
    }
    let mut header = vec!["Domain Name", "DNS Record Type", "DNS Target", "SNI Endpoint"];
    header.extend(is_automatic.then_some("ACM Status"));
    let header = header.into_iter().map(str::to_owned).collect();
    let rows: Vec<_> = std::iter::once(header).chain(custom).collect();
    text + "\n" + &heading(&format!("{} Custom Domains", shown_app(app))) + &ruled(&rows)
}

/// A name right below a top-level domain takes no CNAME record (RFC 1034 section 3.6.2).
fn record_type(hostname: &str) -> &'static str {
    let is_apex = hostname.split('.').count() <= 2;
    if is_apex { "ALIAS or ANAME" } else { "CNAME" }
}

fn described(domain: &Domain) -> String {
    let rows = [
        ("ACM Status", domain.acm_status.clone().unwrap_or_default()),
        ("ACM Status Reason", domain.acm_status_reason.clone().unwrap_or_default()),
        ("App", domain.app.name.clone()),
        ("CName", domain.cname.clone().unwrap_or_default()),
        ("Created at", domain.created_at.clone()),
        ("Hostname", domain.hostname.clone()),
        ("Id", domain.id.to_string()),
        ("Kind", domain.kind.clone()),
        ("SNI endpoint", domain.sni_endpoint.as_ref().map(|found| found.name.clone()).unwrap_or_default()),
        ("Status", domain.status.clone()),
    ];
    let shown = rows.iter().filter(|(_, value)| !value.is_empty());
    heading(&domain.hostname) + &pairs(shown.map(|(key, value)| (*key, value.as_str())))
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::wire::api::Named;

    fn domain(kind: &str, hostname: &str) -> Domain {
        Domain {
            acm_status: None,
            acm_status_reason: None,
            app: Named { id: uuid::Uuid::nil(), name: "example".to_owned() },
            cname: (kind == CUSTOM).then(|| "example.localhost".to_owned()),
            created_at: "2026-11-18T01:36:38Z".to_owned(),
            hostname: hostname.to_owned(),
            id: uuid::Uuid::nil(),
            kind: kind.to_owned(),
            sni_endpoint: None,
            status: "none".to_owned(),
            updated_at: "2026-11-18T01:36:38Z".to_owned(),
        }
    }

    #[test]
    fn names_are_shown_the_given_one_first() {
        let given = domain("heroku", "example.localhost");
        insta::assert_snapshot!(rendered("example", std::slice::from_ref(&given)), @r"
        === ⬢ example Heroku Domain

        example.localhost
        ");
        let all = [given, domain(CUSTOM, "example.com"), domain(CUSTOM, "www.example.com")];
        insta::assert_snapshot!(rendered("example", &all), @r"
        === ⬢ example Heroku Domain

        example.localhost

        === ⬢ example Custom Domains

          Domain Name       DNS Record Type   DNS Target          SNI Endpoint
         ──────────────────────────────────────────────────────────────────────
          example.com       ALIAS or ANAME    example.localhost   undefined
          www.example.com   CNAME             example.localhost   undefined
        ");
        insta::assert_snapshot!(described(&all[2]), @r"
        === www.example.com

        App:        example
        CName:      example.localhost
        Created at: 2026-11-18T01:36:38Z
        Hostname:   www.example.com
        Id:         00000000-0000-0000-0000-000000000000
        Kind:       custom
        Status:     none
        ");
    }

    #[test]
    fn a_name_becomes_one_part_of_a_path() {
        assert_eq!(
            path("example", "*.example.com/../x"),
            "/apps/example/domains/%2A%2Eexample%2Ecom%2F%2E%2E%2Fx"
        );
    }
}
