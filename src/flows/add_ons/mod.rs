//! Add-ons: data services that apps have, under names of their own, with a config var each that says where they are.
//!
//! ```text
//! create ──▶ recorded, attached ──service answers──▶ provisioned: a release sets the config var
//! attach, detach ──▶ recorded ──▶ the ways of dynos ──▶ a release sets or removes the config var
//! destroy ──▶ detached everywhere ──▶ forgotten ──▶ its service ends, its data is put away for some days
//! ```
//!
//! What is cut off in between is taken up at the next start: a service that was not provisioned goes on, data that belongs to no
//! add-on is put away, and apps are told what they were not told yet.

mod acts;
mod attaching;
mod backups;
mod changes;
mod config;
mod credentials;
mod making;
mod stream;
mod transfers;

use std::collections::BTreeMap;

use crate::domain::{AddOn, App, AppId, AppRight, Attachment, Bytes, Plan, Service};
use crate::flows::Node;
use crate::flows::caller::{Caller, permit, right_on};
use crate::flows::error::FlowError;
use crate::stack;
use crate::wire::api_errors::{Missing, Refusal};

pub use crate::supervisor::service::CLIENT;
pub use acts::{ActRequest, add_on_info, begin_act, end_connections, reset_add_on, reset_statistics};
pub use attaching::{AttachRequest, attach_add_on, detach_add_on};
pub(super) use backups::{Links, sweep_files};
pub use backups::{
    backup_link, backup_schedules, capture_backup, copy_add_on, keep_backups, link_name, linked_backup,
    linked_transfer, restore_backup, schedule_backups, unschedule_backups, verify_backup, verify_backups,
};
#[cfg(test)]
pub(super) use backups::{look, verify_newest};
pub use changes::{AddOnUpdate, Others, change_add_on, destroy_add_on};
pub(super) use changes::{clear, let_go, own};
pub use config::{add_on_key, add_on_url};
pub(super) use config::{as_of_now, refuse_owned};
#[cfg(test)]
pub(super) use credentials::see_off_again;
pub(super) use credentials::settle;
pub use credentials::{keep_seeing_off, rotate_password};
pub(super) use making::take_up;
pub use making::{AddOnRequest, bring_back_add_on, create_add_on, removed_data};
#[cfg(test)]
pub(super) use transfers::begin_trial;
pub(super) use transfers::{Transfers, take_up_transfers};
pub use transfers::{backup_of_id, cancel_transfer, data_transfer, data_transfers, delete_transfer};

/// An attachment, its app and its add-on.
#[derive(Clone, Debug)]
pub struct AttachmentView {
    /// The attachment.
    pub attachment: Attachment,
    /// The app that has it.
    pub app: App,
    /// The add-on.
    pub add_on: AddOn,
    /// The app that the add-on was made for.
    pub owner: App,
}

/// An add-on and what is known of it.
#[derive(Clone, Debug)]
pub struct AddOnView {
    /// The add-on.
    pub add_on: AddOn,
    /// The app that it was made for.
    pub app: App,
    /// Its attachments, to any app.
    pub attachments: Vec<AttachmentView>,
    /// Its service.
    pub service: &'static Service,
    /// Its plan.
    pub plan: &'static Plan,
    /// The memory that it uses now, where it runs.
    pub memory: Option<Bytes>,
}

/// The services that add-ons are made of.
///
/// # Errors
/// The description of one is faulty.
pub fn add_on_services() -> Result<&'static [Service], FlowError> {
    Ok(stack::services()?)
}

/// Everything there is of add-ons, read once.
struct Inventory {
    add_ons: Vec<AddOn>,
    attachments: Vec<Attachment>,
    apps: BTreeMap<AppId, App>,
}

impl Inventory {
    async fn take(node: &Node) -> Result<Self, FlowError> {
        let (add_ons, attachments) = (node.store().add_ons().await?, node.store().attachments().await?);
        let apps = node.store().apps().await?.into_iter().map(|app| (app.id, app)).collect();
        Ok(Self { add_ons, attachments, apps })
    }

    fn attachment(&self, attachment: &Attachment) -> Option<AttachmentView> {
        let add_on = self.add_ons.iter().find(|add_on| add_on.id == attachment.add_on)?.clone();
        let (app, owner) = (self.apps.get(&attachment.app)?.clone(), self.apps.get(&add_on.app)?.clone());
        Some(AttachmentView { attachment: attachment.clone(), app, add_on, owner })
    }

    fn all_attachments(&self) -> Vec<AttachmentView> {
        self.attachments.iter().filter_map(|attachment| self.attachment(attachment)).collect()
    }

    /// What is shown of an add-on; nothing where its app has just gone, or its service is not known to this program.
    fn add_on(&self, node: &Node, add_on: &AddOn) -> Option<AddOnView> {
        let service = stack::service(&add_on.service).ok()?;
        Some(AddOnView {
            app: self.apps.get(&add_on.app)?.clone(),
            attachments: self
                .all_attachments()
                .into_iter()
                .filter(|has| has.add_on.id == add_on.id)
                .collect(),
            service,
            plan: service.plan(&add_on.plan)?,
            memory: node.services().memory(add_on.id),
            add_on: add_on.clone(),
        })
    }

