//! `dyno certs:auto`, `certs:auto:enable`, `certs:auto:disable` and `certs:auto:refresh`

use std::time::Duration;

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::confirm::confirmed;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Now, heading, ruled, shown_app};
use crate::domain::Switch;
use crate::wire::acm_text;
use crate::wire::api::{App, Domain};

/// The kind of a name that a user gave.
const CUSTOM: &str = "custom";
/// Between two looks at certificates that are waited for.
const WAIT_INTERVAL: Duration = Duration::from_secs(2);
/// Looks at them: an hour of them.
const WAIT_LOOKS_MAX: u32 = 1800;

/// Show how far certificates are that the node gets by itself
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// Wait until each domain has its certificate, or will get none
    #[arg(long)]
    wait: bool,
}

/// Have the node get certificates for an app's domains
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct EnableArgs {
    #[command(flatten)]
    app: AppArgs,
    /// Wait until each domain has its certificate
    #[arg(long)]
    wait: bool,
}

/// Have it get none any more, and remove those it has got
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DisableArgs {
    #[command(flatten)]
    app: AppArgs,
    /// Name of the app once more, instead of being asked for it
    #[arg(short, long, value_name = "APP")]
    confirm: Option<String>,
}

/// Have the node try again where it could not get a certificate
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RefreshArgs {
    #[command(flatten)]
    app: AppArgs,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let name = self.app.name()?;
        let app: App = context.client.get(&format!("/apps/{name}")).await?;
        if self.wait && app.acm {
            wait(context, &name).await?;
        }
        let domains = custom(context, &name).await?;
        if context.node.json {
            return output::json(&domains);
        }
        let acm = if app.acm { Switch::On } else { Switch::Off };
        output::data(&rendered(&name, acm, &domains, &Now::here()))
    }
}

impl EnableArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let name = self.app.name()?;
        let enabled = call(context, &name, Method::POST, "Enabling Automatic Certificate Management").await?;
        if self.wait {
            let domains = wait(context, &name).await?;
            if let Some(failed) = domains.iter().find(|domain| is(domain, acm_text::FAILED)) {
                let reason = failed.acm_status_reason.as_deref().unwrap_or("no reason is told");
                return Err(Failure::Usage(format!("{} gets no certificate: {reason}.", failed.hostname)));
            }
        }
        if context.node.json {
            return output::json(&enabled);
        }
        if custom(context, &name).await?.is_empty() {
            return output::data(&format!(
                "{} has no domains of its own yet: add one with dyno domains:add.\n",
                shown_app(&name)
            ));
        }
        if self.wait {
            return Ok(());
        }
        output::data("See how far they are with dyno certs:auto.\n")
    }
}

impl DisableArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let name = self.app.name()?;
        let warning = format!(
            "The certificates that the node got for {} are removed: its domains have none then.",
            shown_app(&name)
        );
        confirmed(&name, self.confirm, &warning)?;
        let text = "Disabling Automatic Certificate Management";
        let disabled = call(context, &name, Method::DELETE, text).await?;
        if context.node.json { output::json(&disabled) } else { Ok(()) }
    }
}

impl RefreshArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let name = self.app.name()?;
        let text = "Refreshing Automatic Certificate Management";
        let refreshed = call(context, &name, Method::PATCH, text).await?;
        if context.node.json { output::json(&refreshed) } else { Ok(()) }
    }
}

async fn call(context: &Context, app: &str, method: Method, text: &str) -> Result<App, Failure> {
    let path = format!("/apps/{app}/acm");
    output::action(text, context.client.call::<App>(method, &path), |_| None).await
}

async fn custom(context: &Context, app: &str) -> Result<Vec<Domain>, Failure> {
    let mut domains: Vec<Domain> = context.client.get(&format!("/apps/{app}/domains")).await?;
    domains.retain(|domain| domain.kind == CUSTOM);
    Ok(domains)
}

