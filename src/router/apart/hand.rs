//! The hand: makes sockets inside of dynos' network namespaces for a router that may not enter them.
//!
//! A process of one thread that holds two rights, to look at a namespace of another user's process and to enter it, reads one kind of
//! question and answers it with a socket or an error. It ends when the router does.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};

use crate::domain::Backend;
use crate::router::apart::frame::{hear, say};
use crate::router::connect::Connector;
use crate::sys::message::Channel;
use crate::sys::netns::{IpVersion, NetnsRef, tcp_socket_in};
use crate::sys::rights::{Capabilities, bound, set_capabilities};
use crate::sys::{credentials, seccomp};

/// `CAP_SYS_PTRACE` and `CAP_SYS_ADMIN` (linux/capability.h): the links below `/proc/PID/ns` are for who may trace the process, and
/// setns(2) asks for the other.
const RIGHTS: u64 = 1 << 19 | 1 << 21;
/// How long the hand may take for one socket.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the hand sleeps between two looks whether it is asked.
const ASKED_TIMEOUT: Duration = Duration::from_secs(3600);
/// Sockets that are asked for and not yet made; who asks waits for room when there are more.
const ASKED_MAX: usize = 1024;

#[derive(Debug, Serialize, Deserialize)]
struct Question {
    path: PathBuf,
    device: u64,
    inode: u64,
}

#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    /// Descriptor: the socket.
    Socket,
    /// The kernel's errno, or none, and the reason in words.
    Refused(Option<i32>, String),
}

/// Gives up all but the two rights, and answers until the other end is closed. For a forked child of one thread.
///
/// # Errors
/// A right cannot be given up, or the link breaks.
pub(super) fn serve(channel: &Channel) -> io::Result<()> {
    seccomp::set_no_new_privs()?;
    bound(RIGHTS)?;
    set_capabilities(&Capabilities {
        bounding: RIGHTS,
        effective: RIGHTS,
        permitted: RIGHTS,
        ..Capabilities::default()
    })?;
    credentials::hide_from_debuggers()?;
    loop {
        let question = match hear::<Question>(channel, ASKED_TIMEOUT) {
            Ok(Some((question, _))) => question,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => continue,
            Err(error) => return Err(error),
        };
        match make(question) {
            Ok(socket) => say(channel, &Answer::Socket, &[socket.as_fd()])?,
            Err(error) => say(channel, &Answer::Refused(error.raw_os_error(), error.to_string()), &[])?,
        }
    }
}

fn make(question: Question) -> io::Result<OwnedFd> {
    if !is_of_a_process(&question.path) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let place = NetnsRef { path: question.path, dev: question.device, ino: question.inode };
    tcp_socket_in(&place.open()?, IpVersion::V4)
}

/// `/proc/PID/ns/net`, and nothing else that could be opened with root's rights.
fn is_of_a_process(path: &Path) -> bool {
    let mut parts = path.components().map(Component::as_os_str);
    let is_pid = |part: &std::ffi::OsStr| {
        part.to_str().is_some_and(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
    };
    let wanted = (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next());
    matches!(wanted, (Some(root), Some(proc), Some(pid), Some(ns), Some(net), None)
        if root == "/" && proc == "proc" && is_pid(pid) && ns == "ns" && net == "net")
}

type Asked = (Question, oneshot::Sender<io::Result<OwnedFd>>);

/// Connects to dynos through sockets that the hand makes.
#[derive(Clone, Debug)]
pub(super) struct HandConnector(mpsc::Sender<Asked>);

impl HandConnector {
    /// Asks the hand at the other end of `channel`, from a thread of its own. Resolves `lost` when the hand is no more: without it no
    /// further dyno can be reached.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn new(channel: Channel) -> io::Result<(Self, oneshot::Receiver<()>)> {
        let (asked, questions) = mpsc::channel(ASKED_MAX);
        let (losing, lost) = oneshot::channel();
        std::thread::Builder::new().name("hand".to_owned()).spawn(move || {
            if let Err(error) = ask(&channel, questions, ANSWER_TIMEOUT) {
                tracing::error!(%error, "the hand that makes sockets is lost");
            }
            drop(losing);
        })?;
        Ok((Self(asked), lost))
    }

    async fn socket(&self, backend: &Backend) -> io::Result<OwnedFd> {
        let (answer, made) = oneshot::channel();
        let place = &backend.netns;
        let question = Question { path: place.path.clone(), device: place.device, inode: place.inode };
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        self.0.send((question, answer)).await.map_err(|_| gone())?;
        made.await.map_err(|_| gone())?
    }

    async fn attempt(&self, backend: &Backend, address: Ipv4Addr) -> io::Result<TcpStream> {
        let socket = self.socket(backend).await?;
        let socket = TcpSocket::from_std_stream(std::net::TcpStream::from(socket));
        socket.connect(SocketAddr::from((address, backend.port))).await
    }
}

