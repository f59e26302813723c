//! Making an add-on: recorded at once, provisioned in its own time, which may be that of a restart of the node.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::Rng;
use rand::distr::Alphanumeric;
use uuid::Uuid;

use crate::domain::{AddOn, AddOnName, App, AttachmentName, Bytes, Plan, Secret, Service, TransferState};
use crate::flows::Node;
use crate::flows::access::Actor;
use crate::flows::add_ons::{AddOnView, Inventory, app_attachments, backups, config};
use crate::flows::error::FlowError;
use crate::flows::haiku;
use crate::flows::ports::RemovedData;
use crate::stack;
use crate::store::{AddOnChange, NewAddOn, StoreError};
use crate::wire::api_errors::{AddOnRefusal, Missing, Refusal};
use crate::wire::logline::ApiLine;
use crate::wire::{release_text, transfer_text};

/// Characters of a password, each of 62: more than anybody tries.
const PASSWORD_CHARS: usize = 40;
/// How often a fresh name is tried.
const NAME_ATTEMPTS_MAX: u32 = 5;
/// Between two tries to have a service run, seconds: its packages may be out of reach for a while.
const PROVISION_PAUSE_S: u64 = 60;
/// Between two tries to give an add-on the contents of another, seconds.
const FORK_PAUSE_S: u64 = 10;
/// Between two looks at whether it has them.
const FORK_POLL: Duration = Duration::from_millis(100);
/// How long the start of a node waits for services before it starts the apps, seconds.
const READY_WAIT_S: u64 = 20;
/// What distinguishes attachments that are given no name, after the first of an app.
const COLORS: &[&str] = &[
    "AMBER", "AQUA", "BLACK", "BLUE", "BRONZE", "COBALT", "COPPER", "CRIMSON", "CYAN", "GOLD", "GRAY",
    "GREEN", "IVORY", "JADE", "MAROON", "MAUVE", "NAVY", "OLIVE", "ORANGE", "PINK", "PUCE", "PURPLE", "RED",
    "ROSE", "SILVER", "TEAL", "VIOLET", "WHITE", "YELLOW",
];

/// What an add-on is to be.
#[derive(Clone, Debug, Default)]
pub struct AddOnRequest {
    /// `SERVICE` or `SERVICE:PLAN`.
    pub plan: String,
    /// Its name; one is made up otherwise.
    pub name: Option<String>,
    /// The name the app has it under.
    pub attachment: Option<String>,
    /// Whose contents it is given.
    pub fork: Option<AddOnView>,
}

/// Makes an add-on for an app, and attaches it. It is provisioned after this returns.
///
/// # Errors
/// There is no such service or plan, a name is taken or breaks the rules, the app has as many as it may, or the node fails.
pub async fn create_add_on(
    node: &Node,
    app: &App,
    request: AddOnRequest,
    actor: &Actor,
) -> Result<AddOnView, FlowError> {
    let (service, plan) = find_plan(&request.plan)?;
    let fork_of = request.fork.map(|from| backups::forkable(&from, service)).transpose()?;
    let name = request.name.map(|name| name.parse().map_err(AddOnRefusal::AddOnName)).transpose()?;
    let changing = node.locks().change(app.id).await;
    let attachment = name_in(node, app, service, request.attachment.as_deref()).await?;
    let _promising = node.locks().memory().await;
    check_room(node, app, plan).await?;
    let slot = node.services().reserve().ok_or(AddOnRefusal::NoSlot)?;
    let id = Uuid::new_v4();
    let made = record(node, app, (service, plan, fork_of), (id, name, attachment, slot)).await;
    let made = made.inspect_err(|_| node.services().give_back(slot))?;
    drop(changing);
    let id = made.id;
    tokio::spawn(provision(node.clone(), made, actor.clone()));
    view(node, id).await
}

/// Whether the node has room for an add-on of this plan. What one user makes leaves room for others, and for dynos.
async fn check_room(node: &Node, app: &App, plan: &Plan) -> Result<(), FlowError> {
    let all = node.store().add_ons().await?;
    if all.len() >= AddOn::PER_NODE_MAX {
        return Err(AddOnRefusal::TooManyOfNode.into());
    }
    if app.owner.is_some() {
        let apps = node.store().apps().await?;
        let own: BTreeSet<_> =
            apps.iter().filter(|other| other.owner == app.owner).map(|own| own.id).collect();
        if all.iter().filter(|add_on| own.contains(&add_on.app)).count() >= AddOn::PER_OWNER_MAX {
            return Err(AddOnRefusal::TooManyOfOwner.into());
        }
    }
    check_memory(node, plan, None).await
}

