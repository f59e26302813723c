//! Mutated requests, from a seed: whatever a dyno reads is exactly what a strict reader finds in the client's bytes.
//!
//! The router under test sits between raw bytes and a dyno that reads strictly. What the dyno has read must be well formed to
//! the last byte, and be a beginning of the requests that the strict reader here finds in what the client sent: same methods,
//! targets, hosts and bodies, and no header that the client did not send or the platform does not add. `FUZZ_ROUNDS=100000
//! cargo test --test router fuzz` goes on for longer, `FUZZ_SEED=n` begins elsewhere.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dyno::domain::WebState;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::bench::{Bench, backend, quick, route};

/// Requests in a run that is not told otherwise.
const ROUNDS: usize = 1600;
/// Routers that are tried at the same time.
const AT_ONCE: usize = 32;
/// No exchange takes longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the platform adds, or replaces.
const OURS: &[&str] =
    &["x-forwarded-for", "x-forwarded-proto", "x-forwarded-port", "x-request-start", "x-request-id", "via"];
/// What frames a message, or names its host: each hop's own.
const FRAMES: &[&str] = &["content-length", "transfer-encoding", "host", "connection", "upgrade"];

/// Requests to begin with.
const SEEDS: &[&str] = &[
    "GET /a?b HTTP/1.1\r\nHost: example.localhost\r\nConnection: close\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: example.localhost\r\nContent-Length: 5\r\nX-A: b\r\nConnection: close\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: example.localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
     5;a=b\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
    "PUT /x HTTP/1.1\r\nHost: example.localhost\r\nContent-Length: 2\r\n\r\nabGET /y HTTP/1.1\r\n\
     Host: example.localhost\r\nConnection: close\r\n\r\n",
    "POST /1 HTTP/1.1\r\nHost: example.localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n\
     POST /2 HTTP/1.1\r\nHost: example.localhost\r\nContent-Length: 3\r\nConnection: close\r\n\r\nxyz",
    "GET http://example.localhost/abs HTTP/1.1\r\nHost: example.localhost\r\nConnection: close\r\n\r\n",
    "GET / HTTP/1.0\r\nHost: example.localhost\r\nX-B: c\r\n\r\n",
];

/// What is put in.
const PIECES: &[&str] = &[
    "\r\n",
    "\n",
    "\r",
    "\0",
    " ",
    "\t",
    ":",
    ";",
    ",",
    "0",
    "1",
    "5",
    "ffffffffffffffff",
    "\x0b",
    "\"",
    "_",
    "#",
    "\r\n ",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: identity\r\n",
    "transfer-encoding: gzip, chunked\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "content-length: 5, 5\r\n",
    "Content-Length: +5\r\n",
    "Transfer_Encoding: chunked\r\n",
    "Content_Length: 9\r\n",
    "Transfer-Encoding : chunked\r\n",
    "Host: other.localhost\r\n",
    "Connection: content-length, host\r\n",
    "Expect: 100-continue\r\n",
    "X-Forwarded-For: 1\r\n",
    "0\r\n\r\n",
    "5\r\nhello\r\n",
    "GET /evil HTTP/1.1\r\nHost: example.localhost\r\n\r\n",
    " HTTP/1.1\r\n",
    "HTTP/1.0",
    "\u{e4}",
];

#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    method: String,
    target: String,
    host: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

