//! Git over SSH: users by the public keys that they have added, git's two services, and nothing else: no shell, no terminal,
//! no forwarding, no other way to show who one is.
//!
//! `russh` speaks the protocol. [`session`] answers what it asks about one connection, [`run`] is one command of it. Behind
//! that stands what stands behind HTTPS: the same repositories, the same hook, the same rights ([`crate::git::permit`]).

mod command;
mod host_key;
mod run;
mod session;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use russh::server::Config;
use russh::{MethodKind, MethodSet, Preferred, SshId, compression};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use host_key::{HostKey, HostKeyError};

use crate::flows::Stranger;
use crate::git::server::GitState;
use crate::git::ssh::session::{Guest, Stage};
use crate::wire::git_ssh;

/// Connections at once, whosever they are; more wait to be accepted.
const CONNECTIONS_MAX: usize = 128;
/// Connections at once of which nobody knows yet whose they are; a further one is closed at once.
const STRANGERS_MAX: usize = 32;
/// How long a connection may take to show whose it is, from its begin on.
const AUTHENTICATION_TIMEOUT: Duration = Duration::from_secs(30);
/// Keys that a connection may show in vain: agents hold several, and offer one after the other.
const REJECTIONS_MAX: usize = 12;
/// How long each takes. A key cannot be guessed, so this only evens out what the look-up takes.
const REJECTION_TIME: Duration = Duration::from_millis(50);
/// How long a connection is kept that runs no command.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a silent client is asked whether it is there; a build can be silent for long.
const PROBE_AFTER: Duration = Duration::from_secs(30);
/// Questions without an answer after which it counts as gone.
const PROBES_MAX: usize = 3;
/// How long a client may not read what it is sent.
const STALLED_TIMEOUT: Duration = Duration::from_secs(600);
/// Bytes that a client may send on a channel before git has read them.
const WINDOW_BYTES: u32 = 1024 * 1024;
/// Messages of a channel that wait for git; then the connection is not read.
const CHANNEL_MESSAGES_MAX: usize = 64;
/// How long commands may go on when the node closes.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection that runs nothing is left then: what its last command has said may be on its way.
const PARTING_TIME: Duration = Duration::from_millis(500);
/// The pause after a connection that could not be accepted (no descriptors left, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The door, for however many addresses it listens on. Clones are handles to the same one.
#[derive(Clone)]
pub struct SshDoor {
    state: Arc<GitState>,
    config: Arc<Config>,
    connections: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
}

impl SshDoor {
    /// A door to the repositories of `state`, which clients know by `key`.
    #[must_use]
    pub fn new(state: GitState, key: HostKey) -> Self {
        Self {
            state: Arc::new(state),
            config: Arc::new(config(key)),
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            strangers: Arc::new(Semaphore::new(STRANGERS_MAX)),
        }
    }
}

fn config(key: HostKey) -> Config {
    Config {
        server_id: SshId::Standard(Cow::Borrowed(git_ssh::SERVER_ID)),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        auth_rejection_time: REJECTION_TIME,
        // The first question of every client, by which it learns that a key is wanted.
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: vec![key.key],
        window_size: WINDOW_BYTES,
        channel_buffer_size: CHANNEL_MESSAGES_MAX,
        // git's objects are compressed already.
        preferred: Preferred { compression: Cow::Borrowed(&[compression::NONE]), ..Preferred::default() },
        max_auth_attempts: REJECTIONS_MAX,
        inactivity_timeout: Some(STALLED_TIMEOUT),
        keepalive_interval: Some(PROBE_AFTER),
        keepalive_max: PROBES_MAX,
        ..Config::default()
    }
}