/// Whether the node has the memory of a plan beside those of all add-ons but the one that is to have it. To be called with the turn to
/// promise memory.
pub(super) async fn check_memory(node: &Node, plan: &Plan, but: Option<Uuid>) -> Result<(), FlowError> {
    let Some(memory) = node.settings().quotas.memory else { return Ok(()) };
    let total = memory.promised_max();
    let mut all = node.store().add_ons().await?;
    all.retain(|add_on| Some(add_on.id) != but);
    let plans =
        all.iter().filter_map(|add_on| find_plan(&format!("{}:{}", add_on.service, add_on.plan)).ok());
    let promised = Bytes(plans.map(|(_, plan)| plan.memory.0).sum());
    if promised.0.saturating_add(plan.memory.0) > total.0 {
        return Err(AddOnRefusal::AddOnMemory { wanted: plan.memory, promised, total }.into());
    }
    Ok(())
}

/// Data of add-ons that are no more, and can be brought back.
#[must_use]
pub fn removed_data(node: &Node) -> Vec<RemovedData> {
    node.services().removed()
}

/// Makes an add-on for an app of data that was put away: under its own plan and, where they are free, its own names, with another
/// password. It is provisioned after this returns.
///
/// # Errors
/// There is no such data any more, a name is taken or breaks the rules, the app has as many as it may, or the node fails.
pub async fn bring_back_add_on(
    node: &Node,
    app: &App,
    (removed, attachment): (Uuid, Option<&str>),
    actor: &Actor,
) -> Result<AddOnView, FlowError> {
    let none = || Refusal::NotFound(Missing::RemovedData);
    let found = removed_data(node).into_iter().find(|data| data.id == removed).ok_or_else(none)?;
    let (service, plan) = find_plan(&format!("{}:{}", found.service, found.plan))?;
    let changing = node.locks().change(app.id).await;
    let attachment = match (attachment, found.attachment.as_deref()) {
        (None, Some(former)) => match name_in(node, app, service, Some(former)).await {
            Err(FlowError::Refused(_)) => name_in(node, app, service, None).await?,
            named => named?,
        },
        (asked, _) => name_in(node, app, service, asked).await?,
    };
    let _promising = node.locks().memory().await;
    check_room(node, app, plan).await?;
    let all = node.store().add_ons().await?;
    let name = found.name.parse().ok().filter(|name| all.iter().all(|other| other.name != *name));
    let slot = node.services().reserve().ok_or(AddOnRefusal::NoSlot)?;
    let id = Uuid::new_v4();
    // The data first: a record without it would begin an empty one, and data without a record is put away again.
    let made = match node.services().bring_back(removed, id).await {
        Ok(true) => record(node, app, (service, plan, None), (id, name, attachment, slot)).await,
        Ok(false) => Err(none().into()),
        Err(error) => Err(error.into()),
    };
    let made = match made {
        Ok(made) => made,
        Err(error) => {
            node.services().give_back(slot);
            if let Err(left) = node.services().put_away(id).await {
                tracing::error!(add_on = %found.name, error = %left, "data that was to be brought back is not put away again");
            }
            return Err(error);
        }
    };
    drop(changing);
    tokio::spawn(provision(node.clone(), made, actor.clone()));
    view(node, id).await
}

/// What is shown of the add-on.
pub(super) async fn view(node: &Node, id: Uuid) -> Result<AddOnView, FlowError> {
    let all = Inventory::take(node).await?;
    let found = all.add_ons.iter().find(|add_on| add_on.id == id).and_then(|add_on| all.add_on(node, add_on));
    found.ok_or_else(|| Refusal::NotFound(Missing::AddOn).into())
}

/// The service and plan of `SERVICE` or `SERVICE:PLAN`; without one, the smallest plan.
pub(super) fn find_plan(name: &str) -> Result<(&'static Service, &'static Plan), FlowError> {
    let (service, plan) = name.split_once(':').map_or((name, None), |(service, plan)| (service, Some(plan)));
    let services = stack::services()?;
    let found = services.iter().find(|known| known.is_named(service)).and_then(|known| {
        let plan = plan.map_or(known.plans.first(), |plan| known.plan(plan))?;
        Some((known, plan))
    });
    found.ok_or_else(|| {
        let plans = services
            .iter()
            .flat_map(|known| known.plans.iter().map(|plan| format!("{}:{}", known.name, plan.name)));
        let known = plans.collect::<Vec<_>>().join(", ");
        AddOnRefusal::UnknownPlan { name: name.chars().take(AddOnName::LENGTH_MAX).collect(), known }.into()
    })
}

