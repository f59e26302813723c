//! Requests a second, what each costs, and how long it takes, beside nginx and haproxy: `cargo bench --bench router -- --help`, and
//! `benches/README.md`. Root.
#![allow(unreachable_pub, clippy::allow_attributes, reason = "a program exports nothing")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program whose output is its purpose")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss,
    clippy::struct_excessive_bools,
    reason = "a benchmark that cannot go on may stop; figures are for people"
)]

mod backend;
mod haproxy;
mod load;
mod nginx;
mod ours;
mod sockets;

#[path = "../measure.rs"]
mod measure;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::Parser;

use crate::backend::Backend;
use crate::load::{Load, Served};
use crate::measure::{cpu_of, median, until};
use crate::sockets::Sockets;

/// Requests through the router, nginx and haproxy, all in front of the same backend
#[derive(Debug, Parser)]
struct Arguments {
    /// Seconds of each run
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Runs of each, by turns
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Threads of each contender
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Which contenders
    #[arg(long, value_delimiter = ',', default_values_t = ["dyno", "nginx", "haproxy"].map(str::to_owned))]
    only: Vec<String>,
    /// Which tables
    #[arg(long, value_delimiter = ',', default_values_t = CASES.map(|case| case.name.to_owned()))]
    cases: Vec<String>,
    /// Install nginx, haproxy, wrk and h2load first, from the system's packages
    #[arg(long)]
    install: bool,
    /// Cargo says so
    #[arg(long, hide = true)]
    bench: bool,
}

/// One table.
#[derive(Clone, Copy, Debug)]
struct Case {
    name: &'static str,
    says: &'static str,
    path: &'static str,
    connections: u32,
    /// Whether connections are used again.
    keeps: bool,
    /// Apps that the contender knows, and that requests go to by chance.
    apps: u32,
    /// WebSockets that are open and silent beside.
    sockets: usize,
    /// Whether clients come by TLS 1.3.
    secure: bool,
    /// Requests at once on each connection, of HTTP/2; HTTP/1 where there are none.
    streams: u32,
}

impl Case {
    const fn plain(name: &'static str, says: &'static str, path: &'static str, connections: u32) -> Self {
        Self { name, says, path, connections, keeps: true, apps: 1, sockets: 0, secure: false, streams: 0 }
    }
}

const CASES: [Case; 10] = [
    Case::plain("small", "small answers over 64 connections", backend::SMALL, 64),
    Case { keeps: false, ..Case::plain("new", "small answers, a connection each", backend::SMALL, 64) },
    Case::plain("100k", "answers of 100 kB over 16 connections", backend::MIDDLE, 16),
    Case::plain("10m", "answers of 10 MB over 4 connections", backend::LARGE, 4),
    Case {
        sockets: 1000,
        ..Case::plain("sockets", "small answers beside 1,000 WebSockets", backend::SMALL, 64)
    },
    Case { apps: 10_000, ..Case::plain("apps", "small answers of 10,000 apps", backend::SMALL, 64) },
    Case {
        secure: true,
        ..Case::plain("tls", "small answers over 64 connections with TLS", backend::SMALL, 64)
    },
    Case {
        secure: true,
        keeps: false,
        ..Case::plain("handshakes", "small answers, a connection with TLS each", backend::SMALL, 64)
    },
    Case {
        secure: true,
        streams: 10,
        ..Case::plain(
            "http2",
            "small answers by HTTP/2, 10 at once over each of 16 connections",
            backend::SMALL,
            16,
        )
    },
    Case {
        secure: true,
        streams: 4,
        ..Case::plain(
            "http2-100k",
            "answers of 100 kB by HTTP/2, 4 at once over each of 4 connections",
            backend::MIDDLE,
            4,
        )
    },
];

/// What a contender is to stand in front of.
struct Setup<'a> {
    backend: &'a Backend,
    listen: SocketAddr,
    workers: usize,
    apps: u32,
    /// Dynos of each app, all of them the backend: one has a limit of requests in flight, and a WebSocket is one for as long as it is open.
    dynos: u32,
    /// What is shown to clients, where they come by TLS.
    certificate: Option<&'a Shown>,
    /// Whether they are offered HTTP/2.
    http2: bool,
}

/// A certificate that signs itself.
struct Shown {
    chain_der: Vec<u8>,
    key_der: Vec<u8>,
    /// The certificate and the key, one after the other.
    pem: String,
}

impl Shown {
    fn new() -> Shown {
        let made = rcgen::generate_simple_self_signed(vec!["*.localhost".to_owned()]).unwrap();
        Shown {
            chain_der: made.cert.der().to_vec(),
            key_der: made.signing_key.serialize_der(),
            pem: format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem()),
        }
    }
}

/// A proxy that listens; it ends when it is dropped.
trait Proxy {
    /// Its processes.
    fn pids(&self) -> Vec<u32>;

