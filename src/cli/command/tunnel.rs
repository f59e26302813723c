//! `dyno tunnel`: a node elsewhere, brought to this machine's loopback by the stock ssh.

use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use tokio::net::{TcpListener, UnixStream};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

use crate::cli::Context;
use crate::cli::command::heroku::exit_code;
use crate::cli::failure::Failure;
use crate::cli::host::Host;
use crate::cli::output;

/// A directory that is its owner's alone.
const PRIVATE_DIR: u32 = 0o700;
/// The port of a node unless it was told otherwise.
const PORT: u16 = 5080;
/// Between two looks at whether the tunnel is open. They go on for as long as ssh does: it may ask its user things first.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// ssh gives up a connection that is silent for three times this, seconds.
const ALIVE_EVERY_S: u32 = 20;

/// Bring a node elsewhere to a port of this machine, over SSH
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Where the node is, as ssh knows it
    #[arg(value_name = "USER@HOST")]
    destination: String,
    /// Port of this machine
    #[arg(short, long, default_value_t = PORT, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Port of the node on its machine
    #[arg(long, default_value_t = PORT, value_parser = clap::value_parser!(u16).range(1..))]
    remote_port: u16,
    /// An option for ssh, as in its configuration: -o Port=2222
    #[arg(short = 'o', value_name = "OPTION")]
    options: Vec<String>,
    /// What to run while the tunnel is open, rather than to keep it open until Ctrl-C
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Args {
    pub(in crate::cli) async fn run(self, _: &Context) -> Result<ExitCode, Failure> {
        // A name that begins so would be an option of ssh.
        if self.destination.starts_with('-') || self.destination.is_empty() {
            return Err(Failure::Usage(format!("{:?} is no destination for ssh.", self.destination)));
        }
        let host = Host::local(self.port);
        let listeners = self.listen().await?;
        let place = Place::new()?;
        let far = place.0.join("node");
        let mut ssh =
            self.ssh(&far).spawn().map_err(Failure::local("run ssh, of the package openssh-client"))?;
        // Ctrl-C is for ssh and for the command; this program waits for what they make of it.
        let mut interrupted = signal(SignalKind::interrupt()).map_err(Failure::local("wait for signals"))?;
        tokio::select! {
            () = opened(&far) => {}
            ended = ssh.wait() => return Err(closed(ended)),
        }
        for listener in listeners {
            tokio::spawn(lead(listener, far.clone()));
        }
        let Some((program, args)) = self.command.split_first() else {
            let origin = host.origin();
            output::data(&format!("export DYNO_HOST={origin}\n"))?;
            output::note(&format!("The node of {} answers at {origin} until Ctrl-C.\n", self.destination));
            return tokio::select! {
                _ = interrupted.recv() => Ok(ExitCode::SUCCESS),
                ended = ssh.wait() => Err(closed(ended)),
            };
        };
        let mut command = Command::new(program);
        command.args(args).env("DYNO_HOST", host.origin()).env_remove("DYNO_ROOT").env_remove("DYNO_SOCKET");
        let attempt = format!("run {}", program.to_string_lossy());
        let status = command.status().await.map_err(Failure::local(attempt))?;
        // It has nothing to lose, and may have ended by itself.
        let _ = ssh.kill().await;
        Ok(exit_code(status))
    }

    /// Both addresses of this machine's name, before anything leads anywhere: clients try both, and what listens on either is given
    /// a token. One that the machine does not have is nobody's.
    async fn listen(&self) -> Result<Vec<TcpListener>, Failure> {
        let taken = |source| Failure::Local {
            attempt: format!("listen on port {} (--port names another)", self.port),
            source,
        };
        let mut listeners = Vec::new();
        for address in [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)] {
            match TcpListener::bind((address, self.port)).await {
                Ok(listener) => listeners.push(listener),
                Err(none) if none.kind() == io::ErrorKind::AddrNotAvailable => {}
                Err(failed) => return Err(taken(failed)),
            }
        }
        Ok(listeners)
    }

    fn ssh(&self, far: &Path) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.args(["-N", "-T", "-o", "ExitOnForwardFailure=yes"]);
        ssh.args(["-o", &format!("ServerAliveInterval={ALIVE_EVERY_S}")]);
        for option in &self.options {
            ssh.args(["-o", option]);
        }
        ssh.args(["-L", &format!("{}:127.0.0.1:{}", far.display(), self.remote_port)]);
        ssh.args(["--", &self.destination]);
        ssh.stdin(Stdio::null()).kill_on_drop(true);
        ssh
    }
}

/// A directory that nobody else enters, gone when dropped: in it ssh makes the socket that leads to the node.
struct Place(PathBuf);

impl Place {
    fn new() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("dyno-tunnel-{}", Uuid::new_v4()));
        let made = std::fs::DirBuilder::new().mode(PRIVATE_DIR).create(&path);
        made.map_err(Failure::local(format!("make {}", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What is left of it is empty, and in a place that is cleared.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Waits until ssh leads to the node.
async fn opened(far: &Path) {
    while UnixStream::connect(far).await.is_err() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Leads every connection on to the node, for as long as the tunnel is open.
async fn lead(listener: TcpListener, far: PathBuf) {
    while let Ok((mut near, _)) = listener.accept().await {
        let far = far.clone();
        tokio::spawn(async move {
            let Ok(mut far) = UnixStream::connect(far).await else { return };
            // Whichever end breaks it has its reason, and the other sees it end.
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        });
    }
}

fn closed(ended: io::Result<std::process::ExitStatus>) -> Failure {
    match ended {
        Ok(_) => Failure::Nothing("The tunnel is closed: ssh has ended, and has told why.".to_owned()),
        Err(source) => Failure::Local { attempt: "wait for ssh".to_owned(), source },
    }
}
