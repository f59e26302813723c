//! From the dynos an app should have and those it has to the ones that stop and start. Pure.

use std::collections::BTreeMap;

use crate::domain::{DynoId, DynoName, DynoSize, Version};
use crate::supervisor::DesiredApp;
use crate::supervisor::lifecycle::Leave;

/// A dyno that should exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: DynoName,
    /// How large it is.
    pub size: DynoSize,
    /// The release it runs.
    pub release: Version,
    /// What it runs.
    pub command: String,
}

/// A dyno that holds a name. Dynos on their way out hold none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its identity.
    pub id: DynoId,
    /// Its name.
    pub name: DynoName,
    /// How large it is.
    pub size: DynoSize,
    /// The release it runs.
    pub release: Version,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Make it go.
    Stop {
        /// Which.
        id: DynoId,
        /// Why.
        leave: Leave,
    },
    /// Start it. Where its name is still held, the holder goes in the same breath.
    Start(Wanted),
}

/// The dynos that `app` asks for. A type without a command asks for none.
#[must_use]
pub fn wanted(app: &DesiredApp) -> Vec<Wanted> {
    let Some(release) = &app.release else { return vec![] };
    app.formation
        .entries()
        .iter()
        .filter_map(|entry| release.commands.get(&entry.process_type).map(|command| (entry, command)))
        .flat_map(|(entry, command)| {
            (1..=entry.quantity).map(|index| Wanted {
                name: DynoName::new(entry.process_type.clone(), index),
                size: entry.size,
                release: release.version,
                command: command.clone(),
            })
        })
        .collect()
}

/// What leads from `holders` to `wanted`. Stops come before starts: the log then tells them in that order.
#[must_use]
pub fn reconcile(wanted: &[Wanted], holders: &[Holder]) -> Vec<Change> {
    let mut missing: BTreeMap<&DynoName, &Wanted> = wanted.iter().map(|dyno| (&dyno.name, dyno)).collect();
    let mut stops = vec![];
    for holder in holders {
        let leave = match missing.get(&holder.name) {
            Some(dyno) if dyno.release == holder.release && dyno.size == holder.size => {
                missing.remove(&holder.name);
                continue;
            }
            Some(_) => Leave::Outdated,
            None => Leave::Down,
        };
        stops.push(Change::Stop { id: holder.id, leave });
    }
    let starts = missing.into_values().cloned().map(Change::Start);
    stops.into_iter().chain(starts).collect()
}

#[cfg(test)]
mod test {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn dyno(index: u32, release: u64) -> Wanted {
        Wanted {
            name: DynoName::new("web".parse().unwrap(), index),
            size: DynoSize::Basic,
            release: Version(release),
            command: "run".to_owned(),
        }
    }

    fn holder(index: u32, release: u64) -> Holder {
        let Wanted { name, size, release, .. } = dyno(index, release);
        Holder { id: DynoId(Uuid::from_u128(u128::from(index))), name, size, release }
    }

    #[test]
    fn nothing_is_done_where_all_is_as_wanted() {
        assert_eq!(reconcile(&[dyno(1, 3)], &[holder(1, 3)]), []);
    }

    #[test]
    fn scaling_down_stops_the_highest_and_leaves_the_rest() {
        let changes = reconcile(&[dyno(1, 3)], &[holder(1, 3), holder(2, 3)]);
        assert_eq!(changes, [Change::Stop { id: holder(2, 3).id, leave: Leave::Down }]);
    }

    #[test]
    fn a_new_release_replaces_stop_before_start() {
        let changes = reconcile(&[dyno(1, 4)], &[holder(1, 3)]);
        let stop = Change::Stop { id: holder(1, 3).id, leave: Leave::Outdated };
        assert_eq!(changes, [stop, Change::Start(dyno(1, 4))]);
    }

    #[test]
    fn a_new_size_replaces() {
        let larger = Wanted { size: DynoSize::Standard2X, ..dyno(1, 3) };
        assert_eq!(reconcile(&[larger], &[holder(1, 3)]).len(), 2);
    }

    #[test]
    fn of_two_dynos_with_one_name_one_goes() {
        let twin = Holder { id: DynoId(Uuid::from_u128(99)), ..holder(1, 3) };
        let changes = reconcile(&[dyno(1, 3)], &[holder(1, 3), twin.clone()]);
        assert_eq!(changes, [Change::Stop { id: twin.id, leave: Leave::Down }]);
    }

    proptest! {
        #[test]
        fn carrying_out_the_changes_leaves_nothing_to_do(
            quantity in 0u32..6, held in proptest::collection::vec((1u32..8, 1u64..3), 0..8)
        ) {
            let wanted: Vec<_> = (1..=quantity).map(|index| dyno(index, 2)).collect();
            let mut holders: Vec<_> = held
                .into_iter()
                .enumerate()
                .map(|(n, (index, release))| Holder { id: DynoId(Uuid::from_u128(n as u128)), ..holder(index, release) })
                .collect();
            for change in reconcile(&wanted, &holders) {
                match change {
                    Change::Stop { id, .. } => holders.retain(|holder| holder.id != id),
                    Change::Start(start) => {
                        holders.push(Holder { id: DynoId(Uuid::new_v4()), ..holder(start.name.index, 2) });
                    }
                }
            }
            prop_assert_eq!(holders.len(), quantity as usize);
            prop_assert_eq!(reconcile(&wanted, &holders), vec![]);
        }
    }
}
