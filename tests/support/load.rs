//! A steady load on a router: requests on kept and on new connections, and tunnels in which something is always under way.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// No client waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(90);
const CLIENTS: usize = 6;
/// How many tunnels are open.
pub const TUNNELS: usize = 4;

/// The next head; none when the other side has closed before it.
pub fn head(stream: &mut TcpStream) -> std::io::Result<Option<String>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return if head.is_empty() { Ok(None) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) };
        }
        head.push(byte[0]);
    }
    Ok(Some(String::from_utf8_lossy(&head).into_owned()))
}

#[derive(Debug, Default)]
struct Counts {
    answered: AtomicU64,
    failed: Mutex<Vec<String>>,
    dropped: AtomicU64,
    ends: AtomicBool,
}

pub struct Counted {
    pub answered: u64,
    pub failed: Vec<String>,
    pub dropped: u64,
}

/// Requests on kept and on new connections, and tunnels with something always under way.
pub struct Load {
    counts: Arc<Counts>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Begins it against the app of this host.
    pub fn begin(port: u16, host: &'static str) -> Self {
        let counts = Arc::<Counts>::default();
        let mut clients = Vec::new();
        for number in 0..CLIENTS {
            let counts = Arc::clone(&counts);
            clients.push(thread::spawn(move || {
                while !counts.ends.load(Ordering::SeqCst) {
                    // Some keep their connection as long as they may, others none.
                    let requests = if number % 2 == 0 { usize::MAX } else { 1 };
                    if let Err(error) = ask((port, host), requests, &counts) {
                        counts.failed.lock().unwrap().push(error.to_string());
                    }
                }
            }));
        }
        let opened = Arc::<AtomicU64>::default();
        for _ in 0..TUNNELS {
            let (counts, opened) = (Arc::clone(&counts), Arc::clone(&opened));
            clients.push(thread::spawn(move || {
                if tunnel((port, host), &counts, &opened).is_err() {
                    counts.dropped.fetch_add(1, Ordering::SeqCst);
                }
            }));
        }
        eventually("all tunnels are open", || {
            usize::try_from(opened.load(Ordering::SeqCst)).unwrap() == TUNNELS
        });
        Self { counts, clients }
    }

    /// Whether more is answered from now on.
    pub fn is_going_on(&self) -> bool {
        let before = self.counts.answered.load(Ordering::SeqCst);
        let until = Instant::now() + PATIENCE;
        while self.counts.answered.load(Ordering::SeqCst) < before + 20 {
            if Instant::now() > until {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// Ends it: what came of it.
    pub fn end(self) -> Counted {
        self.counts.ends.store(true, Ordering::SeqCst);
        for client in self.clients {
            client.join().unwrap();
        }
        Counted {
            answered: self.counts.answered.load(Ordering::SeqCst),
            failed: std::mem::take(&mut self.counts.failed.lock().unwrap()),
            dropped: self.counts.dropped.load(Ordering::SeqCst),
        }
    }
}

fn connect(port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// So many requests on one connection, or until the router says that it is its last one.
fn ask((port, host): (u16, &str), requests: usize, counts: &Counts) -> std::io::Result<()> {
    let mut stream = connect(port)?;
    for _ in 0..requests {
        if counts.ends.load(Ordering::SeqCst) {
            break;
        }
        stream.write_all(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())?;
        let head = head(&mut stream)?.ok_or(std::io::ErrorKind::UnexpectedEof)?;
        let mut body = [0; 2];
        stream.read_exact(&mut body)?;
        if !head.starts_with("HTTP/1.1 200 ") || body != *b"ok" {
            return Err(std::io::Error::other(head));
        }
        counts.answered.fetch_add(1, Ordering::SeqCst);
        if head.contains("\r\nConnection: close\r\n") {
            break;
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

fn tunnel((port, host): (u16, &str), counts: &Counts, opened: &AtomicU64) -> std::io::Result<()> {
    let mut stream = connect(port)?;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket";
    stream.write_all(format!("GET /ws HTTP/1.1\r\nHost: {host}\r\n{upgrade}\r\n\r\n").as_bytes())?;
    let head = head(&mut stream)?.ok_or(std::io::ErrorKind::UnexpectedEof)?;
    if !head.starts_with("HTTP/1.1 101 ") {
        return Err(std::io::Error::other(head));
    }
    opened.fetch_add(1, Ordering::SeqCst);
    let mut number = 0_u64;
    while !counts.ends.load(Ordering::SeqCst) {
        number += 1;
        stream.write_all(&number.to_be_bytes())?;
        let mut back = [0; 8];
        stream.read_exact(&mut back)?;
        if back != number.to_be_bytes() {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        thread::sleep(Duration::from_millis(3));
    }
    stream.shutdown(Shutdown::Both)
}

/// Waits until `holds` does.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "it never came about that {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
