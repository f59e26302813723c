//! `dyno oci <command>`, or a link named `dyno-oci`: the command line that Podman, containerd and the validation suites call a runtime by.
//! One process a command, no async runtime, nothing resident.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::arguments::{Arguments, Known, Takes, Until, flag, value};
use super::command;
use super::containers::{Containers, OCI_VERSION};
use super::error::OciError;
use super::report::Log;

/// First argument of the binary that selects this role.
pub const ROLE: &str = "oci";
/// Name of a link to the binary that selects it too, for callers that know a runtime by its path alone.
const NAME: &str = "dyno-oci";
/// Where containers are remembered.
const ROOT_DEFAULT: &str = "/run/dyno-oci";

const GLOBAL: &[Known] = &[
    value("root"),
    value("log"),
    value("log-format"),
    flag("debug"),
    flag("systemd-cgroup"),
    value("cgroup-manager"),
    value("rootless"),
    flag("help").or('h'),
    flag("version").or('v'),
];

const HELP: &str = "\
Run containers as the OCI runtime specification describes them.

Usage: dyno oci [options] <command> [options] <container> ...

Commands:
  create    make a container from a bundle; its program waits for 'start'
  start     start the program of a created container
  run       create and start a container, and wait for it (or not: --detach)
  exec      run a further program in a container
  state     print a container's state
  kill      send a signal to a container
  delete    remove a stopped container (or any: --force)
  list      list containers
  ps        list a container's processes
  pause     stop a container's processes where they are
  resume    let them go on
  update    change a container's limits
  spec      write a config.json to begin with
  features  print what this runtime can do

Options:
  --root DIR           where containers are remembered [default: /run/dyno-oci]
  --log FILE           write errors there too
  --log-format FORMAT  text or json [default: text]
  --debug              accepted; every error is told in full anyway
";

/// Whether the binary was called by the name that selects this role.
#[must_use]
pub fn is_called_by_name(program: &OsStr) -> bool {
    Path::new(program).file_name() == Some(OsStr::new(NAME))
}

/// Plays the role; `all` are the process's own arguments, `skip` of which name program and role.
#[must_use]
pub fn main(all: &[OsString], skip: usize) -> ExitCode {
    let mut log = Log::default();
    let result = words(&all[skip.min(all.len())..]).and_then(|words| dispatch(&words, &mut log));
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            log.tell(&super::error::full_text(&error));
            ExitCode::FAILURE
        }
    }
}

fn words(arguments: &[OsString]) -> Result<Vec<String>, OciError> {
    let text = |word: &OsString| {
        let readable = word.to_str().map(str::to_owned);
        readable.ok_or_else(|| OciError::Usage(format!("the argument {word:?} is not UTF-8")))
    };
    arguments.iter().map(text).collect()
}

/// What every command gets.
pub(super) struct Call<'a> {
    /// Where containers are remembered.
    pub(super) containers: Containers,
    /// What follows the command's name.
    pub(super) words: &'a [String],
}

fn dispatch(words: &[String], log: &mut Log) -> Result<u8, OciError> {
    let global = Arguments::parse("oci", GLOBAL, Until::FirstWord, words)?;
    *log = Log::open(global.value("log"), global.value("log-format"))?;
    if global.has("version") {
        let version = env!("CARGO_PKG_VERSION");
        print(&format!("dyno-oci version {version}\nspec: {OCI_VERSION}\n"))?;
        return Ok(0);
    }
    let Some((name, rest)) = global.words.split_first().filter(|_| !global.has("help")) else {
        print(HELP)?;
        return Ok(0);
    };
    if global.has("systemd-cgroup")
        || global.value("cgroup-manager").is_some_and(|manager| manager == "systemd")
    {
        return Err(OciError::Usage(
            "control groups by systemd are not supported: leave --systemd-cgroup out (Podman: --cgroup-manager=cgroupfs)"
                .to_owned(),
        ));
    }
    let root = global.value("root").map_or_else(|| PathBuf::from(ROOT_DEFAULT), PathBuf::from);
    let root = std::path::absolute(&root).map_err(OciError::file("find", &root))?;
    let call = Call { containers: Containers::at(root), words: rest };
    let Some((_, run)) = COMMANDS.iter().find(|(known, _)| known == name) else {
        return Err(OciError::Usage(format!("there is no command {name:?}: see 'dyno oci --help'")));
    };
    run(&call)
}

type Command = fn(&Call<'_>) -> Result<u8, OciError>;

const COMMANDS: &[(&str, Command)] = &[
    ("create", command::create),
    ("start", command::start),
    ("run", command::run),
    ("exec", command::exec),
    ("state", command::state),
    ("kill", command::kill),
    ("delete", command::delete),
    ("list", command::list),
    ("ps", command::ps),
    ("pause", command::pause),
    ("resume", command::resume),
    ("update", command::update),
    ("spec", command::spec),
    ("features", command::features),
];

impl Call<'_> {
    /// The command's arguments, the first word of which is a container's name.
    pub(super) fn arguments(
        &self,
        command: &str,
        known: &[Known],
        until: Until,
    ) -> Result<(Arguments, String), OciError> {
        let arguments = self.options(command, known, until)?;
        match arguments.words.first() {
            Some(id) => {
                let id = id.clone();
                Ok((arguments, id))
            }
            None => Err(OciError::Usage(format!("'{command}' needs the id of a container"))),
        }
    }

    /// The command's arguments.
    pub(super) fn options(
        &self,
        command: &str,
        known: &[Known],
        until: Until,
    ) -> Result<Arguments, OciError> {
        if self
            .words
            .iter()
            .take_while(|word| word.starts_with('-'))
            .any(|word| word == "--help" || word == "-h")
        {
            let line = |option: &Known| {
                let value = if option.takes == Takes::Value { " VALUE" } else { "" };
                format!("  --{}{value}\n", option.name)
            };
            let options: String = known.iter().map(line).collect();
            return Err(OciError::Usage(format!(
                "usage: dyno oci {command} [options] <container> ...\n{options}"
            )));
        }
        Arguments::parse(command, known, until, self.words)
    }
}

/// Writes to standard output.
pub(super) fn print(text: &str) -> Result<(), OciError> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(OciError::file("write", Path::new("standard output")))
}
