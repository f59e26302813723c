//! The node's bound on builds, and whose turn it is: no owner's apps can keep those of the others from theirs.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::domain::{Counted, Email, Tally};

/// The most builds that may wait for their turn; each keeps its source on the node's disk.
const WAITING_MAX: usize = 32;
/// The part of all places that one owner's apps may have at most. The administrator's are not bound by it.
const OWNER_PART: usize = 2;

/// Whose builds they are; nobody where they are the administrator's.
type Owner = Option<Email>;

/// The builds of a node that run or wait.
pub(super) struct BuildQueue {
    /// The most that run at once.
    at_once: usize,
    /// The places of those that run or wait, and how many of them each owner has.
    places: Arc<Semaphore>,
    of_owner: Tally<Email>,
    of_owner_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Those that run, by owner.
    running: HashMap<Owner, usize>,
    /// Those that wait, by the order in which they came.
    waiting: VecDeque<(Owner, oneshot::Sender<Turn>)>,
}

/// A build's place: it may wait for its turn, and run when that has come.
pub(super) struct Place {
    queue: Arc<BuildQueue>,
    owner: Owner,
    turn: Option<Turn>,
    _place: OwnedSemaphorePermit,
    _of_owner: Option<Counted<Email>>,
}

/// Held while a build runs.
struct Turn {
    queue: Arc<BuildQueue>,
    owner: Owner,
}

// === impl BuildQueue ===

impl BuildQueue {
    /// One of which `at_once` run at once; others wait for their turn.
    pub(super) fn new(at_once: usize) -> Self {
        let places = at_once.saturating_add(WAITING_MAX);
        Self {
            at_once,
            places: Arc::new(Semaphore::new(places)),
            of_owner: Tally::default(),
            of_owner_max: places / OWNER_PART,
            state: Mutex::default(),
        }
    }

    /// Takes a place; `None` where all are taken, or as many as one owner may have.
    pub(super) fn enter(self: &Arc<Self>, owner: Option<&Email>) -> Option<Place> {
        let of_owner = match owner {
            Some(owner) => Some(self.of_owner.count(owner.clone(), self.of_owner_max)?),
            None => None,
        };
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        self.state().waiting.retain(|(_, waiting)| !waiting.is_closed());
        Some(Place {
            queue: Arc::clone(self),
            owner: owner.cloned(),
            turn: None,
            _place: place,
            _of_owner: of_owner,
        })
    }

