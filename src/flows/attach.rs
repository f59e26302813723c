//! Attached one-off dynos, and commands in dynos: they wait for their client, a short while, and start when it comes.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::domain::{App, AppId, DynoId, DynoState};
use crate::flows::Node;
use crate::flows::error::FlowError;
use crate::flows::ports::{DynoView, OneOff, StartedOneOff, Streams};
use crate::flows::run::starting;
use crate::wire::api_errors::Refusal;
use crate::wire::codes::DynoError;
use crate::wire::logline::{DynoLine, LogLine};

/// How long a one-off dyno waits for its client, seconds (platform reference 1.12).
pub(super) const CLIENT_TIMEOUT_S: u64 = 30;

/// One-off dynos whose client has not come yet; bounded by [`crate::domain::ONE_OFFS_MAX`] an app.
#[derive(Default)]
pub(super) struct Waiting(Mutex<HashMap<DynoId, OneOff>>);

impl Waiting {
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<DynoId, OneOff>) -> T) -> T {
        // A map cannot be left half changed by a panic.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps `one_off` until its client comes or the time is up. The timer task ends by itself.
    pub(super) fn add(&self, node: &Node, one_off: OneOff) {
        let (app, id) = (one_off.app.id, one_off.id);
        self.with(|all| all.insert(id, one_off));
        let node = node.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(CLIENT_TIMEOUT_S)).await;
            if let Some(late) = node.waiting().take(app, id) {
                let now = SystemTime::now();
                let tell = |line: LogLine| node.logs().push(app, line);
                tell(LogLine::dyno(now, &late.name, DynoError::ATTACH_ERROR));
                let (from, to) = (DynoState::Starting.as_str(), DynoState::Complete.as_str());
                tell(LogLine::dyno(now, &late.name, DynoLine::StateChanged { from, to }));
            }
        });
    }

    /// Takes one out.
    pub(super) fn take(&self, app: AppId, id: DynoId) -> Option<OneOff> {
        self.with(|all| match all.get(&id) {
            Some(one_off) if one_off.app.id == app => all.remove(&id),
            _ => None,
        })
    }

    /// The numbers in their names.
    pub(super) fn indexes(&self, app: AppId) -> BTreeSet<u32> {
        self.with(|all| all.values().filter(|o| o.app.id == app).map(|o| o.name.index).collect())
    }

    /// They as dynos.
    pub(super) fn views(&self, app: AppId) -> Vec<DynoView> {
        self.with(|all| all.values().filter(|o| o.app.id == app).map(starting).collect())
    }
}

/// Starts the one-off dyno, or the command in a dyno, that has waited for this client.
///
/// # Errors
/// It is not waiting (any more), or cannot start.
pub async fn attach(node: &Node, app: &App, id: DynoId) -> Result<Streams, FlowError> {
    if let Some((dyno, visit)) = node.visits().take(app.id, id) {
        return Ok(node.dynos().visit(dyno, visit).await?);
    }
    let not_waiting = || Refusal::NotAttachable(id.to_string());
    let one_off = node.waiting().take(app.id, id).ok_or_else(not_waiting)?;
    match node.dynos().run(one_off).await? {
        StartedOneOff::Attached(streams) => Ok(streams),
        StartedOneOff::Detached(_) => Err(not_waiting().into()),
    }
}
