//! What can be set: addresses, timers and limits, with the platform's values as defaults (platform reference 4.2 to 4.5).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::domain::RouteOptions;
use crate::router::frames::FrameRate;

/// The port the router listens on unless told otherwise.
const PORT: u16 = 8080;

/// All settings of a router.
#[derive(Clone, Debug)]
pub struct RouterConfig {
    /// Addresses to listen on. An IPv6 address is left out where the host has no IPv6.
    pub listen: Vec<SocketAddr>,
    /// Addresses to listen on for TLS, of which the same holds.
    pub secure: Vec<SocketAddr>,
    /// How long things may take.
    pub timers: Timers,
    /// How large things may be.
    pub limits: Limits,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Timers {
    /// A TLS handshake, from the connection on; what waits for others' handshakes is part of it.
    pub handshake: Duration,
    /// One connect to a dyno.
    pub connect: Duration,
    /// A request's wait for a dyno, connects included.
    pub queue: Duration,
    /// The first byte of the answer, from the moment the dyno has the request.
    pub first_byte: Duration,
    /// Silence of either side later on; restarted by every byte.
    pub idle: Duration,
    /// Until the head of a client's next request is complete, on an open connection.
    pub client_keep_alive: Duration,
    /// An unused connection to a dyno.
    pub dyno_keep_alive: Duration,
    /// How long a dyno that could not be reached is left alone.
    pub quarantine: Duration,
    /// Between two looks at dynos that are all left alone.
    pub retry_pause: Duration,
    /// How long an upload may go on after the dyno has answered.
    pub linger: Duration,
    /// How long a shutdown waits for requests in flight.
    pub shutdown: Duration,
    /// How long a router whose listeners another has taken over goes on with the connections that it has.
    pub finish: Duration,
}

/// How large things may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open client connections; more wait in the kernel's queue.
    pub connections: usize,
    /// TLS handshakes under way; more wait.
    pub handshakes: usize,
    /// Requests in flight, for each web dyno that is up.
    pub in_flight_per_dyno: usize,
    /// Dynos that are tried for one request.
    pub attempts: usize,
    /// Bytes of the request line.
    pub request_line_bytes: usize,
    /// Bytes of one header line of a request.
    pub header_line_bytes: usize,
    /// Bytes of one header name of a request.
    pub header_name_bytes: usize,
    /// Headers of a request or an answer.
    pub headers: usize,
    /// Bytes of a request's whole head; the platform names none, this bounds the memory of a connection.
    pub head_bytes: usize,
    /// Bytes of one `Set-Cookie` line of an answer.
    pub cookie_line_bytes: usize,
    /// Bytes of one other header line of an answer, and of its whole head and a half.
    pub answer_header_line_bytes: usize,
    /// Unused connections that are kept for one dyno.
    pub kept_per_dyno: usize,
    /// Requests at once on one connection of HTTP/2.
    pub streams: u32,
    /// Bytes of a request's whole head under HTTP/2, as RFC 9113 section 6.5.2 counts them.
    pub stream_head_bytes: u32,
    /// Bytes that may be under way to us and taken by nobody yet: of a stream, and of a connection of HTTP/2.
    pub window_bytes: u32,
    /// Bytes of an answer that wait in one stream of HTTP/2 for their client.
    pub stream_send_bytes: usize,
    /// Bytes of an answer that go to a stream of HTTP/2 at once.
    pub stream_piece_bytes: usize,
    /// Streams of one connection that are taken back before they were seen.
    pub unseen_resets: usize,
    /// Streams of one connection that end because of what the client sends is no HTTP/2.
    pub stream_errors: usize,
    /// Streams that a client takes back (CVE-2023-44487).
    pub stream_resets: FrameRate,
    /// Frames of HTTP/2 that carry nothing.
    pub idle_frames: FrameRate,
}

impl Default for RouterConfig {
    fn default() -> Self {
        let listen = vec![(Ipv4Addr::LOCALHOST, PORT).into(), (Ipv6Addr::LOCALHOST, PORT).into()];
        Self { listen, secure: Vec::new(), timers: Timers::default(), limits: Limits::default() }
    }
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            connect: Duration::from_secs(5),
            queue: Duration::from_secs(75),
            first_byte: Duration::from_secs(30),
            idle: Duration::from_secs(55),
            client_keep_alive: Duration::from_secs(60),
            dyno_keep_alive: Duration::from_secs(90),
            quarantine: Duration::from_secs(5),
            retry_pause: Duration::from_millis(250),
            linger: Duration::from_secs(5),
            shutdown: Duration::from_secs(30),
            finish: Duration::from_secs(3600),
        }
    }
}

impl Timers {
    /// Those of an app.
    pub(super) fn of(self, options: &RouteOptions) -> Self {
        let (first_byte, idle) =
            (options.first_byte.unwrap_or(self.first_byte), options.rolling.unwrap_or(self.idle));
        Self { first_byte, idle, ..self }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            handshakes: 512,
            in_flight_per_dyno: 200,
            attempts: 10,
            request_line_bytes: 8192,
            header_line_bytes: 8192,
            header_name_bytes: 1000,
            headers: 1000,
            head_bytes: 256 * 1024,
            cookie_line_bytes: 8192,
            answer_header_line_bytes: 512 * 1024,
            kept_per_dyno: 256,
            streams: 100,
            stream_head_bytes: 64 * 1024,
            window_bytes: 256 * 1024,
            stream_send_bytes: 64 * 1024,
            stream_piece_bytes: 16 * 1024,
            unseen_resets: 20,
            stream_errors: 100,
            stream_resets: FrameRate { burst: 200, per_s: 20 },
            idle_frames: FrameRate { burst: 1000, per_s: 100 },
        }
    }
}
