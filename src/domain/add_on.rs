//! Add-ons: a data service under a plan, made for one app and attached to one or several.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use uuid::Uuid;

use crate::domain::{AppId, Secret};

/// An add-on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddOn {
    /// Its identity.
    pub id: Uuid,
    /// The app it was made for, and goes with.
    pub app: AppId,
    /// Its name on the node.
    pub name: AddOnName,
    /// The name of its service.
    pub service: String,
    /// The name of its plan within the service.
    pub plan: String,
    /// What its clients show.
    pub password: Secret,
    /// The slot of its container.
    pub slot: u32,
    /// How often what it runs under was changed: a container of an earlier one is started anew.
    pub generation: u32,
    /// Whether it has answered once, and its apps know of it.
    pub provisioned: bool,
    /// The add-on whose contents it is given before that.
    pub fork_of: Option<Uuid>,
    /// Unix time of its making, seconds.
    pub created_at_s: i64,
    /// Unix time of the last change, seconds.
    pub updated_at_s: i64,
}

impl AddOn {
    /// The most add-ons of one app.
    pub const PER_APP_MAX: usize = 20;
    /// The most add-ons of the apps of one user.
    pub const PER_OWNER_MAX: usize = 40;
    /// The most add-ons of a node: each has a slot of those that dynos and builds have theirs of, and most are to be left to them.
    pub const PER_NODE_MAX: usize = 256;

    /// The name of its host, as the dynos of attached apps find it: another name of the add-on leaves it as it is.
    #[must_use]
    pub fn host(&self) -> String {
        Self::host_of(self.id)
    }

    /// The name of the host that an add-on of this identity has, or had.
    #[must_use]
    pub fn host_of(id: Uuid) -> String {
        let id = id.simple().to_string();
        format!("addon-{}.internal", &id[..12])
    }
}

/// Under which name an app has an add-on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Its identity.
    pub id: Uuid,
    /// The add-on.
    pub add_on: Uuid,
    /// The app.
    pub app: AppId,
    /// The name, of which one app has one.
    pub name: AttachmentName,
    /// Unix time of its making, seconds.
    pub created_at_s: i64,
}

impl Attachment {
    /// The most attachments of one app.
    pub const PER_APP_MAX: usize = 50;
}

/// The name of an add-on: `postgresql-round-12345`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddOnName(String);

/// The text is no name of an add-on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the name of an add-on has 2 to {max} characters: a-z, 0-9 and dashes, a letter first and no dash last",
    max = AddOnName::LENGTH_MAX
)]
pub struct AddOnNameError;

impl AddOnName {
    /// The most characters.
    pub const LENGTH_MAX: usize = 63;
}

impl fmt::Display for AddOnName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AddOnName {
    type Err = AddOnNameError;

    fn from_str(text: &str) -> Result<Self, AddOnNameError> {
        let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let holds = (2..=Self::LENGTH_MAX).contains(&text.len())
            && text.bytes().all(is_plain)
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && !text.ends_with('-');
        if holds { Ok(Self(text.to_owned())) } else { Err(AddOnNameError) }
    }
}

/// The name of an attachment: `DATABASE`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttachmentName(String);

/// The text is no name of an attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the name of an attachment has at most {max} characters: A-Z, 0-9 and underscores, a letter first",
    max = AttachmentName::LENGTH_MAX
)]
pub struct AttachmentNameError;

impl AttachmentName {
    /// The most characters.
    pub const LENGTH_MAX: usize = 64;

    /// The config var that says where the add-on is.
    #[must_use]
    pub fn config_var(&self) -> String {
        format!("{self}_URL")
    }

    /// Whether `key` means it: the name itself, or its config var, in any case.
    #[must_use]
    pub fn is_meant(&self, key: &str) -> bool {
        key.eq_ignore_ascii_case(&self.0) || key.eq_ignore_ascii_case(&self.config_var())
    }
}

impl fmt::Display for AttachmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AttachmentName {
    type Err = AttachmentNameError;

    /// Small letters are taken for capitals.
    fn from_str(text: &str) -> Result<Self, AttachmentNameError> {
        let text = text.to_ascii_uppercase();
        let holds = (1..=Self::LENGTH_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
            && text.starts_with(|c: char| c.is_ascii_uppercase());
        if holds { Ok(Self(text)) } else { Err(AttachmentNameError) }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn names_of_add_ons_are_plain() {
        for good in ["postgresql-round-12345", "db", "a1"] {
            assert_eq!(good.parse::<AddOnName>().unwrap().to_string(), good);
        }
        for bad in ["", "a", "-db", "db-", "1db", "Db", "a.b", "a b", &"a".repeat(64)] {
            assert_eq!(bad.parse::<AddOnName>(), Err(AddOnNameError), "{bad}");
        }
    }

    #[test]
    fn an_attachment_is_meant_by_its_name_and_by_its_config_var() {
        let name: AttachmentName = "database".parse().unwrap();
        assert_eq!((name.to_string().as_str(), name.config_var().as_str()), ("DATABASE", "DATABASE_URL"));
        assert!(name.is_meant("DATABASE") && name.is_meant("database_url") && !name.is_meant("DATABAS"));
        for bad in ["", "1A", "_A", "A-B", "A B", &"A".repeat(65)] {
            assert_eq!(bad.parse::<AttachmentName>(), Err(AttachmentNameError), "{bad}");
        }
    }
}
