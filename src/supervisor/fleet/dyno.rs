//! One dyno of the fleet, and how others see it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::{AppId, Backend, DynoId, DynoName, DynoSize, DynoState, Version};
use crate::supervisor::engine::{DynoLabel, Reach};
use crate::supervisor::lifecycle::{self, State, Traits};
use crate::supervisor::reconcile::{Condition, Holder, Row};
use crate::supervisor::{Connection, DynoView, Moment, ReleaseImage};

/// One dyno.
#[derive(Clone, Debug)]
pub(super) struct Dyno {
    pub(super) id: DynoId,
    pub(super) app: AppId,
    pub(super) name: DynoName,
    pub(super) command: String,
    pub(super) size: DynoSize,
    pub(super) version: Version,
    /// What it runs on; none for a dyno taken over whose release is not known, which cannot be started again.
    pub(super) release: Option<Arc<ReleaseImage>>,
    /// The identity of its first start, kept through starts after crashes.
    pub(super) lineage: DynoId,
    /// The lineage that serves until this one takes over; none for a dyno that serves.
    pub(super) behind: Option<DynoId>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) connection: Connection,
    pub(super) port: u16,
    pub(super) uid: u32,
    pub(super) traits: Traits,
    pub(super) state: State,
    pub(super) created: Moment,
    /// When it last changed its shown state.
    pub(super) since: Moment,
    pub(super) reach: Option<Reach>,
    pub(super) launches: u32,
}

impl Dyno {
    pub(super) fn is_formation(&self) -> bool {
        self.traits.class.is_formation()
    }

    /// Whether it still holds its name.
    pub(super) fn is_held(&self) -> bool {
        lifecycle::shown(self.state).is_some()
    }

    pub(super) fn row(&self) -> Row {
        if self.behind.is_some() { Row::Next } else { Row::Serving }
    }

    pub(super) fn condition(&self) -> Condition {
        match self.state {
            State::Up { .. } | State::HangingUp { .. } => Condition::Up,
            State::Yielding { .. } => Condition::Yielding,
            State::Crashed { .. } => Condition::Failing,
            State::Launching { crashes, .. } | State::Booting { crashes, .. } if crashes > 0 => {
                Condition::Failing
            }
            State::Launching { .. }
            | State::Booting { .. }
            | State::Aborting
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::Killing { .. }
            | State::Ended => Condition::Down,
        }
    }

    pub(super) fn holder(&self) -> Holder {
        Holder {
            id: self.id,
            name: self.name.clone(),
            size: self.size,
            release: self.version,
            row: self.row(),
            condition: self.condition(),
        }
    }

    pub(super) fn backend(&self) -> Option<Backend> {
        let Reach { netns, address } = self.reach.clone()?;
        Some(Backend { id: self.id, dyno: self.name.clone(), netns, address, port: self.port })
    }

    pub(super) fn label(&self, now: Moment) -> DynoLabel {
        let crashes = match self.state {
            State::Launching { crashes, .. }
            | State::Booting { crashes, .. }
            | State::Up { crashes, .. }
            | State::Yielding { crashes, .. } => crashes,
            State::Crashed { .. }
            | State::HangingUp { .. }
            | State::Aborting
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::Killing { .. }
            | State::Ended => 0,
        };
        DynoLabel {
            app: self.app,
            id: self.id,
            name: self.name.clone(),
            class: self.traits.class,
            release: self.version,
            command: self.command.clone(),
            size: self.size,
            port: self.port,
            uid: self.uid,
            crashes,
            cycle_after: self.traits.cycle_after,
            lineage: self.lineage,
            behind: self.behind,
            started: now.into(),
        }
    }

    /// How it is shown. A one-off on its way out holds no name that another could want, so it is shown to the end.
    pub(super) fn view(&self) -> Option<DynoView> {
        let last = (!self.is_formation()).then_some(DynoState::Up);
        let state = lifecycle::shown(self.state).or(last)?;
        Some(DynoView {
            app: self.app,
            id: self.id,
            name: self.name.clone(),
            state,
            since: self.since.into(),
            created: self.created.into(),
            command: self.command.clone(),
            size: self.size,
            release: self.version,
        })
    }
}
