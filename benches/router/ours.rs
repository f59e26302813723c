//! The router as a node has it: a process of its own without rights, its hand that makes sockets, and who follows it, takes its lines
//! and writes them to a file. What the follower costs is counted as the router's.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use dyno::daemon::router::{ROLE, RouterRole};
use dyno::domain::{
    AppId, Backend, Certificate, Certificates, DynoId, Http2, NetnsAddress, Route, RouteOptions, RouteTable,
    SecretKey, WebState,
};
use dyno::router::apart::{ProcessConfig, RemoteRouter, Told};
use dyno::sys::netns::NetnsRef;
use nix::time::{ClockId, clock_gettime};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{Proxy, Setup, host, until};

/// An account that no other process of the machine has.
const ACCOUNT: u32 = 0x6fff_fe01;
/// How often the follower looks whether it is to end.
const PAUSE: Duration = Duration::from_millis(50);

/// The router's processes, and its follower.
struct Ours {
    link: PathBuf,
    pid: u32,
    ends: Arc<AtomicBool>,
    cpu_ns: Arc<AtomicU64>,
    follower: Option<JoinHandle<()>>,
    _dir: TempDir,
}

pub fn start(setup: &Setup<'_>) -> Option<Box<dyn Proxy>> {
    let dir = tempfile::tempdir().unwrap();
    // A router always has an address for plain HTTP; any will do where nobody comes by it.
    let (plain, secure) = match setup.certificate {
        Some(_) => (SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), vec![setup.listen]),
        None => (setup.listen, Vec::new()),
    };
    let process = ProcessConfig {
        dir: dir.path().join("routers"),
        listen: vec![plain],
        secure,
        account: ACCOUNT,
        build: "bench".to_owned(),
        predecessor: None,
    };
    std::fs::create_dir(&process.dir).unwrap();
    let links = process.dir.clone();
    let role = RouterRole { process, cgroup_root: "dyno-no-such-node".to_owned() };
    let said = dir.path().join("said");
    let started = Command::new(env!("CARGO_BIN_EXE_dyno"))
        .args([ROLE, &serde_json::to_string(&role).unwrap()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&said).unwrap())
        .status()
        .unwrap();
    assert!(started.success(), "{}", std::fs::read_to_string(&said).unwrap());
    let link = RemoteRouter::links(&links).unwrap().remove(0);
    let (remote, greeting) = RemoteRouter::greet(&link).unwrap();
    remote.follow(&table(setup), &certificates(setup)).unwrap();
    let (ends, cpu_ns) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
    let log = BufWriter::new(File::create(dir.path().join("log")).unwrap());
    let follower = thread::spawn({
        let (ends, cpu_ns) = (Arc::clone(&ends), Arc::clone(&cpu_ns));
        move || follow(&remote, log, &ends, &cpu_ns)
    });
    Some(Box::new(Ours { link, pid: greeting.pid, ends, cpu_ns, follower: Some(follower), _dir: dir }))
}

/// Writes lines down until it is to end.
fn follow(remote: &RemoteRouter, mut log: BufWriter<File>, ends: &AtomicBool, cpu_ns: &AtomicU64) {
    while !ends.load(Ordering::SeqCst) {
        match remote.hear(PAUSE).unwrap() {
            Some(Told::Lines { lines, next, lost }) => {
                assert_eq!(lost, 0, "lines of the router");
                for (_, _, text) in lines {
                    writeln!(log, "{text}").unwrap();
                }
                log.flush().unwrap();
                remote.heard(next).unwrap();
            }
            Some(Told::Figures(_)) | None => {}
        }
        let cpu = Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap());
        cpu_ns.store(u64::try_from(cpu.as_nanos()).unwrap(), Ordering::SeqCst);
    }
}

/// The same dynos for all apps, as the others have one server: the backend, in whose network the hand makes its sockets.
fn table(setup: &Setup<'_>) -> RouteTable {
    let namespace = format!("/proc/{}/ns/net", setup.backend.pid());
    let place = NetnsRef::of(Path::new(&namespace)).unwrap();
    let netns = NetnsAddress { path: place.path, device: place.dev, inode: place.ino };
    let dyno = |number| Backend {
        id: DynoId(Uuid::new_v4()),
        dyno: format!("web.{number}").parse().unwrap(),
        netns: netns.clone(),
        address: None,
        port: setup.backend.address.port(),
    };
    let dynos: Vec<Backend> = (1..=setup.dynos).map(dyno).collect();
    let mut table = RouteTable::default();
    for app in 0..setup.apps {
        let route = Route {
            app: AppId(Uuid::new_v4()),
            name: format!("app-{app}").parse().unwrap(),
            maintenance: false,
            maintenance_page: None,
            error_page: None,
            web: WebState::Up(dynos.clone()),
            options: RouteOptions {
                http2: if setup.http2 { Http2::Always } else { Http2::Never },
                ..RouteOptions::default()
            },
        };
        table.routes.insert(host(app).parse().unwrap(), Arc::new(route));
    }
    table
}

fn certificates(setup: &Setup<'_>) -> Arc<Certificates> {
    let own = setup.certificate.map(|shown| {
        let key = SecretKey::new(shown.key_der.clone());
        Arc::new(Certificate { chain: vec![shown.chain_der.clone()], key })
    });
    Arc::new(Certificates { own, ..Certificates::default() })
}

impl Proxy for Ours {
    fn pids(&self) -> Vec<u32> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid)).unwrap();
        let children = |task: std::io::Result<std::fs::DirEntry>| {
            std::fs::read_to_string(task.unwrap().path().join("children")).unwrap()
        };
        let all: Vec<String> = tasks.map(children).collect();
        let hands = all.iter().flat_map(|text| text.split_whitespace()).map(|pid| pid.parse().unwrap());
        hands.chain([self.pid]).collect()
    }

    fn cpu_here(&self) -> Duration {
        Duration::from_nanos(self.cpu_ns.load(Ordering::SeqCst))
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        let followed = self.follower.take().map(JoinHandle::join);
        let (remote, _) = RemoteRouter::greet(&self.link).unwrap();
        remote.stop().unwrap();
        until("the router ends", || RemoteRouter::greet(&self.link).is_err());
        assert!(followed.is_some_and(|ended| ended.is_ok()), "the follower ends");
    }
}