/// What a strict reader makes of the beginning of some bytes.
enum Read {
    /// A message of as many bytes, and whether another may follow.
    Whole(Box<Message>, usize, bool),
    Partial,
    Bad(&'static str),
}

/// Reads one message as RFC 9112 asks of a strict reader; where both are there, chunks win and the connection ends.
fn read(bytes: &[u8]) -> Read {
    let Some(end) = find(bytes, b"\r\n\r\n") else { return Read::Partial };
    let Some((message, framing, may_follow)) = head(&bytes[..end]) else { return Read::Bad("head") };
    let rest = &bytes[end + 4..];
    let (body, used) = match framing {
        Framing::Sized(length) if rest.len() < length => return Read::Partial,
        Framing::Sized(length) => (rest[..length].to_vec(), length),
        Framing::Chunked => match chunks(rest) {
            Ok(Some(read)) => read,
            Ok(None) => return Read::Partial,
            Err(reason) => return Read::Bad(reason),
        },
    };
    Read::Whole(Box::new(Message { body, ..message }), end + 4 + used, may_follow)
}

enum Framing {
    Sized(usize),
    Chunked,
}

fn head(bytes: &[u8]) -> Option<(Message, Framing, bool)> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let mut lines = text.split("\r\n");
    if text.replace("\r\n", "").contains(['\r', '\n', '\0']) {
        return None;
    }
    let mut parts = lines.next()?.split(' ');
    let (method, target, version) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || !is_token(method) || target.is_empty() {
        return None;
    }
    let raw: Vec<&[u8]> = split(bytes).skip(1).collect();
    let mut headers = Vec::new();
    for line in raw {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = std::str::from_utf8(&line[..colon]).ok().filter(|name| is_token(name))?;
        headers.push((name.to_ascii_lowercase(), line[colon + 1..].trim_ascii().to_vec()));
    }
    let all = |name: &str| -> Vec<&Vec<u8>> {
        headers.iter().filter(|(given, _)| given == name).map(|(_, value)| value).collect()
    };
    let (lengths, codings) = (all("content-length"), all("transfer-encoding"));
    let is_plain = |value: &[u8]| !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    if !lengths.iter().all(|value| is_plain(value)) && codings.is_empty() {
        return None;
    }
    let numbers: Vec<usize> =
        lengths.iter().filter_map(|value| std::str::from_utf8(value).ok()?.parse().ok()).collect();
    if codings.is_empty()
        && (numbers.len() < lengths.len() || numbers.windows(2).any(|pair| pair[0] != pair[1]))
    {
        return None;
    }
    let framing = match codings.as_slice() {
        [] => Framing::Sized(numbers.first().copied().unwrap_or(0)),
        [only] if only.eq_ignore_ascii_case(b"chunked") && version == "HTTP/1.1" => Framing::Chunked,
        _ => return None,
    };
    let is_closing = all("connection").iter().any(|value| {
        String::from_utf8_lossy(value).split(',').any(|token| token.trim().eq_ignore_ascii_case("close"))
    });
    let is_mixed = !lengths.is_empty() && !codings.is_empty();
    let named =
        target.strip_prefix("http://").map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let host = all("host").first().map(|host| String::from_utf8_lossy(host).into_owned());
    let host = named.map(str::to_owned).or(host);
    let message = Message {
        method: method.to_owned(),
        target: origin(target),
        host,
        headers: headers.clone(),
        body: vec![],
    };
    Some((message, framing, !is_closing && !is_mixed))
}

/// A target as a dyno gets it: without scheme and host, and without a fragment.
fn origin(target: &str) -> String {
    let target = target.split('#').next().unwrap_or_default();
    let Some(rest) = target.strip_prefix("http://") else { return target.to_owned() };
    match rest.find(['/', '?']) {
        Some(at) if rest[at..].starts_with('/') => rest[at..].to_owned(),
        Some(at) => format!("/{}", &rest[at..]),
        None => "/".to_owned(),
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn split(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let bytes = rest?;
        match find(bytes, b"\r\n") {
            Some(at) => {
                rest = Some(&bytes[at + 2..]);
                Some(&bytes[..at])
            }
            None => rest.take(),
        }
    })
}

fn chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, &'static str> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some(end) = find(&bytes[at..], b"\r\n") else { return Ok(None) };
        let line = &bytes[at..at + end];
        if line.contains(&b'\n') || line.contains(&b'\r') {
            return Err("a lone line end in a chunk's size");
        }
        let digits = line.split(|byte| b"; \t".contains(byte)).next().unwrap_or_default();
        let size =
            std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
        let Some(size) = size.and_then(|text| usize::from_str_radix(text, 16).ok()) else {
            return Err("size");
        };
        at += end + 2;
        if size == 0 {
            break;
        }
        let Some(after) = at.checked_add(size).filter(|end| end.saturating_add(2) <= bytes.len()) else {
            return Ok(None);
        };
        body.extend_from_slice(&bytes[at..after]);
        if &bytes[after..after + 2] != b"\r\n" {
            return Err("a chunk is longer than its size");
        }
        at = after + 2;
    }
    loop {
        let Some(end) = find(&bytes[at..], b"\r\n") else { return Ok(None) };
        at += end + 2;
        if end == 0 {
            return Ok(Some((body, at)));
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|part| part == what)
}

fn mutate(random: &mut StdRng) -> Vec<u8> {
    let mut bytes = SEEDS.choose(random).unwrap().as_bytes().to_vec();
    for _ in 0..random.random_range(0..4) {
        // Where lines begin and end is where framing is decided.
        let edges: Vec<usize> =
            (0..bytes.len()).filter(|at| b"\r\n: ".contains(&bytes[*at])).chain([0, bytes.len()]).collect();
        let at = if random.random_bool(0.7) {
            (*edges.choose(random).unwrap() + random.random_range(0..2_usize)).min(bytes.len())
        } else {
            random.random_range(0..=bytes.len())
        };
        let until = (at + random.random_range(0..3_usize)).min(bytes.len());
        let piece = PIECES.choose(random).unwrap().as_bytes();
        match random.random_range(0..5) {
            0 | 1 => drop(bytes.splice(at..at, piece.iter().copied())),
            2 => drop(bytes.splice(at..until, [])),
            3 => drop(bytes.splice(at..until, piece.iter().copied())),
            _ => {
                let lines: Vec<&[u8]> = split(&bytes).collect();
                let copied = [*lines.choose(random).unwrap(), b"\r\n".as_slice()].concat();
                let start = find(&bytes[at..], b"\r\n").map_or(at, |end| at + end + 2);
                drop(bytes.splice(start..start, copied));
            }
        }
    }
    bytes
}

