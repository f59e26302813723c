//! One command with this terminal, or these pipes, as its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::domain::DynoName;
use crate::local::stop::Asked;
use crate::local::{LocalError, Session, Stop};
use crate::supervisor::engine::{End, Running, Signal, Started, Streams};
use crate::supervisor::{Connection, environment};
use crate::sys::terminal;
use crate::sys::tty::{self, RawMode, WindowSize};

/// The most bytes that are passed on at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// The window where the terminal does not know its own.
const WINDOW: WindowSize = WindowSize { rows: 24, cols: 80 };
/// Ctrl-C, by its Linux number.
const INTERRUPT: Signal = Signal(2);

impl Session {
    /// Runs `command`, or the process type that its first word names, to its end; its exit status is the result.
    ///
    /// # Errors
    /// It could not be started, or the terminal cannot be used.
    pub async fn run_one(
        &self,
        name: &DynoName,
        command: &str,
        port: u16,
        stop: &mut Stop,
    ) -> Result<u8, LocalError> {
        let command = environment::resolve(command, &self.image.commands);
        let has_terminal = tty::stdin_is_terminal() && tty::stdout_is_terminal();
        let window = tty::window_size().ok().filter(|size| size.rows > 0 && size.cols > 0).unwrap_or(WINDOW);
        let (connection, own) = match has_terminal {
            true => (Connection::Terminal { rows: window.rows, cols: window.cols }, variables(window)),
            false => (Connection::Pipes, BTreeMap::new()),
        };
        let Started { dyno, streams } = self.launch(name, command, (port, own), connection).await?;
        let end = self.converse(dyno.as_ref(), streams, stop).await;
        if end.is_err()
            && let Err(error) = dyno.kill()
        {
            tracing::warn!(%error, "the process was not ended");
        }
        dyno.wait().await;
        if let Err(error) = dyno.clear().await {
            tracing::debug!(%error, "the process was not cleared away");
        }
        Ok(end?.status)
    }

    async fn converse(
        &self,
        dyno: &dyn Running,
        streams: Streams,
        stop: &mut Stop,
    ) -> Result<End, LocalError> {
        let mut outputs = JoinSet::new();
        // Restores the terminal when dropped, on whichever way out.
        let mut _raw = None;
        let mut window = None;
        match streams {
            Streams::Log => {}
            Streams::Terminal(master) => {
                _raw = Some(RawMode::enter().map_err(LocalError::terminal("set the terminal"))?);
                let copy =
                    || master.try_clone().map(File::from).map_err(LocalError::terminal("share the terminal"));
                type_into(copy()?);
                show(&mut outputs, copy()?, io::stdout);
                window = Some(master);
            }
            Streams::Pipes { stdin, stdout, stderr } => {
                type_into(File::from(stdin));
                show(&mut outputs, File::from(stdout), io::stdout);
                show(&mut outputs, File::from(stderr), io::stderr);
            }
        }
        let end = tokio::select! {
            end = dyno.wait() => end,
            failed = follow(window) => return Err(failed),
            end = self.obey(dyno, stop) => end,
        };
        // What it has said last is in its pipes still, which end with it.
        while outputs.join_next().await.is_some() {}
        Ok(end)
    }

    /// Passes the user's wishes on, and sees to it that it ends.
    async fn obey(&self, dyno: &dyn Running, stop: &mut Stop) -> End {
        while stop.asked().await == Asked::Interrupt {
            pass_on(dyno, INTERRUPT);
        }
        pass_on(dyno, Signal::TERMINATE);
        tokio::select! {
            end = dyno.wait() => return end,
            () = tokio::time::sleep(self.grace) => {}
            _ = stop.asked() => {}
        }
        if let Err(error) = dyno.kill() {
            tracing::warn!(%error, "the process was not ended");
        }
        dyno.wait().await
    }
}

fn pass_on(dyno: &dyn Running, wish: Signal) {
    if let Err(error) = dyno.signal(wish) {
        tracing::warn!(%error, "a signal was not passed on");
    }
}

/// What a program must know of its terminal.
fn variables(window: WindowSize) -> BTreeMap<String, String> {
    let term = std::env::var("TERM").unwrap_or_else(|_| "xterm".to_owned());
    let named = [("TERM", term), ("COLUMNS", window.cols.to_string()), ("LINES", window.rows.to_string())];
    named.map(|(name, value)| (name.to_owned(), value)).into()
}

/// Passes on what is typed, until its end, on a thread that nobody waits for: it may wait for a key.
fn type_into(mut to: File) {
    std::thread::spawn(move || {
        // Whoever does not take it any more has ended.
        let _gone = io::copy(&mut io::stdin().lock(), &mut to);
    });
}

/// Shows what comes, at once and as it is, until its end.
fn show<W: Write>(outputs: &mut JoinSet<()>, mut from: File, to: impl Fn() -> W + Send + 'static) {
    outputs.spawn_blocking(move || {
        let mut chunk = vec![0; CHUNK_BYTES];
        // A terminal whose last program has closed it ends with an error, as every other way to end is an end.
        while let Ok(count @ 1..) = from.read(&mut chunk) {
            let mut to = to();
            if to.write_all(&chunk[..count]).and_then(|()| to.flush()).is_err() {
                return;
            }
        }
    });
}

/// Gives the terminal the size of this one whenever that changes. Comes back with a failure alone.
async fn follow(window: Option<OwnedFd>) -> LocalError {
    let Some(terminal) = window else { return std::future::pending().await };
    let mut changes = match signal(SignalKind::window_change()) {
        Ok(changes) => changes,
        Err(source) => return LocalError::Terminal { attempt: "listen for signals", source },
    };
    while changes.recv().await.is_some() {
        if let Ok(size) = tty::window_size() {
            // One that has ended needs no size.
            let _gone = terminal::resize(&terminal, (size.rows, size.cols));
        }
    }
    std::future::pending().await
}
