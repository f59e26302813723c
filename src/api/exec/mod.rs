//! Visits of the stock command (`ps:exec`, `ps:copy`): its exec manager, and the SSH that the manager sends it to.
//!
//! Whoever may operate an app asks for a way into a dyno and names a fresh public key ([`manager`]). The way is a user name,
//! random, that is good for a short while and for one connection, and only with that key ([`Visitors`]). Behind it are the
//! commands that `POST /apps/:app/dynos/:dyno` runs, and the same rights, looked at once more ([`run`]). [`session`] answers what
//! one connection asks for: a command, a shell, or one file to read ([`copy`]).
//!
//! Clients come to port 80, whatever they are told. The node takes it on an address of its own on loopback, and only while
//! somebody is expected: a web server that wants the port of all addresses could not start otherwise.

mod copy;
pub(super) mod manager;
mod run;
mod session;
mod visitors;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::RngCore as _;
use russh::keys::PrivateKey;
use russh::keys::ssh_key::private::{Ed25519Keypair, Ed25519PrivateKey, KeypairData};
use russh::server::Config;
use russh::{MethodKind, MethodSet, Preferred, SshId, compression};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};

use crate::api::exec::session::{Guest, Stage};
use crate::api::exec::visitors::{Visitor, Visitors};
use crate::api::state::Api;
use crate::wire::api_errors::Refusal;
use crate::wire::git_ssh::SERVER_ID;

/// Connections at once; a further one is closed at once.
const CONNECTIONS_MAX: usize = 32;
/// How long a connection may take to show whose it is, from its begin on.
const AUTHENTICATION_TIMEOUT: Duration = Duration::from_secs(15);
/// Keys that a connection may show in vain: agents offer theirs first.
const REJECTIONS_MAX: usize = 6;
/// How long each takes. A name cannot be guessed, so this only evens out what the look-up takes.
const REJECTION_TIME: Duration = Duration::from_millis(50);
/// How long a connection is kept that runs nothing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// How often a silent client is asked whether it is there.
const PROBE_AFTER: Duration = Duration::from_secs(10);
/// Questions without an answer after which it counts as gone.
const PROBES_MAX: usize = 3;
/// How long a client may not read what it is sent.
const STALLED_TIMEOUT: Duration = Duration::from_secs(600);
/// Bytes that a client may send on a channel before they are read.
const WINDOW_BYTES: u32 = 256 * 1024;
/// Messages of a channel that wait to be read; then the connection is not read.
const CHANNEL_MESSAGES_MAX: usize = 64;
/// How often it is looked whether anybody is expected still.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// The pause after a connection that could not be accepted (no descriptors left, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The way in over SSH.
pub(super) struct ExecDoor {
    address: SocketAddr,
    config: Arc<Config>,
    /// In OpenSSH's form.
    public_key: String,
    visitors: Visitors,
    /// Whether somebody listens. Whoever changes it holds it.
    listens: Mutex<bool>,
    connections: Arc<Semaphore>,
}

impl ExecDoor {
    /// A door at this address; none where that is not on loopback, or no key can be made. The key is a new one at each start:
    /// clients are told it each time, over TLS.
    pub(super) fn at(address: SocketAddr) -> Option<Self> {
        let key = address.ip().is_loopback().then(fresh)?.ok()?;
        let public_key = key.public_key().to_openssh().ok()?;
        Some(Self {
            address,
            public_key,
            config: Arc::new(config(key)),
            visitors: Visitors::default(),
            listens: Mutex::new(false),
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        })
    }

    /// Expects a visitor, and tells the name under which it is to come.
    async fn expect(self: &Arc<Self>, api: &Api, visitor: Visitor) -> Result<String, Refusal> {
        let mut listens = self.listens.lock().await;
        if !*listens {
            let listener = TcpListener::bind(self.address).await.map_err(|error| {
                tracing::warn!(
                    %error, address = %self.address,
                    "cannot listen for a visit of the stock command: another program may use this port (`ss -ltnp` names it)"
                );
                Refusal::NoExec
            })?;
            // It ends when nobody is expected any more.
            tokio::spawn(listen(listener, Arc::clone(self), api.clone()));
            *listens = true;
        }
        self.visitors.expect(visitor)
    }
}

