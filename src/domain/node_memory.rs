//! Whether a node has the memory that formations ask for.

use std::fmt;

use thiserror::Error;

use crate::domain::Bytes;

/// What formations may ask for, together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeMemory {
    /// What the machine has.
    pub total: Bytes,
    /// How much of that may be promised, in hundredths: dynos seldom use all that their size grants.
    pub overcommit_percent: u32,
}

/// A formation asks for more than is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub struct MemoryShortage {
    /// What the formation would ask for.
    pub asked: Bytes,
    /// What the formations of other apps ask for.
    pub others: Bytes,
    /// The node.
    pub node: NodeMemory,
}

impl NodeMemory {
    /// What may be promised.
    #[must_use]
    pub fn promised_max(self) -> Bytes {
        Bytes(self.total.0.saturating_mul(u64::from(self.overcommit_percent)) / 100)
    }

    /// Whether a formation that asks for `asked` has room beside `others`. One that asks for no more than `before` always
    /// has: a node that has promised too much is not kept from promising less.
    ///
    /// # Errors
    /// It has not; the text says how much is missing.
    pub fn room(self, before: Bytes, asked: Bytes, others: Bytes) -> Result<(), MemoryShortage> {
        if asked <= before || asked.0.saturating_add(others.0) <= self.promised_max().0 {
            Ok(())
        } else {
            Err(MemoryShortage { asked, others, node: self })
        }
    }
}

impl fmt::Display for MemoryShortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asked, others, node } = self;
        let missing = Bytes((asked.0.saturating_add(others.0)).saturating_sub(node.promised_max().0));
        write!(
            f,
            "the formation asks for {asked}, other apps for {others}, and the node may promise {} ({}% of its {}): \
             {missing} too much",
            node.promised_max(),
            node.overcommit_percent,
            node.total
        )
    }
}

#[cfg(test)]
mod test {
    use super::*;

    const NODE: NodeMemory = NodeMemory { total: Bytes::gib(2), overcommit_percent: 150 };

    #[test]
    fn what_is_asked_must_fit_beside_what_others_ask() {
        assert_eq!(NODE.room(Bytes(0), Bytes::gib(2), Bytes::gib(1)), Ok(()));
        let short = NODE.room(Bytes(0), Bytes::gib(2), Bytes::mib(1536)).unwrap_err();
        insta::assert_snapshot!(
            short.to_string(),
            @"the formation asks for 2.0G, other apps for 1.5G, and the node may promise 3.0G (150% of its 2.0G): 512.0M too much"
        );
    }

    #[test]
    fn asking_for_less_is_never_too_much() {
        assert_eq!(NODE.room(Bytes::gib(9), Bytes::gib(8), Bytes::gib(8)), Ok(()));
    }
}
