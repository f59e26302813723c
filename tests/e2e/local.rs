//! `dyno local` as people use it: in a directory, at a terminal, beside whatever else runs on the machine.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::host;
use crate::support::node::{PATIENCE, eventually, free_port, git, index, stack_dir};
use crate::support::patience::patient;
use crate::support::terminal::Terminal;
use crate::{is_possible, lab};

/// Who owns the working directory: nobody that the machine knows.
const OWNER: u32 = 12_345;
/// Which of the test's indices the calls have, and which one that runs beside another.
const NUMBERS: (u32, u32) = (4, 5);
/// Processes that end in one way or another.
const ENDS: &str = "web: exec python3 app.py\nquitter: until [ -e go ]; do sleep 0.1; done; exit 3\n\
                    stubborn: trap '' TERM; echo stays; touch go; while :; do sleep 1; done\n";

/// A working directory, and a directory that takes the place of a node's.
struct Desk {
    root: PathBuf,
    dir: PathBuf,
}

impl Desk {
    /// With these files, which belong to somebody who is not root.
    fn with(name: &str, files: &Path) -> Desk {
        let root = PathBuf::from(format!("/var/tmp/dyno-{name}-{}", std::process::id()));
        fs::create_dir_all(root.join("lib")).unwrap();
        std::os::unix::fs::symlink(stack_dir(), root.join("lib/stacks")).unwrap();
        fs::write(root.join("config.toml"), "[dynos]\nstop_grace_s = 2\n").unwrap();
        let dir = root.join("app");
        assert!(Command::new("cp").arg("-r").arg(files).arg(&dir).status().unwrap().success());
        git(&dir, &["init", "-q"]);
        let desk = Desk { root, dir };
        desk.give_away();
        desk
    }

