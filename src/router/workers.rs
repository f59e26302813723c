//! The router on several threads, each with a runtime, listeners and connections to dynos of its own: what a request needs is woken on
//! the thread that it came in by, and nobody waits for another thread. They have in common what must be one for all: the table, what
//! is counted, which dynos are left alone, and how many connections and handshakes there may be.

use std::io;
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::thread;

use futures_util::future::try_join_all;
use tokio::runtime::Builder;
use tokio::sync::{oneshot, watch};

use crate::router::config::RouterConfig;
use crate::router::figures::Figures;
use crate::router::listener::{Ending, Ends, ListenError, Listeners, Router};
use crate::router::serve::Shared;

/// Sockets that listen, before any runtime knows them. All workers accept from each.
#[derive(Debug, Default)]
pub struct Doors {
    /// For plain HTTP.
    pub plain: Vec<TcpListener>,
    /// For TLS.
    pub secure: Vec<TcpListener>,
}

/// A router of several threads, which serves once it is told to.
pub struct Workers {
    shared: Shared,
    doors: Doors,
    count: NonZeroUsize,
}

impl Workers {
    /// So many threads over sockets that listen already; the addresses in `config` are not looked at.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn over(
        config: RouterConfig,
        doors: Doors,
        ends: Ends,
        count: NonZeroUsize,
    ) -> Result<Self, ListenError> {
        Ok(Self { shared: Shared::new(config, ends)?, doors, count })
    }

    /// Reads what all of them count, for as long as there is any use for it.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures::of(&self.shared)
    }

    /// Serves until all threads have ended as `ending` says. Dropping it ends none of them.
    ///
    /// # Errors
    /// A thread cannot be started, or has ended before its time; the others may still serve.
    pub async fn serve_until(self, ending: watch::Receiver<Option<Ending>>) -> io::Result<()> {
        let Self { shared, doors, count } = self;
        let mut ends = Vec::new();
        for number in 1..=count.get() {
            let (shared, doors, ending) = (shared.beside(), doors.copy()?, ending.clone());
            let (ended, end) = oneshot::channel();
            let worker = thread::Builder::new().name(format!("worker {number}"));
            // Nobody hears of the end of one whose router has been given up.
            worker.spawn(move || drop(ended.send(work(shared, doors, ending))))?;
            ends.push(async { end.await.map_err(|_| io::Error::other("a thread of the router has died"))? });
        }
        // What is open here as well would still take connections when the workers have ended.
        drop((shared, doors));
        try_join_all(ends).await.map(drop)
    }
}

impl Doors {
    fn copy(&self) -> io::Result<Self> {
        let copies = |listeners: &[TcpListener]| {
            listeners.iter().map(TcpListener::try_clone).collect::<io::Result<Vec<_>>>()
        };
        Ok(Self { plain: copies(&self.plain)?, secure: copies(&self.secure)? })
    }

    /// For the runtime in which this is called.
    fn listeners(self) -> io::Result<Listeners> {
        let here = |listeners: Vec<TcpListener>| {
            let one = |listener: TcpListener| {
                listener.set_nonblocking(true)?;
                tokio::net::TcpListener::from_std(listener)
            };
            listeners.into_iter().map(one).collect::<io::Result<_>>()
        };
        Ok(Listeners { plain: here(self.plain)?, secure: here(self.secure)? })
    }
}

/// What one thread does.
fn work(shared: Shared, doors: Doors, ending: watch::Receiver<Option<Ending>>) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
    runtime.block_on(async {
        Router::worker(shared, doors.listeners()?).serve_until(ending).await;
        Ok(())
    })
}
