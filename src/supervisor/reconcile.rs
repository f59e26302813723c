//! From the dynos an app should have and those it has to the ones that stop, start and take over. Pure.
//!
//! Web dynos that overlap with their successors stand in two rows. The serving row is what the router knows. The next
//! row boots behind it, one dyno for each that is to be replaced:
//!
//! - Of one release, each dyno of the next row takes over by itself as soon as it is up (restart, age, size).
//! - Of two releases, the next row takes over whole once all of it is up, so that no two releases answer side by side.
//! - While the next row does not come up, the release that serves fills the places that the serving row lacks, so that an
//!   app can be scaled whatever its newest release does.
//! - Where no dyno of the serving row is up there is nothing to protect: the first of the next row that comes up brings
//!   all of it to serve, and a new release replaces at once what has no successor yet.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{DynoId, DynoName, DynoSize, Version};
use crate::supervisor::lifecycle::{Handover, Leave};
use crate::supervisor::{DesiredApp, ReleaseImage};

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

/// In which row a dyno stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Row {
    /// What it is asked for, it does; a web dyno gets requests.
    Serving,
    /// It waits to take over from one that serves.
    Next,
}

/// How far a dyno is, as far as replacing it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// Starting for the first time.
    Down,
    /// Has crashed, or could not be started, and may come up at a later start.
    Failing,
    /// Up.
    Up,
    /// Up, and waits to be relieved.
    Yielding,
}

impl Condition {
    /// Whether it serves, or could.
    #[must_use]
    pub fn is_up(self) -> bool {
        match self {
            Self::Up | Self::Yielding => true,
            Self::Down | Self::Failing => false,
        }
    }
}

/// A dyno that holds a name in its row. Dynos on their way out hold none.
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
    /// Its row.
    pub row: Row,
    /// How far it is.
    pub condition: Condition,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// From now on it serves.
    Promote(DynoId),
    /// Make it go.
    Stop {
        /// Which.
        id: DynoId,
        /// Why.
        leave: Leave,
    },
    /// Start it. Where its name is still held in its row, the holder goes in the same breath.
    Start {
        /// What.
        wanted: Wanted,
        /// In which row.
        row: Row,
    },
}

/// The dynos that `app` asks for. A type without a command asks for none.
#[must_use]
pub fn wanted(app: &DesiredApp) -> Vec<Wanted> {
    app.release.as_ref().map_or_else(Vec::new, |release| wanted_of(app, release))
}

