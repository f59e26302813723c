//! One-off dynos, and what is asked of single dynos.

use std::collections::{BTreeMap, BTreeSet};

use rand::Rng;
use uuid::Uuid;

use crate::domain::{App, DynoId, DynoName, DynoSize, ONE_OFFS_MAX, ProcessType};
use crate::flows::Node;
use crate::flows::access::Actor;
use crate::flows::error::FlowError;
use crate::flows::features::metadata_of;
use crate::flows::ports::{Connection, Death, DynoView, OneOff, Scope};
use crate::wire::api_errors::{Missing, Refusal, Unknown};
use crate::wire::logline::{ApiLine, DynoLine, LogLine};

/// The longest life of a one-off dyno, seconds (platform reference 1.12).
pub(super) const TIME_TO_LIVE_MAX_S: u64 = 86_400;

/// The four digits of a one-off dyno's name.
const INDEX_RANGE: std::ops::Range<u32> = 1000..10_000;

/// A one-off dyno somebody wants.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// Its command, for a shell.
    pub command: String,
    /// Environment laid over the config vars.
    pub env: BTreeMap<String, String>,
    /// Its type; `run` when none is given.
    pub process_type: Option<String>,
    /// Its size.
    pub size: DynoSize,
    /// Where its output goes; anything but the log waits for a client.
    pub connection: Connection,
    /// Seconds after which it is stopped.
    pub time_to_live_s: Option<u64>,
}

/// Starts a one-off dyno on the app's current release. An attached one starts when its client comes
/// ([`crate::flows::attach`]).
///
/// # Errors
/// No command, a type that is taken, nothing deployed, too many of them, or the node fails.
pub async fn run_one_off(
    node: &Node,
    app: &App,
    request: RunRequest,
    actor: &Actor,
) -> Result<DynoView, FlowError> {
    check(&request.command, &request.env)?;
    let time_to_live_s = request.time_to_live_s.unwrap_or(TIME_TO_LIVE_MAX_S);
    if !(1..=TIME_TO_LIVE_MAX_S).contains(&time_to_live_s) {
        return Err(Refusal::TimeToLive { limit_s: TIME_TO_LIVE_MAX_S }.into());
    }
    let sizes = &node.settings().quotas.sizes;
    let size = sizes.known(request.size).map_err(Refusal::Size)?;
    let limit = sizes.limits(size).one_offs_max;
    let is_one_off = |dyno: &&DynoView| dyno.size == size && INDEX_RANGE.contains(&dyno.name.index);
    if dynos(node, app).iter().filter(is_one_off).count() >= limit {
        return Err(Refusal::TooManyOneOffs { limit }.into());
    }
    let desired = node.desired(app).await?;
    let process_type = one_off_type(request.process_type.as_deref(), &desired.release.process_types)?;
    if desired.release.slug.is_none() {
        return Err(Refusal::NotDeployed(app.name.to_string()).into());
    }
    let id = DynoId(Uuid::new_v4());
    let mut env = metadata_of(id, app, &desired.release, &desired.features);
    env.extend(request.env);
    let one_off = OneOff {
        id,
        name: free_name(node, app, process_type)?,
        app: app.clone(),
        release: desired.release,
        command: request.command,
        env,
        size,
        connection: request.connection,
        time_to_live_s,
    };
    let line = ApiLine::OneOff { command: one_off.command.clone(), user: actor.0.clone() };
    node.tell(app.id, &line);
    let view = starting(&one_off);
    if one_off.connection == Connection::Log {
        node.dynos().run(one_off).await?;
    } else {
        let now = std::time::SystemTime::now();
        node.logs().push(app.id, LogLine::dyno(now, &one_off.name, DynoLine::AwaitingClient));
        node.waiting().add(node, one_off);
    }
    Ok(view)
}

/// Whether a kernel can be told to run this.
pub(super) fn check(command: &str, env: &BTreeMap<String, String>) -> Result<(), Refusal> {
    if command.trim().is_empty() || command.contains('\0') {
        return Err(Refusal::NoCommand);
    }
    match env.iter().find(|(name, value)| !fits_environment(name, value)) {
        Some((bad, _)) => Err(Refusal::BadRequest(format!("{bad:?} cannot be an environment variable."))),
        None => Ok(()),
    }
}

/// An environment takes any bytes but NUL, and `=` only in values.
fn fits_environment(name: &str, value: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0')
}

fn one_off_type(
    wanted: Option<&str>,
    declared: &BTreeMap<ProcessType, String>,
) -> Result<ProcessType, Refusal> {
    let Some(text) = wanted else { return Ok(ProcessType::run()) };
    let shown: String = text.chars().take(ProcessType::LENGTH_MAX).collect();
    let process_type: ProcessType = text.parse().map_err(|_| Refusal::OneOffType(shown.clone()))?;
    // A dyno named like one of the formation would be taken for it.
    if declared.contains_key(&process_type) { Err(Refusal::OneOffType(shown)) } else { Ok(process_type) }
}

