//! The fleet of a node that comes back: dynos that run already are taken over.

use std::collections::{BTreeMap, BTreeSet};

use super::{Dyno, Fleet, Phase};
use crate::domain::{AppId, DynoId};
use crate::supervisor::engine::{DynoLabel, Reach};
use crate::supervisor::lifecycle::{self, Class, Departure, Effect, Event, Leave, State, Traits};
use crate::supervisor::reconcile::Row;
use crate::supervisor::{Connection, DesiredApp, Moment};
use crate::wire::logline::DynoLine;

impl Fleet {
    /// Takes what apps should be, without starting or stopping yet; [`Self::settle`] follows.
    pub fn expect(&mut self, desired: Vec<DesiredApp>) {
        self.phase = Phase::Adopting;
        self.apps.extend(desired.into_iter().map(|app| (app.app, app)));
    }

    /// Starts and stops what [`Self::expect`] and [`Self::take_over`] left undone.
    pub fn settle(&mut self, now: Moment) {
        self.phase = Phase::Open;
        // Those that have ended meanwhile are no more.
        let leaving = self.dynos.values().filter_map(|dyno| {
            let State::Stopping { kill } = dyno.state else { return None };
            Some((dyno.id, Departure::Leaving { kill }))
        });
        for (id, departure) in leaving.collect::<Vec<_>>() {
            let (keep, tell) = (Effect::Keep(departure), Effect::Tell(DynoLine::StoppingWithSigterm));
            self.carry_out(id, vec![keep, tell, Effect::Terminate], now);
        }
        self.find_rows(now);
        for app in self.apps.keys().copied().collect::<Vec<_>>() {
            self.reconcile(app, now);
        }
        self.fill_vacated(now);
    }

    /// Who serves among dynos taken over, and who waits. A dyno behind which another has been started did serve then, so
    /// that the one before it was on its way out.
    fn find_rows(&mut self, now: Moment) {
        let lives = |dyno: &&Dyno| dyno.is_held() && !matches!(dyno.state, State::Crashed { .. });
        // One that died meanwhile serves nobody, so that nobody waits for it; for whom it waited is known all the same.
        let present: BTreeMap<DynoId, Option<DynoId>> =
            self.dynos.values().filter(lives).map(|dyno| (dyno.lineage, dyno.behind)).collect();
        let served: BTreeSet<DynoId> = self.dynos.values().filter_map(|dyno| dyno.behind).collect();
        let relieved: BTreeSet<DynoId> = present
            .iter()
            .filter(|(lineage, _)| served.contains(lineage))
            .filter_map(|(_, behind)| *behind)
            .collect();
        for id in self.ids(|dyno| relieved.contains(&dyno.lineage)) {
            self.step(id, Event::Stop(Leave::Replaced), now);
        }
        let mut orphans = BTreeSet::new();
        for dyno in self.dynos.values_mut().filter(|dyno| dyno.behind.is_some()) {
            if served.contains(&dyno.lineage) {
                dyno.behind = None;
            } else if dyno.behind.is_some_and(|behind| !present.contains_key(&behind)) {
                dyno.behind = None;
                orphans.insert(dyno.id);
            }
        }
        self.stop_leftovers(&orphans, now);
        // Whom it waited for is gone, but not who served with that one: it waits on, lest two releases answer.
        for id in orphans {
            let Some(orphan) = self.dynos.get(&id) else { continue };
            let older = |other: &&Dyno| {
                other.app == orphan.app
                    && other.is_held()
                    && other.row() == Row::Serving
                    && other.traits.class == Class::Web
                    && other.version < orphan.version
            };
            let behind = self.dynos.values().filter(lives).find(older).map(|older| older.lineage);
            if let Some(orphan) = self.dynos.get_mut(&id) {
                orphan.behind = behind;
            }
        }
    }

    /// Where a dyno of the current release serves that was not started behind another, the switch to it was over: those of
    /// earlier releases are on their way out.
    fn stop_leftovers(&mut self, orphans: &BTreeSet<DynoId>, now: Moment) {
        let current = |dyno: &Dyno| {
            let release = self.apps.get(&dyno.app).and_then(|app| app.release.as_ref());
            release.is_some_and(|release| release.version == dyno.version)
        };
        let serves =
            |dyno: &&Dyno| dyno.traits.class == Class::Web && dyno.is_held() && dyno.row() == Row::Serving;
        let serving = || self.dynos.values().filter(serves);
        let switched: BTreeSet<AppId> = serving()
            .filter(|dyno| current(dyno) && !orphans.contains(&dyno.id))
            .map(|dyno| dyno.app)
            .collect();
        let leftovers: Vec<DynoId> = serving()
            .filter(|dyno| !current(dyno) && switched.contains(&dyno.app))
            .map(|dyno| dyno.id)
            .collect();
        for id in leftovers {
            self.step(id, Event::Stop(Leave::Replaced), now);
        }
    }

    /// Takes over a dyno that an earlier run of the node started, as if it had been watched all along. Whether its port
    /// is bound is found out anew; until then it counts as booting, and its time to boot begins again.
    pub fn take_over(&mut self, label: DynoLabel, reach: Option<Reach>, now: Moment) {
        let traits = self.traits(label.class, label.id, (label.app, &label.name));
        let traits = Traits { cycle_after: label.cycle_after, ..traits };
        let image = self.apps.get(&label.app).and_then(|app| app.image(label.release));
        let started = Moment::from(label.started).min(now);
        let crashes = label.crashes;
        let state = match label.class {
            Class::Web => State::Booting { launched: now, crashes },
            Class::Worker | Class::Detached | Class::Attached => {
                State::Up { launched: started, since: started, crashes }
            }
        };
        let dyno = Dyno {
            id: label.id,
            app: label.app,
            name: label.name,
            command: label.command,
            size: label.size,
            version: label.release,
            release: image.filter(|_| label.class.is_formation()),
            lineage: label.lineage,
            behind: label.behind,
            env: BTreeMap::new(),
            connection: Connection::Log,
            port: label.port,
            uid: label.uid,
            traits,
            state,
            created: started,
            since: started,
            reach,
            launches: 1,
        };
        self.dynos.insert(dyno.id, dyno);
    }

    /// A web dyno taken over is bound to its port: it has been up since it was started.
    pub fn take_over_up(&mut self, id: DynoId) {
        if let Some(dyno) = self.dynos.get_mut(&id)
            && let State::Booting { crashes, .. } = dyno.state
        {
            dyno.state = State::Up { launched: dyno.created, since: dyno.created, crashes };
        }
    }

    /// A dyno taken over had been told to go, and goes on with that. Whether it is up must be known.
    pub fn take_over_departure(&mut self, id: DynoId, departure: Departure, now: Moment) {
        let Some(dyno) = self.dynos.get_mut(&id) else { return };
        dyno.state = lifecycle::resume(&dyno.traits, dyno.state, departure, now);
        if dyno.is_formation() && !dyno.is_held() {
            // Its change was told when it was told to go.
            self.vacated.insert((dyno.app, dyno.name.clone()));
        }
    }
}