/// The name under which the app comes to have something of a service: the one asked for, the service's own, or one with a colour.
pub(super) async fn name_in(
    node: &Node,
    app: &App,
    service: &Service,
    asked: Option<&str>,
) -> Result<AttachmentName, FlowError> {
    let release = node.store().newest_release(app.id).await?.ok_or_else(Refusal::no_app)?;
    let has = app_attachments(node, app).await?;
    let is_attached = |name: &AttachmentName| has.iter().any(|other| other.attachment.name == *name);
    let is_set = |name: &AttachmentName| release.config.get(&name.config_var()).is_some();
    if let Some(asked) = asked {
        let name: AttachmentName = asked.parse().map_err(AddOnRefusal::AttachmentName)?;
        return match (is_attached(&name), is_set(&name)) {
            (true, _) => Err(AddOnRefusal::AttachmentTaken(name.to_string()).into()),
            (false, true) => Err(AddOnRefusal::ConfigVarTaken(name.config_var()).into()),
            (false, false) => Ok(name),
        };
    }
    let colored = COLORS.iter().map(|color| format!("{}_{color}", service.name.replace('-', "_")));
    let names = std::iter::once(service.attachment.clone()).chain(colored);
    let free = names.filter_map(|name| name.parse().ok()).find(|name| !is_attached(name) && !is_set(name));
    free.ok_or_else(|| AddOnRefusal::TooManyAttachments.into())
}

/// A fresh password.
pub(super) fn password() -> Result<Secret, FlowError> {
    let text: String = rand::rng().sample_iter(Alphanumeric).take(PASSWORD_CHARS).map(char::from).collect();
    text.parse().map_err(FlowError::fault("make a password"))
}

async fn record(
    node: &Node,
    app: &App,
    (service, plan, fork_of): (&Service, &Plan, Option<Uuid>),
    (id, name, attachment, slot): (Uuid, Option<AddOnName>, AttachmentName, u32),
) -> Result<AddOn, FlowError> {
    let password = password()?;
    let new = |name: AddOnName| -> Result<NewAddOn, FlowError> {
        Ok(NewAddOn {
            id,
            app: app.id,
            name,
            service: service.name.clone(),
            plan: plan.name.clone(),
            password: password.clone(),
            slot,
            attachment: attachment.clone(),
            fork_of,
        })
    };
    if let Some(name) = name {
        return Ok(node.store().add_add_on(new(name)?).await?.0);
    }
    let mut attempt = 1;
    loop {
        let name =
            haiku::add_on_name(service.short_name()).parse().map_err(FlowError::fault("name an add-on"))?;
        match node.store().add_add_on(new(name)?).await {
            Err(StoreError::AddOnNameTaken(_)) if attempt < NAME_ATTEMPTS_MAX => attempt += 1,
            result => return Ok(result?.0),
        }
    }
}

/// Sees an add-on through to its first answer, and tells its apps. Ends with the node, which takes it up at the next start, or with
/// the add-on.
async fn provision(node: Node, add_on: AddOn, actor: Actor) {
    let name = add_on.name.clone();
    while let Err(error) = node.services().keep(add_on.clone()).await {
        tracing::error!(add_on = %name, %error, "an add-on is not provisioned; it is tried again");
        tokio::time::sleep(Duration::from_secs(PROVISION_PAUSE_S)).await;
        if is_gone(&node, add_on.id).await {
            return;
        }
    }
    // It may have been destroyed while its packages were laid.
    if is_gone(&node, add_on.id).await {
        if let Err(error) = node.services().put_away(add_on.id).await {
            tracing::error!(add_on = %name, %error, "the data of an add-on that is no more is put away at the next start");
        }
        return;
    }
    if !node.services().until_ready(add_on.id).await {
        return;
    }
    if let Some(from) = add_on.fork_of
        && !fill(&node, &add_on, from).await
    {
        return;
    }
    if let Err(error) = tell_apps(&node, &add_on, &actor).await {
        tracing::error!(add_on = %name, %error, "the apps of an add-on are not told where it is");
    }
}

