//! Which node a command speaks to.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::failure::Failure;
use crate::cli::host::Host;

/// Where a node keeps its state unless told otherwise.
const LIB_DIR: &str = "/var/lib/dyno";
/// Where a node keeps what a reboot may take, unless told otherwise.
const RUN_DIR: &str = "/run/dyno";

/// Selects the node and the form of the output.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct NodeArgs {
    /// Directory of the node, when it is not the machine's own
    #[arg(long, global = true, value_name = "DIR", env = "DYNO_ROOT")]
    pub(super) root: Option<PathBuf>,
    /// Socket of the node's API
    #[arg(long, global = true, value_name = "PATH", env = "DYNO_SOCKET")]
    pub(super) socket: Option<PathBuf>,
    /// Address of a node that is reached over TCP, with a token: https://NAME[:PORT], or http://localhost:PORT of a tunnel
    #[arg(long, global = true, value_name = "URL", env = "DYNO_HOST")]
    pub(super) host: Option<Host>,
    /// File of certificates that vouch for such a node, beside those that this machine trusts
    #[arg(long, global = true, value_name = "FILE", env = "DYNO_AUTHORITY")]
    pub(super) authority: Option<PathBuf>,
    /// Print data as JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
}

impl NodeArgs {
    /// The API's socket.
    pub(super) fn socket(&self) -> PathBuf {
        match (&self.socket, &self.root) {
            (Some(socket), _) => socket.clone(),
            (None, Some(root)) => root.join("run/api.sock"),
            (None, None) => Path::new(RUN_DIR).join("api.sock"),
        }
    }

    /// The directory of the node's state.
    pub(super) fn lib_dir(&self) -> PathBuf {
        self.root.as_ref().map_or_else(|| PathBuf::from(LIB_DIR), |root| root.join("lib"))
    }

    /// That the node is this machine's, for what is done to its files; `command` is what would do it.
    pub(super) fn must_be_here(&self, command: &str) -> Result<(), Failure> {
        match &self.host {
            None => Ok(()),
            Some(host) => Err(Failure::Usage(format!(
                "{command} works on the files of a node: run it on the machine itself rather than against {}.",
                host.origin()
            ))),
        }
    }

    /// The flags with which another call of this program finds the same node, absolute.
    pub(super) fn flags(&self) -> Result<Vec<String>, Failure> {
        let mut flags = Vec::new();
        if let Some(host) = &self.host {
            flags.extend(["--host".to_owned(), host.origin()]);
        }
        let files = [("--root", &self.root), ("--socket", &self.socket), ("--authority", &self.authority)];
        for (flag, path) in files {
            if let Some(path) = path {
                let path = std::path::absolute(path).map_err(Failure::local("tell the current directory"))?;
                flags.extend([flag.to_owned(), path.to_string_lossy().into_owned()]);
            }
        }
        Ok(flags)
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_root_moves_everything_and_a_socket_only_itself() {
        let node = NodeArgs { root: Some("/n".into()), ..NodeArgs::default() };
        assert_eq!(node.socket(), Path::new("/n/run/api.sock"));
        assert_eq!(node.lib_dir(), Path::new("/n/lib"));
        let node = NodeArgs { socket: Some("/s".into()), ..node };
        assert_eq!(node.socket(), Path::new("/s"));
        assert_eq!(NodeArgs::default().socket(), Path::new("/run/dyno/api.sock"));
    }
}
