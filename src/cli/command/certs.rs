//! `dyno certs`, `certs:add`, `certs:info`, `certs:update` and `certs:remove`

use std::io::Read as _;
use std::path::{Path, PathBuf};

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Now, heading, pairs, ruled, shown_app};
use crate::wire::api::{CreateSniEndpoint, Domain, SniEndpoint, UpdateDomain};

/// No chain and no key is as long, bytes.
const FILE_BYTES_MAX: u64 = 256 << 10;

/// Show the certificates that an app has
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
}

/// Add a certificate to an app, for those of its domains that it covers and that have none
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct AddArgs {
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    files: Files,
}

/// Show all that is known of a certificate
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct InfoArgs {
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    which: Which,
}

/// Put another certificate in the place of one
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct UpdateArgs {
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    which: Which,
}

/// Remove a certificate from an app
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RemoveArgs {
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, clap::Args)]
struct Files {
    /// File with the certificate and those that vouch for it, PEM, in any order
    #[arg(value_name = "CRT")]
    chain: PathBuf,
    /// File with the private key, PEM
    #[arg(value_name = "KEY")]
    key: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Name of the certificate [default: the only one]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let all = all(context, &app).await?;
        if context.node.json {
            return output::json(&all);
        }
        output::data(&rendered(&app, &all, &Now::here()))
    }
}

impl AddArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let body = self.files.read()?;
        let path = format!("/apps/{app}/sni-endpoints");
        let added = context.client.send_json(Method::POST, &path, &body);
        let text = format!("Adding SSL certificate to {}", shown_app(&app));
        let added: SniEndpoint = output::action(&text, added, |_| None).await?;
        let domains: Vec<Domain> = context.client.get(&format!("/apps/{app}/domains")).await?;
        for domain in domains.iter().filter(|domain| domain.kind == "custom" && is_for(&added, domain)) {
            let body = UpdateDomain { sni_endpoint: Some(added.name.clone()) };
            let path = format!("/apps/{app}/domains/{}", domain.id);
            let secured = context.client.send_json::<Domain>(Method::PATCH, &path, &body);
            output::action(&format!("Securing {}", domain.hostname), secured, |_| None).await?;
        }
        show(context, &get(context, &app, &added.name).await?)
    }
}

impl InfoArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let name = self.which.found(context, &app).await?;
        show(context, &get(context, &app, &name).await?)
    }
}

impl UpdateArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let body = self.files.read()?;
        let name = self.which.found(context, &app).await?;
        let path = path(&app, &name);
        let changed = context.client.send_json(Method::PATCH, &path, &body);
        let text = format!("Updating SSL certificate {name} for {}", shown_app(&app));
        let changed: SniEndpoint = output::action(&text, changed, |_| None).await?;
        show(context, &changed)
    }
}

impl RemoveArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let name = self.which.found(context, &app).await?;
        let path = path(&app, &name);
        let removed = context.client.call::<SniEndpoint>(Method::DELETE, &path);
        let text = format!("Removing SSL certificate {name} from {}", shown_app(&app));
        let removed = output::action(&text, removed, |_| None).await?;
        if context.node.json { output::json(&removed) } else { Ok(()) }
    }
}

impl Files {
    fn read(&self) -> Result<CreateSniEndpoint, Failure> {
        Ok(CreateSniEndpoint { certificate_chain: text(&self.chain)?, private_key: text(&self.key)? })
    }
}

impl Which {
    /// The name that was given, or that of the only one.
    async fn found(self, context: &Context, app: &str) -> Result<String, Failure> {
        if let Some(name) = self.name {
            return Ok(name);
        }
        let all = all(context, app).await?;
        match all.as_slice() {
            [only] => Ok(only.name.clone()),
            [] => Err(Failure::Nothing(format!("{} has no SSL certificates.", shown_app(app)))),
            several => {
                let names: Vec<_> = several.iter().map(|one| one.name.as_str()).collect();
                Err(Failure::Usage(format!("Which certificate? Name one with --name: {}.", names.join(", "))))
            }
        }
    }
}

async fn all(context: &Context, app: &str) -> Result<Vec<SniEndpoint>, Failure> {
    context.client.get(&format!("/apps/{app}/sni-endpoints")).await
}

async fn get(context: &Context, app: &str, name: &str) -> Result<SniEndpoint, Failure> {
    context.client.get(&path(app, name)).await
}

fn path(app: &str, name: &str) -> String {
    let name = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
    format!("/apps/{app}/sni-endpoints/{name}")
}

fn text(path: &Path) -> Result<String, Failure> {
    let attempt = || format!("read {}", path.display());
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(Failure::local(attempt()))?;
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(Failure::local(attempt()))?;
    Ok(text)
}

/// Whether a domain has no certificate and this one is good for it.
fn is_for(endpoint: &SniEndpoint, domain: &Domain) -> bool {
    let wildcard = domain.hostname.split_once('.').map(|(_, above)| format!("*.{above}"));
    let mut names = endpoint.ssl_cert.cert_domains.iter();
    domain.sni_endpoint.is_none()
        && names.any(|name| *name == domain.hostname || Some(name) == wildcard.as_ref())
}

fn show(context: &Context, endpoint: &SniEndpoint) -> Result<(), Failure> {
    if context.node.json {
        return output::json(endpoint);
    }
    output::data(&described(endpoint, &Now::here()))
}