    fn give_away(&self) {
        let owner = format!("{OWNER}:{OWNER}");
        assert!(Command::new("chown").args(["-R", &owner]).arg(&self.dir).status().unwrap().success());
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.join(name), text).unwrap();
    }

    /// A call in the working directory, with the first or the second index.
    fn command(&self, args: &[&str], number: u32) -> Command {
        // The terminal's program is started elsewhere.
        let mut command = Command::new("sh");
        command.args(["-c", r#"cd "$0" && exec "$@""#]).arg(&self.dir).arg(env!("CARGO_BIN_EXE_dyno"));
        command.arg(args[0]).args(["--index", &index(number).to_string()]).args(&args[1..]);
        command.env("DYNO_ROOT", &self.root).env("DYNO_CONFIG", self.root.join("config.toml"));
        command
    }

    /// The same to its end: status, output, notes.
    fn call(&self, args: &[&str]) -> (Option<i32>, String, String) {
        told(&self.command(args, NUMBERS.0).stdin(Stdio::null()).output().unwrap())
    }

    /// What the calls have on the host.
    fn traces(&self) -> Vec<String> {
        let marks: Vec<String> = [NUMBERS.0, NUMBERS.1]
            .iter()
            .map(|number| index(*number))
            .flat_map(|index| [format!("dyno{index}"), format!("dy{index}-")])
            .collect();
        let mut traces: Vec<String> = host::traces().into_iter().collect();
        traces.retain(|trace| marks.iter().any(|mark| trace.contains(mark)));
        traces.extend(host::processes_with(&format!("{}/run-local", self.root.display())));
        traces.extend(host::names_below(&self.root.join("run-local"), 1).into_iter().skip(1));
        traces
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // What a test that failed has left goes with the next call.
        let _last = self.command(&["local:run", "--build", "never", "true"], NUMBERS.0).output();
        // The link first: what it names belongs to all tests.
        let _link = fs::remove_file(self.root.join("lib/stacks"));
        let _gone = fs::remove_dir_all(&self.root);
    }
}

fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn get(port: u16) -> String {
    let mut stream = TcpStream::connect(("localhost", port)).unwrap();
    stream.set_read_timeout(Some(patient(PATIENCE))).unwrap();
    write!(stream, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_app_of_a_directory_runs_as_on_a_node() {
    if !is_possible("the_app_of_a_directory_runs_as_on_a_node") {
        return;
    }
    let desk = Desk::with("local", &lab());
    let before = desk.traces();
    assert_eq!(before, Vec::<String>::new());
    what_cannot_be_run_is_told_before_anything_is_made(&desk);
    a_person_at_a_terminal(&desk);
    one_that_ends_takes_the_others_along(&desk);
    one_that_does_not_end_is_killed(&desk);
    a_command_has_its_streams_and_its_status(&desk);
    a_call_that_was_killed_is_cleared_away_by_the_next(&desk);
}

fn what_cannot_be_run_is_told_before_anything_is_made(desk: &Desk) {
    let (status, _, said) = desk.call(&["local", "wep"]);
    assert!(status == Some(1) && said.contains("no process type \"wep\"; there are: web, worker"), "{said}");
    let (status, _, said) = desk.call(&["local", "-e", "none.env"]);
    assert!(status == Some(1) && said.contains("none.env"), "{said}");
    assert!(!desk.root.join("run-local").exists());
}

fn a_person_at_a_terminal(desk: &Desk) {
    let port = free_port();
    desk.write(".env", &format!("PORT={port}\nGREETING='from a file'\nsecret\n"));
    desk.write(".gitignore", "made\n.env\n");
    let mut terminal = Terminal::open(24, 80, &desk.command(&["local", "web", "worker=2"], NUMBERS.0));
    terminal.until("[OKAY]\x1b[0m 2 variables of .env");
    terminal.until("[WARN]\x1b[0m .env sets nothing in these lines: 3");
    terminal.until("-----> Python app detected");
    terminal.until("worker.2 |\x1b[0m worker.2 waits");
    eventually("the port is announced", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    assert!(get(port).ends_with("from a file from web.1\n"));
    // The directory is shared both ways, and with whatever runs beside.
    desk.write("note", "just written");
    let beside = ["local:run", "--build", "never", "cat note; echo $GREETING > made; ls -d .heroku"];
    let (status, said, _) = told(&desk.command(&beside, NUMBERS.1).stdin(Stdio::null()).output().unwrap());
    assert_eq!((status, said.as_str()), (Some(0), "just written.heroku\n"));
    assert_eq!(fs::read_to_string(desk.dir.join("made")).unwrap(), "from a file\n");
    assert_eq!(fs::metadata(desk.dir.join("made")).unwrap().uid(), OWNER);
    assert!(desk.dir.join(".heroku").is_dir(), "another call has it mounted still");
    assert!(get(port).ends_with("from a file from web.1\n"), "it is not disturbed");
    terminal.keys("\x03");
    terminal.until("[DONE]\x1b[0m Stopping all processes");
    assert_eq!(terminal.end().code(), Some(0));
    nothing_is_left(desk);
}

fn nothing_is_left(desk: &Desk) {
    assert_eq!(desk.traces(), Vec::<String>::new());
    assert!(!desk.dir.join(".heroku").exists(), "a place for what was laid over is left");
}

fn one_that_ends_takes_the_others_along(desk: &Desk) {
    desk.write("Procfile.ends", ENDS);
    let port = free_port().to_string();
    let mut all =
        desk.command(&["local", "-f", "Procfile.ends", "-m", "web=1,quitter=1", "-p", &port], NUMBERS.0);
    let all = all.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("it answers", || TcpStream::connect(("127.0.0.1", port.parse().unwrap())).is_ok());
    desk.write("go", "");
    let (status, lines, notes) = told(&all.wait_with_output().unwrap());
    assert_eq!(status, Some(3), "{lines}{notes}");
    let tail = |name: &str| lines.lines().any(|line| line.split_once(' ').unwrap().1 == name);
    assert!(
        tail("quitter.1 | Exited with status 3") && tail("web.1     | Exited with status 143"),
        "{lines}"
    );
    assert!(notes.contains("Stopping the others, since one has ended") && !notes.contains('\x1b'), "{notes}");
    nothing_is_left(desk);
}

fn one_that_does_not_end_is_killed(desk: &Desk) {
    fs::remove_file(desk.dir.join("go")).unwrap();
    let (status, lines, notes) = desk.call(&["local", "-f", "Procfile.ends", "stubborn,quitter"]);
    assert_eq!(status, Some(3), "{lines}{notes}");
    assert!(
        lines.contains("stubborn.1 | stays") && lines.contains("stubborn.1 | Exited with status 137"),
        "{lines}"
    );
    assert!(notes.contains("Killing what is left"), "{notes}");
    nothing_is_left(desk);
}

fn a_command_has_its_streams_and_its_status(desk: &Desk) {
    let mut cat = desk.command(&["local:run", "--", "sh", "-c", "cat; echo oops >&2; exit 7"], NUMBERS.0);
    let mut cat = cat.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    cat.stdin.take().unwrap().write_all(b"hi").unwrap();
    let (status, out, err) = told(&cat.wait_with_output().unwrap());
    assert_eq!((status, out.as_str()), (Some(7), "hi"));
    assert!(err.contains("oops"), "{err}");
    let mut terminal = Terminal::open(31, 97, &desk.command(&["local:run", "bash"], NUMBERS.0));
    terminal.until("$ ");
    terminal.keys("stty size; id -u; pwd\r");
    terminal.until("31 97\r\n42000\r\n/app\r\n");
    terminal.resize(40, 120);
    terminal.keys("until [ \"$(stty size)\" = '40 120' ]; do :; done; echo re''sized\r");
    terminal.until("resized");
    terminal.keys("echo be''gun; sleep 1000\r");
    terminal.until("begun");
    terminal.keys("\x03");
    terminal.until("$ ");
    terminal.keys("echo status $?; exit 5\r");
    terminal.until("status 130");
    assert_eq!(terminal.end().code(), Some(5));
    nothing_is_left(desk);
}

fn a_call_that_was_killed_is_cleared_away_by_the_next(desk: &Desk) {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (status, _, said) = desk.call(&["local", "web", "-p", &port]);
    assert!(status == Some(1) && said.contains(&format!("port {port} of this machine")), "{said}");
    drop(taken);
    let mut killed = desk.command(&["local", "web", "-p", &port], NUMBERS.0);
    let mut killed = killed.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    eventually("it answers", || TcpStream::connect(("127.0.0.1", port.parse().unwrap())).is_ok());
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_ne!(desk.traces(), Vec::<String>::new());
    assert_eq!(told(&desk.command(&["local:run", "true"], NUMBERS.1).output().unwrap()).0, Some(0));
    nothing_is_left(desk);
}

/// A file system that shows files as their owners' alone, whatever is asked of it.
struct Unmappable(PathBuf);

impl Drop for Unmappable {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_directory_that_cannot_be_shared_is_copied() {
    if !is_possible("a_directory_that_cannot_be_shared_is_copied") {
        return;
    }
    let desk = Desk::with("local-copy", &lab());
    let aside = desk.root.join("aside");
    fs::rename(&desk.dir, &aside).unwrap();
    fs::create_dir(&desk.dir).unwrap();
    let mounted = Command::new("mount").args(["-t", "ramfs", "none"]).arg(&desk.dir).status().unwrap();
    assert!(mounted.success());
    let _unmounted_at_the_end = Unmappable(desk.dir.clone());
    let copied = Command::new("cp").arg("-r").arg(aside.join(".")).arg(&desk.dir).status().unwrap();
    assert!(copied.success());
    desk.give_away();
    let (status, out, notes) = desk.call(&["local:run", "ls Procfile; echo own > made; cat made"]);
    assert_eq!((status, out.as_str()), (Some(0), "Procfile\nown\n"), "{notes}");
    assert!(notes.contains("the processes run on a copy"), "{notes}");
    assert!(!desk.dir.join("made").exists());
}
