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
    let limit = match hook.timeout() {
        None => None,
        Some(seconds) => match u64::try_from(seconds) {
            Ok(seconds) if seconds > 0 => Some(Duration::from_secs(seconds)),
            Ok(_) | Err(_) => {
                let what = "its timeout must be more than 0 seconds";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
            }
        },
    };
    let mut words = std::fs::File::from(handover::memory_file("hook")?);
    // A file rather than a pipe: a hook that does not care for the state must not hold us up.
    let mut input = std::fs::File::from(handover::memory_file("state")?);
    input.write_all(state.as_bytes())?;
    input.seek(SeekFrom::Start(0))?;
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
        .stdin(Stdio::from(input))
        .stdout(Stdio::from(words.try_clone()?))
        .stderr(Stdio::from(words.try_clone()?))
        .spawn()?;
    let pidfd = process::open_pid(child.id())?;
    if process::wait_readable(&[std::os::fd::AsFd::as_fd(&pidfd)], limit)? != [true] {
        child.kill()?;
        child.wait()?;
        return Err(io::Error::other("it did not end within its timeout, and was killed"));
    }
    let status = child.wait()?;
    if status.success() {
        return Ok(());
    }
    let mut said = Vec::new();
    words.seek(SeekFrom::Start(0))?;
    words.take(WORDS_BYTES_MAX).read_to_end(&mut said)?;
    Err(io::Error::other(format!("{status}: {}", String::from_utf8_lossy(&said).trim())))
}
