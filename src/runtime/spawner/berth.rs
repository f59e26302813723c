//! Berths: processes that wait in control groups made ahead, for hosts on which a process takes long to get there (`cgroup::ready`).
//! A berth clones one init, as a child of the spawner and under the limits from its first breath; then it takes init out from
//! under them again, for which nobody waits, and ends.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::runtime::cgroup::{Cgroups, ReadyGroups};
use crate::runtime::init;
use crate::runtime::plan::Plan;
use crate::runtime::spawner::protocol;
use crate::runtime::spawner::start::NAMESPACES;
use crate::runtime::spawner::streams::Shape;
use crate::runtime::spawner::{ChildStreams, Recorder, Spawner, full_text, read_plan};
use crate::sys::message::Channel;
use crate::sys::netns;
use crate::sys::process::{self, Cloned, Namespaces, SingleThreaded};

/// Berths that are held ready; starts that come faster than they are made wait for the kernel as without them.
const BERTHS: usize = 2;
/// A berth has done what it is asked within this time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// A berth that is no longer needed has ended by then.
const END_TIMEOUT: Duration = Duration::from_secs(2);
/// Between the clone of init and the word to leave lies the rest of the start.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(30);

/// One of them, as the spawner holds it.
#[derive(Debug)]
pub(super) struct Berth {
    pid: u32,
    pidfd: OwnedFd,
    channel: Channel,
    pub(super) groups: ReadyGroups,
}

/// Those that wait.
#[derive(Debug, Default)]
pub(super) struct Berths {
    waiting: Vec<Berth>,
    made: u64,
    /// Why no more are made.
    given_up: Option<String>,
}

/// What init is to be born with. Descriptors: the channel, then as counted here.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// Of the network namespace: the one to enter for the clone, or none to make a new one.
    pub(super) networks: usize,
    /// Of the version 2 group.
    pub(super) groups: usize,
    pub(super) streams: Shape,
    /// How long ago the trace began, in microseconds, if there is one.
    pub(super) trace_age_us: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Asks {
    /// Descriptor: the plan. Before the clone, so that it is read while the spawner does its own part.
    Read,
    Clone(Order),
    Leave,
}

#[derive(Debug, Serialize, Deserialize)]
enum Says {
    Ready,
    /// Descriptor: its pidfd.
    Cloned(u32),
    Failed(String),
}

impl Berths {
    /// Makes the missing ones, where they are of use.
    pub(super) fn refill(&mut self, single: SingleThreaded, cgroups: &Cgroups) -> io::Result<()> {
        while self.given_up.is_none() && self.waiting.len() < BERTHS {
            self.made += 1;
            let Some(groups) = cgroups.ready(self.made) else { return Ok(()) };
            let (ours, theirs) = Channel::pair()?;
            match single.clone(Namespaces::NONE, None)? {
                Cloned::Child => wait(&groups, cgroups, single, &theirs),
                Cloned::Parent { pid, pidfd } => {
                    self.waiting.push(Berth { pid, pidfd, channel: ours, groups });
                }
            }
        }
        Ok(())
    }

    /// One that sits where it should; `None` if none does yet. What went wrong with one is kept for `complaint`.
    pub(super) fn take(&mut self) -> Option<Berth> {
        for at in 0..self.waiting.len() {
            match self.waiting.get(at)?.heard(Duration::ZERO) {
                Ok(Says::Ready) => return Some(self.waiting.remove(at)),
                Ok(Says::Failed(why)) => self.given_up = Some(why),
                Ok(Says::Cloned(_)) | Err(_) => {}
            }
        }
        None
    }

    /// Notes the end of a process, which may have been one that waited: one that cannot wait is not followed by another.
    pub(super) fn ended(&mut self, pid: u32) {
        if let Some(at) = self.waiting.iter().position(|berth| berth.pid == pid) {
            let berth = self.waiting.remove(at);
            let why = match berth.heard(Duration::ZERO) {
                Ok(Says::Failed(why)) => why,
                Ok(Says::Ready | Says::Cloned(_)) | Err(_) => "it ended".to_owned(),
            };
            self.given_up = Some(why);
            // Whoever sits in them keeps them; they are removed with the subtree.
            let _busy = berth.groups.remove();
        }
    }

    /// Why no more are made, told once.
    pub(super) fn complaint(&mut self) -> Option<String> {
        self.given_up.as_mut().map(std::mem::take).filter(|why| !why.is_empty())
    }

    /// Ends those that wait, and removes their groups.
    pub(super) fn close(&mut self) {
        for berth in self.waiting.drain(..) {
            berth.give_up();
        }
    }
}

impl Berth {
    /// Has it read the plan.
    pub(super) fn read(&self, plan: &File) {
        // One that is gone is noticed when it is to clone.
        let _ = protocol::say(&self.channel, &Asks::Read, &[plan.as_fd()]);
    }

