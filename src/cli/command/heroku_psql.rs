//! The `psql` that the stock command finds on its path: where its host is a database of the node, which only dynos reach, it goes into
//! the database's container instead.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use uuid::Uuid;

use crate::cli::Context;
use crate::cli::command::data_service::{self, Near};
use crate::cli::failure::Failure;
use crate::domain::shell_quoted;
use crate::wire::api::Attachment;

/// The client that is stood in for.
const PROGRAM: &str = "psql";
/// The act of a service that takes that client's own arguments.
const ACT: &str = "psql";
/// Between these is the begin of an add-on's identity in the name of its host.
const HOST: (&str, &str) = ("addon-", ".internal");

/// Be psql for a database of the node
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// What psql is given
    #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let host = std::env::var("PGHOST").unwrap_or_default();
        let all: Vec<Attachment> = context.client.get("/addon-attachments").await?;
        let none = || Failure::Nothing(format!("{host:?} is the host of no database of the node."));
        let found = all.iter().find(|one| is_of(one.addon.id, &host)).ok_or_else(none)?;
        let args = read_files(self.args)?;
        let is_told = args.iter().any(|arg| arg.starts_with("-c") || arg.starts_with("--command"));
        let near = if is_told { Near::Pipes } else { Near::Terminal };
        data_service::attend(context, found, ((ACT, args), near)).await
    }
}

/// Whether that is the host of an add-on.
fn is_of(add_on: Uuid, host: &str) -> bool {
    let begin = host.strip_prefix(HOST.0).and_then(|rest| rest.strip_suffix(HOST.1));
    begin.is_some_and(|begin| !begin.is_empty() && add_on.simple().to_string().starts_with(begin))
}

/// Files of commands are here, and not where psql runs.
fn read_files(args: Vec<String>) -> Result<Vec<String>, Failure> {
    let (mut given, mut all) = (args.into_iter(), Vec::new());
    while let Some(arg) = given.next() {
        if arg == "-f" {
            let file = given.next().unwrap_or_default();
            let text = std::fs::read_to_string(&file).map_err(Failure::local(format!("read {file}")))?;
            all.extend(["-c".to_owned(), text]);
        } else {
            all.push(arg);
        }
    }
    Ok(all)
}

/// A folder with such a psql in it; it goes when this is dropped.
pub(super) struct StandIn {
    dir: PathBuf,
}

impl StandIn {
    /// Makes it, for the node that `context` is about.
    pub(super) fn make(context: &Context) -> Result<Self, Failure> {
        let failed = |dir: &Path| Failure::local(format!("make {}", dir.display()));
        let program = std::env::current_exe().map_err(Failure::local("find this program"))?;
        let flags = context.node.flags()?;
        let words = std::iter::once(program.to_string_lossy().into_owned()).chain(flags);
        let words = words.map(|word| shell_quoted(&word)).collect::<Vec<_>>().join(" ");
        let dir = std::env::temp_dir().join(format!("dyno-{}", Uuid::new_v4()));
        std::fs::DirBuilder::new().mode(0o700).create(&dir).map_err(failed(&dir))?;
        let stand_in = Self { dir };
        let path = stand_in.dir.join(PROGRAM);
        let script = format!(
            "#!/bin/sh\ncase $PGHOST in\n  {}*{}) exec {words} pg:stand-in -- \"$@\" ;;\nesac\nPATH=${{PATH#*:}} exec {PROGRAM} \"$@\"\n",
            HOST.0, HOST.1
        );
        let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o700).open(&path);
        opened.and_then(|mut file| file.write_all(script.as_bytes())).map_err(failed(&path))?;
        Ok(stand_in)
    }

    /// The path of programs with this first.
    pub(super) fn path(&self) -> std::ffi::OsString {
        let mut path = self.dir.clone().into_os_string();
        if let Some(others) = std::env::var_os("PATH") {
            path.push(":");
            path.push(others);
        }
        path
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        // What is left of it is in the folder of temporary files.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_host_is_that_of_the_add_on_whose_identity_it_begins() {
        let id = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        assert!(is_of(id, "addon-0123456789ab.internal"));
        for other in ["addon-1123456789ab.internal", "addon-.internal", "localhost", ""] {
            assert!(!is_of(id, other), "{other}");
        }
    }

    #[test]
    fn a_file_of_commands_is_read_here() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.sql");
        std::fs::write(&file, "SELECT 1;").unwrap();
        let args = ["-f", file.to_str().unwrap(), "-q"].map(str::to_owned).to_vec();
        assert_eq!(read_files(args).unwrap(), ["-c", "SELECT 1;", "-q"]);
    }
}