/// A dyno that reads strictly, answers, and keeps what it has read.
async fn strict_dyno(listener: TcpListener, read_so_far: Arc<Mutex<Vec<Result<Message, String>>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve_strictly(stream, Arc::clone(&read_so_far)));
    }
}

async fn serve_strictly(mut stream: TcpStream, so_far: Arc<Mutex<Vec<Result<Message, String>>>>) {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        bytes.extend_from_slice(&buffer[..count]);
        loop {
            match read(&bytes) {
                Read::Partial => break,
                Read::Bad(reason) => {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    so_far.lock().unwrap().push(Err(format!("{reason}: {text:?}")));
                    return;
                }
                Read::Whole(message, used, _) => {
                    so_far.lock().unwrap().push(Ok(*message));
                    bytes.drain(..used);
                    if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// The requests that a strict reader finds.
fn expected(mut bytes: &[u8]) -> Vec<Message> {
    let mut messages = Vec::new();
    loop {
        while let Some(rest) = bytes.strip_prefix(b"\r\n") {
            bytes = rest;
        }
        let Read::Whole(message, used, may_follow) = read(bytes) else { return messages };
        messages.push(*message);
        if !may_follow {
            return messages;
        }
        bytes = &bytes[used..];
    }
}

fn is_for_us(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name).eq_ignore_ascii_case("example.localhost")
}

/// What is wrong with a message a dyno has read, given the one it is to be.
fn defect(read: &Message, sent: &Message) -> Option<String> {
    if (&read.method, &read.target, &read.host, &read.body)
        != (&sent.method, &sent.target, &sent.host, &sent.body)
    {
        return Some(format!("{read:?} is not {sent:?}"));
    }
    let is_known = |(name, value): &&(String, Vec<u8>)| {
        OURS.contains(&name.as_str())
            || FRAMES.contains(&name.as_str())
            || sent.headers.iter().any(|(given, with)| given == name && with == value)
    };
    read.headers.iter().find(|header| !is_known(header)).map(|(name, _)| format!("{name} comes from nowhere"))
}

/// Tries some requests on a router of its own; gives how many reached a dyno.
async fn rounds(seed: u64, count: usize) -> Result<usize, String> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut config = quick();
    config.timers.client_keep_alive = Duration::from_millis(150);
    config.timers.idle = Duration::from_millis(150);
    config.timers.linger = Duration::ZERO;
    // A dyno that waits for its turn on a busy machine is no slow dyno.
    config.timers.first_byte = PATIENCE;
    config.timers.connect = PATIENCE;
    let bench = Bench::with(config, WebState::Blank).await;
    let mut reached = 0;
    for _ in 0..count {
        let sent = mutate(&mut random);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dyno = backend(1, listener.local_addr().unwrap().port());
        let read = Arc::new(Mutex::new(Vec::new()));
        let listening = tokio::spawn(strict_dyno(listener, Arc::clone(&read)));
        bench.publish(route(WebState::Up(vec![dyno])));
        let mut client = TcpStream::connect(bench.address).await.unwrap();
        let _refused_early = client.write_all(&sent).await;
        let mut answer = Vec::new();
        let ended = timeout(PATIENCE, client.read_to_end(&mut answer)).await;
        listening.abort();
        let text = String::from_utf8_lossy(&sent).into_owned();
        if ended.is_err() {
            return Err(format!("seed {seed}: no end after {text:?}"));
        }
        let (read, mut expected) = (read.lock().unwrap().clone(), expected(&sent));
        // One for no app is answered by the router, and the connection goes on.
        expected.retain(|message| message.host.as_deref().is_some_and(is_for_us));
        reached += usize::from(!read.is_empty());
        for (at, read) in read.iter().enumerate() {
            let defect = match (read, expected.get(at)) {
                (Err(defect), _) => Some(defect.clone()),
                (Ok(read), None) => Some(format!("{read:?} was not sent")),
                (Ok(read), Some(sent)) => defect(read, sent),
            };
            if let Some(defect) = defect {
                return Err(format!("seed {seed}: {text:?}: {defect}"));
            }
        }
    }
    Ok(reached)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fuzzed_requests_reach_a_dyno_as_they_were_sent_or_not_at_all() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let total = number("FUZZ_ROUNDS").and_then(|count| usize::try_from(count).ok()).unwrap_or(ROUNDS);
    let first = number("FUZZ_SEED").unwrap_or(0);
    let runs = (0..u64::try_from(AT_ONCE).unwrap()).map(|n| tokio::spawn(rounds(first + n, total / AT_ONCE)));
    let mut reached = 0;
    for run in futures_util::future::join_all(runs).await {
        reached += run.unwrap().unwrap_or_else(|defect| panic!("{defect}"));
    }
    assert!(reached * 5 > total, "only {reached} of {total} requests reached a dyno: nothing was tried");
}