/// The dynos that `app` would ask for if this were its release.
#[must_use]
pub fn wanted_of(app: &DesiredApp, release: &ReleaseImage) -> Vec<Wanted> {
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

/// What leads from `holders` to `wanted`; `kept` are the same places, filled by the release that serves while `wanted` is
/// another that does not come up. Who takes over comes first, then who stops, then who starts: the log tells them
/// in that order.
#[must_use]
pub fn reconcile(wanted: &[Wanted], kept: &[Wanted], holders: &[Holder], handover: Handover) -> Vec<Change> {
    let overlaps = |name: &DynoName| handover == Handover::Overlap && name.process_type.is_web();
    let (web, rest): (Vec<&Wanted>, Vec<&Wanted>) = wanted.iter().partition(|dyno| overlaps(&dyno.name));
    let (web_holders, rest_holders): (Vec<&Holder>, Vec<&Holder>) =
        holders.iter().partition(|holder| overlaps(&holder.name));
    let mut changes = Rows::new(&web, &web_holders).overlap(kept);
    changes.extend(at_once(&rest, &rest_holders));
    changes.sort_by_key(|change| match change {
        Change::Promote(_) => 0,
        Change::Stop { .. } => 1,
        Change::Start { .. } => 2,
    });
    changes
}

/// Whether a dyno is what is wanted, as it is.
fn fits(holder: &Holder, wanted: &Wanted) -> bool {
    holder.release == wanted.release
        && holder.size == wanted.size
        && (holder.row == Row::Next || holder.condition != Condition::Yielding)
}

/// Replaces each dyno by itself, the old one first. A dyno of the next row, left from when rows overlapped, serves at once.
fn at_once(wanted: &[&Wanted], holders: &[&Holder]) -> Vec<Change> {
    let mut missing: BTreeMap<&DynoName, &Wanted> = wanted.iter().map(|dyno| (&dyno.name, *dyno)).collect();
    let mut found = BTreeSet::new();
    let mut changes = vec![];
    let (next, serving): (Vec<&Holder>, Vec<&Holder>) =
        holders.iter().partition(|holder| holder.row == Row::Next);
    for holder in next.into_iter().chain(serving) {
        let leave = match missing.get(&holder.name) {
            Some(dyno) if fits(holder, dyno) => {
                missing.remove(&holder.name);
                found.insert(&holder.name);
                if holder.row == Row::Next {
                    changes.push(Change::Promote(holder.id));
                }
                continue;
            }
            None if found.contains(&holder.name) => Leave::Replaced,
            Some(_) if holder.row == Row::Next => Leave::Replaced,
            Some(_) => Leave::Outdated,
            None => Leave::Down,
        };
        changes.push(Change::Stop { id: holder.id, leave });
    }
    let start = |wanted: &Wanted| Change::Start { wanted: wanted.clone(), row: Row::Serving };
    changes.extend(missing.into_values().map(start));
    changes
}

/// The two rows of an app's web dynos, by name.
struct Rows<'a> {
    wanted: Vec<&'a Wanted>,
    serving: BTreeMap<&'a DynoName, &'a Holder>,
    next: BTreeMap<&'a DynoName, &'a Holder>,
    changes: Vec<Change>,
}

impl<'a> Rows<'a> {
    /// Sorts holders into rows; what has no place in either goes.
    fn new(wanted: &[&'a Wanted], holders: &[&'a Holder]) -> Self {
        let mut rows = Self {
            wanted: wanted.to_vec(),
            serving: BTreeMap::new(),
            next: BTreeMap::new(),
            changes: vec![],
        };
        let by_name: BTreeMap<&DynoName, &Wanted> = wanted.iter().map(|dyno| (&dyno.name, *dyno)).collect();
        // Of twins the one that is up stays.
        let mut holders = holders.to_vec();
        holders.sort_by_key(|holder| !holder.condition.is_up());
        for holder in holders {
            let Some(wanted) = by_name.get(&holder.name) else {
                rows.stop(holder, Leave::Down);
                continue;
            };
            let row = match holder.row {
                Row::Serving => &mut rows.serving,
                Row::Next => &mut rows.next,
            };
            // A next row of an earlier release, never switched to, and twins.
            if row.contains_key(&holder.name) || (holder.row == Row::Next && !fits(holder, wanted)) {
                rows.stop(holder, Leave::Replaced);
            } else {
                row.insert(&holder.name, holder);
            }
        }
        rows
    }

    fn stop(&mut self, holder: &Holder, leave: Leave) {
        self.changes.push(Change::Stop { id: holder.id, leave });
    }

    /// `next` serves in place of `old`.
    fn take_over(&mut self, next: &Holder, old: Option<&Holder>) {
        self.changes.push(Change::Promote(next.id));
        if let Some(old) = old {
            self.stop(old, Leave::Replaced);
        }
    }