fn fresh() -> Result<PrivateKey, russh::keys::ssh_key::Error> {
    let mut seed = [0; Ed25519PrivateKey::BYTE_SIZE];
    rand::rng().fill_bytes(&mut seed);
    PrivateKey::new(KeypairData::Ed25519(Ed25519Keypair::from_seed(&seed)), "")
}

fn config(key: PrivateKey) -> Config {
    Config {
        server_id: SshId::Standard(Cow::Borrowed(SERVER_ID)),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        auth_rejection_time: REJECTION_TIME,
        // The first question of every client, by which it learns that a key is wanted.
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: vec![key],
        window_size: WINDOW_BYTES,
        channel_buffer_size: CHANNEL_MESSAGES_MAX,
        preferred: Preferred { compression: Cow::Borrowed(&[compression::NONE]), ..Preferred::default() },
        max_auth_attempts: REJECTIONS_MAX,
        inactivity_timeout: Some(STALLED_TIMEOUT),
        keepalive_interval: Some(PROBE_AFTER),
        keepalive_max: PROBES_MAX,
        ..Config::default()
    }
}

/// Listens while somebody is expected and the node does not close.
async fn listen(listener: TcpListener, door: Arc<ExecDoor>, api: Api) {
    let closing = api.closing();
    tokio::pin!(closing);
    loop {
        let accepted = tokio::select! {
            () = &mut closing => return,
            accepted = timeout(LOOK_INTERVAL, listener.accept()) => accepted,
        };
        match accepted {
            Ok(Ok((stream, _))) => {
                // One too many is closed at once.
                if let Ok(permit) = Arc::clone(&door.connections).try_acquire_owned() {
                    let (door, api) = (Arc::clone(&door), api.clone());
                    // It ends with its client, its command or the node.
                    tokio::spawn(async move {
                        connection(stream, door, api).await;
                        drop(permit);
                    });
                }
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "cannot accept a visit of the stock command");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            Err(_nobody_came) => {}
        }
        // Held until the port is free: who is expected from then on takes it anew.
        let mut listens = door.listens.lock().await;
        if door.visitors.is_empty() {
            drop(listener);
            *listens = false;
            return;
        }
    }
}

/// One connection, to its end or ours.
async fn connection(stream: TcpStream, door: Arc<ExecDoor>, api: Api) {
    let began = Instant::now();
    let Ok((stream, cut)) = with_cut(stream) else { return };
    let (stage, stages) = watch::channel(Stage::Strange);
    let config = Arc::clone(&door.config);
    let closing = api.closing();
    let greeting = russh::server::run_stream(config, stream, Guest::new(door, api, stage));
    let session = match timeout_at(began + AUTHENTICATION_TIMEOUT, greeting).await {
        Ok(Ok(session)) => session,
        Ok(Err(error)) => return tracing::debug!(%error, "a visitor spoke no SSH"),
        Err(_) => return tracing::debug!("a visitor said nothing"),
    };
    tokio::pin!(session);
    let ended = tokio::select! {
        ended = &mut session => ended,
        () = async { tokio::select! { () = overdue(stages, began) => {}, () = closing => {} } } => {
            // The library learns of it as it would of a client that has gone.
            let _gone = cut.shutdown(std::net::Shutdown::Both);
            session.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a visitor's connection has ended");
    }
}

/// The stream, and a second hold on it by which it can be ended, whatever the library does.
fn with_cut(stream: TcpStream) -> std::io::Result<(TcpStream, std::net::TcpStream)> {
    // What is typed is short and waited for.
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    let cut = stream.try_clone()?;
    Ok((TcpStream::from_std(stream)?, cut))
}

/// Waits until a connection has had its time: to show whose it is, then to ask for something. What it runs takes its own.
async fn overdue(mut stages: watch::Receiver<Stage>, began: Instant) {
    loop {
        let stage = *stages.borrow_and_update();
        let until = match stage {
            Stage::Strange => Some(began + AUTHENTICATION_TIMEOUT),
            Stage::Idle => Some(Instant::now() + IDLE_TIMEOUT),
            Stage::Busy => None,
        };
        let wait = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = wait => return,
            // The session has let go of it, and ends.
            changed = stages.changed() => if changed.is_err() { return },
        }
    }
}
