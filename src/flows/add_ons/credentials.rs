//! Another password for an add-on, and what the end of the node has cut off of telling its apps.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::domain::App;
use crate::flows::Node;
use crate::flows::access::Actor;
use crate::flows::add_ons::{AddOnView, app_attachments, config, making};
use crate::flows::error::FlowError;
use crate::store::AddOnChange;
use crate::wire::api_errors::{AddOnRefusal, Refusal};
use crate::wire::release_text;

/// How long a service that was given another password is waited for before its apps are told of it, seconds.
const READY_WAIT_S: u64 = 60;
/// Between two tries to take from apps what they could not be told of.
const SEE_OFF_PAUSE: Duration = Duration::from_secs(60);

/// Gives an add-on another password: recorded first, then the service is started anew with it, which ends all connections, then a release
/// tells each app. What is cut off in between, or fails for an app, goes on at the next start of the node.
///
/// # Errors
/// The add-on does not answer yet, or the node fails.
pub async fn rotate_password(node: &Node, view: &AddOnView, actor: &Actor) -> Result<AddOnView, FlowError> {
    if !view.add_on.provisioned {
        return Err(AddOnRefusal::AddOnCreating(view.add_on.name.to_string()).into());
    }
    if view.service.commands.password.is_none() {
        let service = view.service.name.clone();
        return Err(AddOnRefusal::CannotHere { service, what: "take another password" }.into());
    }
    let id = view.add_on.id;
    let change = AddOnChange { password: Some(making::password()?), ..AddOnChange::default() };
    node.store().change_add_on(id, change).await?;
    let changed = making::view(node, id).await?;
    node.services().keep(changed.add_on.clone()).await?;
    let ready = node.services().until_ready(id);
    if !tokio::time::timeout(Duration::from_secs(READY_WAIT_S), ready).await.unwrap_or(false) {
        tracing::warn!(add_on = %changed.add_on.name, "it does not answer yet; its apps are told of its new password");
    }
    let mut first = Ok(());
    for has in &changed.attachments {
        let description = release_text::updated(&has.attachment.name, &changed.service.name);
        let told = config::release(node, &has.app, (description, BTreeSet::new()), actor).await;
        // The others have the former password no less.
        first = first.and(told.inspect_err(|error| untold(&has.app, error)));
    }
    first.map(|()| changed)
}

/// Tells apps what the last process of the node could not tell them any more: what they have lost, and other passwords.
pub(in crate::flows) async fn settle(node: Node) {
    let done = async {
        let actor = Actor(node.settings().owner.to_string());
        config::see_off(&node, &actor).await?;
        for app in node.store().apps().await? {
            if let Err(error) = update(&node, &app, &actor).await {
                untold(&app, &error);
            }
        }
        Ok::<_, FlowError>(())
    };
    if let Err(error) = done.await {
        let error = &error as &dyn std::error::Error;
        tracing::error!(error, "the apps of add-ons are not told of all that has changed");
    }
}

/// Takes from apps what they could not be told of, again and again for as long as the node serves. An attachment that is being taken away
/// at the moment is so once: the second one finds nothing left to tell.
pub async fn keep_seeing_off(node: Node) {
    see_off_again(&node, SEE_OFF_PAUSE).await;
}

/// The same, with this pause.
pub(in crate::flows) async fn see_off_again(node: &Node, pause: Duration) {
    loop {
        tokio::time::sleep(pause).await;
        let actor = Actor(node.settings().owner.to_string());
        if let Err(error) = config::see_off(node, &actor).await {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "what apps were to lose cannot be looked up");
        }
    }
}

/// Logs that an app does not know what has changed; it is told later, at the next start of the node at the latest.
pub(super) fn untold(app: &App, error: &FlowError) {
    let error = error as &dyn std::error::Error;
    tracing::error!(app = %app.name, error, "an app is not told what has changed of its add-ons");
}

/// A release for an app whose config vars are not what its add-ons have for it.
async fn update(node: &Node, app: &App, actor: &Actor) -> Result<(), FlowError> {
    let owned = config::owned(node, app).await?;
    let newest = node.store().newest_release(app.id).await?.ok_or_else(Refusal::no_app)?;
    let differs =
        |name: &str| owned.get(name).is_some_and(|value| newest.config.get(name) != value.as_deref());
    let has = app_attachments(node, app).await?;
    match has.into_iter().find(|has| differs(&has.attachment.name.config_var())) {
        Some(has) => {
            let description = release_text::updated(&has.attachment.name, &has.add_on.service);
            config::release(node, app, (description, BTreeSet::new()), actor).await
        }
        None => Ok(()),
    }
}
