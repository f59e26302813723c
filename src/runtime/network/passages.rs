//! Ways from one container to another: none but those that are named, one address to one port each.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};

use super::{NetworkError, NodeNetwork, rules};

/// The most passages of a node: the kernel's set of them has so many places.
pub const PASSAGES_MAX: usize = 16_384;

/// A way from a container to one port of another, over TCP. The way back is for answers alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Passage {
    /// Who may go.
    pub from: Ipv4Addr,
    /// Where to.
    pub to: SocketAddrV4,
}

impl NodeNetwork {
    /// Leaves these passages open, and no others: connections over one that was open and is not any more are cut off.
    ///
    /// # Errors
    /// There are more than [`PASSAGES_MAX`], or `nft` refuses; the passages are then as they were.
    pub async fn open_passages(&self, passages: &BTreeSet<Passage>) -> Result<(), NetworkError> {
        if passages.len() > PASSAGES_MAX {
            let text = format!("{} ways between containers are more than {PASSAGES_MAX}", passages.len());
            return Err(NetworkError::Config { text });
        }
        rules::change(&text(self.index, passages)).await
    }
}

impl NodeNetwork {
    /// Lets whoever has this address answer what comes over a passage, and begin nothing: neither to the host nor through it.
    ///
    /// # Errors
    /// `nft` refuses.
    pub async fn seal(&self, address: Ipv4Addr) -> Result<(), NetworkError> {
        rules::change(&format!("add element {} sealed {{ {address} }}\n", rules::table(self.index))).await
    }

    /// The end of [`Self::seal`], for whoever has the address next.
    ///
    /// # Errors
    /// `nft` refuses.
    pub async fn unseal(&self, address: Ipv4Addr) -> Result<(), NetworkError> {
        let element = format!("element {} sealed {{ {address} }}\n", rules::table(self.index));
        // Added first: one that is not there cannot be deleted.
        rules::change(&format!("add {element}delete {element}")).await
    }
}

/// One transaction: whoever may go before and after it is not held up in between.
fn text(index: u32, passages: &BTreeSet<Passage>) -> String {
    let set = format!("{} passages", rules::table(index));
    let each = passages.iter().map(|way| format!("{} . {} . {}", way.from, way.to.ip(), way.to.port()));
    let elements: Vec<_> = each.collect();
    let flush = format!("flush set {set}\n");
    if elements.is_empty() {
        flush
    } else {
        format!("{flush}add element {set} {{ {} }}\n", elements.join(", "))
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_set_is_replaced_as_a_whole() {
        let way = |from: &str, to: &str| Passage { from: from.parse().unwrap(), to: to.parse().unwrap() };
        let ways = [way("172.16.0.2", "172.16.0.6:5432"), way("172.16.0.10", "172.16.0.6:5432")].into();
        assert_eq!(
            text(3, &ways),
            "flush set inet dyno3 passages\nadd element inet dyno3 passages { 172.16.0.2 . 172.16.0.6 . 5432, \
             172.16.0.10 . 172.16.0.6 . 5432 }\n"
        );
        assert_eq!(text(3, &BTreeSet::new()), "flush set inet dyno3 passages\n");
    }
}
