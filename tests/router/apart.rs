//! The router as a process of its own: its control plane goes and comes back, and another router takes its place, both under a steady
//! load with open WebSockets. Nothing may fail, nothing may be dropped, and every request is in the log.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use dyno::daemon::router::{ROLE, RouterRole};
use dyno::domain::{Backend, Certificates, NetnsAddress, RouteTable, WebState};
use dyno::router::apart::{Greeting, ProcessConfig, RemoteRouter, Standing, Told};
use dyno::sys::netns::NetnsRef;

use crate::bench::{backend, route};
use crate::load::{Load, TUNNELS, eventually, head};
use crate::skip::is_root_or_skip;

/// How long the load goes on before and after each thing that happens.
const SPELL: Duration = Duration::from_millis(700);
/// An account that no other process of the machine has.
const ACCOUNT: u32 = 0x6fff_fe00;
/// `CAP_SYS_PTRACE` and `CAP_SYS_ADMIN`.
const HAND_RIGHTS: &str = "0000000000280000";

#[test]
fn nothing_is_lost_when_the_control_plane_goes_or_another_router_takes_over() {
    if !is_root_or_skip("nothing_is_lost_when_the_control_plane_goes_or_another_router_takes_over") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let _none_left = StopAll(dir.path().to_owned());
    let dyno = dyno_that_echoes();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let first = start(dir.path(), port, "first", None);
    let told = Arc::<Mutex<Vec<String>>>::default();
    let control = Control::follow(&first, &table(&dyno), &told);
    let load = Load::begin(port, "example.localhost");
    thread::sleep(SPELL);

    control.dies();
    thread::sleep(SPELL);
    assert!(load.is_going_on(), "the last table is served");
    let control = Control::follow(&first, &table(&dyno), &told);
    thread::sleep(SPELL);

    let second = start(dir.path(), port, "second", Some(&first));
    let successor = Control::follow(&second, &table(&dyno), &told);
    thread::sleep(SPELL);
    assert!(load.is_going_on(), "the second one serves");
    assert_eq!(greet(&first).standing, Standing::Finishing);
    assert_eq!(greet(&second).standing, Standing::Serving);
    confined(greet(&second).pid);

    let counts = load.end();
    assert_eq!((counts.failed, counts.dropped), (Vec::<String>::new(), 0));
    assert!(counts.answered > 100, "a load: {}", counts.answered);
    eventually("the first router ends with its last connection", || RemoteRouter::greet(&first).is_err());
    drop(control);
    let (remote, _) = RemoteRouter::greet(&second).unwrap();
    remote.stop().unwrap();
    eventually("the second router ends when it is told to", || RemoteRouter::greet(&second).is_err());
    drop(successor);

    let requests = counts.answered + u64::try_from(TUNNELS).unwrap();
    let lines = told.lock().unwrap();
    let ids: BTreeSet<&str> = lines.iter().map(|line| crate::bench::field(line, "request_id")).collect();
    assert_eq!(u64::try_from(ids.len()).unwrap(), requests, "every request is told of");
    assert!(lines.iter().all(|line| line.starts_with("at=info ")), "{:?}", lines.first());
}

/// Handshakes go on while another router takes over, and who takes over shows the same certificates, which nobody else gave it.
#[test]
fn certificates_are_handed_over_with_the_listeners() {
    if !is_root_or_skip("certificates_are_handed_over_with_the_listeners") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let _none_left = StopAll(dir.path().to_owned());
    let dyno = dyno_that_echoes();
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (port, secure) = (free(), free());
    let first = start_at(dir.path(), (port, Some(secure)), "first", None);
    let told = Arc::<Mutex<Vec<String>>>::default();
    let control = Control::follow(&first, &table(&dyno), &told);
    let over = Arc::new(AtomicBool::new(false));
    let visitor = {
        let over = Arc::clone(&over);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let (mut answered, mut failed) = (0, Vec::new());
            while !over.load(Ordering::SeqCst) {
                match runtime.block_on(crate::tls::visit(secure, &certificates())) {
                    Ok(200) => answered += 1,
                    other => failed.push(format!("{other:?}")),
                }
            }
            (answered, failed)
        })
    };
    thread::sleep(SPELL);
    control.dies();
    let second = start_at(dir.path(), (port, Some(secure)), "second", Some(&first));
    assert_eq!(greet(&second).secure, [([127, 0, 0, 1], secure).into()]);
    eventually("the first router ends with its last connection", || RemoteRouter::greet(&first).is_err());
    thread::sleep(SPELL);
    over.store(true, Ordering::SeqCst);
    let (answered, failed) = visitor.join().unwrap();
    assert_eq!(failed, Vec::<String>::new());
    assert!(answered > 50, "{answered} handshakes");
}

/// One certificate, for the one app.
fn certificates() -> Arc<Certificates> {
    static MADE: OnceLock<Arc<Certificates>> = OnceLock::new();
    Arc::clone(MADE.get_or_init(|| {
        let mut all = Certificates::default();
        let name = "example.localhost";
        all.insert(&name.parse().unwrap(), crate::tls::certificate(&[name]));
        Arc::new(all)
    }))
}

/// Ends what a failed test has left.
struct StopAll(PathBuf);

impl Drop for StopAll {
    fn drop(&mut self) {
        for link in RemoteRouter::links(&self.0).unwrap_or_default() {
            if let Ok((remote, _)) = RemoteRouter::greet(&link) {
                // One that goes by itself needs no word.
                drop(remote.stop());
            }
        }
    }
}