    fn all_add_ons(&self, node: &Node) -> Vec<AddOnView> {
        self.add_ons.iter().filter_map(|add_on| self.add_on(node, add_on)).collect()
    }
}

/// The add-ons that `caller` may see: of apps that one has part in.
///
/// # Errors
/// The node fails.
pub async fn add_ons(node: &Node, caller: &Caller) -> Result<Vec<AddOnView>, FlowError> {
    let mut seen = Vec::new();
    for view in Inventory::take(node).await?.all_add_ons(node) {
        if sees(node, caller, &view).await? {
            seen.push(view);
        }
    }
    Ok(seen)
}

/// The add-ons that were made for an app, or are attached to it.
///
/// # Errors
/// The node fails.
pub async fn app_add_ons(node: &Node, app: &App) -> Result<Vec<AddOnView>, FlowError> {
    let mut all = Inventory::take(node).await?.all_add_ons(node);
    all.retain(|view| view.add_on.app == app.id || view.attachments.iter().any(|has| has.app.id == app.id));
    Ok(all)
}

/// The add-on of that name or identity, or what an app has under the name `key`, or under that config var.
///
/// # Errors
/// There is none that `caller` may see, or the node fails.
pub async fn add_on(
    node: &Node,
    caller: &Caller,
    key: &str,
    app: Option<&App>,
) -> Result<AddOnView, FlowError> {
    let of_app = |view: &AddOnView| {
        let is_meant = |has: &AttachmentView| {
            app.is_some_and(|app| app.id == has.app.id) && has.attachment.name.is_meant(key)
        };
        view.attachments.iter().any(is_meant)
    };
    let is_named = |view: &AddOnView| {
        view.add_on.name.to_string() == key || view.add_on.id.to_string().eq_ignore_ascii_case(key)
    };
    let all = Inventory::take(node).await?.all_add_ons(node);
    let found = all.iter().find(|view| is_named(view)).or_else(|| all.iter().find(|view| of_app(view)));
    match found {
        Some(view) if sees(node, caller, view).await? => Ok(view.clone()),
        Some(_) | None => Err(Refusal::NotFound(Missing::AddOn).into()),
    }
}

/// Every attachment that `caller` may see: of apps that one has part in, and of add-ons that were made for such an app.
///
/// # Errors
/// The node fails.
pub async fn attachments(node: &Node, caller: &Caller) -> Result<Vec<AttachmentView>, FlowError> {
    let mut seen = Vec::new();
    for view in Inventory::take(node).await?.all_attachments() {
        if right_on(node, caller, &view.app).await?.is_some()
            || right_on(node, caller, &view.owner).await?.is_some()
        {
            seen.push(view);
        }
    }
    Ok(seen)
}

/// Whether `caller` may take an attachment away: who has it may, and who has the add-on, whatever has become of their sharing.
///
/// # Errors
/// The caller may do with neither app what that takes, or the node fails.
pub async fn permit_detaching(node: &Node, caller: &Caller, has: &AttachmentView) -> Result<(), FlowError> {
    match permit(node, caller, &has.app, AppRight::Operate).await {
        Err(FlowError::Refused(refusal)) => {
            let held = right_on(node, caller, &has.owner).await?;
            if held >= Some(AppRight::Operate) { Ok(()) } else { Err(refusal.into()) }
        }
        permitted => permitted,
    }
}

/// The attachments of an app.
///
/// # Errors
/// The node fails.
pub async fn app_attachments(node: &Node, app: &App) -> Result<Vec<AttachmentView>, FlowError> {
    let mut all = Inventory::take(node).await?.all_attachments();
    all.retain(|view| view.app.id == app.id);
    Ok(all)
}

/// The attachment of that identity, or of that name or config var within `app`.
///
/// # Errors
/// There is none that `caller` may see, or the node fails.
pub async fn attachment(
    node: &Node,
    caller: &Caller,
    key: &str,
    app: Option<&App>,
) -> Result<AttachmentView, FlowError> {
    let is_meant = |view: &AttachmentView| {
        view.attachment.id.to_string().eq_ignore_ascii_case(key)
            || app.is_some_and(|app| app.id == view.app.id)
                && (view.attachment.name.is_meant(key) || view.add_on.name.to_string() == key)
    };
    let found = attachments(node, caller).await?.into_iter().find(is_meant);
    found.ok_or_else(|| Refusal::NotFound(Missing::Attachment).into())
}

/// Whether `caller` has part in an app that has the add-on.
async fn sees(node: &Node, caller: &Caller, view: &AddOnView) -> Result<bool, FlowError> {
    for app in std::iter::once(&view.app).chain(view.attachments.iter().map(|has| &has.app)) {
        if right_on(node, caller, app).await?.is_some_and(|right| right >= AppRight::View) {
            return Ok(true);
        }
    }
    Ok(false)
}