/// Asks one question after the other. An answer that takes longer than `limit` fails that question alone: it comes in its turn, and is
/// let go of then.
fn ask(channel: &Channel, mut questions: mpsc::Receiver<Asked>, limit: Duration) -> io::Result<()> {
    // Answers that are still to come, the one to the last question among them.
    let mut owed = 0_usize;
    while let Some((question, answer)) = questions.blocking_recv() {
        say(channel, &question, &[])?;
        owed += 1;
        let made = loop {
            match hear::<Answer>(channel, limit) {
                Ok(Some(said)) => {
                    owed -= 1;
                    if owed == 0 {
                        break made(said);
                    }
                }
                Ok(None) => return Err(io::ErrorKind::BrokenPipe.into()),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => break Err(error),
                Err(error) => return Err(error),
            }
        };
        // Who has given up meanwhile closes the socket by that.
        drop(answer.send(made));
    }
    Ok(())
}

fn made((said, sockets): (Answer, Vec<OwnedFd>)) -> io::Result<OwnedFd> {
    match (said, sockets.into_iter().next()) {
        (Answer::Socket, Some(socket)) => Ok(socket),
        (Answer::Socket, None) => Err(io::ErrorKind::InvalidData.into()),
        (Answer::Refused(Some(errno), _), _) => Err(io::Error::from_raw_os_error(errno)),
        (Answer::Refused(None, reason), _) => Err(io::Error::other(reason)),
    }
}

impl Connector for HandConnector {
    fn connect<'a>(&'a self, backend: &'a Backend) -> BoxFuture<'a, io::Result<TcpStream>> {
        Box::pin(async move {
            match (self.attempt(backend, Ipv4Addr::LOCALHOST).await, backend.address) {
                (Err(error), Some(address)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    self.attempt(backend, address).await
                }
                (outcome, _) => outcome,
            }
        })
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn an_answer_that_comes_late_fails_its_own_question_alone() {
        let (near, far) = Channel::pair().unwrap();
        let (asked, questions) = mpsc::channel(2);
        let asking = std::thread::spawn(move || ask(&near, questions, Duration::from_millis(50)));
        let question = || Question { path: PathBuf::from("/"), device: 0, inode: 0 };
        let hear_one = || hear::<Question>(&far, ASKED_TIMEOUT).unwrap().unwrap();
        let refuse = |reason: &str| say(&far, &Answer::Refused(None, reason.to_owned()), &[]).unwrap();
        let (answer, first) = oneshot::channel();
        asked.blocking_send((question(), answer)).unwrap();
        hear_one();
        assert_eq!(first.blocking_recv().unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
        refuse("late");
        let (answer, second) = oneshot::channel();
        asked.blocking_send((question(), answer)).unwrap();
        hear_one();
        refuse("in time");
        assert_eq!(second.blocking_recv().unwrap().unwrap_err().to_string(), "in time");
        drop(asked);
        asking.join().unwrap().unwrap();
    }

    #[test]
    fn nothing_but_a_namespace_of_a_process_is_opened() {
        assert!(is_of_a_process(Path::new("/proc/4711/ns/net")));
        for path in [
            "/proc/self/ns/net",
            "/proc/1/ns/mnt",
            "/proc/1/ns/net/x",
            "/proc/1/root/proc/1/ns/net",
            "/proc/1/../2/ns/net",
            "proc/1/ns/net",
            "/proc//ns/net",
            "/etc/shadow",
            "",
        ] {
            assert!(!is_of_a_process(Path::new(path)), "{path}");
        }
    }
}