    /// Gives the turns that are free to those that wait.
    fn next(self: &Arc<Self>) {
        loop {
            let Some((owner, waiting)) = self.state().take_next(self.at_once) else { return };
            // One that does not wait any more gives its turn back by itself.
            let _gone = waiting.send(Turn { queue: Arc::clone(self), owner });
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Counters and a queue: a panic leaves neither half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    /// The next to run, if one may: of the owner of whom the fewest run, and of those the one that came first.
    fn take_next(&mut self, at_once: usize) -> Option<(Owner, oneshot::Sender<Turn>)> {
        if self.running.values().sum::<usize>() >= at_once {
            return None;
        }
        let running = |owner: &Owner| self.running.get(owner).copied().unwrap_or_default();
        let (at, _) = self.waiting.iter().enumerate().min_by_key(|(at, (owner, _))| (running(owner), *at))?;
        let next = self.waiting.remove(at)?;
        *self.running.entry(next.0.clone()).or_default() += 1;
        Some(next)
    }

    /// One of an owner's runs no more; who has none that runs is forgotten.
    fn ends(&mut self, owner: &Owner) {
        if let Some(count) = self.running.get_mut(owner) {
            *count -= 1;
            if *count == 0 {
                self.running.remove(owner);
            }
        }
    }
}

// === impl Place ===

impl Place {
    /// Waits for the turn. `waits` is told how many run at once, if it must wait.
    pub(super) async fn turn(&mut self, waits: impl FnOnce(usize)) {
        if self.turn.is_some() {
            return;
        }
        let (sender, mut turn) = oneshot::channel();
        self.queue.state().waiting.push_back((self.owner.clone(), sender));
        self.queue.next();
        if let Ok(turn) = turn.try_recv() {
            self.turn = Some(turn);
            return;
        }
        waits(self.queue.at_once);
        // The queue lasts as long as a place in it, so the turn comes.
        self.turn = turn.await.ok();
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.queue.state().ends(&self.owner);
        self.queue.next();
    }
}

#[cfg(test)]
mod test {
    use futures_util::FutureExt as _;

    use super::*;

    fn owner(name: &str) -> Email {
        format!("{name}@example.com").parse().unwrap()
    }

    async fn running(queue: &Arc<BuildQueue>, owner: Option<&Email>) -> Place {
        let mut place = queue.enter(owner).unwrap();
        place.turn(|_| panic!("a turn is free")).await;
        place
    }

    #[tokio::test]
    async fn builds_over_the_bound_wait_for_their_turn_in_order() {
        let queue = Arc::new(BuildQueue::new(1));
        let first = running(&queue, None).await;
        let (mut second, mut third) = (queue.enter(None).unwrap(), queue.enter(None).unwrap());
        let mut told = None;
        let mut next = Box::pin(second.turn(|running| told = Some(running)));
        assert!(next.as_mut().now_or_never().is_none(), "one runs");
        let mut last = Box::pin(third.turn(|_| ()));
        assert!(last.as_mut().now_or_never().is_none(), "one runs, one waits");
        drop(first);
        assert!(last.as_mut().now_or_never().is_none(), "it is the turn of the other");
        next.await;
        assert_eq!(told, Some(1));
        drop(second);
        last.await;
    }

    #[tokio::test]
    async fn an_owner_of_whom_fewer_run_goes_first() {
        let queue = Arc::new(BuildQueue::new(2));
        let (many, one) = (owner("many"), owner("one"));
        let (first, _second) = (running(&queue, Some(&many)).await, running(&queue, Some(&many)).await);
        let (mut third, mut other) = (queue.enter(Some(&many)).unwrap(), queue.enter(Some(&one)).unwrap());
        let mut third = Box::pin(third.turn(|_| ()));
        let mut other = Box::pin(other.turn(|_| ()));
        assert!(third.as_mut().now_or_never().is_none() && other.as_mut().now_or_never().is_none());
        drop(first);
        assert!(third.as_mut().now_or_never().is_none(), "one of its owner runs");
        other.await;
    }

    #[tokio::test]
    async fn a_build_that_does_not_wait_any_more_keeps_nobody() {
        let queue = Arc::new(BuildQueue::new(1));
        let first = running(&queue, None).await;
        let mut gone = queue.enter(None).unwrap();
        assert!(Box::pin(gone.turn(|_| ())).as_mut().now_or_never().is_none());
        drop(gone);
        let mut last = queue.enter(None).unwrap();
        assert!(queue.state().waiting.is_empty(), "nobody waits");
        let mut waits = Box::pin(last.turn(|_| ()));
        assert!(waits.as_mut().now_or_never().is_none());
        drop(first);
        waits.await;
        drop(last);
        assert!(queue.state().waiting.is_empty() && queue.state().running.is_empty());
        assert_eq!(queue.places.available_permits(), 1 + WAITING_MAX);
    }

    #[test]
    fn the_queue_has_an_end_and_one_owner_does_not_fill_it() {
        let queue = Arc::new(BuildQueue::new(2));
        let places = 2 + WAITING_MAX;
        let (many, one) = (owner("many"), owner("one"));
        let mut held: Vec<_> = (0..places / OWNER_PART).map(|_| queue.enter(Some(&many)).unwrap()).collect();
        assert!(queue.enter(Some(&many)).is_none());
        held.extend((0..places - held.len() - 1).map(|_| queue.enter(None).unwrap()));
        let last = queue.enter(Some(&one)).unwrap();
        assert!(queue.enter(None).is_none());
        drop((last, held));
        assert!(queue.enter(Some(&many)).is_some());
    }
}
