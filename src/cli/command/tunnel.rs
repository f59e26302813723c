//! `dyno tunnel`: a node elsewhere, brought to this machine's loopback by the stock ssh.

use std::ffi::OsString;
use std::io;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::Context;
use crate::cli::command::heroku::exit_code;
use crate::cli::failure::Failure;
use crate::cli::host::Host;
use crate::cli::output;

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
        let taken = |source| Failure::Local {
            attempt: format!("listen on port {} (--port names another)", self.port),
            source,
        };
        drop(TcpListener::bind(("localhost", self.port)).await.map_err(taken)?);
        let mut ssh = self.ssh().spawn().map_err(Failure::local("run ssh, of the package openssh-client"))?;
        // Ctrl-C is for ssh and for the command; this program waits for what they make of it.
        let mut interrupted = signal(SignalKind::interrupt()).map_err(Failure::local("wait for signals"))?;
        tokio::select! {
            opened = opened(&host) => opened?,
            ended = ssh.wait() => return Err(closed(ended)),
        }
        let Some((program, args)) = self.command.split_first() else {
            output::data(&format!("export DYNO_HOST={}\n", host.origin()))?;
            output::note(&format!(
                "The node of {} answers at {} until Ctrl-C.\n",
                self.destination,
                host.origin()
            ));
            return tokio::select! {
                _ = interrupted.recv() => Ok(ExitCode::SUCCESS),
                ended = ssh.wait() => Err(closed(ended)),
            };
        };
        let mut command = Command::new(program);
        command.args(args).env("DYNO_HOST", host.origin()).env_remove("DYNO_ROOT").env_remove("DYNO_SOCKET");
        let attempt = format!("run {}", program.to_string_lossy());
        let status = command.status().await.map_err(Failure::local(attempt))?;
        end(ssh).await;
        Ok(exit_code(status))
    }

    fn ssh(&self) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.args(["-N", "-T", "-o", "ExitOnForwardFailure=yes"]);
        ssh.args(["-o", &format!("ServerAliveInterval={ALIVE_EVERY_S}")]);
        for option in &self.options {
            ssh.args(["-o", option]);
        }
        // The stock command tries both addresses of the name, so both are to lead there.
        ssh.args(["-L", &format!("localhost:{}:127.0.0.1:{}", self.port, self.remote_port)]);
        ssh.args(["--", &self.destination]);
        ssh.stdin(Stdio::null()).kill_on_drop(true);
        ssh
    }
}

/// Waits until somebody listens at `host`.
async fn opened(host: &Host) -> Result<(), Failure> {
    while TcpStream::connect(("localhost", host.port())).await.is_err() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Ends ssh, which has nothing to lose.
async fn end(mut ssh: Child) {
    // It may have ended by itself.
    let _ = ssh.kill().await;
}

fn closed(ended: io::Result<std::process::ExitStatus>) -> Failure {
    match ended {
        Ok(_) => Failure::Nothing("The tunnel is closed: ssh has ended, and has told why.".to_owned()),
        Err(source) => Failure::Local { attempt: "wait for ssh".to_owned(), source },
    }
}