    fn overlap(mut self, kept: &[Wanted]) -> Vec<Change> {
        let whole = self.is_whole();
        let waits = self.switches() && !whole;
        let kept = if waits && self.is_stuck() { kept } else { &[] };
        for wanted in std::mem::take(&mut self.wanted) {
            let next = self.next.get(&wanted.name).copied();
            let serving = self.serving.get(&wanted.name).copied();
            let start = |row| Change::Start { wanted: wanted.clone(), row };
            let kept = kept.iter().find(|kept| kept.name == wanted.name && serving.is_none());
            // First, since what starts in the next row stands behind it.
            self.changes.extend(kept.map(|kept| Change::Start { wanted: kept.clone(), row: Row::Serving }));
            match (serving, next) {
                (None, None) => {
                    self.changes.push(start(if waits { Row::Next } else { Row::Serving }));
                }
                (None, Some(next)) if !waits => self.take_over(next, None),
                (None, Some(_)) => {}
                (Some(serving), Some(next)) if fits(serving, wanted) => {
                    if serving.condition.is_up() {
                        self.stop(next, Leave::Replaced);
                    } else {
                        self.take_over(next, Some(serving));
                    }
                }
                (Some(serving), None) if fits(serving, wanted) => {}
                (Some(serving), None) if !serving.condition.is_up() && !waits => {
                    self.stop(serving, Leave::Outdated);
                    self.changes.push(start(Row::Serving));
                }
                (Some(_), None) => self.changes.push(start(Row::Next)),
                (Some(serving), Some(next)) => {
                    let alone = next.condition.is_up() || !serving.condition.is_up();
                    let may = if serving.release == next.release { alone } else { whole };
                    if may {
                        self.take_over(next, Some(serving));
                    }
                }
            }
        }
        self.changes
    }

    /// The dynos of the serving row that are of another release than the wanted one.
    fn old(&self) -> impl Iterator<Item = &'a Holder> + '_ {
        let pairs = self.wanted.iter().filter_map(|wanted| Some((wanted, *self.serving.get(&wanted.name)?)));
        pairs.filter(|(wanted, serving)| serving.release != wanted.release).map(|(_, serving)| serving)
    }

    /// Whether a release is being switched: one of another serves, or may recover before its successor is up.
    fn switches(&self) -> bool {
        self.old().any(|old| old.condition.is_up() || self.next.contains_key(&old.name))
    }

    /// Whether another release serves, and the wanted one has been tried and did not come up.
    fn is_stuck(&self) -> bool {
        self.next.values().any(|next| next.condition == Condition::Failing)
            && self.old().any(|old| old.condition.is_up())
    }

    /// Whether the next row can take over from another release.
    fn is_whole(&self) -> bool {
        let is_up = |name: &DynoName| self.next.get(name).is_some_and(|next| next.condition.is_up());
        let is_new = |wanted: &Wanted| {
            self.serving.get(&wanted.name).is_some_and(|serving| serving.release == wanted.release)
        };
        if self.old().any(|old| old.condition.is_up()) {
            self.wanted.iter().all(|wanted| is_up(&wanted.name) || is_new(wanted))
        } else {
            self.wanted.iter().any(|wanted| is_up(&wanted.name))
        }
    }
}

#[cfg(test)]
mod test {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const OVERLAP: Handover = Handover::Overlap;

    /// Where nothing is known of an earlier release.
    fn reconcile(wanted: &[Wanted], holders: &[Holder], handover: Handover) -> Vec<Change> {
        super::reconcile(wanted, &[], holders, handover)
    }

    fn dyno(index: u32, release: u64) -> Wanted {
        Wanted {
            name: DynoName::new("web".parse().unwrap(), index),
            size: DynoSize::Basic,
            release: Version(release),
            command: "run".to_owned(),
        }
    }

    /// A dyno that is up and serves; its release is part of its identity.
    fn holder(index: u32, release: u64) -> Holder {
        let Wanted { name, size, release, .. } = dyno(index, release);
        let id = DynoId(Uuid::from_u128(u128::from(index) + 100 * u128::from(release.0)));
        Holder { id, name, size, release, row: Row::Serving, condition: Condition::Up }
    }

    fn next(index: u32, release: u64, condition: Condition) -> Holder {
        let id = DynoId(Uuid::from_u128(u128::from(index) + 100 * u128::from(release) + 50));
        Holder { id, row: Row::Next, condition, ..holder(index, release) }
    }

