//! Hooks: programs of the bundle's that run at fixed points of a container's life and get its state on their input.

use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use oci_spec::runtime::Hook;

use crate::sys::{handover, message, process, terminal};

/// How much of a hook's complaint is told, in bytes.
const WORDS_BYTES_MAX: usize = 4096;

/// Runs hooks one after the other; the first that fails ends the run.
///
/// # Errors
/// What the hook did, and what it said.
pub fn run_all(point: &str, hooks: &[Hook], state: &str) -> io::Result<()> {
    run_all_beside(&[], point, hooks, state)
}

/// As `run_all`; hooks that name no environment of their own get this one.
///
/// # Errors
/// As `run_all`.
pub(super) fn run_all_beside(env: &[String], point: &str, hooks: &[Hook], state: &str) -> io::Result<()> {
    hooks.iter().enumerate().try_for_each(|(index, hook)| {
        run(hook, env, state).map_err(|error| {
            io::Error::other(format!("{point} hook {index} ({}): {error}", hook.path().display()))
        })
    })
}

fn run(hook: &Hook, env: &[String], state: &str) -> io::Result<()> {
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
    for pair in hook.env().as_deref().unwrap_or(env) {
        if let Some((name, value)) = pair.split_once('=') {
            command.env(name, value);
        }
    }
    let (from, to) = message::pipe()?;
    terminal::set_nonblocking(&from)?;
    let child = command
        .stdin(Stdio::from(input))
        .stdout(Stdio::from(to.try_clone()?))
        .stderr(Stdio::from(to))
        .spawn()?;
    // It holds our ends of what the hook writes to.
    drop(command);
    wait(child, from, limit)
}

/// Waits for the end, and takes what is said meanwhile, so that nobody waits for room and nothing grows; the beginning is kept. Whoever
/// the hook leaves behind talks to nobody.
fn wait(mut child: Child, from: OwnedFd, limit: Option<Duration>) -> io::Result<()> {
    let pidfd = process::open_pid(child.id())?;
    let deadline = limit.map(|limit| Instant::now() + limit);
    let (mut said, mut from) = (Vec::new(), Some(from));
    loop {
        let mut watched = vec![pidfd.as_fd()];
        watched.extend(from.as_ref().map(AsFd::as_fd));
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let ready = process::wait_readable(&watched, left)?;
        from = from.filter(|from| take(from, &mut said));
        if ready.first() == Some(&true) {
            break;
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::other("it did not end within its timeout, and was killed"));
        }
    }
    let status = child.wait()?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{status}: {}", String::from_utf8_lossy(&said).trim())))
}

/// Takes some of what is there now; whether there may be more some time.
fn take(from: &OwnedFd, said: &mut Vec<u8>) -> bool {
    let mut buffer = [0; WORDS_BYTES_MAX];
    match terminal::read_now(from, &mut buffer) {
        Ok(Some(length)) => {
            let room = WORDS_BYTES_MAX.saturating_sub(said.len()).min(length);
            said.extend_from_slice(buffer.get(..room).unwrap_or_default());
            length > 0
        }
        Ok(None) => true,
        // A broken pipe has nothing more to give.
        Err(_) => false,
    }
}
