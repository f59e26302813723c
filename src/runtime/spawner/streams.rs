//! The descriptors a container is born with, and how they travel from one process to another.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use serde::{Deserialize, Serialize};

use crate::sys::{message, mount};

/// Descriptors the container starts with.
#[derive(Debug, Default)]
pub(crate) struct ChildStreams {
    /// Init's last words.
    pub(crate) exit: Option<OwnedFd>,
    /// What the filter refused the application.
    pub(crate) refused: Option<OwnedFd>,
    /// The ring, and the end of the pipe that init relays from.
    pub(crate) relay: Option<(OwnedFd, OwnedFd)>,
    /// The application's input, output and errors. Empty with a terminal, which is made inside.
    pub(crate) standard: Vec<OwnedFd>,
    /// The application's control group, for its clone straight into it.
    pub(crate) group: Option<OwnedFd>,
}

/// How many descriptors of each kind there are.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Shape {
    exit: usize,
    refused: usize,
    /// Of pairs.
    relay: usize,
    group: usize,
    standard: usize,
}

/// Three pipes: the ends of a program with this host user and group, who may open them again, and the ends of its client.
pub(super) fn pipes((uid, gid): (u32, u32)) -> io::Result<(Vec<OwnedFd>, Vec<OwnedFd>)> {
    let (input, to_input) = message::pipe()?;
    let (from_output, output) = message::pipe()?;
    let (from_errors, errors) = message::pipe()?;
    for end in [&input, &output, &errors] {
        mount::give_fd_to(end, uid, gid)?;
    }
    Ok((vec![input, output, errors], vec![to_input, from_output, from_errors]))
}

impl ChildStreams {
    pub(super) fn shape(&self) -> Shape {
        let count = |one: &Option<OwnedFd>| one.iter().count();
        let (exit, refused, group) = (count(&self.exit), count(&self.refused), count(&self.group));
        Shape { exit, refused, relay: self.relay.iter().count(), group, standard: self.standard.len() }
    }

    /// All of them, in the order in which `of` takes them.
    pub(super) fn parts(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let relay = self.relay.iter().flat_map(|(ring, pipe)| [ring, pipe]);
        let all = self.exit.iter().chain(&self.refused).chain(relay).chain(&self.group).chain(&self.standard);
        all.map(AsFd::as_fd)
    }

    /// Puts them together again.
    pub(super) fn of(
        shape: &Shape,
        mut next: impl FnMut() -> io::Result<OwnedFd>,
    ) -> io::Result<ChildStreams> {
        let exit = (0..shape.exit).map(|_| next()).next().transpose()?;
        let refused = (0..shape.refused).map(|_| next()).next().transpose()?;
        let relay = (0..shape.relay).map(|_| Ok::<_, io::Error>((next()?, next()?))).next().transpose()?;
        let group = (0..shape.group).map(|_| next()).next().transpose()?;
        let standard = (0..shape.standard).map(|_| next()).collect::<io::Result<_>>()?;
        Ok(ChildStreams { exit, refused, relay, standard, group })
    }
}