/// Serves the door to whoever connects, until `shutdown`; then commands have a few seconds to end.
pub async fn serve_ssh(listener: TcpListener, door: SshDoor, shutdown: impl Future<Output = ()>) {
    let connections = TaskTracker::new();
    let closing = CancellationToken::new();
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &door) => accepted,
        };
        match accepted {
            Ok((stream, permit)) => {
                let (door, closing) = (door.clone(), closing.clone());
                connections.spawn(async move {
                    connection(stream, &door, &closing).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection of SSH");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    closing.cancel();
    connections.close();
    if timeout(CLOSING_TIMEOUT, connections.wait()).await.is_err() {
        tracing::warn!(left = connections.len(), "some clients of SSH are cut off");
    }
}

async fn accept(
    listener: &TcpListener,
    door: &SshDoor,
) -> std::io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(&door.connections).acquire_owned().await.map_err(std::io::Error::other)?;
    Ok((listener.accept().await?.0, permit))
}

/// One connection, to its end or ours. One that has shown no key keeps its address's place for as long as it might have taken,
/// so that keys are not tried in vain without end.
async fn connection(stream: TcpStream, door: &SshDoor, closing: &CancellationToken) {
    let Ok(strange) = Arc::clone(&door.strangers).try_acquire_owned() else {
        tracing::debug!("a connection of SSH is one too many of strangers");
        return;
    };
    // One that has gone has no address any more.
    let Ok(from) = stream.peer_addr().map(|peer| peer.ip().to_canonical()) else { return };
    let Some(stranger) = door.state.node.strangers().enter(from) else {
        tracing::debug!(%from, "too many connections from one address whose clients are not known yet");
        return;
    };
    let began = Instant::now();
    converse(stream, door, (began, strange, stranger.clone()), closing).await;
    if stranger.is_counted() {
        tokio::spawn(async move {
            tokio::time::sleep_until(began + AUTHENTICATION_TIMEOUT).await;
            drop(stranger);
        });
    }
}

async fn converse(
    stream: TcpStream,
    door: &SshDoor,
    (began, strange, stranger): (Instant, OwnedSemaphorePermit, Stranger),
    closing: &CancellationToken,
) {
    let Ok((stream, cut)) = with_cut(stream) else { return };
    let (stage, stages) = watch::channel(Stage::Strange);
    let guest = Guest::new(Arc::clone(&door.state), stage);
    let greeting = russh::server::run_stream(Arc::clone(&door.config), stream, guest);
    let session = match timeout_at(began + AUTHENTICATION_TIMEOUT, greeting).await {
        Ok(Ok(session)) => session,
        Ok(Err(error)) => return tracing::debug!(%error, "a connection of SSH spoke no SSH"),
        Err(_) => return tracing::debug!("a connection of SSH said nothing"),
    };
    let overdue = overdue(stages, began, (strange, stranger), closing);
    tokio::pin!(session);
    let ended = tokio::select! {
        ended = &mut session => ended,
        () = overdue => {
            // The library learns of it as it would of a client that has gone.
            let _gone = cut.shutdown(std::net::Shutdown::Both);
            session.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection of SSH has ended");
    }
}

/// The stream, and a second hold on it by which it can be ended, whatever the library does.
fn with_cut(stream: TcpStream) -> std::io::Result<(TcpStream, std::net::TcpStream)> {
    // Answers are short and waited for.
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    let cut = stream.try_clone()?;
    Ok((TcpStream::from_std(stream)?, cut))
}

/// Waits until a connection has had its time: to show whose it is, then to ask for something. While it runs a command, and
/// the node does not close, it has all the time that the command takes.
async fn overdue(
    mut stages: watch::Receiver<Stage>,
    began: Instant,
    (strange, stranger): (OwnedSemaphorePermit, Stranger),
    closing: &CancellationToken,
) {
    let mut strange = Some(strange);
    loop {
        let stage = *stages.borrow_and_update();
        let until = match stage {
            Stage::Strange => Some(began + AUTHENTICATION_TIMEOUT),
            Stage::Known { commands: 0 } if closing.is_cancelled() => Some(Instant::now() + PARTING_TIME),
            Stage::Known { commands: 0 } => Some(Instant::now() + IDLE_TIMEOUT),
            Stage::Known { .. } => None,
        };
        if stage != Stage::Strange {
            strange = None;
            stranger.becomes_known();
        }
        let wait = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let is_new = !closing.is_cancelled();
        tokio::select! {
            () = wait => break,
            changed = stages.changed() => if changed.is_err() { break },
            () = closing.cancelled(), if is_new => if stage == Stage::Strange { break },
        }
    }
    drop(strange);
}
