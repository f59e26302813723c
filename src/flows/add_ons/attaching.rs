//! Attaching an add-on to a further app, and detaching it.

use std::collections::BTreeSet;

use crate::domain::{App, AttachmentName};
use crate::flows::Node;
use crate::flows::access::Actor;
use crate::flows::add_ons::{AddOnView, AttachmentView, Inventory, app_attachments, config, making};
use crate::flows::error::FlowError;
use crate::wire::api_errors::{AddOnRefusal, Missing, Refusal};
use crate::wire::release_text;

/// How an app is to have an add-on.
#[derive(Clone, Debug, Default)]
pub struct AttachRequest {
    /// Under which name; one is chosen otherwise.
    pub name: Option<String>,
    /// The name of the app once more, from who means to put it in the place of what the app has under that name.
    pub confirm: Option<String>,
}

/// Attaches an add-on to an app, makes a release that says where it is, and restarts the app.
///
/// # Errors
/// The add-on does not answer yet, the name is taken or breaks the rules, or the node fails.
pub async fn attach_add_on(
    node: &Node,
    view: &AddOnView,
    app: &App,
    request: AttachRequest,
    actor: &Actor,
) -> Result<AttachmentView, FlowError> {
    if !view.add_on.provisioned {
        return Err(AddOnRefusal::AddOnCreating(view.add_on.name.to_string()).into());
    }
    let old = match &request.name {
        Some(name) => replaced(node, app, (name, request.confirm.as_deref())).await?,
        None => None,
    };
    let changing = node.locks().change(app.id).await;
    let made = match old {
        // At no moment is the app without what it has under that name.
        Some(old) => node.store().attach_in_place(old.attachment, view.add_on.id).await?,
        None => {
            let name = making::name_in(node, app, view.service, request.name.as_deref()).await?;
            node.store().attach(view.add_on.id, app.id, name).await?
        }
    };
    drop(changing);
    config::open_ways(node).await?;
    let description = release_text::attach(&made.name, &view.add_on.name);
    config::release(node, app, (description, BTreeSet::new()), actor).await?;
    Inventory::take(node)
        .await?
        .attachment(&made)
        .ok_or_else(|| Refusal::NotFound(Missing::Attachment).into())
}

/// What the app has under `name`, and loses by the word of who has confirmed that.
async fn replaced(
    node: &Node,
    app: &App,
    (name, confirm): (&str, Option<&str>),
) -> Result<Option<AttachmentView>, FlowError> {
    let name: AttachmentName = name.parse().map_err(AddOnRefusal::AttachmentName)?;
    let Some(has) = app_attachments(node, app).await?.into_iter().find(|has| has.attachment.name == name)
    else {
        return Ok(None);
    };
    if confirm != Some(app.name.as_str()) {
        return Err(AddOnRefusal::Unconfirmed(app.name.to_string()).into());
    }
    refuse_last(node, &has).await?;
    Ok(Some(has))
}

/// Detaches an add-on from an app, makes a release without its config var, and restarts the app.
///
/// # Errors
/// It is the last one of the add-on, which nobody would find again, or the node fails.
pub async fn detach_add_on(node: &Node, has: &AttachmentView, actor: &Actor) -> Result<(), FlowError> {
    refuse_last(node, has).await?;
    config::take_away(node, has, actor).await
}

async fn refuse_last(node: &Node, has: &AttachmentView) -> Result<(), FlowError> {
    let all = node.store().attachments().await?;
    let is_last = all.iter().filter(|other| other.add_on == has.add_on.id).count() <= 1;
    if is_last { Err(AddOnRefusal::LastAttachment(has.add_on.name.to_string()).into()) } else { Ok(()) }
}
