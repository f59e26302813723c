//! Further commands in dynos that run: they wait for their client, a short while, and start when it comes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::domain::{App, AppId, DynoId, Feature};
use crate::flows::Node;
use crate::flows::access::Actor;
use crate::flows::attach::CLIENT_TIMEOUT_S;
use crate::flows::error::FlowError;
use crate::flows::features::features;
use crate::flows::ports::{Connection, DynoView, Visit};
use crate::flows::run::{check, dyno};
use crate::wire::api_errors::Refusal;
use crate::wire::logline::ApiLine;

/// Commands of one app at once that wait for their client.
const WAITING_MAX: usize = 50;

/// A command somebody wants to run in a dyno.
#[derive(Clone, Debug)]
pub struct VisitRequest {
    /// For a shell.
    pub command: String,
    /// Environment laid over the dyno's.
    pub env: BTreeMap<String, String>,
    /// Where its streams lead; not to the log.
    pub connection: Connection,
}

struct Expected {
    app: AppId,
    dyno: DynoId,
    visit: Visit,
    since: Instant,
}

/// Commands whose client has not come yet, by the identity that it will ask for.
#[derive(Default)]
pub(super) struct Visits(Mutex<HashMap<DynoId, Expected>>);

impl Visits {
    /// Those that are waited for still.
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<DynoId, Expected>) -> T) -> T {
        // A map cannot be left half changed by a panic.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, expected| expected.since.elapsed() < Duration::from_secs(CLIENT_TIMEOUT_S));
        act(&mut all)
    }

    fn add(&self, id: DynoId, expected: Expected) -> Result<(), Refusal> {
        self.with(|all| {
            if all.values().filter(|other| other.app == expected.app).count() >= WAITING_MAX {
                return Err(Refusal::TooManyVisits { limit: WAITING_MAX });
            }
            all.insert(id, expected);
            Ok(())
        })
    }

    /// Takes one out: the dyno and the command.
    pub(super) fn take(&self, app: AppId, id: DynoId) -> Option<(DynoId, Visit)> {
        self.with(|all| match all.get(&id) {
            Some(expected) if expected.app == app => {
                all.remove(&id).map(|expected| (expected.dyno, expected.visit))
            }
            _ => None,
        })
    }
}

/// Whether the app has commands run in its dynos.
///
/// # Errors
/// It has that switched off, or the node fails.
pub async fn require_visits(node: &Node, app: &App) -> Result<(), FlowError> {
    if features(node, app).await?.has(Feature::RuntimeHerokuExec) {
        Ok(())
    } else {
        Err(Refusal::VisitsOff(app.name.to_string()).into())
    }
}

/// Has a command wait to run in a dyno: the dyno, and the identity under which its client attaches ([`crate::flows::attach`]).
///
/// # Errors
/// No command, no such dyno, too many that wait, or the app has none of that.
pub async fn visit(
    node: &Node,
    app: &App,
    key: &str,
    request: VisitRequest,
    actor: &Actor,
) -> Result<(DynoView, DynoId), FlowError> {
    check(&request.command, &request.env)?;
    require_visits(node, app).await?;
    let view = dyno(node, app, key)?;
    let VisitRequest { command, env, connection } = request;
    let line = ApiLine::Visit { command: command.clone(), dyno: view.name.clone(), user: actor.0.clone() };
    let id = DynoId(Uuid::new_v4());
    let visit = Visit { command, env, connection };
    node.visits().add(id, Expected { app: app.id, dyno: view.id, visit, since: Instant::now() })?;
    node.tell(app.id, &line);
    Ok((view, id))
}
