//! A steady stream of requests, each on a connection of its own.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::APP;

/// Senders of a stream: a request that waits for a dyno does not hold up the others.
const SENDERS: u32 = 16;
/// How long a request may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came of a stream.
#[derive(Debug, Default)]
pub struct Stream {
    /// How long each request took that was answered well.
    pub spans: Vec<Duration>,
    /// What came of the others.
    pub failed: Vec<String>,
}

/// Sends `rate` requests a second while `work` goes on.
pub fn during<T>(port: u16, rate: u32, work: impl FnOnce() -> T) -> (Stream, T) {
    let over = AtomicBool::new(false);
    let pace = Duration::from_secs(1) * SENDERS / rate;
    let start = Instant::now();
    std::thread::scope(|scope| {
        let sender = |number: u32| {
            let over = &over;
            move || {
                let mut stream = Stream::default();
                let mut due = start + pace * number / SENDERS;
                while !over.load(Ordering::Relaxed) {
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    let sent = Instant::now();
                    match get(port) {
                        Ok(_) => stream.spans.push(sent.elapsed()),
                        Err(error) => stream.failed.push(error),
                    }
                    due += pace;
                }
                stream
            }
        };
        let senders: Vec<_> = (0..SENDERS).map(|number| scope.spawn(sender(number))).collect();
        let done = work();
        over.store(true, Ordering::Relaxed);
        let mut all = Stream::default();
        for sender in senders {
            let stream = sender.join().unwrap();
            all.spans.extend(stream.spans);
            all.failed.extend(stream.failed);
        }
        all.spans.sort_unstable();
        (all, done)
    })
}

/// One request: the body of a good answer, or what came instead.
pub fn get(port: u16) -> Result<String, String> {
    let answer = exchange(port).map_err(|error| error.to_string())?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Ok(body.trim().to_owned()),
        Some(_) | None => Err(answer),
    }
}

fn exchange(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET / HTTP/1.1\r\nHost: {APP}.localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
