//! The config vars of add-ons: theirs alone, set and removed by releases of their own.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::domain::{AddOn, App, AppId, Attachment, AttachmentName, ConfigVars, Credentials};
use crate::flows::Node;
use crate::flows::access::Actor;
use crate::flows::add_ons::credentials::untold;
use crate::flows::add_ons::{AttachmentView, Inventory, app_attachments};
use crate::flows::error::FlowError;
use crate::flows::phase::{self, Made};
use crate::stack;
use crate::store::NewRelease;
use crate::supervisor::service;
use crate::wire::api_errors::{AddOnRefusal, Refusal};
use crate::wire::release_text;

/// The config vars that the add-ons of an app give it, those alone that have answered.
pub(in crate::flows) async fn owned(
    node: &Node,
    app: &App,
) -> Result<BTreeMap<String, Option<String>>, FlowError> {
    let ready = app_attachments(node, app).await?.into_iter().filter(|has| has.add_on.provisioned);
    ready.map(|has| Ok((has.attachment.name.config_var(), Some(add_on_url(&has.add_on)?)))).collect()
}

/// What is to be changed of the config vars of an earlier release when an app goes back to it. Databases do not go back: what add-ons
/// give is as it is now, and what one gave then under a name that the app has it under no more is left out.
pub(in crate::flows) async fn as_of_now(
    node: &Node,
    app: &App,
    then: &ConfigVars,
) -> Result<BTreeMap<String, Option<String>>, FlowError> {
    let stale = |(add_on, name): (Uuid, AttachmentName)| {
        let name = name.config_var();
        then.get(&name)?.contains(&AddOn::host_of(add_on)).then_some((name, None))
    };
    let once = node.store().attached_once(app.id).await?.into_iter();
    let mut changes: BTreeMap<_, _> = once.filter_map(stale).collect();
    changes.extend(owned(node, app).await?);
    Ok(changes)
}

/// Refuses a change of a config var that an add-on gives.
pub(in crate::flows) async fn refuse_owned(
    node: &Node,
    app: &App,
    mut names: impl Iterator<Item = &String>,
) -> Result<(), FlowError> {
    let given: BTreeMap<_, _> = app_attachments(node, app)
        .await?
        .into_iter()
        .map(|has| (has.attachment.name.config_var(), has.add_on.name))
        .collect();
    match names.find_map(|name| Some((name, given.get(name)?))) {
        Some((name, add_on)) => {
            Err(AddOnRefusal::ConfigVarOwned { name: name.clone(), add_on: add_on.to_string() }.into())
        }
        None => Ok(()),
    }
}

/// Where an add-on is. It holds a secret.
///
/// # Errors
/// This program does not know its service.
pub fn add_on_url(add_on: &AddOn) -> Result<String, FlowError> {
    let host = add_on.host();
    let (user, password) = (service::CLIENT, add_on.password.reveal());
    Ok(stack::service(&add_on.service)?.url(Credentials {
        user,
        password,
        host: &host,
        database: service::CLIENT,
    }))
}

/// The identity of the add-on that `text` is the address of; else the text, which may be a name.
///
/// # Errors
/// The database fails.
pub async fn add_on_key(node: &Node, text: &str) -> Result<String, FlowError> {
    let host = text.rsplit('@').next().and_then(|rest| rest.split(':').next()).unwrap_or_default();
    let found = node.store().add_ons().await?.into_iter().find(|add_on| add_on.host() == host);
    Ok(found.map_or_else(|| text.to_owned(), |add_on| add_on.id.to_string()))
}

/// Lets the dynos of each app reach what the app has, and nothing else.
pub(super) async fn open_ways(node: &Node) -> Result<(), FlowError> {
    let (add_ons, attachments) = (node.store().add_ons().await?, node.store().attachments().await?);
    let mut ways: BTreeMap<AppId, Vec<AddOn>> = BTreeMap::new();
    for attachment in &attachments {
        let add_on = add_ons.iter().find(|add_on| add_on.id == attachment.add_on);
        ways.entry(attachment.app).or_default().extend(add_on.cloned());
    }
    node.services().open(ways).await?;
    for add_on in &add_ons {
        if let Some(name) = name_at_home(add_on, &attachments)
            && let Err(error) = node.services().label(add_on, name)
        {
            tracing::warn!(add_on = %add_on.name, %error, "its data does not tell what its app has it as");
        }
    }
    Ok(())
}

/// What the app that an add-on was made for has it as: under its service's own name, where under that too.
fn name_at_home<'a>(add_on: &AddOn, attachments: &'a [Attachment]) -> Option<&'a AttachmentName> {
    let own = stack::service(&add_on.service).ok().map(|service| service.attachment.clone());
    let mut names = attachments
        .iter()
        .filter(|has| has.add_on == add_on.id && has.app == add_on.app)
        .map(|has| &has.name);
    let first = names.clone().next();
    names.find(|name| own.as_deref() == Some(name.to_string().as_str())).or(first)
}

/// Makes a release that gives an app what its add-ons have for it now, and takes the config vars of `lost` from it. Waits for the
/// command of another release. What changes nothing makes no release.
pub(super) async fn release(
    node: &Node,
    app: &App,
    (description, lost): (String, BTreeSet<String>),
    actor: &Actor,
) -> Result<(), FlowError> {
    let _turn = phase::turn_after(node, app, |_| ()).await;
    let current = node.store().current_release(app.id).await?.ok_or_else(Refusal::no_app)?;
    let newest = node.store().newest_release(app.id).await?.ok_or_else(Refusal::no_app)?;
    let mut changes: BTreeMap<_, _> = lost.into_iter().map(|name| (name, None)).collect();
    changes.extend(owned(node, app).await?);
    let config = newest.config.changed(&changes).map_err(Refusal::ConfigVars)?;
    if config == newest.config && config == current.config {
        return Ok(());
    }
    let mut new = NewRelease::from_release(app.id, &current, description, actor.0.clone());
    new.config = config;
    match phase::make(node, app, new, actor).await? {
        Made::Current(_) => node.apply(app).await,
        Made::Pending(..) => Ok(()),
    }
}

/// Takes an attachment from its app: its ways, its config var, its record. From the first step on nobody finds it any more.
pub(super) async fn take_away(node: &Node, has: &AttachmentView, actor: &Actor) -> Result<(), FlowError> {
    node.store().leave(has.attachment.id).await?;
    open_ways(node).await?;
    tell_of_loss(node, has, actor).await
}

/// Takes the attachments away that the last process of the node could not take away any more.
pub(super) async fn see_off(node: &Node, actor: &Actor) -> Result<(), FlowError> {
    let leaving = node.store().leaving_attachments().await?;
    let all = Inventory::take(node).await?;
    for has in leaving.iter().filter_map(|attachment| all.attachment(attachment)) {
        if let Err(error) = tell_of_loss(node, &has, actor).await {
            untold(&has.app, &error);
        }
    }
    Ok(())
}

async fn tell_of_loss(node: &Node, has: &AttachmentView, actor: &Actor) -> Result<(), FlowError> {
    let description = release_text::detach(&has.attachment.name, &has.add_on.name);
    let lost = [has.attachment.name.config_var()].into();
    release(node, &has.app, (description, lost), actor).await?;
    Ok(node.store().detach(has.attachment.id).await?)
}
