//! The control plane's end of a router's link.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use thiserror::Error;

use crate::domain::{AppId, Certificates, RouteTable};
use crate::router::apart::frame::{
    FiguresRecord, PROTOCOL, Reply, Request, Standing, TableRecord, contents, hear, read, say, say_with,
};
use crate::router::apart::lines;
use crate::router::counters::lock;
use crate::sys::message::Channel;
use crate::sys::peer;
use crate::wire::metrics::AppTraffic;

/// How long a router may take to say who it is.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// What the names of links end with.
const SUFFIX: &str = "sock";

/// A router that cannot be spoken with.
#[derive(Debug, Error)]
#[error("cannot speak with the router at {}", path.display())]
pub struct RemoteError {
    /// Its link.
    path: PathBuf,
    /// Why not.
    source: io::Error,
}

impl RemoteError {
    /// Whether nobody is there any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
    }
}

/// Who a router is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// Its process id.
    pub pid: u32,
    /// Whether it can be followed: it speaks this build's version.
    pub is_understood: bool,
    /// The build of its program.
    pub build: String,
    /// The addresses that it was told to listen on.
    pub listen: Vec<SocketAddr>,
    /// The addresses that it was told to listen on for TLS.
    pub secure: Vec<SocketAddr>,
    /// What it does with them.
    pub standing: Standing,
}

/// What a router tells who follows it.
#[derive(Debug)]
pub enum Told {
    /// Lines of apps. Those below `next` are not sent again once that is [`RemoteRouter::heard`].
    Lines {
        /// The apps, when, and the lines.
        lines: Vec<(AppId, SystemTime, String)>,
        /// The number after the last one.
        next: u64,
        /// Lines that were lost since the router started.
        lost: u64,
    },
    /// The answer to [`RemoteRouter::ask_figures`].
    Figures(Vec<AppTraffic>),
}

/// A connection to a router.
#[derive(Debug)]
pub struct RemoteRouter {
    channel: Channel,
    path: PathBuf,
    /// The certificates that it was given last.
    given: Mutex<Option<Arc<Certificates>>>,
}

impl RemoteRouter {
    /// The links below a node's directory of them; of routers that live, and of some that do not.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn links(dir: &Path) -> io::Result<Vec<PathBuf>> {
        let entries = match std::fs::read_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let paths: Vec<_> = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        Ok(paths.into_iter().filter(|path| path.extension().is_some_and(|end| end == SUFFIX)).collect())
    }

    /// Connects to the router behind a link, and hears who it is.
    ///
    /// # Errors
    /// Nobody is there, or what is there does not answer.
    pub fn greet(path: &Path) -> Result<(Self, Greeting), RemoteError> {
        let failed = |source| RemoteError { path: path.to_owned(), source };
        let channel = Channel::connect(path).map_err(failed)?;
        let pid = peer::credentials(&channel).map_err(failed)?.pid;
        say(&channel, &Request::Hello, &[]).map_err(failed)?;
        match hear(&channel, HELLO_TIMEOUT).map_err(failed)? {
            Some((Reply::Hello { protocol, build, listen, secure, standing }, _)) => {
                let is_understood = protocol == PROTOCOL;
                let greeting = Greeting { pid, is_understood, build, listen, secure, standing };
                Ok((Self { channel, path: path.to_owned(), given: Mutex::default() }, greeting))
            }
            Some(_) => Err(failed(io::ErrorKind::InvalidData.into())),
            None => Err(failed(io::ErrorKind::ConnectionRefused.into())),
        }
    }

    /// Its link.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it a table and certificates, and returns when it serves by them; from here on this connection is the one that gets lines.
    ///
    /// # Errors
    /// It has gone.
    pub fn follow(&self, table: &RouteTable, certificates: &Arc<Certificates>) -> Result<(), RemoteError> {
        self.give(table, certificates)?;
        // Requests are taken in turn: an answer to this one says that the table is there.
        let answered = say(&self.channel, &Request::Hello, &[])
            .and_then(|()| hear::<Reply>(&self.channel, HELLO_TIMEOUT))
            .and_then(|answer| answer.ok_or_else(|| io::ErrorKind::ConnectionRefused.into()));
        answered.and_then(|_| say(&self.channel, &Request::Follow, &[])).map_err(|source| self.failed(source))
    }

    /// Gives it a table, and the certificates where they are others than those before.
    ///
    /// # Errors
    /// It has gone.
    pub fn give(&self, table: &RouteTable, certificates: &Arc<Certificates>) -> Result<(), RemoteError> {
        let mut given = lock(&self.given);
        let is_known = given.as_ref().is_some_and(|given| Arc::ptr_eq(given, certificates));
        let record = TableRecord::of(table, (!is_known).then_some(&**certificates));
        say_with(&self.channel, &Request::Table, &record).map_err(|source| self.failed(source))?;
        *given = Some(Arc::clone(certificates));
        Ok(())
    }

    /// Says that every line below `next` is in its log.
    ///
    /// # Errors
    /// It has gone.
    pub fn heard(&self, next: u64) -> Result<(), RemoteError> {
        say(&self.channel, &Request::Heard { next }, &[]).map_err(|source| self.failed(source))
    }

    /// Asks for its figures; they come as [`Told::Figures`].
    ///
    /// # Errors
    /// It has gone.
    pub fn ask_figures(&self) -> Result<(), RemoteError> {
        say(&self.channel, &Request::Figures, &[]).map_err(|source| self.failed(source))
    }

    /// Asks it to end.
    ///
    /// # Errors
    /// It has gone.
    pub fn stop(&self) -> Result<(), RemoteError> {
        say(&self.channel, &Request::Stop, &[]).map_err(|source| self.failed(source))
    }

    /// Waits for something that it tells, at most so long: `None` where nothing came.
    ///
    /// # Errors
    /// It has gone (`is_gone`), or says what is not understood.
    pub fn hear(&self, timeout: Duration) -> Result<Option<Told>, RemoteError> {
        match hear(&self.channel, timeout) {
            Ok(Some((reply, given))) => told(reply, given).map(Some).map_err(|source| self.failed(source)),
            Ok(None) => Err(self.failed(io::ErrorKind::ConnectionRefused.into())),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed(&self, source: io::Error) -> RemoteError {
        RemoteError { path: self.path.clone(), source }
    }
}

fn told(reply: Reply, given: Vec<OwnedFd>) -> io::Result<Told> {
    let mut given = given.into_iter();
    match reply {
        Reply::Lines { first, lost } => {
            let lines = lines::read(&contents(given.next())?)?;
            let next = first + u64::try_from(lines.len()).unwrap_or(u64::MAX);
            Ok(Told::Lines { lines, next, lost })
        }
        Reply::Figures => {
            let figures: Vec<FiguresRecord> = read(given.next())?;
            let figures: io::Result<_> = figures.into_iter().map(FiguresRecord::traffic).collect();
            Ok(Told::Figures(figures?))
        }
        Reply::Hello { .. } | Reply::Listeners | Reply::NoListeners => Err(io::ErrorKind::InvalidData.into()),
    }
}