    fn stop(holder: &Holder, leave: Leave) -> Change {
        Change::Stop { id: holder.id, leave }
    }

    fn start(wanted: Wanted, row: Row) -> Change {
        Change::Start { wanted, row }
    }

    #[test]
    fn nothing_is_done_where_all_is_as_wanted() {
        for handover in [OVERLAP, Handover::AtOnce] {
            assert_eq!(reconcile(&[dyno(1, 3)], &[holder(1, 3)], handover), []);
        }
    }

    #[test]
    fn scaling_down_stops_the_highest_and_leaves_the_rest() {
        for handover in [OVERLAP, Handover::AtOnce] {
            let changes = reconcile(&[dyno(1, 3)], &[holder(1, 3), holder(2, 3)], handover);
            assert_eq!(changes, [stop(&holder(2, 3), Leave::Down)]);
        }
    }

    #[test]
    fn all_at_once_a_new_release_stops_before_it_starts() {
        let changes = reconcile(&[dyno(1, 4)], &[holder(1, 3)], Handover::AtOnce);
        assert_eq!(changes, [stop(&holder(1, 3), Leave::Outdated), start(dyno(1, 4), Row::Serving)]);
    }

    #[test]
    fn a_new_release_boots_behind_the_old_and_takes_over_whole() {
        let wanted = [dyno(1, 4), dyno(2, 4)];
        let old = [holder(1, 3), holder(2, 3)];
        let changes = reconcile(&wanted, &old, OVERLAP);
        assert_eq!(changes, wanted.clone().map(|dyno| start(dyno, Row::Next)));
        let half = [next(1, 4, Condition::Up), next(2, 4, Condition::Down)];
        assert_eq!(reconcile(&wanted, &[&old[..], &half].concat(), OVERLAP), []);
        let whole = [next(1, 4, Condition::Up), next(2, 4, Condition::Up)];
        let changes = reconcile(&wanted, &[&old[..], &whole].concat(), OVERLAP);
        let promoted = whole.map(|next| Change::Promote(next.id));
        assert_eq!(changes, [promoted, old.map(|old| stop(&old, Leave::Replaced))].concat());
    }

    #[test]
    fn where_nothing_serves_a_new_release_replaces_at_once() {
        let crashed = Holder { condition: Condition::Down, ..holder(1, 3) };
        let changes = reconcile(&[dyno(1, 4)], std::slice::from_ref(&crashed), OVERLAP);
        assert_eq!(changes, [stop(&crashed, Leave::Outdated), start(dyno(1, 4), Row::Serving)]);
    }

    #[test]
    fn one_of_the_next_row_takes_over_where_the_old_ones_have_died() {
        let wanted = [dyno(1, 4), dyno(2, 4)];
        let down = |index| Holder { condition: Condition::Down, ..holder(index, 3) };
        let both = [down(1), down(2), next(1, 4, Condition::Down), next(2, 4, Condition::Down)];
        assert_eq!(
            reconcile(&wanted, &both, OVERLAP),
            [],
            "the old may recover as well as the new may come up"
        );
        let one = [down(1), down(2), next(1, 4, Condition::Up), next(2, 4, Condition::Down)];
        let promoted = [1, 2].map(|index| Change::Promote(next(index, 4, Condition::Up).id));
        let stopped = [1, 2].map(|index| stop(&down(index), Leave::Replaced));
        assert_eq!(reconcile(&wanted, &one, OVERLAP), [promoted, stopped].concat());
    }

    #[test]
    fn what_was_added_waits_as_well_while_the_old_ones_may_recover() {
        let wanted = [dyno(1, 4), dyno(2, 4)];
        let down = Holder { condition: Condition::Down, ..holder(1, 3) };
        let holders = [down.clone(), next(1, 4, Condition::Down)];
        assert_eq!(reconcile(&wanted, &holders, OVERLAP), [start(dyno(2, 4), Row::Next)]);
        let holders = [down, next(1, 4, Condition::Down), next(2, 4, Condition::Down)];
        assert_eq!(reconcile(&wanted, &holders, OVERLAP), []);
    }

