//! What stands behind every contender: a process that answers by the path, and sends back what comes through a WebSocket. It does as
//! little as it can, so that the proxies' work is what is seen.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::measure::Server;

/// The role of this program that answers; the port follows.
const ROLE: &str = "backend";
/// A few bytes.
pub const SMALL: &str = "/small";
/// 100 kB.
pub const MIDDLE: &str = "/middle";
/// 10 MB.
pub const LARGE: &str = "/large";
/// Bytes of each write of a large answer.
const CHUNK: usize = 100_000;
/// Bytes of a request's head that are understood.
const HEAD_MAX: usize = 8192;

/// A backend that runs until it is dropped.
pub struct Backend {
    server: Server,
    pub address: SocketAddr,
}

impl Backend {
    /// Starts one on a free port.
    pub fn start() -> Backend {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([ROLE, &port.to_string()]).stdin(Stdio::null());
        let server = Server(command.spawn().unwrap());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        crate::until("the backend listens", || std::net::TcpStream::connect(address).is_ok());
        Backend { server, address }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.server.0.id()
    }
}

/// Whether this process is to answer.
pub fn is_role() -> bool {
    std::env::args().nth(1).is_some_and(|role| role == ROLE)
}

/// Answers until it is killed.
pub fn serve() {
    let port: u16 = std::env::args().nth(2).unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            // It ends with its client.
            tokio::spawn(async move { drop(converse(stream).await) });
        }
    });
}

async fn converse(mut stream: TcpStream) -> std::io::Result<()> {
    let chunk = vec![b'x'; CHUNK];
    let mut head = Vec::with_capacity(HEAD_MAX);
    loop {
        let end = loop {
            if let Some(at) = head.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if head.len() >= HEAD_MAX || stream.read_buf(&mut head).await? == 0 {
                return Ok(());
            }
        };
        let text = String::from_utf8_lossy(&head[..end]).into_owned();
        head.drain(..end);
        let path = text.split(' ').nth(1).unwrap_or_default();
        if path == crate::sockets::PATH {
            stream.write_all(crate::sockets::ANSWER.as_bytes()).await?;
            let (mut from, mut to) = stream.split();
            tokio::io::copy(&mut from, &mut to).await?;
            return Ok(());
        }
        let length = match path {
            MIDDLE => CHUNK,
            LARGE => 100 * CHUNK,
            _ => 16,
        };
        let mut answer =
            format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n")
                .into_bytes();
        let first = length.min(CHUNK);
        answer.extend_from_slice(&chunk[..first]);
        stream.write_all(&answer).await?;
        for _ in 1..length / CHUNK {
            stream.write_all(&chunk).await?;
        }
    }
}
