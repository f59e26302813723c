//! Which node a command speaks to.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::failure::Failure;
use crate::cli::host::Host;

/// What names a node where no flag does, the first that is set.
const SOCKET_VARIABLE: &str = "DYNO_SOCKET";
const HOST_VARIABLE: &str = "DYNO_HOST";
const ROOT_VARIABLE: &str = "DYNO_ROOT";
/// What vouches for one that is reached under TLS.
const AUTHORITY_VARIABLE: &str = "DYNO_AUTHORITY";
/// Where a node keeps its state unless told otherwise.
const LIB_DIR: &str = "/var/lib/dyno";
/// Where a node keeps what a reboot may take, unless told otherwise.
const RUN_DIR: &str = "/run/dyno";

/// Selects the node and the form of the output. Variables count where no flag names a node: clap would have them be as good as flags.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Options of every command")]
pub(super) struct NodeArgs {
    /// Directory of the node, when it is not the machine's own; or DYNO_ROOT
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) root: Option<PathBuf>,
    /// Socket of the node's API; or DYNO_SOCKET
    #[arg(long, global = true, value_name = "PATH")]
    pub(super) socket: Option<PathBuf>,
    /// Address of a node that is reached over TCP, with a token: https://NAME[:PORT], or http://localhost:PORT of a tunnel; or DYNO_HOST
    #[arg(long, global = true, value_name = "URL")]
    pub(super) host: Option<Host>,
    /// File of certificates that vouch for such a node, beside those that this machine trusts; or DYNO_AUTHORITY
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) authority: Option<PathBuf>,
    /// Print data as JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
}

impl NodeArgs {
    /// With what the environment says where the flags say nothing; a variable that is empty says nothing.
    pub(super) fn with_environment(
        mut self,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, Failure> {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        if self.root.is_none() && self.socket.is_none() && self.host.is_none() {
            self.socket = set(SOCKET_VARIABLE).map(PathBuf::from);
            if let (None, Some(text)) = (&self.socket, set(HOST_VARIABLE)) {
                let host = text.to_string_lossy().parse();
                self.host = Some(
                    host.map_err(|why| Failure::Usage(format!("{HOST_VARIABLE} names no node: {why}.")))?,
                );
            }
            self.root = set(ROOT_VARIABLE).map(PathBuf::from);
        }
        self.authority = self.authority.or_else(|| set(AUTHORITY_VARIABLE).map(PathBuf::from));
        Ok(self)
    }

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
    fn a_flag_goes_before_every_variable_and_an_empty_one_says_nothing() {
        let all = |name: &str| match name {
            "DYNO_HOST" => Some(OsString::from("http://localhost:5080")),
            "DYNO_ROOT" => Some(OsString::from("/n")),
            _ => Some(OsString::new()),
        };
        let node = NodeArgs::default().with_environment(all).unwrap();
        assert_eq!(node.host.unwrap().origin(), "http://localhost:5080");
        assert_eq!((node.socket, node.authority), (None, None));
        let flag = NodeArgs { root: Some("/mine".into()), ..NodeArgs::default() };
        let node = flag.with_environment(all).unwrap();
        assert_eq!((node.host, node.root), (None, Some("/mine".into())));
        let wrong = |_: &str| Some(OsString::from("http://node.example.com"));
        let failure =
            NodeArgs::default().with_environment(|name| if name == "DYNO_HOST" { wrong(name) } else { None });
        assert!(failure.unwrap_err().to_string().starts_with("DYNO_HOST names no node: plain HTTP"));
    }

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
