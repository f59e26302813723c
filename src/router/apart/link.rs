//! The router's end of its link: a thread that accepts, and one for each who has connected.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;

use crate::domain::{Certificates, RouteTable};
use crate::router::apart::frame::{
    FiguresRecord, PROTOCOL, Reply, Request, Standing, TableRecord, file, hear, read, say, say_with,
};
use crate::router::apart::outbox::{Batch, Outbox};
use crate::router::counters::lock;
use crate::router::{Ending, Figures};
use crate::sys::message::{self, Channel, Listener};
use crate::sys::{peer, process};

/// Who may be connected at once; more are turned away.
const LINKS_MAX: usize = 16;
/// How long a connection sleeps between two looks whether something has come.
const ASKED_TIMEOUT: Duration = Duration::from_secs(3600);
/// How long lines are gathered between two batches: each costs a file, a message and the waking of four threads, which would otherwise
/// be spent on every second request of a busy router.
const GATHER_PAUSE: Duration = Duration::from_millis(20);

/// What the link gives access to.
pub(super) struct Link {
    /// The user whom it obeys.
    pub(super) owner: u32,
    pub(super) build: String,
    pub(super) listen: Vec<SocketAddr>,
    pub(super) secure: Vec<SocketAddr>,
    /// Copies of the listeners, to be given away; empty once they are.
    pub(super) listeners: Mutex<Vec<OwnedFd>>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) table: watch::Sender<Arc<RouteTable>>,
    pub(super) certificates: watch::Sender<Arc<Certificates>>,
    pub(super) figures: Figures,
    pub(super) ending: Arc<watch::Sender<Option<Ending>>>,
}

impl Link {
    /// Answers at `door` from threads of its own, until the process ends.
    ///
    /// # Errors
    /// The first thread cannot be started.
    pub(super) fn attend(self, door: Listener) -> io::Result<()> {
        let (link, count) = (Arc::new(self), Arc::new(AtomicUsize::new(0)));
        let accept = move || -> io::Result<()> {
            loop {
                process::wait_readable(&[door.as_fd()], Some(ASKED_TIMEOUT))?;
                while let Some(channel) = door.accept()? {
                    if count.load(Ordering::Acquire) >= LINKS_MAX {
                        continue;
                    }
                    count.fetch_add(1, Ordering::AcqRel);
                    let (link, count) = (Arc::clone(&link), Arc::clone(&count));
                    thread::Builder::new().name("link".to_owned()).spawn(move || {
                        link.converse(&Arc::new(channel));
                        count.fetch_sub(1, Ordering::AcqRel);
                    })?;
                }
            }
        };
        thread::Builder::new().name("link door".to_owned()).spawn(move || {
            if let Err(error) = accept() {
                tracing::error!(%error, "the router's link is closed: it serves its last table");
            }
        })?;
        Ok(())
    }

    fn converse(&self, channel: &Arc<Channel>) {
        if !peer::credentials(&**channel).is_ok_and(|peer| peer.uid == self.owner) {
            return;
        }
        let mut taker = None;
        loop {
            let answered = match hear::<Request>(channel, ASKED_TIMEOUT) {
                Ok(Some((request, given))) => self.answer(channel, (request, given), &mut taker),
                Ok(None) => break,
                Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = answered {
                tracing::info!(%error, "who followed the router has gone");
                break;
            }
        }
        if let Some(taker) = taker {
            self.outbox.leave(taker);
        }
    }

    fn answer(
        &self,
        channel: &Arc<Channel>,
        (request, given): (Request, Vec<OwnedFd>),
        taker: &mut Option<u64>,
    ) -> io::Result<()> {
        match request {
            Request::Hello => say(channel, &self.hello(), &[]),
            Request::TakeOver => self.hand_out(channel),
            Request::Taken => {
                lock(&self.listeners).clear();
                self.ends(Ending::Finish);
                Ok(())
            }
            Request::Stop => {
                self.ends(Ending::Stop);
                Ok(())
            }
            Request::Follow => {
                let number = self.outbox.attend();
                *taker = Some(number);
                let (outbox, channel) = (Arc::clone(&self.outbox), Arc::clone(channel));
                let told = thread::Builder::new().name("link lines".to_owned());
                told.spawn(move || tell(&outbox, number, &channel)).map(drop)
            }
            Request::Table => {
                let (table, certificates) = read::<TableRecord>(given.into_iter().next())?.read()?;
                // Before the names that they are for.
                if let Some(certificates) = certificates {
                    self.certificates.send_replace(Arc::new(certificates));
                }
                self.table.send_replace(Arc::new(table));
                Ok(())
            }
            Request::Heard { next } => {
                self.outbox.heard(next);
                Ok(())
            }
            Request::Figures => {
                let figures: Vec<_> = self.figures.read().into_iter().map(FiguresRecord::from).collect();
                say_with(channel, &Reply::Figures, &figures)
            }
        }
    }

    fn hello(&self) -> Reply {
        let standing = match *self.ending.borrow() {
            None => Standing::Serving,
            Some(Ending::Finish | Ending::Stop) => Standing::Finishing,
        };
        let (listen, secure) = (self.listen.clone(), self.secure.clone());
        Reply::Hello { protocol: PROTOCOL, build: self.build.clone(), listen, secure, standing }
    }

    fn hand_out(&self, channel: &Channel) -> io::Result<()> {
        let listeners = lock(&self.listeners);
        if listeners.is_empty() {
            return say(channel, &Reply::NoListeners, &[]);
        }
        let table = TableRecord::of(&self.table.borrow(), Some(&self.certificates.borrow()));
        let table = file(&table)?;
        let given: Vec<_> = std::iter::once(table.as_fd()).chain(listeners.iter().map(AsFd::as_fd)).collect();
        say(channel, &Reply::Listeners, &given)
    }

    /// A stop is final; a finish is not asked for after it.
    fn ends(&self, ending: Ending) {
        self.ending.send_if_modified(|current| {
            let changes = *current != Some(Ending::Stop) && *current != Some(ending);
            if changes {
                *current = Some(ending);
            }
            changes
        });
    }
}

/// Sends lines for as long as this is who takes them.
fn tell(outbox: &Outbox, taker: u64, channel: &Channel) {
    let mut from = 0;
    while let Some(Batch { first, next, lost, bytes }) = outbox.batch(taker, from) {
        from = next;
        let told = message::sealed(&bytes)
            .and_then(|file| say(channel, &Reply::Lines { first, lost }, &[file.as_fd()]));
        if told.is_err() {
            // What was not heard is sent to who comes next.
            return;
        }
        thread::sleep(GATHER_PAUSE);
    }
}
