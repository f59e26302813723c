//! One connection: who it is, and which of its requests are answered. What is not named here, the library refuses: forwarding,
//! agents and displays among it.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use russh::keys::{Algorithm, PublicKey};
use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelOpenFailure, Pty};
use tokio::sync::watch;

use crate::api::exec::ExecDoor;
use crate::api::exec::run::{self, Asked, Window};
use crate::api::exec::visitors::Visitor;
use crate::api::state::Api;

/// The subsystem that files are read by (RFC 4254 section 6.5).
const FILES: &str = "sftp";

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nobody knows yet who it is.
    Strange,
    /// It runs nothing.
    Idle,
    /// It runs what it has asked for.
    Busy,
}

/// What the library asks about one connection.
pub(super) struct Guest {
    door: Arc<ExecDoor>,
    api: Api,
    stage: watch::Sender<Stage>,
    /// Who it is, once that is shown.
    visitor: Option<Visitor>,
    /// Whether it has had its one channel.
    has_come: bool,
    waiting: Option<Waiting>,
}

/// The channel, on which nothing was asked for yet.
struct Waiting {
    channel: Channel<Msg>,
    window: Option<Window>,
}

// === impl Guest ===

impl Guest {
    pub(super) fn new(door: Arc<ExecDoor>, api: Api, stage: watch::Sender<Stage>) -> Self {
        Self { door, api, stage, visitor: None, has_come: false, waiting: None }
    }

    /// Starts what was asked for: once, and then no more. The task ends with the command, or with the node.
    fn start(&mut self, id: ChannelId, asked: Asked, session: &mut Session) -> Result<(), russh::Error> {
        let waiting = self.waiting.take_if(|waiting| waiting.channel.id() == id);
        let (Some(Waiting { channel, window }), Some(visitor)) = (waiting, self.visitor.clone()) else {
            return session.channel_failure(id);
        };
        session.channel_success(id)?;
        self.stage.send_replace(Stage::Busy);
        let (api, stage) = (self.api.clone(), self.stage.clone());
        tokio::spawn(async move {
            run::serve(&api, &visitor, (channel, window), asked).await;
            stage.send_replace(Stage::Idle);
        });
        Ok(())
    }
}

/// The key's bytes in base64. A signature over SHA-1 shows nothing any more.
fn blob(key: &PublicKey, algorithm: &Algorithm) -> Option<String> {
    if matches!(algorithm, Algorithm::Rsa { hash: None }) {
        return None;
    }
    Some(BASE64_STANDARD.encode(key.to_bytes().ok()?))
}

/// Lines or characters as a terminal counts them.
fn cells(count: u32) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

impl Handler for Guest {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        let key = blob(offer.public_key, offer.algorithm);
        let is_known = key.is_some_and(|key| self.door.visitors.knows(user, &key));
        Ok(if is_known { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        shown: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        let key = blob(shown.public_key, shown.algorithm);
        self.visitor = key.and_then(|key| self.door.visitors.take(user, &key));
        Ok(if self.visitor.is_some() { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_succeeded(&mut self, _: &mut Session) -> Result<(), Self::Error> {
        self.stage.send_replace(Stage::Idle);
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        if std::mem::replace(&mut self.has_come, true) {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        self.waiting = Some(Waiting { channel, window: None });
        reply.accept().await;
        Ok(())
    }

    async fn channel_close(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), Self::Error> {
        self.waiting.take_if(|waiting| waiting.channel.id() == channel);
        Ok(())
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        term: &str,
        cols: u32,
        rows: u32,
        _: u32,
        _: u32,
        _: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        match &mut self.waiting {
            Some(waiting) if waiting.channel.id() == channel => {
                waiting.window = Some(Window::new(term, cells(rows), cells(cols)));
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
        match std::str::from_utf8(command) {
            Ok(command) => self.start(channel, Asked::Command(command.to_owned()), session),
            Err(_) => session.channel_failure(channel),
        }
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        self.start(channel, Asked::Shell, session)
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        if name == FILES {
            self.start(channel, Asked::Files, session)
        } else {
            session.channel_failure(channel)
        }
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        _: &str,
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
