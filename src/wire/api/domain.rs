//! `domain` and `key`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::wire::api::Named;

/// A name that an app answers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    /// How far the certificate is that the node gets for it, in a word; none where it gets none.
    pub acm_status: Option<String>,
    /// Why it is no further, and what to do about it.
    pub acm_status_reason: Option<String>,
    /// The app.
    pub app: Named,
    /// What a DNS record of the name leads to; none for the given name.
    pub cname: Option<String>,
    /// ISO time.
    pub created_at: String,
    /// The name.
    pub hostname: String,
    /// Its identity.
    pub id: Uuid,
    /// `heroku` for the given name, `custom` for others.
    pub kind: String,
    /// The certificate that is shown for it.
    pub sni_endpoint: Option<Named>,
    /// `none`: the router answers at once.
    pub status: String,
    /// ISO time.
    pub updated_at: String,
}

/// Body of `POST /apps/:app/domains`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateDomain {
    /// The name.
    pub hostname: String,
    /// The name or identity of a certificate of the app.
    #[serde(default)]
    pub sni_endpoint: Option<String>,
}

/// A public key of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// What its owner calls it.
    pub comment: String,
    /// ISO time.
    pub created_at: String,
    /// Whose it is.
    pub email: String,
    /// As ssh-keygen(1) prints it: `SHA256:` and the digest.
    pub fingerprint: String,
    /// Its identity.
    pub id: Uuid,
    /// The line of the `.pub` file.
    pub public_key: String,
    /// ISO time.
    pub updated_at: String,
}

/// Body of `POST /account/keys`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateKey {
    /// The line of the `.pub` file.
    pub public_key: String,
}
