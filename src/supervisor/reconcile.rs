//! From the dynos an app should have and those it has to the ones that stop, start and take over. Pure.
//!
//! Web dynos that overlap with their successors stand in two rows. The serving row is what the router knows. The next
//! row boots behind it, one dyno for each that is to be replaced:
//!
//! - Of one release, each dyno of the next row takes over by itself as soon as it is up (restart, age, size).
//! - Of two releases, the next row takes over whole once all of it is up, so that no two releases answer side by side.
//! - While the next row does not come up, the release that serves fills the places that the serving row lacks, so that an
//!   app can be scaled whatever its newest release does.
//! - While the next row does not come up, dynos that serve and are to be relieved are replaced in their own row, one by one, where
//!   others serve meanwhile.
//! - Where the node has no memory for both rows, the next row begins with what fits, or else with one, and each step waits until all of it
//!   is up: then one of the serving row goes and makes room. As soon as the next row is as large as what is left of the other, it
//!   takes over, and what is missing starts in its row.
//! - Where no dyno of the serving row is up there is nothing to protect: the first of the next row that comes up brings
//!   all of it to serve, and a new release replaces at once what has no successor yet.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{DynoId, DynoName, DynoSize, Sizes, Version};
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
    /// It should start, and there is no memory for it: to be looked at again when a dyno has gone.
    Withhold(DynoName),
}

/// What decides how dynos are replaced.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// What comes first.
    pub handover: Handover,
    /// For whom there is memory.
    pub room: Room<'a>,
}

/// Memory for dynos beside those that they replace.
#[derive(Clone, Copy, Debug)]
pub struct Room<'a> {
    /// What the node can still give, bytes: a dyno on its way out has its share until it is gone.
    pub free: u64,
    /// Whether any dyno of the app is on its way out.
    pub leaving: bool,
    /// What each size takes.
    pub sizes: &'a Sizes,
}

