//! Who reaches which data service: the dynos of the apps it is attached to, each at its one port, and nobody else.
//!
//! A dyno is admitted before it is launched. Addresses are handed on from dyno to dyno, so what an address may reach follows
//! from who has it now, and the ways of its former owner are shut before the next one begins.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::domain::AppId;
use crate::runtime::network::{NetworkError, NodeNetwork, Passage};

/// A service as the dynos of an app find it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attached {
    /// The name of its host.
    pub host: String,
    /// Where it is.
    pub at: SocketAddrV4,
}

/// The services of each app.
pub type Attachments = BTreeMap<AppId, BTreeSet<Attached>>;

/// The gate of a node.
#[derive(Debug)]
pub struct Gate {
    network: Arc<NodeNetwork>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    dynos: BTreeMap<Ipv4Addr, AppId>,
    attachments: Attachments,
    /// What the kernel has.
    open: BTreeSet<Passage>,
}

impl Gate {
    /// A gate in a network that was just set up: everything is shut.
    #[must_use]
    pub fn new(network: Arc<NodeNetwork>) -> Arc<Self> {
        Arc::new(Self { network, state: Mutex::default() })
    }

    /// Opens the ways of a dyno, and tells the services that it may reach.
    ///
    /// # Errors
    /// The packet filter cannot be changed: the dyno must not be started.
    pub async fn admit(&self, app: AppId, address: Ipv4Addr) -> Result<Vec<Attached>, NetworkError> {
        let mut state = self.state.lock().await;
        state.dynos.insert(address, app);
        self.settle(&mut state).await?;
        Ok(state.attachments.get(&app).into_iter().flatten().cloned().collect())
    }

    /// Shuts the ways of a dyno that has ended.
    ///
    /// # Errors
    /// The packet filter cannot be changed.
    pub async fn dismiss(&self, address: Ipv4Addr) -> Result<(), NetworkError> {
        let mut state = self.state.lock().await;
        state.dynos.remove(&address);
        self.settle(&mut state).await
    }

    /// Which services the apps have from now on, for dynos that run as well.
    ///
    /// # Errors
    /// The packet filter cannot be changed.
    pub async fn attach(&self, attachments: Attachments) -> Result<(), NetworkError> {
        let mut state = self.state.lock().await;
        state.attachments = attachments;
        self.settle(&mut state).await
    }

    /// Has the kernel let through what the state says; nothing is done where it does already.
    async fn settle(&self, state: &mut State) -> Result<(), NetworkError> {
        let wanted = state.wanted();
        if wanted != state.open {
            self.network.open_passages(&wanted).await?;
            state.open = wanted;
        }
        Ok(())
    }
}

impl State {
    fn wanted(&self) -> BTreeSet<Passage> {
        let of = |(address, app): (&Ipv4Addr, &AppId)| {
            let from = *address;
            let attached = self.attachments.get(app).into_iter().flatten();
            attached.map(move |service| Passage { from, to: service.at }).collect::<Vec<_>>()
        };
        self.dynos.iter().flat_map(of).collect()
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn only_dynos_of_attached_apps_have_a_way_and_an_address_has_that_of_its_present_dyno() {
        let (one, other) = (AppId(uuid::Uuid::from_u128(1)), AppId(uuid::Uuid::from_u128(2)));
        let at: SocketAddrV4 = "172.16.0.6:5432".parse().unwrap();
        let service = Attached { host: "db.internal".to_owned(), at };
        let first: Ipv4Addr = "172.16.0.2".parse().unwrap();
        let second: Ipv4Addr = "172.16.0.10".parse().unwrap();
        let mut state = State {
            dynos: [(first, one), (second, other)].into(),
            attachments: [(one, [service].into())].into(),
            open: BTreeSet::new(),
        };
        assert_eq!(state.wanted(), [Passage { from: first, to: at }].into());
        state.dynos.insert(first, other);
        assert_eq!(state.wanted(), BTreeSet::new(), "the address is another app's now");
    }
}
