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

const HEAD: &str = "\
Run containers as the OCI runtime specification describes them.

Usage: dyno oci [options] <command> [options] <container> ...

Commands:
";

const FOOT: &str = "
Options:
  --root DIR           where containers are remembered [default: /run/dyno-oci]
  --log FILE           write errors there too
  --log-format FORMAT  text or json [default: text]
  --debug              accepted; every error is told in full anyway
  --help               this, or behind a command's name its options
  --version            versions of this program and of the specification
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
    /// Which it is.
    command: &'static Command,
    /// Where containers are remembered.
    pub(super) containers: Containers,
    /// Where warnings go.
    pub(super) log: &'a Log,
    /// What follows the command's name.
    words: &'a [String],
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
        print(&help())?;
        return Ok(0);
    };
    let Some(command) = COMMANDS.iter().find(|known| known.name == name) else {
        return Err(OciError::Usage(refusal(name)));
    };
    if is_asked_for_help(rest) {
        print(&command.help())?;
        return Ok(0);
    }
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
    (command.run)(&Call { command, containers: Containers::at(root), log, words: rest })
}

/// A command of the face.
struct Command {
    name: &'static str,
    about: &'static str,
    /// Its words behind the options.
    words: &'static str,
    options: &'static [Known],
    until: Until,
    run: fn(&Call<'_>) -> Result<u8, OciError>,
}

const CONTAINER: &str = "<container>";

#[rustfmt::skip]
const COMMANDS: &[Command] = &[
    Command { name: "create", about: "make a container from a bundle; its program waits for 'start'", words: CONTAINER,
        options: command::LAUNCH_OPTIONS, until: Until::End, run: command::create },
    Command { name: "start", about: "start the program of a created container", words: CONTAINER,
        options: &[], until: Until::End, run: command::start },
    Command { name: "run", about: "create and start a container, and wait for it (or not: --detach)", words: CONTAINER,
        options: command::LAUNCH_OPTIONS, until: Until::End, run: command::run },
    Command { name: "exec", about: "run a further program in a container", words: "<container> <program> [argument]...",
        options: command::EXEC_OPTIONS, until: Until::FirstWord, run: command::exec },
    Command { name: "state", about: "print a container's state", words: CONTAINER,
        options: &[], until: Until::End, run: command::state },
    Command { name: "kill", about: "send a signal to a container", words: "<container> [signal]",
        options: command::KILL_OPTIONS, until: Until::End, run: command::kill },
    Command { name: "delete", about: "remove a stopped container (or any: --force)", words: CONTAINER,
        options: command::DELETE_OPTIONS, until: Until::End, run: command::delete },
    Command { name: "list", about: "list containers", words: "",
        options: command::LIST_OPTIONS, until: Until::End, run: command::list },
    Command { name: "ps", about: "list a container's processes", words: CONTAINER,
        options: command::PS_OPTIONS, until: Until::FirstWord, run: command::ps },
    Command { name: "pause", about: "stop a container's processes where they are", words: CONTAINER,
        options: &[], until: Until::End, run: command::pause },
    Command { name: "resume", about: "let them go on", words: CONTAINER,
        options: &[], until: Until::End, run: command::resume },
    Command { name: "update", about: "change a container's limits", words: CONTAINER,
        options: command::UPDATE_OPTIONS, until: Until::End, run: command::update },
    Command { name: "spec", about: "write a config.json to begin with", words: "",
        options: command::SPEC_OPTIONS, until: Until::End, run: command::spec },
    Command { name: "features", about: "print what this runtime can do", words: "",
        options: &[], until: Until::End, run: command::features },
];

/// Commands of other runtimes that are not to come, and what to do instead.
const ABSENT: &[(&str, &str)] = &[
    ("checkpoint", "containers are not written to disk and brought back: stop this one, and create another"),
    ("restore", "containers are not written to disk and brought back: create one from its bundle"),
    ("events", "figures are not gathered: read them from the container's control groups"),
];

fn refusal(name: &str) -> String {
    match ABSENT.iter().find(|(absent, _)| *absent == name) {
        Some((_, instead)) => format!("the command {name:?} is not supported; {instead}"),
        None => format!("there is no command {name:?}: see 'dyno oci --help'"),
    }
}

fn help() -> String {
    let line = |command: &Command| format!("  {:<9} {}\n", command.name, command.about);
    let commands: String = COMMANDS.iter().map(line).collect();
    format!("{HEAD}{commands}{FOOT}")
}

/// Before the first word that is none of the command's own options.
fn is_asked_for_help(words: &[String]) -> bool {
    words.iter().take_while(|word| word.starts_with('-')).any(|word| word == "--help" || word == "-h")
}

impl Command {
    fn help(&self) -> String {
        let line = |option: &Known| {
            let letter = option.letter.map(|letter| format!("-{letter}, ")).unwrap_or_default();
            let value = if option.takes == Takes::Value { " VALUE" } else { "" };
            format!("  {letter}--{}{value}\n", option.name)
        };
        let options: String = self.options.iter().map(line).collect();
        let has_options = if options.is_empty() { "" } else { " [options]" };
        let words = if self.words.is_empty() { String::new() } else { format!(" {}", self.words) };
        let list = if options.is_empty() { String::new() } else { format!("\nOptions:\n{options}") };
        format!("{}: {}\n\nUsage: dyno oci {0}{has_options}{words}\n{list}", self.name, self.about)
    }
}

impl Call<'_> {
    /// The command's arguments, the first word of which is a container's name.
    pub(super) fn arguments(&self) -> Result<(Arguments, String), OciError> {
        let arguments = self.options()?;
        match arguments.words.first() {
            Some(id) => {
                let id = id.clone();
                Ok((arguments, id))
            }
            None => Err(OciError::Usage(format!("'{}' needs the id of a container", self.command.name))),
        }
    }

    /// The command's arguments.
    pub(super) fn options(&self) -> Result<Arguments, OciError> {
        let Command { name, options, until, .. } = self.command;
        Arguments::parse(name, options, *until, self.words)
    }
}

/// Writes to standard output.
pub(super) fn print(text: &str) -> Result<(), OciError> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(OciError::file("write", Path::new("standard output")))
}
