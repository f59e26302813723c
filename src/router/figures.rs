//! What the router has counted, for whoever asks.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use tokio::sync::watch;

use crate::domain::RouteTable;
use crate::router::counters::Apps;
use crate::router::serve::Shared;
use crate::wire::metrics::AppTraffic;

/// Reads a router's figures, those of all its workers. It keeps none of them alive: of a router that has gone there is nothing to
/// read.
#[derive(Clone)]
pub struct Figures {
    apps: Weak<Apps>,
    table: watch::Receiver<Arc<RouteTable>>,
}

impl Figures {
    pub(super) fn of(shared: &Shared) -> Self {
        Self { apps: Arc::downgrade(&shared.apps), table: shared.table.clone() }
    }

    /// The figures of every app in the table that has had a request, by name.
    #[must_use]
    pub fn read(&self) -> Vec<AppTraffic> {
        let Some(apps) = self.apps.upgrade() else { return Vec::new() };
        let table = Arc::clone(&self.table.borrow());
        // An app with several host names stands in the table several times.
        let names: HashMap<_, _> = table.routes.values().map(|route| (route.app, &route.name)).collect();
        let mut all: Vec<_> = names
            .into_iter()
            .filter_map(|(app, name)| {
                let figures = apps.of(app)?;
                Some(AppTraffic {
                    app: name.clone(),
                    in_flight: u64::try_from(figures.in_flight()).unwrap_or(u64::MAX),
                    statuses: figures.statuses(),
                    codes: figures.codes(),
                    queue: figures.queue.read(),
                    connect: figures.connect.read(),
                    service: figures.service.read(),
                })
            })
            .collect();
        all.sort_by(|one, other| one.app.cmp(&other.app));
        all
    }
}
