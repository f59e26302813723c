//! Certificates of apps' own, and the domains that they are shown for.

use crate::domain::{
    App, Certificate, CertificateFacts, CertificateSource, CustomDomain, SniEndpoint, Standing,
};
use crate::flows::Node;
use crate::flows::certificate_text::{self, standing};
use crate::flows::domains::{covering, domain, domains};
use crate::flows::error::FlowError;
use crate::flows::haiku;
use crate::sys::clock;
use crate::wire::api_errors::{Missing, Refusal};

/// A certificate of an app's, what it says, and the domains it is shown for.
#[derive(Clone, Debug)]
pub struct SniEndpointView {
    /// The certificate.
    pub endpoint: SniEndpoint,
    /// What it says of itself.
    pub facts: CertificateFacts,
    /// The domains.
    pub domains: Vec<CustomDomain>,
}

/// The certificates of an app, oldest first.
///
/// # Errors
/// The node fails.
pub async fn sni_endpoints(node: &Node, app: &App) -> Result<Vec<SniEndpointView>, FlowError> {
    let all = domains(node, app).await?;
    let endpoints = node.store().sni_endpoints(app.id).await?;
    let view = |endpoint: SniEndpoint| {
        let facts = facts(&endpoint.certificate)?;
        let is_shown =
            |domain: &&CustomDomain| domain.endpoint.as_ref().is_some_and(|of| of.id == endpoint.id);
        let domains = all.iter().filter(is_shown).cloned().collect();
        Ok(SniEndpointView { endpoint, facts, domains })
    };
    endpoints.into_iter().map(view).collect()
}

/// The certificate of that name or identity.
///
/// # Errors
/// There is none, or the node fails.
pub async fn sni_endpoint(node: &Node, app: &App, key: &str) -> Result<SniEndpointView, FlowError> {
    let is_named = |view: &SniEndpointView| {
        view.endpoint.name == key || view.endpoint.id.to_string().eq_ignore_ascii_case(key)
    };
    let found = sni_endpoints(node, app).await?.into_iter().find(is_named);
    found.ok_or_else(|| Refusal::NotFound(Missing::SniEndpoint).into())
}

/// The certificate of that name or identity, which a user has brought, and may change.
async fn brought(node: &Node, app: &App, key: &str) -> Result<SniEndpointView, FlowError> {
    let found = sni_endpoint(node, app, key).await?;
    match found.endpoint.source {
        CertificateSource::User => Ok(found),
        CertificateSource::Node => Err(Refusal::AutomaticCertificate(found.endpoint.name).into()),
    }
}

/// Adds a certificate, PEM, with its key. It is shown for no domain yet.
///
/// # Errors
/// The texts are no certificate that can be shown, the app has as many as it may, or the node fails.
pub async fn add_sni_endpoint(
    node: &Node,
    app: &App,
    (chain, key): (&str, &str),
) -> Result<SniEndpointView, FlowError> {
    let read = read(chain, key).await?;
    let _changing = node.locks().change(app.id).await;
    let endpoint = node.store().add_sni_endpoint(app.id, haiku::name().to_string(), read).await?;
    let facts = facts(&endpoint.certificate)?;
    Ok(SniEndpointView { endpoint, facts, domains: Vec::new() })
}

/// Puts another certificate in the place of one, for all domains that it is shown for.
///
/// # Errors
/// The texts are no certificate that can be shown, it does not cover those domains, there is no such certificate, or the node fails.
pub async fn change_sni_endpoint(
    node: &Node,
    app: &App,
    key: &str,
    (chain, private_key): (&str, &str),
) -> Result<SniEndpointView, FlowError> {
    let read = read(chain, private_key).await?;
    let _changing = node.locks().change(app.id).await;
    let before = brought(node, app, key).await?;
    let facts = facts(&read.0)?;
    if let Some(left) = before.domains.iter().find(|domain| !facts.covers(&domain.hostname)) {
        return Err(Refusal::CertificateName(left.hostname.clone()).into());
    }
    node.store().change_sni_endpoint(before.endpoint.id, read).await?;
    node.apply(app).await?;
    sni_endpoint(node, app, key).await
}

/// Removes a certificate, and tells what it was. Its domains have none then.
///
/// # Errors
/// There is no such certificate, or the node fails.
pub async fn remove_sni_endpoint(node: &Node, app: &App, key: &str) -> Result<SniEndpointView, FlowError> {
    let _changing = node.locks().change(app.id).await;
    let removed = brought(node, app, key).await?;
    node.store().remove_sni_endpoint(app.id, removed.endpoint.id).await?;
    node.apply(app).await?;
    node.orders_changed().notify_one();
    Ok(removed)
}

/// Has a certificate shown for a domain, or none.
///
/// # Errors
/// The app has no such domain or certificate, the certificate does not cover the domain, or the node fails.
pub async fn secure_domain(
    node: &Node,
    app: &App,
    hostname: &str,
    endpoint: Option<&str>,
) -> Result<CustomDomain, FlowError> {
    let _changing = node.locks().change(app.id).await;
    let of = domain(node, app, hostname).await?;
    let endpoint = match endpoint {
        Some(key) => Some(covering(node, app, key, &of.hostname).await?.id),
        None => None,
    };
    node.store().secure_domain((app.id, of.id), endpoint).await?;
    node.apply(app).await?;
    node.orders_changed().notify_one();
    domain(node, app, hostname).await
}

async fn read(chain: &str, key: &str) -> Result<(Certificate, Standing), FlowError> {
    let certificate = certificate_text::read(chain, key, clock::unix_s()).map_err(Refusal::Certificate)?;
    let judged = tokio::task::spawn_blocking(move || {
        let standing = standing(&certificate);
        (certificate, standing)
    });
    judged.await.map_err(FlowError::fault("look at a certificate"))
}

fn facts(certificate: &Certificate) -> Result<CertificateFacts, FlowError> {
    let unreadable = || std::io::Error::from(std::io::ErrorKind::InvalidData);
    certificate_text::facts(certificate)
        .ok_or_else(unreadable)
        .map_err(FlowError::fault("read a certificate that it has kept"))
}
