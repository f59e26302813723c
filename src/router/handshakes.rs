//! Handshakes of TLS under way: a bounded number, and of one address a part of it, so that none keeps the others waiting.

use std::io;
use std::net::IpAddr;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::domain::{Counted, Tally, network};

/// The part of all places that handshakes with one address may take at once, those that wait among them. Programs of this machine are
/// its own, and not counted.
const ADDRESS_PART: usize = 8;

/// The places.
pub(super) struct Handshakes {
    free: Semaphore,
    of_address_max: usize,
    of_address: Tally<IpAddr>,
}

/// One handshake; over when dropped.
pub(super) struct Handshake<'a> {
    _place: SemaphorePermit<'a>,
    _counted: Option<Counted<IpAddr>>,
}

impl Handshakes {
    /// Of which `max` are under way at once.
    pub(super) fn new(max: usize) -> Self {
        let of_address_max = max.div_ceil(ADDRESS_PART);
        Self { free: Semaphore::new(max), of_address_max, of_address: Tally::default() }
    }

    /// Begins one with a client at `from`, in its turn.
    ///
    /// # Errors
    /// Too many with that address are under way or wait.
    pub(super) async fn begin(&self, from: IpAddr) -> io::Result<Handshake<'_>> {
        let counted = if from.is_loopback() { None } else { Some(self.count(network(from))?) };
        let place = self.free.acquire().await.map_err(io::Error::other)?;
        Ok(Handshake { _place: place, _counted: counted })
    }

    fn count(&self, address: IpAddr) -> io::Result<Counted<IpAddr>> {
        let counted = self.of_address.count(address, self.of_address_max);
        counted.ok_or_else(|| io::Error::other("too many handshakes with one address"))
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[tokio::test]
    async fn one_address_takes_a_part_of_the_places() {
        let handshakes = Handshakes::new(16);
        let [one, other, near] = ["192.0.2.1", "192.0.2.2", "127.0.0.1"].map(|text| text.parse().unwrap());
        let first = handshakes.begin(one).await.unwrap();
        let _second = handshakes.begin(one).await.unwrap();
        assert!(handshakes.begin(one).await.is_err());
        let mut held = Vec::new();
        for from in [other, near, near, near] {
            held.push(handshakes.begin(from).await.unwrap());
        }
        drop(first);
        assert!(handshakes.begin(one).await.is_ok());
        drop((held, _second));
        assert!(handshakes.of_address.is_empty());
    }
}