/// Whose rights are gone: the router's all, its hand's all but two.
fn confined(router: u32) {
    let fields = |pid: &str, name: &str| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().to_owned()
    };
    let router = router.to_string();
    for set in ["CapEff:", "CapPrm:", "CapBnd:", "CapInh:", "CapAmb:"] {
        assert_eq!(fields(&router, set), "0".repeat(16), "{set}");
    }
    let account = ACCOUNT.to_string();
    assert!(fields(&router, "Uid:").split_whitespace().all(|uid| uid == account));
    assert_eq!((fields(&router, "Groups:").as_str(), fields(&router, "NoNewPrivs:").as_str()), ("", "1"));
    let tasks = std::fs::read_dir(format!("/proc/{router}/task")).unwrap();
    // A thread may end meanwhile, and has no children then.
    let children =
        tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default());
    let children: Vec<String> =
        children.flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect();
    assert_eq!(children.len(), 1, "the hand");
    for set in ["CapEff:", "CapPrm:", "CapBnd:"] {
        assert_eq!(fields(&children[0], set), HAND_RIGHTS, "{set}");
    }
    let open = std::fs::read_dir(format!("/proc/{}/fd", children[0])).unwrap().count();
    assert_eq!(open, 4, "the standard streams and its link");
}

fn greet(link: &Path) -> Greeting {
    RemoteRouter::greet(link).unwrap().1
}

/// Starts a router process that listens on this port of loopback; gives its link.
fn start(dir: &Path, port: u16, build: &str, predecessor: Option<&Path>) -> PathBuf {
    start_at(dir, (port, None), build, predecessor)
}

/// The same, and on the second one for TLS.
fn start_at(
    dir: &Path,
    (port, secure): (u16, Option<u16>),
    build: &str,
    predecessor: Option<&Path>,
) -> PathBuf {
    let before: BTreeSet<_> = RemoteRouter::links(dir).unwrap().into_iter().collect();
    let process = ProcessConfig {
        dir: dir.to_owned(),
        listen: vec![([127, 0, 0, 1], port).into()],
        secure: secure.map(|port| ([127, 0, 0, 1], port).into()).into_iter().collect(),
        account: ACCOUNT,
        build: build.to_owned(),
        predecessor: predecessor.map(Path::to_owned),
    };
    let role = RouterRole { process, cgroup_root: "dyno-no-such-node".to_owned() };
    let started = Command::new(env!("CARGO_BIN_EXE_dyno"))
        .args([ROLE, &serde_json::to_string(&role).unwrap()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(dir.join(format!("{build}.log"))).unwrap())
        .status()
        .unwrap();
    let said = std::fs::read_to_string(dir.join(format!("{build}.log"))).unwrap();
    assert!(started.success(), "{said}");
    let links = RemoteRouter::links(dir).unwrap();
    links.into_iter().find(|link| !before.contains(link)).expect("it has a link")
}

fn table(dyno: &Backend) -> RouteTable {
    let mut table = RouteTable::default();
    let route = route(WebState::Up(vec![dyno.clone()]));
    table.routes.insert("example.localhost".parse().unwrap(), Arc::new(route));
    table
}

/// A dyno that answers what is asked and sends back what comes through a tunnel, in this process's network.
fn dyno_that_echoes() -> Backend {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || echo(stream));
        }
    });
    let place = NetnsRef::of(Path::new(&format!("/proc/{}/ns/net", std::process::id()))).unwrap();
    Backend {
        netns: NetnsAddress { path: place.path, device: place.dev, inode: place.ino },
        ..backend(1, port)
    }
}

/// Ends with an error when the other side does.
fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    loop {
        let Some(head) = head(&mut stream)? else { return Ok(()) };
        if head.contains("Upgrade: websocket") {
            stream.write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            )?;
            let mut buffer = [0; 64];
            loop {
                let count = stream.read(&mut buffer)?;
                if count == 0 {
                    return Ok(());
                }
                stream.write_all(&buffer[..count])?;
            }
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
    }
}

/// Who follows a router, as the control plane does.
struct Control {
    dies: Arc<AtomicBool>,
    hears: JoinHandle<()>,
}

impl Control {
    fn follow(link: &Path, table: &RouteTable, told: &Arc<Mutex<Vec<String>>>) -> Self {
        let (remote, _) = RemoteRouter::greet(link).unwrap();
        remote.follow(table, &certificates()).unwrap();
        let (dies, told) = (Arc::<AtomicBool>::default(), Arc::clone(told));
        let dying = Arc::clone(&dies);
        let hears = thread::spawn(move || {
            while !dying.load(Ordering::SeqCst) {
                match remote.hear(Duration::from_millis(10)) {
                    Ok(Some(Told::Lines { lines, next, lost })) => {
                        assert_eq!(lost, 0);
                        told.lock().unwrap().extend(lines.into_iter().map(|(_, _, text)| text));
                        // It may have ended with these as its last words.
                        drop(remote.heard(next));
                    }
                    Ok(Some(Told::Figures(_)) | None) => {}
                    Err(_) => return,
                }
            }
        });
        Self { dies, hears }
    }

    fn dies(self) {
        self.dies.store(true, Ordering::SeqCst);
        self.hears.join().unwrap();
    }
}
