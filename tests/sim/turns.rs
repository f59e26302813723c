//! What can happen in one turn.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dyno::domain::{AppId, ConfigVars, DynoId, DynoName, DynoSize, Formation, FormationEntry, Version};
use dyno::supervisor::lifecycle::{Event, Handover};
use dyno::supervisor::{Connection, DesiredApp, OneOff, Preferences, ReleaseImage, Scope, StackImage};
use rand::Rng;
use uuid::Uuid;

use crate::rules::WORKER_GRACE;
use crate::world::World;

/// Apps of one history.
const APPS: u128 = 2;
/// One-off dynos that are asked for in a burst: more than an app may have.
const BURST: u32 = 60;

impl World {
    /// Time passes, then something happens.
    pub fn turn(&mut self) {
        let pause = match self.dice.random_range(0..20) {
            0 => self.dice.random_range(0..30 * 60 * 60 * 1000),
            1..3 => self.dice.random_range(0..60 * 60 * 1000),
            3..8 => self.dice.random_range(0..90_000),
            _ => self.dice.random_range(0..500),
        };
        self.pass(Duration::from_millis(pause));
        self.check_what_is_due();
        match self.dice.random_range(0..40) {
            0..5 => self.change(),
            5..7 => self.restart(),
            7..9 => self.run(),
            9 => self.forget(),
            10..12 => self.restart_of_the_node(),
            12 => self.client_goes(),
            _ => self.container_does_something(),
        }
        self.carry_out();
    }

    fn app(&mut self) -> AppId {
        AppId(Uuid::from_u128(self.dice.random_range(0..APPS)))
    }

    /// A new release; one that is good.
    pub fn image(&mut self) -> Arc<ReleaseImage> {
        self.next_version += 1;
        let commands = [("web", "serve"), ("worker", "work")];
        Arc::new(ReleaseImage {
            version: Version(self.next_version),
            slug: "0".repeat(64).parse().unwrap(),
            stack: StackImage {
                name: "cedar-13".parse().unwrap(),
                version: "1".to_owned(),
                layers: vec![],
                env: vec![],
            },
            config: ConfigVars::default(),
            commands: commands.map(|(name, command)| (name.parse().unwrap(), command.to_owned())).into(),
            metadata: BTreeMap::new(),
        })
    }

    fn new_app(&mut self, app: AppId) -> DesiredApp {
        let name = format!("app-{}", app.0.as_u128());
        let handover = if self.dice.random_bool(0.7) { Handover::Overlap } else { Handover::AtOnce };
        DesiredApp {
            app,
            name: name.parse().unwrap(),
            hostnames: vec![format!("{name}.localhost").parse().unwrap()],
            release: None,
            formation: Formation::new([self.entry("web"), self.entry("worker")]),
            maintenance: false,
            preferences: Preferences { handover, ..Preferences::default() },
            earlier: vec![],
        }
    }

    fn entry(&mut self, name: &str) -> FormationEntry {
        FormationEntry {
            process_type: name.parse().unwrap(),
            quantity: self.dice.random_range(0..4),
            size: if self.dice.random_bool(0.7) { DynoSize::Basic } else { DynoSize::Standard2X },
            stop_grace: (name == "worker").then_some(WORKER_GRACE),
        }
    }

    /// A user deploys, scales, resizes, or chooses how releases are switched.
    fn change(&mut self) {
        let app = self.app();
        let Some(mut desired) = self.desired.get(&app).cloned() else {
            let mut desired = self.new_app(app);
            desired.release = Some(self.image());
            return self.want(desired);
        };
        match self.dice.random_range(0..10) {
            0..5 => {
                let image = self.image();
                if self.dice.random_bool(0.3) {
                    self.bad.insert(image.version);
                }
                desired.release = Some(image);
            }
            5..9 => desired.formation = Formation::new([self.entry("web"), self.entry("worker")]),
            _ => {
                desired.preferences.handover = match desired.preferences.handover {
                    Handover::Overlap => Handover::AtOnce,
                    Handover::AtOnce => Handover::Overlap,
                };
            }
        }
        self.want(desired);
    }

    /// Earlier releases stay known, as the store keeps them.
    pub fn want(&mut self, mut desired: DesiredApp) {
        if let Some(before) = self.desired.get(&desired.app) {
            desired.earlier = before.earlier.clone();
            desired
                .earlier
                .extend(before.release.iter().filter(|_| before.release != desired.release).cloned());
        }
        self.memories.touched(desired.app);
        self.desired.insert(desired.app, desired.clone());
        self.fleet.apply(desired, self.now);
        self.carry_out();
    }

    fn restart(&mut self) {
        let app = self.app();
        let scope = match self.dice.random_range(0..4) {
            0 => Scope::All,
            1 => Scope::Type("web".parse().unwrap()),
            2 => Scope::Dyno("web.1".parse().unwrap()),
            _ => Scope::Dyno("worker.1".parse().unwrap()),
        };
        self.memories.touched(app);
        // That there may be no such dyno is part of the history.
        if self.dice.random_bool(0.7) {
            let _ = self.fleet.restart(app, &scope, self.now);
        } else {
            self.memories.stopped(app);
            let _ = self.fleet.stop(app, &scope, self.now);
        }
    }

    fn run(&mut self) {
        let app = self.app();
        let count = if self.dice.random_bool(0.02) { BURST } else { 1 };
        let release = self.image();
        for _ in 0..count {
            let connection = if self.dice.random_bool(0.5) { Connection::Log } else { Connection::Pipes };
            let time_to_live = self.dice.random_bool(0.2).then_some(Duration::from_secs(600));
            let one_off = OneOff {
                id: DynoId(Uuid::from_u128(self.dice.random())),
                name: DynoName::new("run".parse().unwrap(), self.dice.random_range(1000..1100)),
                app,
                release: release.clone(),
                command: "bash".to_owned(),
                size: DynoSize::Basic,
                env: BTreeMap::new(),
                connection,
                time_to_live,
            };
            let _ = self.fleet.run(one_off, self.now);
        }
    }

    fn forget(&mut self) {
        let app = self.app();
        self.memories.touched(app);
        self.desired.remove(&app);
        self.fleet.forget(app, self.now);
    }

    fn client_goes(&mut self) {
        if let Some(id) = self.any(|_| true) {
            self.fleet.observe(id, Event::ClientGone, self.now);
        }
    }
}
