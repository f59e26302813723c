//! What the router has counted, for whoever asks.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use crate::router::serve::Shared;
use crate::wire::metrics::AppTraffic;

/// Reads a router's figures. It keeps nothing alive: of a router that has gone there is nothing to read.
#[derive(Clone)]
pub struct Figures(Weak<Shared>);

impl Figures {
    pub(super) fn of(shared: &Arc<Shared>) -> Self {
        Self(Arc::downgrade(shared))
    }

    /// The figures of every app in the table that has had a request, by name.
    #[must_use]
    pub fn read(&self) -> Vec<AppTraffic> {
        let Some(shared) = self.0.upgrade() else { return Vec::new() };
        let table = Arc::clone(&shared.table.borrow());
        // An app with several host names stands in the table several times.
        let names: HashMap<_, _> = table.routes.values().map(|route| (route.app, &route.name)).collect();
        let mut all: Vec<_> = names
            .into_iter()
            .filter_map(|(app, name)| {
                let figures = shared.apps.of(app)?;
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
