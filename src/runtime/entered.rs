//! A further command in a running container, as its client sees it.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::runtime::client::{RuntimeError, StdioFds};
use crate::runtime::container::Signal;
use crate::runtime::exit::ExitStatus;
use crate::runtime::spawner::StepFailed;
use crate::runtime::spawner::protocol::{self, ClientSays, Reply, Request};
use crate::runtime::spec::{ContainerId, StdioKind};
use crate::sys::message::{self, Channel};

/// A command is running, or known not to, within this time, those before it in the queue included.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);

/// What is to be run. Not printed: the environment may hold secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// In which container.
    pub id: ContainerId,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Laid over the environment that the application was started with.
    pub env: BTreeMap<String, String>,
    /// Where the standard streams lead; not to the log.
    pub stdio: StdioKind,
}

/// A command that runs.
#[derive(Debug)]
pub struct Entered {
    /// Its process id, on the host.
    pub pid: u32,
    /// Other ends of its standard streams.
    pub stdio: StdioFds,
    /// The hold on it.
    pub hold: Hold,
}

/// A client's hold on a command. When it is dropped the client counts as gone: the command's process group gets SIGHUP, and is killed
/// when it does not go.
#[derive(Debug)]
pub struct Hold(Channel);

/// Why a command does not run.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// A step failed.
    #[error("no command was started in the container {id}")]
    Step {
        /// Which container.
        id: ContainerId,
        /// Which step.
        source: Box<StepFailed>,
    },
    /// The runtime does not work.
    #[error("no command was started in the container {id}")]
    Runtime {
        /// Which container.
        id: ContainerId,
        /// Why.
        source: Box<RuntimeError>,
    },
}

// === impl Entry ===

impl Entry {
    /// The environment of the command, over that of the application: `NAME=value`.
    pub(in crate::runtime) fn environment(&self, application: &[String]) -> Vec<String> {
        let name = |pair: &String| pair.split('=').next().unwrap_or_default().to_owned();
        let inherited = application.iter().filter(|pair| !self.env.contains_key(&name(pair))).cloned();
        inherited.chain(self.env.iter().map(|(name, value)| format!("{name}={value}"))).collect()
    }

    /// Asks the spawner behind `channel`, and waits until the command runs.
    pub(in crate::runtime) fn enter(self, channel: Channel) -> Result<Entered, EnterError> {
        let Entry { id, stdio, .. } = self.clone();
        let failed = |source: std::io::Error| EnterError::Runtime {
            id: id.clone(),
            source: RuntimeError::Silent(source).into(),
        };
        let file = serde_json::to_vec(&self).map_err(std::io::Error::from);
        let file = file.and_then(|bytes| message::sealed(&bytes)).map_err(failed)?;
        protocol::say(&channel, &Request::Enter, &[file.as_fd()]).map_err(failed)?;
        match protocol::hear(&channel, REPLY_TIMEOUT).map_err(failed)? {
            Some((Reply::Entered { pid }, descriptors)) => {
                let stdio = streams(stdio, descriptors).map_err(failed)?;
                Ok(Entered { pid, stdio, hold: Hold(channel) })
            }
            Some((Reply::Failed(source), _)) => {
                Err(EnterError::Step { id: id.clone(), source: source.into() })
            }
            Some((said, _)) => Err(failed(std::io::Error::other(format!("it says {said:?}")))),
            None => Err(failed(std::io::ErrorKind::ConnectionAborted.into())),
        }
    }
}

fn streams(kind: StdioKind, descriptors: Vec<OwnedFd>) -> std::io::Result<StdioFds> {
    let mut descriptors = descriptors.into_iter();
    let mut next = || descriptors.next().ok_or(std::io::ErrorKind::InvalidData);
    Ok(match kind {
        StdioKind::Log => StdioFds::Log,
        StdioKind::Terminal { .. } => StdioFds::Terminal { master: next()? },
        StdioKind::Pipes => StdioFds::Pipes { stdin: next()?, stdout: next()?, stderr: next()? },
    })
}

// === impl Hold ===

impl Hold {
    /// Waits for the command's end; `Lost` where it went with its container.
    pub async fn ended(&self) -> ExitStatus {
        loop {
            if self.0.readable().await.is_err() {
                return ExitStatus::Lost;
            }
            match protocol::hear::<Reply>(&self.0, Duration::ZERO) {
                Ok(Some((Reply::Ended(status), _))) => return status,
                Ok(Some(_)) => {}
                Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {}
                Ok(None) | Err(_) => return ExitStatus::Lost,
            }
        }
    }

    /// Sends a signal to the command's process group; nothing happens where it has ended.
    pub fn signal(&self, signal: Signal) {
        // Its end is told by `ended`.
        let _ = protocol::say(&self.0, &ClientSays::Signal(signal.number()), &[]);
    }

    /// Says that the client has gone, as dropping it does; its end can still be waited for.
    pub fn hang_up(&self) {
        // One that has ended has nobody to tell.
        let _ = self.0.finish();
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn what_is_given_to_a_command_stands_before_what_its_application_has() {
        let entry = Entry {
            id: "c1".parse().unwrap(),
            argv: vec!["sh".to_owned()],
            env: [("TERM", "xterm"), ("A", "2=3")].map(|(a, b)| (a.to_owned(), b.to_owned())).into(),
            stdio: StdioKind::Pipes,
        };
        let inherited = ["PATH=/bin", "A=1", "AB=4"].map(str::to_owned);
        assert_eq!(entry.environment(&inherited), ["PATH=/bin", "AB=4", "A=2=3", "TERM=xterm"]);
    }
}