    /// Has init cloned: its process id and pidfd.
    pub(super) fn clone_init(
        &self,
        order: Order,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<(u32, OwnedFd)> {
        protocol::say(&self.channel, &Asks::Clone(order), descriptors)?;
        match protocol::hear(&self.channel, ANSWER_TIMEOUT)? {
            Some((Says::Cloned(pid), descriptors)) => {
                let pidfd = descriptors.into_iter().next().ok_or(io::ErrorKind::InvalidData)?;
                Ok((pid, pidfd))
            }
            Some((Says::Failed(why), _)) => Err(io::Error::other(why)),
            Some((Says::Ready, _)) | None => {
                Err(io::Error::other("the process waiting in its groups is gone"))
            }
        }
    }

    /// Lets it do the rest by itself.
    pub(super) fn leave(&self) -> io::Result<()> {
        protocol::say(&self.channel, &Asks::Leave, &[])
    }

    /// Ends it, and removes its groups.
    pub(super) fn give_up(&self) {
        self.end();
        // Made in part, perhaps; they are removed with the subtree at the latest.
        let _busy = self.groups.remove();
    }

    /// Ends it at once.
    fn end(&self) {
        // Already dead is as good.
        let _ = process::signal_descriptor(&self.pidfd, 9);
        let _ = process::wait_readable(&[self.pidfd.as_fd()], Some(END_TIMEOUT));
        let _ = process::reap_one(self.pid);
    }

    fn heard(&self, timeout: Duration) -> io::Result<Says> {
        let heard = protocol::hear(&self.channel, timeout)?;
        heard.map(|(said, _)| said).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// Runs as the berth, never to return.
fn wait(groups: &ReadyGroups, cgroups: &Cgroups, single: SingleThreaded, channel: &Channel) -> ! {
    // A panic must not unwind into the copy of the spawner's stack that lies below.
    let run = AssertUnwindSafe(|| serve(groups, cgroups, single, channel));
    let done = std::panic::catch_unwind(run).unwrap_or_else(|_| Err(io::Error::other("it panicked")));
    if let Err(error) = &done {
        // If even this fails, the spawner sees the channel close.
        let _ = protocol::say(channel, &Says::Failed(full_text(error)), &[]);
    }
    process::exit_now(u8::from(done.is_err()))
}

fn serve(
    groups: &ReadyGroups,
    cgroups: &Cgroups,
    single: SingleThreaded,
    channel: &Channel,
) -> io::Result<()> {
    process::close_all_but(&[channel.as_fd()])?;
    groups.enter(std::process::id()).map_err(|error| io::Error::other(full_text(&error)))?;
    protocol::say(channel, &Says::Ready, &[])?;
    let Some((Asks::Read, descriptors)) = protocol::hear(channel, Duration::MAX)? else { return Ok(()) };
    let file = descriptors.into_iter().next().ok_or(io::ErrorKind::InvalidData)?;
    let plan = read_plan(file.into())?;
    let Some((Asks::Clone(order), descriptors)) = protocol::hear(channel, LEAVE_TIMEOUT)? else {
        return Ok(());
    };
    let (pid, pidfd) = birth(&plan, order, (descriptors, channel), single)?;
    if let Some((Asks::Leave, _)) = protocol::hear(channel, LEAVE_TIMEOUT)? {
        // One that has ended needs no room, and its groups are waited for.
        if process::wait_readable(&[pidfd.as_fd()], Some(Duration::ZERO))? == [true] {
            return Ok(());
        }
        let moved = cgroups.open(plan.id.as_str()).and_then(|group| group.attach_init(pid));
        let is_alive = process::start_time(pid).is_ok();
        if let (Err(error), true) = (moved, is_alive) {
            return Err(io::Error::other(full_text(&error)));
        }
    }
    Ok(())
}

fn birth(
    plan: &Plan,
    order: Order,
    (descriptors, channel): (Vec<OwnedFd>, &Channel),
    single: SingleThreaded,
) -> io::Result<(u32, OwnedFd)> {
    let mut rest = descriptors.into_iter();
    let mut next = || rest.next().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData));
    let theirs = Channel::from(next()?);
    let network = if order.networks > 0 { Some(next()?) } else { None };
    let group = if order.groups > 0 { Some(next()?) } else { None };
    let mut given =
        Some((theirs, ChildStreams::of(&order.streams, next)?, Recorder::aged(order.trace_age_us)));
    let group = group.as_ref().map(AsFd::as_fd);
    let clone =
        |namespaces| single.on_account_of(plan.owner.0, |single| single.clone_beside(namespaces, group));
    let mut born = |namespaces: Namespaces| match clone(namespaces)? {
        Cloned::Child => match given.take() {
            Some((theirs, streams, trace)) => init::main(plan, single, theirs, streams, trace),
            None => process::exit_now(1),
        },
        Cloned::Parent { pid, pidfd } => io::Result::Ok((pid, pidfd)),
    };
    let (pid, pidfd) = match &network {
        None => born(NAMESPACES.and(Namespaces::NET))?,
        Some(network) => netns::in_netns(network, || born(NAMESPACES))??,
    };
    drop(given);
    protocol::say(channel, &Says::Cloned(pid), &[pidfd.as_fd()])?;
    Ok((pid, pidfd))
}

/// The descriptors of an order, in the order in which `birth` takes them.
pub(super) fn descriptors<'a>(
    theirs: &'a Channel,
    network: Option<&'a OwnedFd>,
    group: Option<BorrowedFd<'a>>,
    streams: &'a ChildStreams,
) -> Vec<BorrowedFd<'a>> {
    let mut all = vec![theirs.as_fd()];
    all.extend(network.map(AsFd::as_fd));
    all.extend(group);
    all.extend(streams.parts());
    all
}

impl Spawner {
    /// Sees to it that berths wait, and tells if they cannot.
    pub(super) fn refill_berths(&mut self) {
        let filled = self.berths.refill(self.single, &self.cgroups);
        let why = filled.err().map(|error| error.to_string()).or_else(|| self.berths.complaint());
        if let Some(why) = why {
            self.note(&format!("no process can wait in control groups, so starts take longer: {why}"));
        }
    }
}