    #[test]
    fn a_further_release_replaces_the_row_that_is_not_up() {
        let holders = [holder(1, 3), next(1, 4, Condition::Up)];
        let changes = reconcile(&[dyno(1, 5)], &holders, OVERLAP);
        assert_eq!(changes, [stop(&holders[1], Leave::Replaced), start(dyno(1, 5), Row::Next)]);
    }

    #[test]
    fn within_one_release_each_takes_over_by_itself() {
        let yielding = |index| Holder { condition: Condition::Yielding, ..holder(index, 3) };
        let wanted = [dyno(1, 3), dyno(2, 3)];
        let changes = reconcile(&wanted, &[yielding(1), holder(2, 3)], OVERLAP);
        assert_eq!(changes, [start(dyno(1, 3), Row::Next)]);
        let holders = [yielding(1), yielding(2), next(1, 3, Condition::Up), next(2, 3, Condition::Down)];
        let changes = reconcile(&wanted, &holders, OVERLAP);
        assert_eq!(changes, [Change::Promote(holders[2].id), stop(&holders[0], Leave::Replaced)]);
    }

    #[test]
    fn a_dyno_that_dies_while_it_waits_to_be_relieved_is_relieved_at_once() {
        let died = Holder { condition: Condition::Down, ..holder(1, 3) };
        let waiting = next(1, 3, Condition::Down);
        let changes = reconcile(&[dyno(1, 3)], &[died.clone(), waiting.clone()], OVERLAP);
        assert_eq!(changes, [Change::Promote(waiting.id), stop(&died, Leave::Replaced)]);
    }

    #[test]
    fn a_new_size_replaces() {
        let larger = Wanted { size: DynoSize::Standard2X, ..dyno(1, 3) };
        assert_eq!(reconcile(std::slice::from_ref(&larger), &[holder(1, 3)], Handover::AtOnce).len(), 2);
        assert_eq!(
            reconcile(std::slice::from_ref(&larger), &[holder(1, 3)], OVERLAP),
            [start(larger, Row::Next)]
        );
    }

    #[test]
    fn when_overlapping_is_switched_off_what_boots_serves_at_once() {
        let holders = [holder(1, 3), next(1, 4, Condition::Down)];
        let changes = reconcile(&[dyno(1, 4)], &holders, Handover::AtOnce);
        assert_eq!(changes, [Change::Promote(holders[1].id), stop(&holders[0], Leave::Replaced)]);
    }

    #[test]
    fn of_two_dynos_with_one_name_one_goes() {
        let twin = Holder { id: DynoId(Uuid::from_u128(99)), ..holder(1, 3) };
        for handover in [OVERLAP, Handover::AtOnce] {
            let changes = reconcile(&[dyno(1, 3)], &[holder(1, 3), twin.clone()], handover);
            assert_eq!(changes, [stop(&twin, Leave::Replaced)]);
        }
    }

    #[test]
    fn while_a_release_does_not_come_up_the_one_that_serves_fills_what_is_added() {
        let (wanted, kept) = ([dyno(1, 4), dyno(2, 4)], [dyno(1, 3), dyno(2, 3)]);
        let boots = [holder(1, 3), next(1, 4, Condition::Down)];
        let changes = super::reconcile(&wanted, &kept, &boots, OVERLAP);
        assert_eq!(changes, [start(dyno(2, 4), Row::Next)], "it may come up in a moment");
        let fails = [holder(1, 3), next(1, 4, Condition::Failing)];
        let changes = super::reconcile(&wanted, &kept, &fails, OVERLAP);
        assert_eq!(changes, [start(dyno(2, 3), Row::Serving), start(dyno(2, 4), Row::Next)]);
        let waits = [&fails[..], &[next(2, 4, Condition::Down)]].concat();
        let changes = super::reconcile(&wanted, &kept, &waits, OVERLAP);
        assert_eq!(changes, [start(dyno(2, 3), Row::Serving)]);
        let filled = [&waits[..], &[holder(2, 3)]].concat();
        assert_eq!(super::reconcile(&wanted, &kept, &filled, OVERLAP), []);
        let fewer = super::reconcile(&wanted[..1], &kept[..1], &filled, OVERLAP);
        assert_eq!(fewer, [stop(&filled[3], Leave::Down), stop(&filled[2], Leave::Down)]);
    }

