//! WebSockets that are open and silent, and are asked at the end whether they still live.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Where the backend has them.
pub const PATH: &str = "/socket";
/// What the backend answers to the request below: the example of RFC 6455, section 1.3.
pub const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const REQUEST: &str = "GET /socket HTTP/1.1\r\nHost: app-0.localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// How long one may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Open WebSockets.
pub struct Sockets(Vec<TcpStream>);

/// Allows this process and its children as many open files as root may have.
pub fn allow_many() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}

impl Sockets {
    /// Opens `count`, all of the first app.
    pub fn open(address: SocketAddr, count: usize) -> Sockets {
        Sockets((0..count).map(|_| open(address)).collect())
    }

    /// How many do not send back what they are sent.
    pub fn count_dead(mut self) -> u64 {
        let is_dead = |stream: &mut TcpStream| {
            let mut back = [0; 4];
            let asked = stream.write_all(b"ping").and_then(|()| stream.read_exact(&mut back));
            asked.is_err() || &back != b"ping"
        };
        self.0.iter_mut().map(is_dead).filter(|dead| *dead).count() as u64
    }
}

fn open(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(ANSWER_TIMEOUT)).unwrap();
    stream.write_all(REQUEST.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer to the upgrade");
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    stream
}
