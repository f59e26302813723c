//! One connection: who it is, and which of its requests are answered. What is not named here, the library refuses.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use russh::keys::{Algorithm, PublicKey};
use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelOpenFailure, Pty};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::flows;
use crate::git::server::GitState;
use crate::git::ssh::command;
use crate::git::ssh::run::{self, Asked};
use crate::wire::git_ssh;

/// Channels of one connection at once: clients that share one for several commands open some.
const CHANNELS_MAX: usize = 8;
/// The one variable that a client may set.
const PROTOCOL: &str = "GIT_PROTOCOL";

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nobody knows yet who it is.
    Strange,
    /// A user's, which runs that many commands.
    Known {
        /// How many.
        commands: usize,
    },
}

/// What the library asks about one connection.
pub(super) struct Guest {
    state: Arc<GitState>,
    /// The key that was shown, its bytes in base64.
    key: Option<String>,
    stage: watch::Sender<Stage>,
    waiting: HashMap<ChannelId, Waiting>,
    channels: Arc<Semaphore>,
}

/// A channel on which nothing was asked for yet.
struct Waiting {
    channel: Channel<Msg>,
    protocol: Option<String>,
    permit: OwnedSemaphorePermit,
}

/// Counts a command while it is there.
struct Busy(watch::Sender<Stage>);

impl Busy {
    fn new(stage: watch::Sender<Stage>) -> Self {
        count(&stage, |commands| commands.saturating_add(1));
        Self(stage)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        count(&self.0, |commands| commands.saturating_sub(1));
    }
}

fn count(stage: &watch::Sender<Stage>, change: impl Fn(usize) -> usize) {
    stage.send_modify(|stage| {
        if let Stage::Known { commands } = stage {
            *commands = change(*commands);
        }
    });
}

// === impl Guest ===

impl Guest {
    pub(super) fn new(state: Arc<GitState>, stage: watch::Sender<Stage>) -> Self {
        let channels = Arc::new(Semaphore::new(CHANNELS_MAX));
        Self { state, key: None, stage, waiting: HashMap::new(), channels }
    }

    /// The key's bytes in base64, where it is a user's. A signature over SHA-1 shows nothing any more.
    async fn known(&self, user: &str, key: &PublicKey, algorithm: &Algorithm) -> Option<String> {
        if user != git_ssh::USER || matches!(algorithm, Algorithm::Rsa { hash: None }) {
            return None;
        }
        let blob = BASE64_STANDARD.encode(key.to_bytes().ok()?);
        match flows::authenticate_key(&self.state.node, &blob).await {
            Ok(found) => found.map(|_| blob),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a key of SSH could not be looked up"
                );
                None
            }
        }
    }

    /// Starts what was asked for on a channel: once, and then no more. The task ends with git, or with the node.
    fn start(
        &mut self,
        id: ChannelId,
        command: Option<Vec<u8>>,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let (Some(waiting), Some(key)) = (self.waiting.remove(&id), self.key.clone()) else {
            return session.channel_failure(id);
        };
        session.channel_success(id)?;
        let Waiting { channel, protocol, permit } = waiting;
        let (state, busy) = (Arc::clone(&self.state), Busy::new(self.stage.clone()));
        tokio::spawn(async move {
            run::serve(&state, Asked { channel, protocol, key, command }).await;
            drop((busy, permit));
        });
        Ok(())
    }
}

impl Handler for Guest {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        let known = self.known(user, offer.public_key, offer.algorithm).await;
        Ok(if known.is_some() { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        shown: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        self.key = self.known(user, shown.public_key, shown.algorithm).await;
        Ok(if self.key.is_some() { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_succeeded(&mut self, _: &mut Session) -> Result<(), Self::Error> {
        self.stage.send_replace(Stage::Known { commands: 0 });
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        let Ok(permit) = Arc::clone(&self.channels).try_acquire_owned() else {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        };
        self.waiting.insert(channel.id(), Waiting { channel, protocol: None, permit });
        reply.accept().await;
        Ok(())
    }

    async fn channel_close(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), Self::Error> {
        self.waiting.remove(&channel);
        Ok(())
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        value: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        match self.waiting.get_mut(&channel) {
            Some(waiting) if name == PROTOCOL && command::is_protocol(value) => {
                waiting.protocol = Some(value.to_owned());
                session.channel_success(channel)
            }
            Some(_) | None => session.channel_failure(channel),
        }
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.start(channel, Some(command.to_vec()), session)
    }

    /// Taken on, so that it can be said in words why there is none.
    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        self.start(channel, None, session)
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn x11_request(
        &mut self,
        channel: ChannelId,
        _: bool,
        _: &str,
        _: &str,
        _: u32,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }
}
