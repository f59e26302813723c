//! Changing an add-on, and destroying it.

use crate::domain::App;
use crate::flows::Node;
use crate::flows::access::Actor;
use crate::flows::add_ons::{AddOnView, app_add_ons, config, making};
use crate::flows::error::FlowError;
use crate::store::AddOnChange;
use crate::wire::api_errors::AddOnRefusal;

/// What to change of an add-on; `None` keeps.
#[derive(Clone, Debug, Default)]
pub struct AddOnUpdate {
    /// Another name.
    pub name: Option<String>,
    /// Another plan, as `SERVICE:PLAN`.
    pub plan: Option<String>,
}

/// Gives an add-on another name or another plan. With another plan its service is started anew, for which it is away for a moment.
///
/// # Errors
/// The name is taken or breaks the rules, the plan is none of its service or asks for memory that the node has not, the add-on does not
/// answer yet, or the node fails.
pub async fn change_add_on(
    node: &Node,
    view: &AddOnView,
    update: AddOnUpdate,
) -> Result<AddOnView, FlowError> {
    let name = update.name.map(|name| name.parse().map_err(AddOnRefusal::AddOnName)).transpose()?;
    let promising = node.locks().memory().await;
    let plan = match update.plan {
        None => None,
        Some(plan) => {
            let (service, plan) = making::find_plan(&plan)?;
            if service.name != view.service.name {
                return Err(AddOnRefusal::OtherService(view.add_on.name.to_string()).into());
            }
            if !view.add_on.provisioned {
                return Err(AddOnRefusal::AddOnCreating(view.add_on.name.to_string()).into());
            }
            if plan.memory > view.plan.memory {
                making::check_memory(node, plan, Some(view.add_on.id)).await?;
            }
            Some(plan.name.clone())
        }
    };
    let has_other_plan = plan.as_ref().is_some_and(|plan| *plan != view.add_on.plan);
    let id = view.add_on.id;
    node.store().change_add_on(id, AddOnChange { name, plan, ..AddOnChange::default() }).await?;
    drop(promising);
    let changed = making::view(node, id).await?;
    if has_other_plan {
        node.services().keep(changed.add_on.clone()).await?;
    }
    Ok(changed)
}

/// What is meant for other apps that have an add-on which is destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// They keep it, so it is not destroyed.
    KeepIt,
    /// They lose it.
    LoseIt,
}

/// Destroys an add-on: no app has it any more, its service ends, and its data is put away for some days.
///
/// # Errors
/// Other apps than its own have it too, and are to keep it; or the node fails. What is cut off in
/// between is done by a repetition, or at the next start.
pub async fn destroy_add_on(
    node: &Node,
    view: &AddOnView,
    others: Others,
    actor: &Actor,
) -> Result<(), FlowError> {
    let elsewhere = view.attachments.iter().filter(|has| has.app.id != view.app.id);
    let apps: Vec<_> = elsewhere.map(|has| has.app.name.to_string()).collect();
    if !apps.is_empty() && others == Others::KeepIt {
        return Err(
            AddOnRefusal::AddOnInUse { add_on: view.add_on.name.to_string(), apps: apps.join(", ") }.into()
        );
    }
    for has in &view.attachments {
        config::take_away(node, has, actor).await?;
    }
    node.store().remove_add_on(view.add_on.id).await?;
    Ok(node.services().put_away(view.add_on.id).await?)
}

/// Takes the add-ons of an app that is being destroyed from the other apps that have them. The app's own turn is held.
pub(in crate::flows) async fn let_go(node: &Node, app: &App) -> Result<(), FlowError> {
    let actor = Actor(node.settings().owner.to_string());
    for view in own(node, app).await? {
        for has in view.attachments.iter().filter(|has| has.app.id != app.id) {
            config::take_away(node, has, &actor).await?;
        }
    }
    Ok(())
}

/// The add-ons that go with an app.
pub(in crate::flows) async fn own(node: &Node, app: &App) -> Result<Vec<AddOnView>, FlowError> {
    let mut own = app_add_ons(node, app).await?;
    own.retain(|view| view.app.id == app.id);
    Ok(own)
}

/// Shuts the ways to add-ons that went with their app, ends their services, and puts their data away: of these alone, since others
/// may be made meanwhile. What is cut off in between is done at the next start.
pub(in crate::flows) async fn clear(node: &Node, gone: Vec<AddOnView>) -> Result<(), FlowError> {
    config::open_ways(node).await?;
    for view in gone {
        node.services().put_away(view.add_on.id).await?;
    }
    Ok(())
}
