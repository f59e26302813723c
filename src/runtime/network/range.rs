//! Addresses: a node's range, and a slot's four out of it.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Slots of a node, so many containers can have a network at one time.
pub const SLOTS: u32 = 1024;
/// Nodes that can live on one host side by side.
pub const NODES: u32 = 32;
/// Addresses a slot takes: network, host end, container end, broadcast.
const SLOT_ADDRESSES: u32 = 4;
/// The longest prefix a node's range may have: room for every slot.
const RANGE_PREFIX_MAX: u8 = 20;
/// Prefix length of a slot.
pub(super) const SLOT_PREFIX: u8 = 30;
/// The private range that nodes share unless configured otherwise, and how much of it each takes.
const DEFAULT_BASE: Ipv4Addr = Ipv4Addr::new(172, 16, 0, 0);
const DEFAULT_PREFIX: u8 = 17;

/// A range of IPv4 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ipv4Net {
    address: Ipv4Addr,
    prefix: u8,
}

/// Why a text or a pair is no range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{text}' is no range of IPv4 addresses; write it as 172.16.0.0/17, with no bits set behind the prefix"
)]
pub struct RangeError {
    text: String,
}

/// The addresses of one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SlotAddresses {
    /// The host's end.
    pub(super) gateway: Ipv4Addr,
    /// The container's end.
    pub(super) container: Ipv4Addr,
}

impl Ipv4Net {
    /// A range from its first address.
    ///
    /// # Errors
    /// The prefix is over 32, or bits behind it are set.
    pub fn new(address: Ipv4Addr, prefix: u8) -> Result<Ipv4Net, RangeError> {
        let range = Ipv4Net { address, prefix };
        if prefix > 32 || u32::from(address) & !range.mask() != 0 {
            return Err(RangeError { text: range.to_string() });
        }
        Ok(range)
    }

    /// The range of the node with this index (0 to 31), where none is configured.
    #[must_use]
    pub fn default_of(index: u32) -> Ipv4Net {
        let size = 1_u32 << (32 - DEFAULT_PREFIX);
        let address = Ipv4Addr::from(u32::from(DEFAULT_BASE) + (index % NODES) * size);
        Ipv4Net { address, prefix: DEFAULT_PREFIX }
    }

    /// Whether both have an address in common.
    #[must_use]
    pub fn overlaps(&self, other: &Ipv4Net) -> bool {
        let mask = self.mask() & other.mask();
        u32::from(self.address) & mask == u32::from(other.address) & mask
    }

    /// Whether the address lies in it.
    #[must_use]
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        u32::from(address) & self.mask() == u32::from(self.address)
    }

    /// Whether it is every address: the destination of a default route.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.prefix == 0
    }

    /// Whether it has room for every slot.
    pub(super) fn is_large_enough(&self) -> bool {
        self.prefix <= RANGE_PREFIX_MAX
    }

    /// The addresses of a slot below `SLOTS`.
    pub(super) fn slot(&self, slot: u32) -> SlotAddresses {
        let first = u32::from(self.address) + slot * SLOT_ADDRESSES;
        SlotAddresses { gateway: Ipv4Addr::from(first + 1), container: Ipv4Addr::from(first + 2) }
    }

    fn mask(&self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix.min(32))).unwrap_or(0)
    }
}

impl fmt::Display for Ipv4Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Ipv4Net {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Ipv4Net, RangeError> {
        let parts = || {
            let (address, prefix) = text.split_once('/')?;
            Some((address.parse().ok()?, prefix.parse().ok()?))
        };
        let (address, prefix) = parts().ok_or_else(|| RangeError { text: text.to_owned() })?;
        Ipv4Net::new(address, prefix)
    }
}

impl TryFrom<String> for Ipv4Net {
    type Error = RangeError;

    fn try_from(text: String) -> Result<Ipv4Net, RangeError> {
        text.parse()
    }
}

impl From<Ipv4Net> for String {
    fn from(range: Ipv4Net) -> String {
        range.to_string()
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn nodes_share_the_default_without_overlap() {
        let ranges: Vec<_> = (0..NODES).map(Ipv4Net::default_of).collect();
        assert_eq!(ranges[0].to_string(), "172.16.0.0/17");
        assert_eq!(ranges[31].to_string(), "172.31.128.0/17");
        for (at, range) in ranges.iter().enumerate() {
            assert!(range.is_large_enough());
            assert!(ranges[at + 1..].iter().all(|other| !range.overlaps(other)), "{range}");
        }
    }

    #[test]
    fn slots_follow_each_other_inside_the_range() {
        let range = Ipv4Net::default_of(1);
        assert_eq!(range.slot(0).container, Ipv4Addr::new(172, 16, 128, 2));
        assert_eq!(range.slot(1).gateway, Ipv4Addr::new(172, 16, 128, 5));
        assert!(range.contains(range.slot(SLOTS - 1).container));
    }

    #[test]
    fn overlap_is_seen_both_ways() {
        let wide: Ipv4Net = "172.16.0.0/12".parse().unwrap();
        let docker: Ipv4Net = "172.17.0.0/16".parse().unwrap();
        assert!(wide.overlaps(&docker) && docker.overlaps(&wide));
        assert!(!Ipv4Net::default_of(0).overlaps(&docker));
        assert!(Ipv4Net::default_of(2).overlaps(&docker));
        let whole: Ipv4Net = "0.0.0.0/0".parse().unwrap();
        assert!(whole.overlaps(&docker));
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", "172.16.0.0", "172.16.0.1/17", "172.16.0.0/33", "a/8", "::/0"] {
            assert!(text.parse::<Ipv4Net>().is_err(), "{text}");
        }
    }
}
