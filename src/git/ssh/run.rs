//! One command of a client: git, run in the app's repository, with the client at its standard streams.

use std::process::Stdio;
use std::time::Duration;

use russh::server::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};
use tokio_util::sync::CancellationToken;

use crate::flows::{self, Caller};
use crate::git::backend::REQUEST_TIMEOUT_S;
use crate::git::commands::Running;
use crate::git::permit::{Denied, Service, app_for, hooked};
use crate::git::repository::git;
use crate::git::server::GitState;
use crate::git::ssh::command::{self, Wish};
use crate::wire::{credentials, git_ssh};

/// Bytes read at once from git.
const CHUNK_BYTES: usize = 32 * 1024;
/// How long the last words may take to a client that does not read.
const PARTING_TIMEOUT: Duration = Duration::from_secs(10);
/// The stream of complaints (`SSH_EXTENDED_DATA_STDERR`, RFC 4254 section 5.2).
const STDERR: u32 = 1;
/// The exit status of what was refused or failed.
const STATUS_REFUSED: u32 = 1;
/// The exit status of a git that a signal has ended.
const STATUS_KILLED: u32 = 128;

/// What a client asked for on one channel.
pub(super) struct Asked {
    pub(super) channel: Channel<Msg>,
    /// What the client has set `GIT_PROTOCOL` to.
    pub(super) protocol: Option<String>,
    /// The client's key, its bytes in base64.
    pub(super) key: String,
    /// The command; `None` asks for a shell.
    pub(super) command: Option<Vec<u8>>,
}

/// Serves one channel to its end. A push whose client goes away still builds and moves its ref, as over HTTPS.
pub(super) async fn serve(state: &GitState, asked: Asked) {
    let Asked { channel, protocol, key, command } = asked;
    let (reader, writer) = channel.split();
    let status = match admitted(state, &key, command.as_deref(), protocol).await {
        Ok((command, _running)) => match play(command, reader, &writer).await {
            Ok(status) => status,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "git could not be run for a client of SSH"
                );
                say(&writer, git_ssh::FAILED).await;
                STATUS_REFUSED
            }
        },
        Err(text) => {
            say(&writer, &text).await;
            STATUS_REFUSED
        }
    };
    let parting = async {
        writer.exit_status(status).await?;
        writer.eof().await?;
        writer.close().await
    };
    let _gone_or_late = tokio::time::timeout(PARTING_TIMEOUT, parting).await;
}

async fn say(writer: &ChannelWriteHalf<Msg>, text: &str) {
    let said = writer.extended_data_bytes(STDERR, text.as_bytes().to_vec());
    let _gone_or_late = tokio::time::timeout(PARTING_TIMEOUT, said).await;
}

/// The git command that the client may have; else what it is told.
async fn admitted(
    state: &GitState,
    key: &str,
    command: Option<&[u8]>,
    protocol: Option<String>,
) -> Result<(Command, Running), String> {
    let Some(command) = command else { return Err(git_ssh::NO_SHELL.to_owned()) };
    let Wish { service, name } = command::parse(command).ok_or(git_ssh::NOT_GIT)?;
    // A connection may outlive the key that opened it.
    let caller = flows::authenticate_key(&state.node, key).await.map_err(|error| failed(&error))?;
    let caller = caller.ok_or(git_ssh::KEY_GONE)?;
    let app = app_for(state, &caller, &name, service).await.map_err(|denied| match denied {
        Denied::NoApp => credentials::git_no_app(&name),
        Denied::Forbidden => git_ssh::FORBIDDEN.to_owned(),
        Denied::Fault(error) => failed(&error),
    })?;
    let repository = state.repositories.ensure(app.id).await.map_err(|error| failed(&error))?;
    let running = state.repositories.commands.begin(&caller).ok_or(credentials::GIT_TOO_MANY)?;
    told(service, &caller, app.name.as_str());
    let mut command = git();
    let verb = service.name().trim_start_matches("git-");
    command.arg(verb).arg(repository);
    if let Some(protocol) = protocol {
        command.env("GIT_PROTOCOL", protocol);
    }
    hooked(&mut command, state, &app, &caller);
    Ok((command, running))
}

fn told(service: Service, caller: &Caller, app: &str) {
    if service == Service::Push {
        tracing::info!(target: "audit", user = %caller.user(), app, "a push over SSH was begun");
    }
}

fn failed(error: &(dyn std::error::Error + 'static)) -> String {
    tracing::error!(error, "a git request over SSH failed");
    git_ssh::FAILED.to_owned()
}

/// Runs git to its end, at the latest after [`REQUEST_TIMEOUT_S`]; its exit status.
async fn play(
    mut command: Command,
    reader: ChannelReadHalf,
    writer: &ChannelWriteHalf<Msg>,
) -> std::io::Result<u32> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let missing = || std::io::Error::other("its pipes are missing");
    let stdin = child.stdin.take().ok_or_else(missing)?;
    let stdout = child.stdout.take().ok_or_else(missing)?;
    let stderr = child.stderr.take().ok_or_else(missing)?;
    let gone = CancellationToken::new();
    let feeding = tokio::spawn(feed(reader, stdin, gone.clone()));
    let whole = async {
        let out = pump(stdout, writer.make_writer(), &gone);
        let err = pump(stderr, writer.make_writer_ext(Some(STDERR)), &gone);
        let ((), (), status) = tokio::join!(out, err, ended(&mut child));
        status
    };
    let status = tokio::time::timeout(Duration::from_secs(REQUEST_TIMEOUT_S), whole).await;
    feeding.abort();
    status.unwrap_or_else(|_| {
        tracing::warn!("a git request over SSH took over {REQUEST_TIMEOUT_S} s and was ended");
        Ok(STATUS_KILLED)
    })
}

async fn ended(child: &mut Child) -> std::io::Result<u32> {
    let status = child.wait().await?;
    Ok(status.code().and_then(|code| u32::try_from(code).ok()).unwrap_or(STATUS_KILLED))
}

/// Hands git what the client sends. What git does not read any more is read and dropped: a client that still sends does not
/// read why it should stop. Ends with the channel, and tells that in `gone`.
async fn feed(mut reader: ChannelReadHalf, stdin: ChildStdin, gone: CancellationToken) {
    let _gone = gone.drop_guard();
    let mut stdin = Some(stdin);
    loop {
        match reader.wait().await {
            Some(ChannelMsg::Data { data }) => {
                if let Some(open) = &mut stdin
                    && open.write_all(&data).await.is_err()
                {
                    stdin = None;
                }
            }
            Some(ChannelMsg::Eof) => stdin = None,
            Some(ChannelMsg::Close) | None => return,
            Some(_) => {}
        }
    }
}

/// Hands the client what git writes, to its end. What git still writes after its client has gone is read and dropped, so that
/// it can go on.
async fn pump(mut from: impl AsyncRead + Unpin, to: impl AsyncWrite, gone: &CancellationToken) {
    tokio::pin!(to);
    let mut client_is_there = true;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = match from.read(&mut chunk).await {
            Ok(0) | Err(_) => return,
            Ok(length) => length,
        };
        if client_is_there {
            client_is_there = tokio::select! {
                written = to.write_all(&chunk[..length]) => written.is_ok(),
                () = gone.cancelled() => false,
            };
        }
    }
}