/// Waits until nothing changes by itself any more.
async fn wait(context: &Context, app: &str) -> Result<Vec<Domain>, Failure> {
    let waited = async {
        for _ in 0..WAIT_LOOKS_MAX {
            let domains = custom(context, app).await?;
            let is_over = |domain: &Domain| is(domain, acm_text::ISSUED) || is(domain, acm_text::FAILED);
            if domains.iter().all(is_over) {
                return Ok(domains);
            }
            tokio::time::sleep(WAIT_INTERVAL).await;
        }
        Err(Failure::Usage(format!(
            "Not every domain has a certificate after {} s: see `dyno certs:auto -a {app}`.",
            WAIT_INTERVAL.as_secs() * u64::from(WAIT_LOOKS_MAX)
        )))
    };
    output::action("Waiting until the certificate is issued to all domains", waited, |_| None).await
}

fn is(domain: &Domain, status: &str) -> bool {
    domain.acm_status.as_deref() == Some(status)
}

fn rendered(app: &str, acm: Switch, domains: &[Domain], now: &Now) -> String {
    let standing = match acm {
        Switch::On => "enabled",
        Switch::Off => "disabled",
    };
    let mut text = heading(&format!("Automatic Certificate Management is {standing} on {}", shown_app(app)));
    if acm == Switch::Off {
        return text;
    }
    if domains.is_empty() {
        return text + "Add a domain to the app with dyno domains:add.\n";
    }
    let has_reasons = domains.iter().any(|domain| domain.acm_status_reason.is_some());
    let row = |domain: &Domain| {
        let mut row = vec![domain.hostname.clone(), acm_text::shown(domain.acm_status.as_deref()).to_owned()];
        if has_reasons {
            row.push(domain.acm_status_reason.clone().unwrap_or_default());
        }
        row.push(now.ago(&domain.updated_at));
        row
    };
    let mut header = vec!["Domain", "Status"];
    header.extend(has_reasons.then_some("Reason"));
    header.push("Last Updated");
    let header = header.into_iter().map(str::to_owned).collect();
    let rows: Vec<_> = std::iter::once(header).chain(domains.iter().map(row)).collect();
    text += &ruled(&rows);
    if domains.iter().any(|domain| is(domain, acm_text::FAILED)) {
        text += "\nOnce what is in the way is mended, have it tried again with dyno certs:auto:refresh.\n";
    }
    text
}

#[cfg(test)]
mod test {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::wire::api::Named;

    fn domain(hostname: &str, status: &str, reason: Option<&str>) -> Domain {
        Domain {
            acm_status: Some(status.to_owned()),
            acm_status_reason: reason.map(str::to_owned),
            app: Named { id: uuid::Uuid::nil(), name: "example".to_owned() },
            cname: None,
            created_at: String::new(),
            hostname: hostname.to_owned(),
            id: uuid::Uuid::nil(),
            kind: CUSTOM.to_owned(),
            sni_endpoint: None,
            status: "none".to_owned(),
            updated_at: "2026-11-18T01:30:00Z".to_owned(),
        }
    }

    #[test]
    fn each_domain_is_shown_with_how_far_it_is_and_why() {
        let now = Now { at: "2026-11-18T01:36:38Z".parse().unwrap(), zone: TimeZone::UTC };
        let shown = |acm, domains: &[Domain]| rendered("example", acm, domains, &now);
        insta::assert_snapshot!(shown(Switch::Off, &[]), @"=== Automatic Certificate Management is disabled on ⬢ example");
        insta::assert_snapshot!(shown(Switch::On, &[]), @r"
        === Automatic Certificate Management is enabled on ⬢ example

        Add a domain to the app with dyno domains:add.
        ");
        let issued = domain("www.example.com", "cert issued", None);
        insta::assert_snapshot!(shown(Switch::On, std::slice::from_ref(&issued)), @r"
        === Automatic Certificate Management is enabled on ⬢ example

          Domain            Status        Last Updated
         ──────────────────────────────────────────────────────────────────────
          www.example.com   Cert issued   2026/11/18 01:30:00 +0000 (~ 6m ago)
        ");
        let failed = domain("*.example.com", "failed", Some("No wildcards"));
        let text = shown(Switch::On, &[issued, failed]);
        assert!(text.contains("*.example.com     Failed        No wildcards   2026/11/18"), "{text}");
        assert!(text.ends_with("tried again with dyno certs:auto:refresh.\n"), "{text}");
    }
}
