//! The formation: how many dynos of which type and size an app runs.

use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

use crate::domain::{DynoSize, ProcessType};

/// One type's share of a formation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormationEntry {
    /// The type of process.
    pub process_type: ProcessType,
    /// How many dynos of it run.
    pub quantity: u32,
    /// How large each is.
    pub size: DynoSize,
    /// How long each may take to stop after SIGTERM; the node's own span where it is not set.
    pub stop_grace: Option<Duration>,
}

/// The formation of an app, one entry a type, ordered by type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Formation(Vec<FormationEntry>);

impl Formation {
    /// The most dynos of one app, all types together (platform reference 1.2).
    pub const DYNOS_MAX: u32 = 100;
    /// The longest time that a type's dynos may be given to stop.
    pub const STOP_GRACE_MAX: Duration = Duration::from_secs(60 * 60);

    /// Takes entries in any order; of several for one type the last counts.
    #[must_use]
    pub fn new(entries: impl IntoIterator<Item = FormationEntry>) -> Self {
        let by_type: std::collections::BTreeMap<_, _> =
            entries.into_iter().map(|entry| (entry.process_type.clone(), entry)).collect();
        Self(by_type.into_values().collect())
    }

    /// The entries, ordered by type.
    #[must_use]
    pub fn entries(&self) -> &[FormationEntry] {
        &self.0
    }

    /// The entry of `process_type`.
    #[must_use]
    pub fn entry(&self, process_type: &ProcessType) -> Option<&FormationEntry> {
        self.0.iter().find(|entry| entry.process_type == *process_type)
    }

    /// This formation after a deploy that brought `process_types`: types that vanished leave, new ones join with
    /// quantity 0, and `web` starts at 1 when the app had no formation before (platform reference 1.11).
    #[must_use]
    pub fn deployed<'a>(&self, process_types: impl IntoIterator<Item = &'a ProcessType>) -> Self {
        let first_deploy = self.0.is_empty();
        Self::new(process_types.into_iter().filter(|name| !name.is_reserved()).map(|name| {
            self.entry(name).cloned().unwrap_or_else(|| FormationEntry {
                process_type: name.clone(),
                quantity: u32::from(first_deploy && name.is_web()),
                size: DynoSize::default(),
                stop_grace: None,
            })
        }))
    }

    /// How many dynos run in all.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.0.iter().map(|entry| entry.quantity).fold(0, u32::saturating_add)
    }
}

/// A wanted quantity, absolute or relative: `2`, `+1`, `-1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuantityChange {
    /// Exactly so many.
    Set(u32),
    /// So many more.
    Add(u32),
    /// So many fewer, never below none.
    Subtract(u32),
}

/// The text is no quantity.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a quantity is a number, or a number after + or -, such as 2 or +1")]
pub struct QuantityChangeError;

impl QuantityChange {
    /// The quantity after this change of `current`.
    #[must_use]
    pub fn apply(self, current: u32) -> u32 {
        match self {
            Self::Set(n) => n,
            Self::Add(n) => current.saturating_add(n),
            Self::Subtract(n) => current.saturating_sub(n),
        }
    }
}

impl FromStr for QuantityChange {
    type Err = QuantityChangeError;

    fn from_str(text: &str) -> Result<Self, QuantityChangeError> {
        let (change, digits): (fn(u32) -> Self, &str) = if let Some(digits) = text.strip_prefix('+') {
            (Self::Add, digits)
        } else if let Some(digits) = text.strip_prefix('-') {
            (Self::Subtract, digits)
        } else {
            (Self::Set, text)
        };
        // `u32::from_str` takes a sign of its own, which would let "++1" through.
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(QuantityChangeError);
        }
        digits.parse().map(change).map_err(|_| QuantityChangeError)
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn types(names: &[&str]) -> Vec<ProcessType> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn the_first_deploy_runs_one_web_dyno_and_nothing_else() {
        let formation = Formation::default().deployed(&types(&["worker", "web", "release"]));
        let quantities: Vec<_> =
            formation.entries().iter().map(|e| (e.process_type.as_str(), e.quantity)).collect();
        assert_eq!(quantities, [("web", 1), ("worker", 0)]);
    }

    #[test]
    fn a_later_deploy_keeps_quantities_and_drops_vanished_types() {
        let before = Formation::new([FormationEntry {
            process_type: "worker".parse().unwrap(),
            quantity: 3,
            size: DynoSize::default(),
            stop_grace: None,
        }]);
        let after = before.deployed(&types(&["web", "worker"]));
        assert_eq!(after.entry(&"worker".parse().unwrap()).unwrap().quantity, 3);
        assert_eq!(after.entry(&ProcessType::web()).unwrap().quantity, 0);
        assert!(before.deployed(&types(&["web"])).entry(&"worker".parse().unwrap()).is_none());
    }

    #[test]
    fn quantities_are_absolute_or_relative() {
        let apply = |text: &str, current| text.parse::<QuantityChange>().unwrap().apply(current);
        assert_eq!(apply("3", 1), 3);
        assert_eq!(apply("+2", 1), 3);
        assert_eq!(apply("-2", 1), 0);
        for bad in ["", "+", "-", "++1", "x", "1.5", "99999999999"] {
            assert_eq!(bad.parse::<QuantityChange>(), Err(QuantityChangeError), "{bad}");
        }
    }
}