    /// What else it costs, in this process.
    fn cpu_here(&self) -> Duration {
        Duration::ZERO
    }
}

/// Starts a contender; none where it is not installed.
type Start = fn(&Setup<'_>) -> Option<Box<dyn Proxy>>;

/// The name of an app.
fn host(app: u32) -> String {
    format!("app-{app}.localhost")
}

/// What one run of a contender gave.
struct Run {
    served: Served,
    cpu: Duration,
    memory_bytes: u64,
}

fn main() -> ExitCode {
    if backend::is_role() {
        backend::serve();
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::parse();
    if arguments.install {
        let packages = ["nginx-light", "haproxy", "wrk", "nghttp2-client"];
        let installed = Command::new("apt-get").args(["install", "--yes"]).args(packages).status().unwrap();
        assert!(installed.success(), "apt-get: {installed}");
    }
    sockets::allow_many();
    let backend = Backend::start();
    let chosen = |case: &&Case| arguments.cases.iter().any(|name| name == case.name);
    let failed: u64 = CASES.iter().filter(chosen).map(|case| compare(&arguments, case, &backend)).sum();
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints one table; how many requests and WebSockets failed.
fn compare(arguments: &Arguments, case: &Case, backend: &Backend) -> u64 {
    let all: [(&str, Start); 3] =
        [("dyno", ours::start), ("nginx", nginx::start), ("haproxy", haproxy::start)];
    let mut contenders: Vec<(&str, Start, Vec<Run>)> = all
        .into_iter()
        .filter(|(name, _)| arguments.only.iter().any(|only| only == name))
        .map(|(name, start)| (name, start, Vec::new()))
        .collect();
    for _ in 0..arguments.rounds {
        for (_, start, runs) in &mut contenders {
            runs.extend(measure(arguments, case, backend, *start));
        }
    }
    println!("\n{}, medians of {} runs of {} s", case.says, arguments.rounds, arguments.seconds);
    println!(
        "  {:<10} {:>11} {:>16} {:>9} {:>9} {:>9} {:>8}",
        "", "requests/s", "CPU s/100,000", "p50 ms", "p99 ms", "MiB", "failed"
    );
    let mut failed = 0;
    for (name, _, runs) in &contenders {
        if runs.is_empty() {
            println!("  {name:<10} {:>11}", "not here");
            continue;
        }
        let of = |figure: fn(&Run) -> f64| median(runs.iter().map(figure));
        let failures: u64 = runs.iter().map(|run| run.served.failed).sum();
        failed += failures;
        println!(
            "  {name:<10} {:>11.0} {:>16.2} {:>9.2} {:>9.2} {:>9.1} {failures:>8}",
            of(|run| run.served.requests as f64 / run.served.took.as_secs_f64()),
            of(|run| run.cpu.as_secs_f64() * 1e5 / run.served.requests as f64),
            of(|run| run.served.p50.as_secs_f64() * 1e3),
            of(|run| run.served.p99.as_secs_f64() * 1e3),
            of(|run| run.memory_bytes as f64 / f64::from(1 << 20)),
        );
    }
    failed
}

/// One run of a contender.
fn measure(arguments: &Arguments, case: &Case, backend: &Backend, start: Start) -> Option<Run> {
    let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dynos = if case.sockets == 0 { 1 } else { 10 };
    let shown = case.secure.then(Shown::new);
    let certificate = shown.as_ref();
    let (workers, apps, http2) = (arguments.workers, case.apps, case.streams > 0);
    let setup = Setup { backend, listen, workers, apps, dynos, certificate, http2 };
    let proxy = start(&setup)?;
    until("the proxy listens", || {
        assert!(proxy.pids().into_iter().all(is_alive), "the proxy has ended");
        TcpStream::connect(listen).is_ok()
    });
    let sockets = Sockets::open(listen, case.sockets);
    let load = Load {
        address: listen,
        path: case.path,
        connections: case.connections,
        keeps: case.keeps,
        apps: case.apps,
        secure: case.secure,
        streams: case.streams,
        span: Duration::from_secs(arguments.seconds),
    };
    // The first requests find nothing ready: connections to the backend, pages of memory.
    Load { span: Duration::from_secs(1), ..load }.run();
    let cpu = || proxy.cpu_here() + proxy.pids().into_iter().map(cpu_of).sum::<Duration>();
    let before = cpu();
    let mut served = load.run();
    let cpu = cpu() - before;
    served.failed += sockets.count_dead();
    let memory_bytes = proxy.pids().into_iter().map(memory_of).sum();
    Some(Run { served, cpu, memory_bytes })
}

/// Whether a process has not ended; one that has is a zombie until it is reaped (proc(5)).
fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|fields| !fields.trim().is_empty() && !fields.trim().starts_with('Z'))
}

/// Memory that is a process's own, with its share of what it has in common with others (proc(5), smaps_rollup).
fn memory_of(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
}