impl Room<'_> {
    /// Takes the room of one dyno, if there is so much.
    fn take(&mut self, size: DynoSize) -> bool {
        let left = self.free.checked_sub(self.sizes.limits(size).memory.0);
        self.free = left.unwrap_or(self.free);
        left.is_some()
    }
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
pub fn reconcile(
    wanted: &[Wanted],
    kept: &[Wanted],
    holders: &[Holder],
    Terms { handover, room }: Terms<'_>,
) -> Vec<Change> {
    let overlaps = |name: &DynoName| handover == Handover::Overlap && name.process_type.is_web();
    let (web, rest): (Vec<&Wanted>, Vec<&Wanted>) = wanted.iter().partition(|dyno| overlaps(&dyno.name));
    let (web_holders, rest_holders): (Vec<&Holder>, Vec<&Holder>) =
        holders.iter().partition(|holder| overlaps(&holder.name));
    let mut changes = Rows::new(&web, &web_holders, room).overlap(kept);
    changes.extend(at_once(&rest, &rest_holders));
    changes.sort_by_key(|change| match change {
        Change::Promote(_) => 0,
        Change::Stop { .. } => 1,
        Change::Start { .. } | Change::Withhold(_) => 2,
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
    room: Room<'a>,
    withheld: Vec<&'a Wanted>,
    changes: Vec<Change>,
}

impl<'a> Rows<'a> {
    /// Sorts holders into rows; what has no place in either goes.
    fn new(wanted: &[&'a Wanted], holders: &[&'a Holder], room: Room<'a>) -> Self {
        let mut rows = Self {
            wanted: wanted.to_vec(),
            serving: BTreeMap::new(),
            next: BTreeMap::new(),
            room,
            withheld: vec![],
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

    /// Starts it in the serving row, whose dynos the node has promised. That waits only while there is something to wait for.
    fn serve(&mut self, wanted: &'a Wanted) {
        if self.room.take(wanted.size) || !self.is_leaving() {
            self.changes.push(Change::Start { wanted: wanted.clone(), row: Row::Serving });
        } else {
            self.withheld.push(wanted);
        }
    }

    /// Starts it beside those that serve, where there is room.
    fn stand_by(&mut self, wanted: &'a Wanted, row: Row) {
        if self.room.take(wanted.size) {
            self.changes.push(Change::Start { wanted: wanted.clone(), row });
        } else {
            self.withheld.push(wanted);
        }
    }

    /// Whether room will be free without anything more being done.
    fn is_leaving(&self) -> bool {
        self.room.leaving || self.changes.iter().any(|change| matches!(change, Change::Stop { .. }))
    }

    fn overlap(mut self, kept: &'a [Wanted]) -> Vec<Change> {
        let whole = self.is_whole();
        let waits = self.switches() && !whole;
        let kept = if waits && self.is_stuck() { kept } else { &[] };
        for wanted in self.wanted.clone() {
            let next = self.next.get(&wanted.name).copied();
            let serving = self.serving.get(&wanted.name).copied();
            // First, since what starts in the next row stands behind it.
            if let Some(kept) = kept.iter().find(|kept| kept.name == wanted.name && serving.is_none()) {
                self.stand_by(kept, Row::Serving);
            }
            match (serving, next) {
                (None, None) if waits => self.stand_by(wanted, Row::Next),
                (None, None) => self.serve(wanted),
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
                    self.serve(wanted);
                }
                (Some(_), None) => self.stand_by(wanted, Row::Next),
                (Some(serving), Some(next)) => {
                    let alone = next.condition.is_up() || !serving.condition.is_up();
                    let may = if serving.release == next.release { alone } else { whole };
                    if may {
                        self.take_over(next, Some(serving));
                    }
                }
            }
        }
        self.relieve_in_place(kept);
        if self.lacks_room() {
            self.make_room(waits.then(|| self.old().collect()));
        }
        let withheld = self.withheld.into_iter().map(|wanted| Change::Withhold(wanted.name.clone()));
        self.changes.extend(withheld);
        self.changes
    }

    /// One dyno that waits to be relieved goes for another of its own release, since the next row does not come up.
    fn relieve_in_place(&mut self, kept: &'a [Wanted]) {
        let all_serve = kept.len() > 1
            && kept
                .iter()
                .all(|kept| self.serving.get(&kept.name).is_some_and(|dyno| dyno.condition.is_up()));
        if !all_serve || self.is_leaving() {
            return;
        }
        let waits = |kept: &&Wanted| {
            self.serving.get(&kept.name).is_some_and(|dyno| dyno.condition == Condition::Yielding)
        };
        if let Some(kept) = kept.iter().find(waits)
            && let Some(old) = self.serving.get(&kept.name).copied()
        {
            self.stop(old, Leave::Replaced);
            self.serve(kept);
        }
    }

    /// Whether something waits for room that nothing under way will bring: who leaves does, and who boots must first show itself.
    fn lacks_room(&self) -> bool {
        let starts = self.changes.iter().any(|change| matches!(change, Change::Start { .. }));
        let all_up = self.next.values().all(|next| next.condition.is_up());
        !self.withheld.is_empty() && !self.is_leaving() && !starts && all_up
    }

    /// Takes the step that gets what waits further; `old` is what another release is to take over from, if one is.
    fn make_room(&mut self, old: Option<Vec<&Holder>>) {
        if self.next.is_empty() {
            // One stands beside the others whatever the node has promised: nobody is asked to go for a release that has not shown itself.
            let first = self.withheld.remove(0);
            let row = if self.serving.is_empty() { Row::Serving } else { Row::Next };
            return self.changes.push(Change::Start { wanted: first.clone(), row });
        }
        let Some(old) = old else { return };
        if self.next.len() >= old.iter().filter(|old| old.condition.is_up()).count() {
            self.changes.extend(self.next.values().map(|next| Change::Promote(next.id)));
            old.into_iter().for_each(|old| self.stop(old, Leave::Replaced));
            return;
        }
        let order = |old: &Holder| (!old.condition.is_up(), old.name.clone());
        if let Some(last) = old.into_iter().max_by_key(|old| order(old)) {
            self.stop(last, Leave::Replaced);
        }
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
        with_kept(wanted, &[], holders, handover)
    }

    /// On a node whose memory nobody counts.
    fn with_kept(wanted: &[Wanted], kept: &[Wanted], holders: &[Holder], handover: Handover) -> Vec<Change> {
        let room = Room { free: u64::MAX, leaving: false, sizes: &Sizes::default() };
        super::reconcile(wanted, kept, holders, Terms { handover, room })
    }

    /// On a node that has room for so many more, whose dynos are all of one size.
    fn with_room(wanted: &[Wanted], holders: &[Holder], more: u64) -> Vec<Change> {
        let sizes = Sizes::default();
        let free = more * sizes.limits(DynoSize::Basic).memory.0;
        super::reconcile(
            wanted,
            &[],
            holders,
            Terms { handover: OVERLAP, room: Room { free, leaving: false, sizes: &sizes } },
        )
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
        let changes = with_kept(&wanted, &kept, &boots, OVERLAP);
        assert_eq!(changes, [start(dyno(2, 4), Row::Next)], "it may come up in a moment");
        let fails = [holder(1, 3), next(1, 4, Condition::Failing)];
        let changes = with_kept(&wanted, &kept, &fails, OVERLAP);
        assert_eq!(changes, [start(dyno(2, 3), Row::Serving), start(dyno(2, 4), Row::Next)]);
        let waits = [&fails[..], &[next(2, 4, Condition::Down)]].concat();
        let changes = with_kept(&wanted, &kept, &waits, OVERLAP);
        assert_eq!(changes, [start(dyno(2, 3), Row::Serving)]);
        let filled = [&waits[..], &[holder(2, 3)]].concat();
        assert_eq!(with_kept(&wanted, &kept, &filled, OVERLAP), []);
        let fewer = with_kept(&wanted[..1], &kept[..1], &filled, OVERLAP);
        assert_eq!(fewer, [stop(&filled[3], Leave::Down), stop(&filled[2], Leave::Down)]);
    }

    #[test]
    fn one_that_is_to_be_relieved_goes_in_its_own_row_where_the_next_does_not_come_up() {
        let (wanted, kept) = ([dyno(1, 4), dyno(2, 4)], [dyno(1, 3), dyno(2, 3)]);
        let yielding = |index| Holder { condition: Condition::Yielding, ..holder(index, 3) };
        let fails = [1, 2].map(|index| next(index, 4, Condition::Failing));
        let both = [&[yielding(1), yielding(2)][..], &fails].concat();
        let changes = with_kept(&wanted, &kept, &both, OVERLAP);
        assert_eq!(changes, [stop(&yielding(1), Leave::Replaced), start(dyno(1, 3), Row::Serving)]);
        let fresh = |condition| Holder { id: DynoId(Uuid::from_u128(99)), condition, ..holder(1, 3) };
        let boots = [&[fresh(Condition::Down), yielding(2)][..], &fails].concat();
        assert_eq!(with_kept(&wanted, &kept, &boots, OVERLAP), [], "one by one");
        let up = [&[fresh(Condition::Up), yielding(2)][..], &fails].concat();
        let changes = with_kept(&wanted, &kept, &up, OVERLAP);
        assert_eq!(changes, [stop(&yielding(2), Leave::Replaced), start(dyno(2, 3), Row::Serving)]);
        let alone = [yielding(1), fails[0].clone()];
        assert_eq!(with_kept(&wanted[..1], &kept[..1], &alone, OVERLAP), [], "nobody else would serve");
    }

    #[test]
    fn where_both_rows_do_not_fit_one_makes_room_for_the_other_step_by_step() {
        let wanted: Vec<_> = (1..=4).map(|index| dyno(index, 4)).collect();
        let old: Vec<_> = (1..=4).map(|index| holder(index, 3)).collect();
        let withheld = |indices: std::ops::RangeInclusive<u32>| -> Vec<Change> {
            indices.map(|index| Change::Withhold(dyno(index, 4).name)).collect()
        };
        let changes = with_room(&wanted, &old, 1);
        assert_eq!(changes, [vec![start(dyno(1, 4), Row::Next)], withheld(2..=4)].concat(), "what fits");
        let changes = with_room(&wanted, &old, 0);
        assert_eq!(changes, [vec![start(dyno(1, 4), Row::Next)], withheld(2..=4)].concat(), "or else one");
        let boots = [&old[..], &[next(1, 4, Condition::Down)]].concat();
        assert_eq!(with_room(&wanted, &boots, 0), withheld(2..=4), "it has not shown itself");
        let up = |index| next(index, 4, Condition::Up);
        let shown = [&old[..], &[up(1)]].concat();
        let changes = with_room(&wanted, &shown, 0);
        assert_eq!(changes, [vec![stop(&old[3], Leave::Replaced)], withheld(2..=4)].concat());
        let smaller = [&old[..3], &[up(1)]].concat();
        let changes = with_room(&wanted, &smaller, 1);
        assert_eq!(changes, [vec![start(dyno(2, 4), Row::Next)], withheld(3..=4)].concat());
        let half = [&old[..2], &[up(1), up(2)]].concat();
        let changes = with_room(&wanted, &half, 0);
        let switched = [Change::Promote(up(1).id), Change::Promote(up(2).id)];
        let stopped = [stop(&old[0], Leave::Replaced), stop(&old[1], Leave::Replaced)];
        assert_eq!(changes, [&switched[..], &stopped, &withheld(3..=4)].concat());
    }

    #[test]
    fn a_switch_in_steps_waits_for_those_on_their_way_out() {
        let wanted = [dyno(1, 4), dyno(2, 4)];
        let sizes = Sizes::default();
        let room = Room { free: 0, leaving: true, sizes: &sizes };
        let terms = Terms { handover: OVERLAP, room };
        let serving = [holder(1, 4)];
        let changes = super::reconcile(&wanted, &[], &serving, terms);
        assert_eq!(changes, [Change::Withhold(dyno(2, 4).name)]);
        let free = Terms { room: Room { leaving: false, ..room }, ..terms };
        let changes = super::reconcile(&wanted, &[], &serving, free);
        assert_eq!(changes, [start(dyno(2, 4), Row::Serving)], "it was promised, and nothing else will go");
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
                Change::Withhold(_) => {}
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
                with_kept(wanted, &kept, holders, handover)
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
