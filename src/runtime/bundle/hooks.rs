//! Hooks: programs of the bundle's that run at fixed points of a container's life and get its state on their input.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use oci_spec::runtime::Hook;

use crate::sys::{handover, process};

/// How much of a hook's complaint is told, in bytes.
const WORDS_BYTES_MAX: u64 = 4096;

/// Runs hooks one after the other; the first that fails ends the run.
///
/// # Errors
/// What the hook did, and what it said.
pub fn run_all(point: &str, hooks: &[Hook], state: &str) -> io::Result<()> {
    hooks.iter().enumerate().try_for_each(|(index, hook)| {
        run(hook, state).map_err(|error| {
            io::Error::other(format!("{point} hook {index} ({}): {error}", hook.path().display()))
        })
    })
}

fn run(hook: &Hook, state: &str) -> io::Result<()> {
    if !hook.path().is_absolute() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "give an absolute path"));
    }
    let mut words = std::fs::File::from(handover::memory_file("hook")?);
    let mut command = Command::new(hook.path());
    let args = hook.args().as_deref().unwrap_or_default();
    if let Some((name, rest)) = args.split_first() {
        command.arg0(name).args(rest);
    }
    command.env_clear();
    for pair in hook.env().iter().flatten() {
        if let Some((name, value)) = pair.split_once('=') {
            command.env(name, value);
        }
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::from(words.try_clone()?))
        .stderr(Stdio::from(words.try_clone()?))
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        match input.write_all(state.as_bytes()) {
            // It may not care for the state.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    let timeout = hook.timeout().and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
    let pidfd = process::open_pid(child.id())?;
    if process::wait_readable(&[std::os::fd::AsFd::as_fd(&pidfd)], timeout)? != [true] {
        child.kill()?;
        child.wait()?;
        return Err(io::Error::other("it did not end within its timeout, and was killed"));
    }
    let status = child.wait()?;
    if status.success() {
        return Ok(());
    }
    let mut said = String::new();
    words.seek(SeekFrom::Start(0))?;
    // What is no text is left out; the status says the most.
    let _ = words.take(WORDS_BYTES_MAX).read_to_string(&mut said);
    Err(io::Error::other(format!("{status}: {}", said.trim())))
}
