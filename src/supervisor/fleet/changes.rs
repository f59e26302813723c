//! From what an app should be to the changes that make it so: asked for by rules, carried out one by one.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::Rng;

use super::{Action, Dyno, Fleet, PORTS, Phase, UIDS};
use crate::domain::{AppId, DynoId, DynoName, Version};
use crate::supervisor::lifecycle::{Class, Event, Origin, State};
use crate::supervisor::reconcile::{self, Change, Holder, Room, Row, Terms, Wanted};
use crate::supervisor::{Connection, DesiredApp, Moment, ReleaseImage};
use crate::wire::logline::{DynoLine, LogLine};

impl Fleet {
    /// Does it again where dynos wait for memory and others have gone meanwhile.
    pub(super) fn reconcile(&mut self, app: AppId, now: Moment) {
        loop {
            let before = self.dynos.len();
            self.reconcile_once(app, now);
            let is_roomier = self.starved.contains(&app) && self.dynos.len() < before;
            if !is_roomier {
                return;
            }
        }
    }

    fn reconcile_once(&mut self, app: AppId, now: Moment) {
        match self.phase {
            Phase::Open => {}
            Phase::Adopting | Phase::Stopping => return,
        }
        self.unsettled.remove(&app);
        let Some(desired) = self.apps.get(&app) else { return };
        let mut held: Vec<&Dyno> = self
            .dynos
            .values()
            .filter(|dyno| dyno.app == app && dyno.is_held() && dyno.is_formation())
            .collect();
        // Of two with one name in one row the newer stays: the older may be on its way out already.
        held.sort_by_key(|dyno| std::cmp::Reverse((dyno.created, dyno.id)));
        let holders: Vec<Holder> = held.into_iter().map(Dyno::holder).collect();
        let wanted = reconcile::wanted(desired);
        let kept = self.serving_release(desired, &holders);
        let kept = kept.map_or_else(Vec::new, |release| reconcile::wanted_of(desired, &release));
        let terms = Terms { handover: desired.preferences.handover, room: self.room(app) };
        let changes = reconcile::reconcile(&wanted, &kept, &holders, terms);
        let withheld = changes.iter().find_map(|change| match change {
            Change::Withhold(name) => Some(name.clone()),
            Change::Promote(_) | Change::Stop { .. } | Change::Start { .. } => None,
        });
        match withheld {
            Some(name) if self.starved.insert(app) => {
                let line = LogLine::dyno(now.into(), &name, DynoLine::WaitingForMemory);
                self.actions.push(Action::Log(app, line));
            }
            Some(_) => {}
            None => {
                self.starved.remove(&app);
            }
        }
        for change in changes {
            match change {
                Change::Withhold(_) => {}
                Change::Promote(id) => {
                    if let Some(dyno) = self.dynos.get_mut(&id) {
                        dyno.behind = None;
                    }
                }
                Change::Stop { id, leave } => self.step(id, Event::Stop(leave), now),
                Change::Start { wanted, row } => self.start(app, wanted, (row, now)),
            }
        }
        self.vacated.retain(|(vacated, _)| *vacated != app);
    }

    /// What is left of the node's memory, with what every dyno of a formation may use taken off, until it is gone.
    fn room(&self, app: AppId) -> Room<'_> {
        let formations = || self.dynos.values().filter(|dyno| dyno.is_formation());
        let free = self.memory.map_or(u64::MAX, |memory| {
            let taken = formations().map(|dyno| self.sizes.limits(dyno.size).memory.0);
            memory.0.saturating_sub(taken.fold(0, u64::saturating_add))
        });
        let leaving = formations().any(|dyno| dyno.app == app && !dyno.is_held());
        Room { free, leaving, sizes: &self.sizes }
    }

    /// The release that serves requests while another is wanted.
    fn serving_release(&self, desired: &DesiredApp, holders: &[Holder]) -> Option<Arc<ReleaseImage>> {
        let current = desired.release.as_ref()?.version;
        let serves = |holder: &&Holder| {
            holder.name.process_type.is_web() && holder.row == Row::Serving && holder.condition.is_up()
        };
        let serving = holders.iter().filter(serves).map(|holder| holder.release);
        self.image(desired.app, serving.filter(|release| *release != current).max()?)
    }

    /// A release that is known, or that some dyno of the app runs.
    fn image(&self, app: AppId, version: Version) -> Option<Arc<ReleaseImage>> {
        let of_dyno = || {
            let of_version = |dyno: &&Dyno| dyno.app == app && dyno.is_formation() && dyno.version == version;
            self.dynos.values().filter(of_version).find_map(|dyno| dyno.release.clone())
        };
        self.apps.get(&app).and_then(|app| app.image(version)).or_else(of_dyno)
    }

    /// The lineage that a new dyno stands behind: the one of its own name, or else any that serves.
    fn served_by(&self, app: AppId, name: &DynoName) -> Option<DynoId> {
        let mut serving: Vec<&Dyno> = self
            .dynos
            .values()
            .filter(|dyno| dyno.app == app && dyno.traits.class == Class::Web)
            .filter(|dyno| dyno.is_held() && dyno.row() == Row::Serving)
            .collect();
        serving.sort_by_key(|dyno| (dyno.name != *name, dyno.id));
        serving.first().map(|dyno| dyno.lineage)
    }

    fn start(&mut self, app: AppId, wanted: Wanted, (row, now): (Row, Moment)) {
        let id = self.new_id();
        let class = if wanted.name.process_type.is_web() { Class::Web } else { Class::Worker };
        let vacated = self.vacated.remove(&(app, wanted.name.clone()));
        let behind = match row {
            Row::Serving => None,
            Row::Next => self.served_by(app, &wanted.name),
        };
        let traits = self.traits(class, id, (app, &wanted.name));
        let held = |dyno: &Dyno| dyno.app == app && dyno.name == wanted.name && dyno.is_held();
        let succeeds = vacated || self.dynos.values().any(held);
        let dyno = Dyno {
            id,
            app,
            name: wanted.name,
            command: wanted.command,
            size: wanted.size,
            version: wanted.release,
            release: self.image(app, wanted.release),
            lineage: id,
            behind,
            env: BTreeMap::new(),
            connection: Connection::Log,
            port: self.dice.random_range(PORTS),
            uid: self.dice.random_range(UIDS),
            traits,
            state: State::Ended,
            created: now,
            since: now,
            reach: None,
            launches: 0,
        };
        self.begin(dyno, if succeeds { Origin::Successor } else { Origin::New }, now);
    }
}
