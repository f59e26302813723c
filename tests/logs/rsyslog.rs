//! Drains into rsyslog as Debian has it, on a port and with files of its own; the host's syslog is not involved.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dyno::logs::Trust;

use crate::skip::skip;
use crate::{TOKEN, app, certificate, drain, open, push};

const RSYSLOG: &str = "/usr/sbin/rsyslogd";
/// How long rsyslog may take to listen, and lines to arrive.
const PATIENCE: Duration = Duration::from_secs(60);

/// What its port speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    Tcp,
    Tls,
}

/// A running rsyslog that writes what it understood of each message: `host|program|process|priority|text`.
struct Rsyslog {
    dir: tempfile::TempDir,
    child: Option<Child>,
    over: Over,
}

impl Rsyslog {
    fn new(over: Over) -> Self {
        let dir = tempfile::tempdir().unwrap();
        if over == Over::Tls {
            certificate(dir.path(), "rsyslog");
        }
        Self { dir, child: None, over }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts it on `port`, 0 for any, and tells which it has.
    #[track_caller]
    fn start(&mut self, port: u16) -> u16 {
        let path = |name: &str| self.file(name).display().to_string();
        let tls = if self.over == Over::Tls {
            format!(
                "DefaultNetstreamDriver=\"ossl\" DefaultNetstreamDriverCAFile=\"{cert}\" \
                 DefaultNetstreamDriverCertFile=\"{cert}\" DefaultNetstreamDriverKeyFile=\"{key}\"",
                cert = path("cert.pem"),
                key = path("key.pem")
            )
        } else {
            String::new()
        };
        let driver = if self.over == Over::Tls {
            "StreamDriver.Mode=\"1\" StreamDriver.AuthMode=\"anon\""
        } else {
            ""
        };
        let config = format!(
            r#"global(workDirectory="{dir}" maxMessageSize="64k" {tls})
module(load="imtcp" {driver})
template(name="seen" type="string" string="%hostname%|%app-name%|%procid%|%pri%|%timereported:::date-rfc3339%|%msg%\n")
ruleset(name="drained") {{ action(type="omfile" file="{out}" template="seen") }}
input(type="imtcp" address="127.0.0.1" port="{port}" listenPortFileName="{dir}/port" ruleset="drained")
"#,
            dir = self.dir.path().display(),
            out = path("out"),
        );
        std::fs::write(self.file("rsyslog.conf"), config).unwrap();
        let _none_yet = std::fs::remove_file(self.file("port"));
        let child = Command::new(RSYSLOG)
            .args(["-n", "-f", &path("rsyslog.conf"), "-i", &path("pid")])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        if port != 0 {
            // It tells its port only when it has chosen it itself; who sends tries until it listens.
            return port;
        }
        wait_for(|| std::fs::read_to_string(self.file("port")).ok()?.trim().parse().ok())
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// What it has written once a line of it ends in `last`.
    #[track_caller]
    fn seen(&self, last: &str) -> Vec<String> {
        wait_for(|| {
            let bytes = std::fs::read(self.file("out")).ok()?;
            let lines: Vec<_> = String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect();
            lines.iter().any(|line| line.ends_with(last)).then_some(lines)
        })
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        self.kill();
    }
}

#[track_caller]
fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "rsyslog did not come so far in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn is_installed_or_skip(test: &str) -> bool {
    let installed = Path::new(RSYSLOG).exists();
    if !installed {
        skip(test, "rsyslog is not installed");
    }
    installed
}

#[tokio::test(flavor = "multi_thread")]
async fn rsyslog_understands_every_frame() {
    if !is_installed_or_skip("rsyslog_understands_every_frame") {
        return;
    }
    let mut rsyslog = Rsyslog::new(Over::Tcp);
    let port = rsyslog.start(0);
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path(), Trust::Host);
    service.set_drains(app(), vec![drain(&format!("syslog://127.0.0.1:{port}"))]).await.unwrap();
    let long = "x".repeat(10_000);
    for message in ["hello: ä \"you\"", &long, "17 <190>1 not a frame", "the last"] {
        push(&service, "web.1", message.as_bytes());
    }
    let time = "2026-11-23T06:28:04.170873+00:00";
    let line = |message: &str| format!("{TOKEN}|app|web.1|190|{time}|{message}");
    let expected = [line("hello: ä \"you\""), line(&long), line("17 <190>1 not a frame"), line("the last")];
    assert_eq!(rsyslog.seen("the last"), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn rsyslog_gets_every_line_though_it_is_killed_and_comes_back() {
    if !is_installed_or_skip("rsyslog_gets_every_line_though_it_is_killed_and_comes_back") {
        return;
    }
    const LINES: usize = 3000;
    let mut rsyslog = Rsyslog::new(Over::Tcp);
    let port = rsyslog.start(0);
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path(), Trust::Host);
    service.set_drains(app(), vec![drain(&format!("syslog://127.0.0.1:{port}"))]).await.unwrap();
    for n in 0..LINES {
        push(&service, "web.1", format!("line {n}.").as_bytes());
        if n == LINES / 3 {
            // It has written these; what it had only read would die with it, which no sender can know.
            service.flush().await;
            rsyslog.seen(&format!("line {n}."));
            rsyslog.kill();
        }
        if n == 2 * LINES / 3 {
            service.flush().await;
            rsyslog.start(port);
        }
    }
    let seen = rsyslog.seen(&format!("line {}.", LINES - 1));
    let mut numbers: Vec<usize> = seen
        .iter()
        .map(|line| line.rsplit_once("line ").unwrap().1.trim_end_matches('.').parse().unwrap())
        .collect();
    numbers.dedup();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers, (0..LINES).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn rsyslog_is_reached_over_tls_and_only_if_its_certificate_holds() {
    if !is_installed_or_skip("rsyslog_is_reached_over_tls_and_only_if_its_certificate_holds") {
        return;
    }
    let mut rsyslog = Rsyslog::new(Over::Tls);
    let port = rsyslog.start(0);
    let dir = tempfile::tempdir().unwrap();
    let trust = Trust::File(rsyslog.file("cert.pem"));
    let service = open(&dir.path().join("trusting"), trust);
    let url = format!("syslog+tls://127.0.0.1:{port}");
    service.set_drains(app(), vec![drain(&url)]).await.unwrap();
    push(&service, "web.1", b"to whom I know");
    assert!(rsyslog.seen("to whom I know")[0].starts_with(TOKEN));

    let other = tempfile::tempdir().unwrap();
    certificate(other.path(), "somebody else");
    let trust = Trust::File(other.path().join("cert.pem"));
    let service = open(&dir.path().join("wary"), trust);
    service.set_drains(app(), vec![drain(&url)]).await.unwrap();
    push(&service, "web.1", b"to whom I do not know");
    let told = crate::https::told_in_the_log(&service, "certificate validation").await;
    let expected = format!("Error L14 (certificate validation): error=\"unknown ca\" uri=\"{url}\"");
    assert!(told.ends_with(&expected), "{told}");

    let service = open(&dir.path().join("careless"), Trust::Host);
    service.set_drains(app(), vec![drain(&format!("{url}#insecure"))]).await.unwrap();
    push(&service, "web.1", b"to whomever");
    let seen = rsyslog.seen("to whomever");
    assert!(!seen.iter().any(|line| line.ends_with("I do not know")), "{seen:?}");
}
