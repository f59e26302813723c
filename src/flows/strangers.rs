//! Connections of which it is not known yet who is at the other end: a few for each address at all doors together, so that one
//! cannot hold every place of a door.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::{Counted, Tally, network};

/// The most connections of one address whose client has not shown what it knows: a token, a password, a name that nobody can
/// guess. Those that have are not counted; a crowd behind one address gets in one after another.
const PER_ADDRESS_MAX: usize = 64;

/// The strangers of a node, by address. There are no more than connections.
#[derive(Default)]
pub struct Strangers(Tally<IpAddr>);

/// One connection, with what it takes of the places of its address until it is known. Clones are the same.
#[derive(Clone)]
pub struct Stranger(Arc<Mutex<Option<Counted<IpAddr>>>>);

// === impl Strangers ===

impl Strangers {
    /// A connection from an address, unless there are too many from there. Programs of this machine are its own, and not counted.
    #[must_use]
    pub fn enter(&self, from: IpAddr) -> Option<Stranger> {
        if from.is_loopback() {
            return Some(Stranger(Arc::default()));
        }
        let counted = self.0.count(network(from), PER_ADDRESS_MAX)?;
        Some(Stranger(Arc::new(Mutex::new(Some(counted)))))
    }
}

// === impl Stranger ===

impl Stranger {
    /// Whether it takes a place of its address still.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// It has shown what it knows, and is none any more.
    pub fn becomes_known(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn an_address_has_so_many_places_until_it_is_known_and_leaves_others_theirs() {
        let strangers = Strangers::default();
        let [one, other, near, same, own] =
            ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "127.0.0.1"]
                .map(|text| text.parse().unwrap());
        let mut all: Vec<_> = (0..PER_ADDRESS_MAX).map(|_| strangers.enter(one).unwrap()).collect();
        assert!(strangers.enter(one).is_none());
        assert!(strangers.enter(other).is_some() && strangers.enter(own).is_some());
        assert!(all[0].is_counted() && !strangers.enter(own).unwrap().is_counted());
        all[0].clone().becomes_known();
        assert!(!all[0].is_counted());
        let another = strangers.enter(one).unwrap();
        assert!(strangers.enter(one).is_none(), "one place, once");
        all[0].becomes_known();
        assert!(strangers.enter(one).is_none(), "it had none any more");
        drop(another);
        all.push(strangers.enter(one).unwrap());
        let whole: Vec<_> = (0..PER_ADDRESS_MAX).map(|_| strangers.enter(near).unwrap()).collect();
        assert!(strangers.enter(same).is_none(), "a network of version 6 is one");
        drop((all, whole));
        assert!(strangers.0.is_empty());
    }
}
