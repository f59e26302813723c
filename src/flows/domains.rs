//! The names that an app answers to besides its given one.

use crate::domain::{App, CustomDomain, EndpointRef, HostPattern};
use crate::flows::Node;
use crate::flows::error::FlowError;
use crate::flows::sni_endpoints::sni_endpoint;
use crate::wire::api_errors::{Missing, Refusal};

/// The domains of an app, by name.
///
/// # Errors
/// The node fails.
pub async fn domains(node: &Node, app: &App) -> Result<Vec<CustomDomain>, FlowError> {
    Ok(node.store().domains(app.id).await?)
}

/// The domain of that name or identity.
///
/// # Errors
/// There is none, or the node fails.
pub async fn domain(node: &Node, app: &App, key: &str) -> Result<CustomDomain, FlowError> {
    let is_named = |found: &CustomDomain| {
        found.hostname.to_string().eq_ignore_ascii_case(key) || found.id.to_string().eq_ignore_ascii_case(key)
    };
    let found = domains(node, app).await?.into_iter().find(is_named);
    found.ok_or_else(|| Refusal::NotFound(Missing::Domain).into())
}

/// Makes the app answer to a name, from now on, with one of its certificates where one is named.
///
/// # Errors
/// There is no such certificate, or it does not cover the name; the name cannot be an app's, another app has it, the app has as many as it may, or the node fails.
pub async fn add_domain(
    node: &Node,
    app: &App,
    hostname: &str,
    endpoint: Option<&str>,
) -> Result<CustomDomain, FlowError> {
    let hostname = CustomDomain::parse(hostname).map_err(Refusal::Domain)?;
    let _changing = node.locks().change(app.id).await;
    let endpoint = match endpoint {
        Some(key) => Some(covering(node, app, key, &hostname).await?),
        None => None,
    };
    let added = node.store().add_domain(app.id, hostname, endpoint).await?;
    node.apply(app).await?;
    if added.order.is_some() {
        node.orders_changed().notify_one();
    }
    Ok(added)
}

/// The certificate of that name or identity, which is good for `hostname`.
pub(super) async fn covering(
    node: &Node,
    app: &App,
    key: &str,
    hostname: &HostPattern,
) -> Result<EndpointRef, FlowError> {
    let found = sni_endpoint(node, app, key).await?;
    if !found.facts.covers(hostname) {
        return Err(Refusal::CertificateName(hostname.clone()).into());
    }
    Ok(EndpointRef { id: found.endpoint.id, name: found.endpoint.name })
}

/// Makes the app answer to a name no longer, and tells what it was.
///
/// # Errors
/// The app has no such domain, or the node fails.
pub async fn remove_domain(node: &Node, app: &App, key: &str) -> Result<CustomDomain, FlowError> {
    let _changing = node.locks().change(app.id).await;
    let removed = domain(node, app, key).await?;
    node.store().remove_domain(app.id, removed.id).await?;
    node.apply(app).await?;
    Ok(removed)
}
