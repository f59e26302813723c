//! `addon`, `addon-attachment`, `addon-service` and `plan`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::wire::api::Named;

/// An add-on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddOn {
    /// None: there is nothing to be done on another site.
    pub actions: Vec<String>,
    /// What it is.
    pub addon_service: Named,
    /// The app that it was made for.
    pub app: Named,
    /// What it costs.
    pub billed_price: Price,
    /// The app, as who would pay.
    pub billing_entity: BillingEntity,
    /// The config vars that it gives its own app.
    pub config_vars: Vec<String>,
    /// ISO time.
    pub created_at: String,
    /// Its identity.
    pub id: Uuid,
    /// The memory that it uses now, bytes, while it runs. Of this node alone.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// Its name.
    pub name: String,
    /// What it may use.
    pub plan: Plan,
    /// Its identity with whoever provides it: the node, so the same.
    pub provider_id: String,
    /// Nothing to be told.
    pub provision_message: Option<String>,
    /// `provisioning`, `provisioned` or `deprovisioned`.
    pub state: String,
    /// ISO time.
    pub updated_at: String,
    /// None: it has no site.
    pub web_url: Option<String>,
}

/// What something costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// Nothing.
    pub cents: u64,
    /// Never.
    pub contract: bool,
    /// `month`.
    pub unit: String,
}

/// Who would pay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BillingEntity {
    /// Its identity.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// `app`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// A plan of a service.
#[expect(clippy::struct_excessive_bools, reason = "the published schema has these fields")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What it is a plan of.
    pub addon_service: Named,
    /// ISO time.
    pub created_at: String,
    /// Whether it is had by naming the service alone.
    pub default: bool,
    /// In words.
    pub description: String,
    /// For people.
    pub human_name: String,
    /// Its identity.
    pub id: Uuid,
    /// Always true.
    pub installable_inside_private_network: bool,
    /// Always true.
    pub installable_outside_private_network: bool,
    /// `heroku-postgresql:essential-0`.
    pub name: String,
    /// What it costs.
    pub price: Price,
    /// None.
    pub space_default: bool,
    /// `public`.
    pub state: String,
    /// ISO time.
    pub updated_at: String,
    /// Always true.
    pub visible: bool,
}

/// A service of which there are add-ons.
#[expect(clippy::struct_excessive_bools, reason = "the published schema has these fields")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddOnService {
    /// None.
    pub cli_plugin_name: Option<String>,
    /// ISO time.
    pub created_at: String,
    /// For people.
    pub human_name: String,
    /// Its identity.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// `ga`.
    pub state: String,
    /// Whether an app may have several.
    pub supports_multiple_installations: bool,
    /// Whether several apps may have one.
    pub supports_sharing: bool,
    /// ISO time.
    pub updated_at: String,
}

/// An add-on as an app has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// What it is.
    pub addon: AttachedAddOn,
    /// Who has it.
    pub app: Named,
    /// The config vars that come with it.
    pub config_vars: Vec<String>,
    /// ISO time.
    pub created_at: String,
    /// Its identity.
    pub id: Uuid,
    /// None: nothing is taken but the app's own output.
    pub log_input_url: Option<String>,
    /// Under which name.
    pub name: String,
    /// None.
    pub namespace: Option<String>,
    /// ISO time.
    pub updated_at: String,
    /// None: it has no site.
    pub web_url: Option<String>,
}

/// An add-on, as an attachment shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachedAddOn {
    /// The app that it was made for.
    pub app: Named,
    /// Its identity.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its plan.
    pub plan: Named,
}

/// Something by its name: as a plain word, or as an object that has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ByName {
    /// `"heroku-postgresql:essential-0"`.
    Word(String),
    /// `{"name": "heroku-postgresql:essential-0"}`.
    Object {
        /// The name.
        name: String,
    },
}

impl ByName {
    /// The name.
    #[must_use]
    pub fn into_name(self) -> String {
        match self {
            Self::Word(name) | Self::Object { name } => name,
        }
    }
}

/// Body of `POST /apps/:app/addons/:addon/acts/:act`, a route of this node alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoAct {
    /// The arguments of the act.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// The client's terminal; pipes where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<ActTerminal>,
}

/// A terminal at the client's end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActTerminal {
    /// Characters in a line.
    pub cols: u16,
    /// Lines.
    pub rows: u16,
    /// What kind it is: `xterm`.
    pub term: String,
}

/// What a service tells of itself. The platform's data API has this form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceInfo {
    /// Its identity.
    pub addon_id: Uuid,
    /// Facts in their order.
    pub info: Vec<ServiceFact>,
    /// Its name.
    pub name: String,
    /// Its plan within the service.
    pub plan: String,
    /// Where it is found: a secret.
    pub resource_url: String,
    /// Not used: every client asks for encryption or does not.
    pub prefer_native_tls: bool,
}

/// What a service says of what was asked of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceMessage {
    /// It, for people.
    pub message: String,
}

/// One fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceFact {
    /// What it is about.
    pub name: String,
    /// None, one or several values.
    pub values: Vec<String>,
}

/// Who may use a database, in the form of the platform's data API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// Its passwords.
    pub credentials: Vec<ActiveCredential>,
    /// The database.
    pub database: String,
    /// The name of its host.
    pub host: String,
    /// `default`.
    pub name: String,
    /// Its port.
    pub port: u16,
    /// `active`.
    pub state: String,
    /// Its identity.
    pub uuid: Uuid,
}

/// A password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveCredential {
    /// It.
    pub password: String,
    /// `active`.
    pub state: String,
    /// Of whom.
    pub user: String,
}

/// Data of an add-on that was destroyed, on this node alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedAddOn {
    /// The identity that its add-on had.
    pub id: Uuid,
    /// ISO time until which it is kept.
    pub kept_until: String,
    /// The name that its add-on had.
    pub name: String,
    /// The plan that its add-on had: `heroku-postgresql:essential-0`.
    pub plan: String,
    /// ISO time of its removal.
    pub removed_at: String,
}

/// Body of `POST /node/removed-addons/:id/actions/bring-back`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BringBack {
    /// Who is to have it.
    pub app: String,
    /// Under which name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What an attachment is to be called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachmentRequest {
    /// Its name; none has one chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Body of `POST /apps/:app/addons`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateAddOn {
    /// The service, or one of its plans.
    pub plan: ByName,
    /// How the app is to have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachment: Option<AttachmentRequest>,
    /// Options of the service: `fork`, the add-on whose contents it is given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, serde_json::Value>,
    /// Its name; none has one made up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Body of `PATCH /apps/:app/addons/:addon`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateAddOn {
    /// Another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Another plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<ByName>,
}

/// Body of `DELETE /apps/:app/addons/:addon`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestroyAddOn {
    /// Whether other apps may lose it.
    #[serde(default)]
    pub force: Option<bool>,
}

/// Body of `POST /addon-attachments`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateAttachment {
    /// The add-on.
    pub addon: ByName,
    /// Who is to have it.
    pub app: ByName,
    /// The app's name once more, to have it take another one's place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<String>,
    /// Under which name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Body of `POST /actions/addons/resolve`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolveAddOn {
    /// A name or identity, or what the app calls it.
    pub addon: String,
    /// The app.
    #[serde(default)]
    pub app: Option<String>,
}

/// Body of `POST /actions/addon-attachments/resolve`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolveAttachment {
    /// A name or identity, or the add-on's name.
    pub addon_attachment: String,
    /// The app.
    #[serde(default)]
    pub app: Option<String>,
}