/// A name no dyno of the app has now.
pub(super) fn free_name(node: &Node, app: &App, process_type: ProcessType) -> Result<DynoName, Refusal> {
    let mut taken: BTreeSet<u32> = node.waiting().indexes(app.id);
    let running = node.dynos().snapshot(app.id);
    taken.extend(running.iter().map(|dyno| dyno.name.index).filter(|index| INDEX_RANGE.contains(index)));
    if taken.len() >= ONE_OFFS_MAX {
        return Err(Refusal::TooManyOneOffs { limit: ONE_OFFS_MAX });
    }
    let mut random = rand::rng();
    loop {
        let index = random.random_range(INDEX_RANGE);
        if !taken.contains(&index) {
            return Ok(DynoName::new(process_type, index));
        }
    }
}

/// A dyno that is about to start.
pub(super) fn starting(one_off: &OneOff) -> DynoView {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    DynoView {
        id: one_off.id,
        name: one_off.name.clone(),
        state: crate::domain::DynoState::Starting,
        created_s: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
        since_s: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
        command: one_off.command.clone(),
        size: one_off.size,
        release: one_off.release.version,
    }
}

/// Every dyno of an app, by name; one-off dynos that wait for their client too.
#[must_use]
pub fn dynos(node: &Node, app: &App) -> Vec<DynoView> {
    let mut all = node.dynos().snapshot(app.id);
    all.extend(node.waiting().views(app.id));
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// The dyno of that name or identity.
///
/// # Errors
/// There is none.
pub fn dyno(node: &Node, app: &App, key: &str) -> Result<DynoView, FlowError> {
    let names = |dyno: &DynoView| dyno.name.to_string() == key || dyno.id.to_string() == key;
    let found = dynos(node, app).into_iter().find(names);
    found.ok_or_else(|| no_dyno(node, app, key).into())
}

fn no_dyno(node: &Node, app: &App, key: &str) -> Refusal {
    let mut known: Vec<_> = dynos(node, app).into_iter().map(|dyno| dyno.name).collect();
    known.dedup();
    Refusal::NotFound(Missing::Dyno(Unknown::new(key, known)))
}

/// How the last dynos of a name have ended, newest first; none when the one that runs is the first of its name.
///
/// # Errors
/// There is and was no dyno of that name, or the node fails.
pub async fn deaths(node: &Node, app: &App, key: &str) -> Result<Vec<Death>, FlowError> {
    let missing = || no_dyno(node, app, key);
    let running = dyno(node, app, key).ok().map(|dyno| dyno.name);
    let name = match &running {
        Some(name) => name.clone(),
        None => key.parse::<DynoName>().map_err(|_| missing())?,
    };
    let deaths = node.dynos().deaths(app.id, name).await?;
    if deaths.is_empty() && running.is_none() { Err(missing().into()) } else { Ok(deaths) }
}

/// Which dynos a text names: none all of them, `web.1` or an identity one, `web` a type.
async fn scope(node: &Node, app: &App, key: Option<&str>) -> Result<Scope, FlowError> {
    let Some(key) = key else { return Ok(Scope::All) };
    let formation = node.store().formation(app.id).await?;
    if let Ok(process_type) = key.parse::<ProcessType>()
        && formation.entry(&process_type).is_some()
    {
        return Ok(Scope::Type(process_type));
    }
    if let Ok(found) = dyno(node, app, key) {
        return Ok(Scope::Dyno(found.name));
    }
    if key.contains(['.', '-']) {
        return Err(no_dyno(node, app, key).into());
    }
    let known = formation.entries().iter().map(|entry| &entry.process_type);
    Err(Refusal::no_type(key, known).into())
}

/// Restarts all dynos of an app, those of a type, or one.
///
/// # Errors
/// What is named does not exist, or the node fails.
pub async fn restart(node: &Node, app: &App, key: Option<&str>) -> Result<(), FlowError> {
    let scope = scope(node, app, key).await?;
    Ok(node.dynos().restart(app.id, scope).await?)
}

/// Stops dynos: one-off dynos end, those of the formation are started again.
///
/// # Errors
/// What is named does not exist, or the node fails.
pub async fn stop(node: &Node, app: &App, key: &str) -> Result<(), FlowError> {
    if let Ok(waiting) = dyno(node, app, key)
        && node.waiting().take(app.id, waiting.id).is_some()
    {
        return Ok(());
    }
    let scope = scope(node, app, Some(key)).await?;
    Ok(node.dynos().stop(app.id, scope).await?)
}
