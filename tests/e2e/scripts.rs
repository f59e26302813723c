//! The two commands that a newcomer starts with: from nothing to a served app, and back to an untouched host.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::is_possible;
use crate::support::host;
use crate::support::node::{free_port, index, stack_dir};

/// The node that the scripts start, which must not be the machine's own.
struct Scripts {
    root: PathBuf,
    port: u16,
}

impl Scripts {
    fn new() -> Self {
        let root = PathBuf::from(format!("/var/tmp/dyno-test-scripts-{}", std::process::id()));
        fs::create_dir_all(root.join("lib")).unwrap();
        std::os::unix::fs::symlink(stack_dir(), root.join("lib/stacks")).unwrap();
        let (port, git) = (free_port(), free_port());
        let config = format!(
            "index = {}\n[router]\nlisten = [\"127.0.0.1:{port}\"]\n[git]\nlisten = \"127.0.0.1:{git}\"\n",
            index(7)
        );
        fs::write(root.join("config.toml"), config).unwrap();
        Self { root, port }
    }

    fn command(&self, script: &str, args: &[&str]) -> Command {
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(script));
        command.args(args).stdin(Stdio::null());
        command.env("DYNO_ROOT", &self.root).env("DYNO_CONFIG", self.root.join("config.toml"));
        command
    }

    /// A script as an ordinary user runs it, who may not come into the clone (root's home, for one).
    fn command_of_nobody(&self, script: &str) -> Command {
        let scripts = self.root.join("scripts");
        fs::create_dir_all(&scripts).unwrap();
        for name in [script, "lib.sh"] {
            fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name), scripts.join(name))
                .unwrap();
        }
        let mut command = Command::new(scripts.join(script));
        command.stdin(Stdio::null()).uid(65_534).gid(65_534);
        command
    }

    fn run(&self, script: &str, args: &[&str]) -> Output {
        self.command(script, args).output().unwrap()
    }

    fn ok(&self, script: &str, args: &[&str]) -> String {
        let output = self.run(script, args);
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{script} {args:?}: {said}");
        said
    }

    /// What curl gets from the sample, by the header for machines whose resolver does not know *.localhost.
    fn curl(&self) -> String {
        let got = Command::new("curl")
            .args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Host: sample.localhost"])
            .arg(format!("http://127.0.0.1:{}/", self.port))
            .output()
            .unwrap();
        String::from_utf8_lossy(&got.stdout).into_owned()
    }
}

impl Drop for Scripts {
    fn drop(&mut self) {
        let _best = self.run("down", &[]);
        // The link first: what it names belongs to all tests.
        let _link = fs::remove_file(self.root.join("lib/stacks"));
        let _gone = fs::remove_dir_all(&self.root);
    }
}

#[test]
fn up_serves_the_sample_twice_and_down_leaves_the_host_as_it_was() {
    if !is_possible("up_serves_the_sample_twice_and_down_leaves_the_host_as_it_was") {
        return;
    }
    let scripts = Scripts::new();
    let before = host::traces();

    let said = scripts.ok("up", &["--detach"]);
    assert!(said.contains(&format!("http://sample.localhost:{}/ answers:", scripts.port)), "{said}");
    assert_eq!(scripts.curl(), "200");
    let said = scripts.ok("up", &["--detach"]);
    assert!(said.contains("A node runs already"), "{said}");
    assert_eq!(scripts.curl(), "200");
    scripts.ok("down", &[]);
    host::assert_untouched(&before);
    scripts.ok("down", &[]);

    // In the foreground it goes with Ctrl-C, which a terminal sends to the whole process group.
    let mut up = scripts.command("up", &[]).process_group(0).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(up.stdout.take().unwrap()).lines().map(Result::unwrap);
    let said: Vec<_> = lines.take_while(|line| !line.contains("until Ctrl-C")).collect();
    assert_eq!(scripts.curl(), "200", "{said:#?}");
    let group = rustix::process::Pid::from_child(&up);
    rustix::process::kill_process_group(group, rustix::process::Signal::INT).unwrap();
    assert_eq!(up.wait().unwrap().code(), Some(0));
    host::assert_untouched(&before);
}

#[test]
fn the_scripts_refuse_what_they_cannot_do_and_say_why() {
    if !is_possible("the_scripts_refuse_what_they_cannot_do_and_say_why") {
        return;
    }
    let scripts = Scripts::new();
    let refused = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(!output.status.success(), "{command:?} did not fail");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for script in ["up", "down", "install"] {
        let said = refused(&mut scripts.command(script, &["--nonsense"]));
        assert!(said.contains("usage: scripts/"), "{said}");
        let said = refused(&mut scripts.command_of_nobody(script));
        assert!(said.contains("needs root"), "{said}");
    }
    assert!(
        refused(&mut scripts.command("install", &["--purge"])).contains("usage: scripts/"),
        "state goes with the rest"
    );
    for script in ["up", "down"] {
        let said = refused(scripts.command(script, &[]).env("PATH", "/usr/bin:/bin"));
        assert!(said.contains("install a Rust toolchain"), "{said}");
    }
    // A port that another program holds: the node does not start, and nothing of it stays.
    let before = host::traces();
    let _taken = std::net::TcpListener::bind(("127.0.0.1", scripts.port)).unwrap();
    let said = refused(&mut scripts.command("up", &["--detach"]));
    assert!(said.contains(&scripts.port.to_string()), "{said}");
    host::assert_untouched(&before);
}
