//! A terminal with a program in it, and a person who types and reads.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};
use rustix::termios::{Winsize as Size, tcsetwinsize};

use crate::support::node::{PATIENCE, eventually};
use crate::support::patience::patient;

const PAUSE: Duration = Duration::from_millis(20);

/// A terminal; the program in it is killed when it is dropped.
pub struct Terminal {
    master: File,
    program: Child,
    seen: Arc<Mutex<String>>,
}

impl Terminal {
    /// Runs `command` as the foreground program of a new terminal.
    pub fn open(rows: u16, cols: u16, command: &Command) -> Self {
        let size = Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(Some(&size), None).unwrap();
        let end = |fd: &OwnedFd| fd.try_clone().unwrap();
        // A terminal tells its size to those whose controlling terminal it is; setsid(1) makes it so.
        let mut inside = Command::new("setsid");
        inside.args(["--ctty", "--wait"]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            inside.env(name, value.unwrap_or_default());
        }
        let program = inside
            .env("TERM", "xterm")
            .stdin(end(&pair.slave))
            .stdout(end(&pair.slave))
            .stderr(end(&pair.slave))
            .spawn()
            .unwrap();
        let (master, seen) = (File::from(pair.master), Arc::new(Mutex::new(String::new())));
        let (mut from, to) = (master.try_clone().unwrap(), Arc::clone(&seen));
        // Ends when the last program has closed the terminal.
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(count @ 1..) = from.read(&mut chunk) {
                to.lock().unwrap().push_str(&String::from_utf8_lossy(&chunk[..count]));
            }
        });
        Self { master, program, seen }
    }

    /// Types.
    pub fn keys(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this can be read, and forgets it with all that came before.
    pub fn until(&self, text: &str) {
        let until = Instant::now() + patient(PATIENCE);
        loop {
            let mut seen = self.seen.lock().unwrap();
            if let Some(at) = seen.find(text) {
                seen.drain(..at + text.len());
                return;
            }
            assert!(Instant::now() < until, "{text:?} is not on the terminal: {seen}");
            drop(seen);
            thread::sleep(PAUSE);
        }
    }

    /// Gives the window another size.
    pub fn resize(&self, rows: u16, cols: u16) {
        tcsetwinsize(&self.master, Size { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    }

    /// Waits for the end of the program.
    pub fn end(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the program in the terminal ends", || {
            status = self.program.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ended = self.program.kill();
        let _reaped = self.program.wait();
    }
}