fn rendered(app: &str, all: &[SniEndpoint], now: &Now) -> String {
    if all.is_empty() {
        return format!(
            "{} has no SSL certificates.\nUse dyno certs:add CRT KEY to add one.\n",
            shown_app(app)
        );
    }
    let row = |one: &SniEndpoint| {
        let cert = &one.ssl_cert;
        vec![
            one.name.clone(),
            cert.cert_domains.join(", "),
            expiry(&cert.expires_at, now),
            if cert.ca_signed { "True" } else { "False" }.to_owned(),
            if cert.acm { "ACM" } else { "SNI" }.to_owned(),
            one.domains.len().to_string(),
        ]
    };
    let header = ["Name", "Common Name(s)", "Expires", "Trusted", "Type", "Domains"];
    let rows: Vec<_> =
        std::iter::once(header.map(str::to_owned).to_vec()).chain(all.iter().map(row)).collect();
    heading(&format!("{} SSL Certificates", shown_app(app))) + &ruled(&rows)
}

fn described(endpoint: &SniEndpoint, now: &Now) -> String {
    let cert = &endpoint.ssl_cert;
    let rows = [
        ("Name", endpoint.name.clone()),
        ("Common Name(s)", cert.cert_domains.join(", ")),
        ("Domains", endpoint.domains.len().to_string()),
        ("Expires At", expiry(&cert.expires_at, now)),
        ("Issuer", cert.issuer.clone()),
        ("Starts At", now.shown(&cert.starts_at)),
        ("Subject", cert.subject.clone()),
        ("Renewed", if cert.acm { "automatically" } else { "by you, with certs:update" }.to_owned()),
    ];
    let standing = if cert.self_signed {
        "SSL certificate is self signed."
    } else if cert.ca_signed {
        "SSL certificate is verified by a root authority."
    } else {
        "SSL certificate is not trusted."
    };
    let rows = pairs(rows.iter().map(|(key, value)| (*key, value.as_str())));
    format!("Certificate details:\n{rows}{standing}\n")
}

/// A time, and whether it is over or near.
fn expiry(time: &str, now: &Now) -> String {
    const DAY_S: i64 = 24 * 60 * 60;
    /// From so many days on the end is near.
    const NEAR_DAYS: i64 = 30;
    let shown = now.shown(time);
    match output::seconds_between(&now.at.to_string(), time).map(|left| left.div_euclid(DAY_S)) {
        Some(..0) => format!("{shown} (expired)"),
        Some(days @ ..NEAR_DAYS) => format!("{shown} (in {days} days)"),
        Some(_) | None => shown,
    }
}

#[cfg(test)]
mod test {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::wire::api::{Named, SslCert};

    fn endpoint(expires_at: &str) -> SniEndpoint {
        SniEndpoint {
            app: Named { id: uuid::Uuid::nil(), name: "example".to_owned() },
            certificate_chain: String::new(),
            created_at: "2026-11-18T01:36:38Z".to_owned(),
            display_name: Some("calm-bay-12345".to_owned()),
            domains: vec![uuid::Uuid::nil()],
            id: uuid::Uuid::nil(),
            name: "calm-bay-12345".to_owned(),
            ssl_cert: SslCert {
                acm: false,
                ca_signed: false,
                cert_domains: vec!["example.com".to_owned(), "*.example.com".to_owned()],
                expires_at: expires_at.to_owned(),
                id: uuid::Uuid::nil(),
                issuer: "/CN=An authority".to_owned(),
                self_signed: false,
                starts_at: "2026-01-01T00:00:00Z".to_owned(),
                subject: "/CN=example.com".to_owned(),
            },
            updated_at: "2026-11-18T01:36:38Z".to_owned(),
        }
    }

    #[test]
    fn certificates_are_shown_with_what_is_near_its_end() {
        let now = Now { at: "2026-11-18T01:36:38Z".parse().unwrap(), zone: TimeZone::UTC };
        insta::assert_snapshot!(rendered("example", &[], &now), @r"
        ⬢ example has no SSL certificates.
        Use dyno certs:add CRT KEY to add one.
        ");
        let all = ["2027-11-18T00:00:00Z", "2026-11-28T00:00:00Z", "2026-11-01T00:00:00Z"].map(endpoint);
        let text = rendered("example", &all, &now);
        for (line, end) in text.lines().skip(4).zip(["+0000 ", "(in 9 days)", "(expired)"]) {
            assert!(line.contains(end), "{text}");
        }
        assert!(described(&all[0], &now).ends_with("SSL certificate is not trusted.\n"));
    }

    #[test]
    fn a_certificate_is_for_domains_that_it_covers_and_that_have_none() {
        let domain = |hostname: &str, endpoint: Option<Named>| Domain {
            acm_status: None,
            acm_status_reason: None,
            app: Named { id: uuid::Uuid::nil(), name: "example".to_owned() },
            cname: None,
            created_at: String::new(),
            hostname: hostname.to_owned(),
            id: uuid::Uuid::nil(),
            kind: "custom".to_owned(),
            sni_endpoint: endpoint,
            status: "none".to_owned(),
            updated_at: String::new(),
        };
        let one = endpoint("2027-11-18T00:00:00Z");
        assert!(is_for(&one, &domain("www.example.com", None)));
        assert!(is_for(&one, &domain("*.example.com", None)));
        assert!(!is_for(&one, &domain("a.b.example.com", None)));
        let other = Named { id: uuid::Uuid::nil(), name: "other".to_owned() };
        assert!(!is_for(&one, &domain("www.example.com", Some(other))));
    }
}