/// Gives an add-on the contents of another, before any app knows of it; tried until it is done. `false` where it is not wanted any more.
async fn fill(node: &Node, add_on: &AddOn, from: Uuid) -> bool {
    let mut is_told = false;
    loop {
        let why = match filled(node, add_on, from).await {
            Ok(None) => return true,
            Ok(Some(why)) => why,
            Err(error) => error.to_string(),
        };
        if is_gone(node, add_on.id).await {
            return false;
        }
        tracing::warn!(add_on = %add_on.name, why, "an add-on is not given the contents of another; it is tried again");
        // Who has the app can mend it, or destroy the add-on.
        if !std::mem::replace(&mut is_told, true) {
            node.tell(add_on.app, &ApiLine::ForkWaits { add_on: add_on.name.to_string(), why });
        }
        tokio::time::sleep(Duration::from_secs(FORK_PAUSE_S)).await;
    }
}

/// One try; why it has failed.
async fn filled(node: &Node, add_on: &AddOn, from: Uuid) -> Result<Option<String>, FlowError> {
    let (from, into) = (view(node, from).await?, view(node, add_on.id).await?);
    let mut transfer = backups::copy_add_on(node, (&from, &into), &into.app).await?;
    while transfer.state == TransferState::Running {
        tokio::time::sleep(FORK_POLL).await;
        let now = node.store().transfer(transfer.id).await?;
        transfer = now.ok_or(Refusal::NotFound(Missing::Transfer))?;
    }
    let is_done = transfer.state == TransferState::Succeeded;
    Ok((!is_done).then(|| transfer.message.unwrap_or_else(|| transfer_text::CUT_OFF.to_owned())))
}

/// Whether it is known that there is no such add-on any more.
async fn is_gone(node: &Node, id: Uuid) -> bool {
    node.store().add_ons().await.is_ok_and(|all| all.iter().all(|add_on| add_on.id != id))
}

/// The ways first, then the record, then a release for each app: at no moment does an app know of what it does not reach.
async fn tell_apps(node: &Node, add_on: &AddOn, actor: &Actor) -> Result<(), FlowError> {
    config::open_ways(node).await?;
    let change = AddOnChange { provisioned: Some(true), ..AddOnChange::default() };
    node.store().change_add_on(add_on.id, change).await?;
    for has in view(node, add_on.id).await?.attachments {
        let description = release_text::provisioned(&has.attachment.name, &add_on.name);
        config::release(node, &has.app, (description, BTreeSet::new()), actor).await?;
    }
    Ok(())
}

/// Has all services run again at the start of the node, and waits a while for them, so that apps find them. Those that were being
/// provisioned are so from here on. Data that nobody has is put away.
pub(in crate::flows) async fn take_up(node: &Node) -> Result<(), FlowError> {
    let add_ons = node.store().add_ons().await?;
    let claimed: Vec<_> = add_ons.into_iter().filter(|add_on| claim(node, add_on)).collect();
    let wanted: BTreeSet<Uuid> = node.store().add_ons().await?.into_iter().map(|add_on| add_on.id).collect();
    node.services().clear_others(wanted).await?;
    config::open_ways(node).await?;
    let actor = Actor(node.settings().owner.to_string());
    let runs = claimed.iter().filter(|add_on| add_on.provisioned).map(|add_on| async move {
        match node.services().keep(add_on.clone()).await {
            Ok(()) => drop(node.services().until_ready(add_on.id).await),
            Err(error) => tracing::error!(add_on = %add_on.name, %error, "an add-on does not run"),
        }
    });
    let all = futures_util::future::join_all(runs);
    if tokio::time::timeout(Duration::from_secs(READY_WAIT_S), all).await.is_err() {
        tracing::warn!("not all add-ons answer yet; the apps are started nevertheless");
    }
    for add_on in claimed.into_iter().filter(|add_on| !add_on.provisioned) {
        tokio::spawn(provision(node.clone(), add_on, actor.clone()));
    }
    Ok(())
}

fn claim(node: &Node, add_on: &AddOn) -> bool {
    let is_ours = node.services().claim(add_on.slot);
    if !is_ours {
        tracing::error!(add_on = %add_on.name, slot = add_on.slot, "another container has the slot of an add-on");
    }
    is_ours
}
