//! Running the package tools so that they leave nothing behind: in mount and process namespaces of their own, which end,
//! with every mount and process in them, when the tool ends or when we do.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use super::error::StackError;

/// How many of a tool's last lines are kept to explain a failure.
const TAIL_LINES: usize = 30;
/// Exit status by which `delta.sh` says that no overlay can be mounted.
const NO_OVERLAY_STATUS: i32 = 41;
/// Exit statuses of `import.sh`, and what they say.
const OF_IMPORTS: &[(i32, &str)] = &[
    (42, "a layer holds more, unpacked, than is taken"),
    (43, "a layer cannot be unpacked"),
    (44, "it has no bash, with which every process of a dyno begins"),
];
/// What the tools see of the caller's environment, besides `PATH`.
const PASSED_ON: &[&str] =
    &["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"];

/// A tool's run.
pub(super) struct Tool<'a> {
    /// What it does, for people.
    pub(super) step: &'static str,
    /// Program and arguments.
    pub(super) argv: Vec<OsString>,
    /// Where it runs.
    pub(super) dir: &'a Path,
    /// The stack's suite.
    pub(super) suite: &'a str,
}

impl Tool<'_> {
    /// Runs the tool to its end; every line it writes goes to `on_line`.
    pub(super) fn run(self, on_line: &mut dyn FnMut(&str)) -> Result<(), StackError> {
        let start = |error| StackError::file("run", self.argv.first().cloned().unwrap_or_default())(error);
        let (reader, writer) = std::io::pipe().map_err(start)?;
        let mut child = {
            let mut command = Command::new("setpriv");
            command
                .args(["--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child"])
                .args(["--mount-proc", "sh", "-c", "umask 022; exec \"$@\"", "sh"])
                .args(&self.argv)
                .current_dir(self.dir)
                .env_clear()
                .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
                .env("LC_ALL", "C.UTF-8")
                .env("DEBIAN_FRONTEND", "noninteractive")
                .envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
                .stdin(Stdio::null())
                .stdout(writer.try_clone().map_err(start)?)
                .stderr(writer);
            // The command holds the pipe's writing ends: it must go before the pipe is read to its end.
            command.spawn().map_err(start)?
        };
        let mut tail = VecDeque::with_capacity(TAIL_LINES);
        let mut lines = BufReader::new(reader);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).map_err(start)? > 0 {
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end();
            on_line(text);
            if tail.len() == TAIL_LINES {
                tail.pop_front();
            }
            tail.push_back(text.to_owned());
            line.clear();
        }
        let status = child.wait().map_err(start)?;
        if status.success() {
            return Ok(());
        }
        if status.code() == Some(NO_OVERLAY_STATUS) {
            return Err(StackError::Overlay(self.dir.to_owned()));
        }
        if let Some((_, reason)) = OF_IMPORTS.iter().find(|(known, _)| status.code() == Some(*known)) {
            let last = tail.back().map(|line| format!(" ({line})")).unwrap_or_default();
            return Err(StackError::Image {
                image: "the image".to_owned(),
                reason: format!("{reason}{last}"),
            });
        }
        let tail: Vec<_> = tail.into();
        Err(self.explain(&status.to_string(), &tail.join("\n")))
    }

    /// The failure as the user can act on it.
    fn explain(&self, status: &str, tail: &str) -> StackError {
        let says = |words: &[&str]| tail.lines().find(|line| words.iter().any(|word| line.contains(word)));
        if says(&["No space left on device"]).is_some() {
            let path = self.dir.to_owned();
            return StackError::DiskFull { path, free_mib: 0, needed_mib: super::builder::NEEDED_MIB };
        }
        if let Some(line) = says(&["NO_PUBKEY", "is not signed", "couldn't be verified"]) {
            return StackError::KeyringMissing { suite: self.suite.to_owned(), detail: line.to_owned() };
        }
        let network =
            ["Could not resolve", "Temporary failure resolving", "Could not connect", "Failed to fetch"];
        if says(&network).is_some() {
            return StackError::Network(tail.to_owned());
        }
        StackError::Step { step: self.step, status: status.to_owned(), tail: tail.to_owned() }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn explained(tail: &str) -> StackError {
        let tool = Tool { step: "a step", argv: vec![], dir: Path::new("/d"), suite: "trixie" };
        tool.explain("exit status: 100", tail)
    }

    #[test]
    fn a_failure_is_told_by_its_cause() {
        assert!(matches!(explained("E: x\nE: No space left on device\n"), StackError::DiskFull { .. }));
        assert!(matches!(explained("GPG error: NO_PUBKEY 123"), StackError::KeyringMissing { .. }));
        assert!(matches!(explained("Err:1 Could not resolve 'a.example'"), StackError::Network(_)));
        let other = explained("dpkg: error").to_string();
        assert!(
            other.contains("a step failed (exit status: 100)") && other.contains("dpkg: error"),
            "{other}"
        );
    }
}
