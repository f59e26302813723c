//! `sni-endpoint`: a certificate of an app.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::wire::api::Named;

/// A certificate of an app. Its key is never shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SniEndpoint {
    /// The app.
    pub app: Named,
    /// PEM, the server's own certificate first.
    pub certificate_chain: String,
    /// ISO time.
    pub created_at: String,
    /// The same as its name.
    pub display_name: Option<String>,
    /// The identities of the domains that it is shown for.
    pub domains: Vec<Uuid>,
    /// Its identity.
    pub id: Uuid,
    /// By what it is spoken of.
    pub name: String,
    /// What the certificate says of itself.
    pub ssl_cert: SslCert,
    /// ISO time.
    pub updated_at: String,
}

/// What a certificate says of itself.
#[expect(clippy::struct_excessive_bools, reason = "the published shape has them")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SslCert {
    /// Whether the node got it by itself.
    pub acm: bool,
    /// Whether an authority that the node's machine trusts vouches for it.
    #[serde(rename = "ca_signed?")]
    pub ca_signed: bool,
    /// The host names that it is good for.
    pub cert_domains: Vec<String>,
    /// ISO time.
    pub expires_at: String,
    /// Its identity.
    pub id: Uuid,
    /// Who signed it.
    pub issuer: String,
    /// Whether it signed itself.
    #[serde(rename = "self_signed?")]
    pub self_signed: bool,
    /// ISO time.
    pub starts_at: String,
    /// Whose it is.
    pub subject: String,
}

/// Body of `POST` and `PATCH`.
#[derive(Clone, Serialize, Deserialize)]
pub struct CreateSniEndpoint {
    /// PEM, in any order.
    pub certificate_chain: String,
    /// PEM.
    pub private_key: String,
}

/// Body of `PATCH /apps/:app/domains/:domain`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateDomain {
    /// The name or identity of a certificate of the app; null for none.
    pub sni_endpoint: Option<String>,
}