    fn conditions() -> impl Strategy<Value = Condition> {
        prop_oneof![
            Just(Condition::Down),
            Just(Condition::Failing),
            Just(Condition::Up),
            Just(Condition::Yielding)
        ]
    }

    fn any_holder() -> impl Strategy<Value = Holder> {
        let row = prop_oneof![Just(Row::Serving), Just(Row::Next)];
        (1u32..6, 1u64..3, conditions(), row).prop_map(|(index, release, condition, row)| Holder {
            condition,
            row,
            ..holder(index, release)
        })
    }

    fn carry_out(changes: Vec<Change>, holders: &mut Vec<Holder>) {
        for change in changes {
            match change {
                Change::Promote(id) => {
                    let holder = holders.iter_mut().find(|holder| holder.id == id).unwrap();
                    holder.row = Row::Serving;
                    // One that has waited for the others is as good as new.
                    if holder.condition == Condition::Yielding {
                        holder.condition = Condition::Up;
                    }
                }
                Change::Stop { id, .. } => holders.retain(|holder| holder.id != id),
                Change::Start { wanted, row } => holders.push(Holder {
                    id: DynoId(Uuid::new_v4()),
                    row,
                    condition: Condition::Down,
                    ..holder(wanted.name.index, wanted.release.0)
                }),
            }
        }
    }

    proptest! {
        /// One pass is enough, whatever there was; and once all comes up, one row is left, as wanted.
        #[test]
        fn carrying_out_the_changes_leaves_nothing_to_do(
            quantity in 0u32..5,
            held in proptest::collection::vec(any_holder(), 0..9),
            overlap in any::<bool>(),
        ) {
            let handover = if overlap { OVERLAP } else { Handover::AtOnce };
            let [kept, wanted] = [1, 2].map(|release| (1..=quantity).map(|index| dyno(index, release)).collect::<Vec<_>>());
            let reconcile = |wanted: &[Wanted], holders: &[Holder], handover| {
                super::reconcile(wanted, &kept, holders, handover)
            };
            let with_id = |(n, holder): (usize, Holder)| Holder { id: DynoId(Uuid::from_u128(n as u128)), ..holder };
            let mut holders: Vec<_> = held.into_iter().enumerate().map(with_id).collect();
            let serves = |holders: &[Holder]| {
                let up = |holder: &&Holder| holder.row == Row::Serving && holder.condition.is_up();
                holders.iter().filter(up).any(|holder| holder.name.index <= quantity)
            };
            let served = serves(&holders);
            carry_out(reconcile(&wanted, &holders, handover), &mut holders);
            prop_assert_eq!(reconcile(&wanted, &holders, handover), vec![]);
            prop_assert!(!overlap || !served || serves(&holders), "a gap: {:?}", holders);
            for _ in 0..3 {
                for holder in &mut holders {
                    holder.condition = match holder.condition {
                        Condition::Down | Condition::Failing => Condition::Up,
                        known => known,
                    };
                }
                carry_out(reconcile(&wanted, &holders, handover), &mut holders);
            }
            prop_assert_eq!(holders.len(), quantity as usize);
            prop_assert!(holders.iter().all(|holder| holder.row == Row::Serving && holder.release == Version(2)));
        }
    }
}
