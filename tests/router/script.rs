//! Cases of the conformance suite as text: what the client sends, what the dyno sends, and all that both of them got.
//!
//! A file in `cases/` holds cases. `## ` begins one with its name. These lines are its script, done in turn:
//!
//! ```text
//! set NAME VALUE       a timer (ms), a limit, the state of the app, or how the client uses TLS
//! C: TEXT              the client sends a line; `C+ TEXT` the same without its end
//! D: TEXT              the dyno sends a line, once it has read a head; `D+ TEXT` the same without the line's end
//! get PATH             the client sends a plain request, the last one of its connection
//! ok                   the dyno answers `ok`
//! await client TEXT    goes on when the client has got this; `await dyno TEXT` the same for the dyno
//! close client         closes the connection; `close dyno` the same for the dyno's
//! shut client          the client sends no more, and reads on; `reset dyno` cuts the dyno's connection off
//! next client          a new connection of the client; `next dyno` goes on with the dyno's next one
//! pause MS             waits
//! publish STATE        the app's state changes
//! stop                 the router is told to end
//! ```
//!
//! In a text `\r \n \t \0 \\ \xNN` stand for bytes, and `{a*100}` for a hundred times `a`. What follows the script is what was
//! seen: `client| ` lines as the client got them (`client+ ` the rest without a line end), `dyno| ` the same for the dyno,
//! `log| ` the router's lines, and where the client uses TLS `client! ` what both sides agreed on and how the connection ended. Values that differ between runs are masked, what is always the same is shortened:
//! `{platform}` are the headers that every dyno gets. `UPDATE=1 cargo test --test router` writes that part anew.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dyno::domain::{Affinity, Backend, Route, RouteOptions, WebState};
use dyno::router::{Connector, LoopbackConnector, RouterConfig};
use dyno::wire::pages::Page;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, WriteHalf};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::client::TlsStream;

use crate::bench::{Bench, backend, dead_port, quick, route};
use crate::secured::Secured;

/// No case waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two looks at what was seen.
const LOOK: Duration = Duration::from_millis(10);
/// Something too much would come within this time.
const SETTLE: Duration = Duration::from_millis(40);
/// A run of one character that is longer is shown as its length.
const RUN_SHOWN_MAX: usize = 40;

/// One case.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    script: Vec<String>,
    expected: Vec<String>,
}

/// One file of cases.
#[derive(Clone, Debug)]
pub(crate) struct File {
    path: PathBuf,
    /// What stands before the first case.
    preface: Vec<String>,
    pub(crate) cases: Vec<Case>,
}

impl File {
    pub(crate) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let mut file = Self { path: path.to_owned(), preface: Vec::new(), cases: Vec::new() };
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("## ") {
                file.cases.push(Case { name: name.to_owned(), script: vec![], expected: vec![] });
                continue;
            }
            match file.cases.last_mut() {
                None => file.preface.push(line.to_owned()),
                Some(_) if line.is_empty() => {}
                Some(case) if is_seen(line) => case.expected.push(line.to_owned()),
                Some(case) => case.script.push(line.to_owned()),
            }
        }
        file
    }

    /// Writes the file with what was seen in place of what was expected.
    pub(crate) fn update(&self, seen: &[Vec<String>]) {
        let mut text = self.preface.join("\n");
        text.push('\n');
        for (number, (case, seen)) in self.cases.iter().zip(seen).enumerate() {
            if number > 0 {
                text.push('\n');
            }
            writeln!(text, "## {}", case.name).unwrap();
            for line in case.script.iter().chain(seen) {
                writeln!(text, "{line}").unwrap();
            }
        }
        std::fs::write(&self.path, text).unwrap();
    }
}

fn is_seen(line: &str) -> bool {
    let word = line.split(['|', '+', '!']).next().unwrap_or_default();
    let word = word.trim_end_matches(|c: char| c.is_ascii_digit() || c == ' ');
    ["client", "dyno", "log"].contains(&word) && line.len() > word.len()
}

impl Case {
    /// Plays the case; gives what was seen, and whether it is what was expected.
    pub(crate) async fn play(&self) -> (Vec<String>, bool) {
        let mut stage = Stage::set(self).await;
        for line in &self.script {
            let step = timeout(PATIENCE, stage.perform(line)).await;
            if !matches!(step, Ok(Some(()))) {
                return (
                    vec![format!("log| this step failed: {line}"), stage.seen().await.join("\n")],
                    false,
                );
            }
        }
        stage.flush().await;
        stage.rest().await;
        let mut seen = stage.seen().await;
        let is_update = std::env::var_os("UPDATE").is_some();
        let deadline =
            tokio::time::Instant::now() + if is_update { Duration::from_secs(1) } else { PATIENCE };
        while seen != self.expected && tokio::time::Instant::now() < deadline {
            sleep(LOOK).await;
            seen = stage.seen().await;
        }
        sleep(SETTLE).await;
        let seen = stage.seen().await;
        let is_right = seen == self.expected;
        (seen, is_right)
    }
}

/// What was read from one connection, and the end that can write.
struct Wire {
    writer: Option<Writer>,
    got: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
    /// How far `await` has looked.
    place: usize,
    /// What became of TLS, where it is used.
    notes: Option<Notes>,
}

/// What is told of TLS apart from the bytes in it: how it began, and how it ended.
type Notes = Arc<Mutex<Vec<String>>>;

enum Writer {
    Plain(OwnedWriteHalf),
    Tls(WriteHalf<TlsStream<TcpStream>>),
}

impl Writer {
    async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Plain(half) => half.write_all(bytes).await,
            Self::Tls(half) => {
                half.write_all(bytes).await?;
                half.flush().await
            }
        }
    }

    async fn shut(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(half) => half.shutdown().await,
            Self::Tls(half) => half.shutdown().await,
        }
    }
}

impl Wire {
    fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        let (reader, writer) = stream.into_split();
        let got = Arc::new(Mutex::new(Vec::new()));
        let reader = tokio::spawn(collect(reader, Arc::clone(&got), None));
        Self { writer: Some(Writer::Plain(writer)), got, reader, place: 0, notes: None }
    }

    /// One of a client that has asked for TLS.
    fn secured(shaken: std::io::Result<TlsStream<TcpStream>>) -> Self {
        let got = Arc::new(Mutex::new(Vec::new()));
        let notes = Notes::default();
        notes.lock().unwrap().push(Secured::told(&shaken));
        let Ok(stream) = shaken else {
            let reader = tokio::spawn(std::future::ready(()));
            return Self { writer: None, got, reader, place: 0, notes: Some(notes) };
        };
        let (reader, writer) = tokio::io::split(stream);
        let reader = tokio::spawn(collect(reader, Arc::clone(&got), Some(Arc::clone(&notes))));
        Self { writer: Some(Writer::Tls(writer)), got, reader, place: 0, notes: Some(notes) }
    }

    async fn send(&mut self, bytes: &[u8]) {
        // A peer that has had enough is seen by what it sent.
        if let Some(writer) = &mut self.writer {
            let _closed = writer.send(bytes).await;
        }
    }

    async fn wait_for(&mut self, text: &[u8]) {
        loop {
            let at = {
                let got = self.got.lock().unwrap();
                got[self.place..].windows(text.len()).position(|part| part == text)
            };
            if let Some(at) = at {
                self.place += at + text.len();
                return;
            }
            sleep(LOOK / 4).await;
        }
    }

    fn close(&mut self) {
        self.reader.abort();
        drop(self.writer.take());
    }
}

async fn collect(mut reader: impl AsyncRead + Unpin, got: Arc<Mutex<Vec<u8>>>, notes: Option<Notes>) {
    let mut buffer = vec![0; 64 * 1024];
    let ended = loop {
        match reader.read(&mut buffer).await {
            Ok(count @ 1..) => got.lock().unwrap().extend_from_slice(&buffer[..count]),
            Ok(0) => break "close_notify",
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                break "the end without close_notify";
            }
            Err(_) => break "cut off",
        }
    };
    if let Some(notes) = notes {
        notes.lock().unwrap().push(ended.to_owned());
    }
}

type Wires = Arc<tokio::sync::Mutex<Vec<Wire>>>;

/// A router, a client and a dyno, with what they have done so far.
struct Stage {
    bench: Bench,
    clients: Vec<Wire>,
    dynos: Wires,
    /// Which of the dyno's connections is spoken of.
    dyno: usize,
    backend: Backend,
    setting: Setting,
    /// What the client is about to send.
    pending: Vec<u8>,
    script: String,
    listening: JoinHandle<()>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// What `set` says.
struct Setting {
    config: RouterConfig,
    web: String,
    route: Route,
    connector: Arc<dyn Connector>,
    /// How clients use TLS, if they do.
    secured: Option<Secured>,
    /// Whether they come in where TLS is spoken without speaking it.
    is_stray: bool,
}

impl Setting {
    fn of(case: &Case) -> Self {
        let mut config = quick();
        config.timers.first_byte = Duration::from_secs(10);
        config.timers.idle = Duration::from_secs(10);
        config.timers.queue = Duration::from_secs(10);
        config.timers.connect = Duration::from_secs(5);
        config.timers.client_keep_alive = Duration::from_secs(1);
        config.timers.linger = Duration::from_millis(100);
        config.timers.handshake = Duration::from_secs(10);
        config.secure = vec!["127.0.0.1:0".parse().unwrap()];
        let mut setting = Self {
            config,
            web: "up".to_owned(),
            route: route(WebState::Blank),
            connector: Arc::new(LoopbackConnector),
            secured: None,
            is_stray: false,
        };
        for line in case.script.iter().filter_map(|line| line.strip_prefix("set ")) {
            let (name, value) = line.split_once(' ').unwrap_or((line, ""));
            setting.set(name, value);
        }
        setting
    }

    fn set(&mut self, name: &str, value: &str) {
        let number = || value.parse::<u64>().unwrap_or_else(|_| panic!("{name} is to be a number"));
        let ms = || Duration::from_millis(number());
        let count = || usize::try_from(number()).unwrap();
        let (timers, limits) = (&mut self.config.timers, &mut self.config.limits);
        match name {
            "connect" => timers.connect = ms(),
            "queue" => timers.queue = ms(),
            "first_byte" => timers.first_byte = ms(),
            "idle" => timers.idle = ms(),
            "client_keep_alive" => timers.client_keep_alive = ms(),
            "quarantine" => timers.quarantine = ms(),
            "shutdown" => timers.shutdown = ms(),
            "in_flight_per_dyno" => limits.in_flight_per_dyno = count(),
            "connections" => limits.connections = count(),
            "web" => self.web = value.to_owned(),
            "maintenance" => self.route.maintenance = true,
            "error_page" => self.route.error_page = Some(value.to_owned()),
            "maintenance_page" => self.route.maintenance_page = Some(value.to_owned()),
            "affinity" => {
                self.route.options = RouteOptions { affinity: Affinity::Cookie, ..RouteOptions::default() }
            }
            "silent" => self.connector = Arc::new(Silent),
            "tls" => self.secured.get_or_insert_default().name = value.to_owned(),
            "alpn" => {
                self.secured.get_or_insert_default().protocols = value.split(' ').map(str::to_owned).collect()
            }
            "tls_version" => self.secured.get_or_insert_default().version = value.to_owned(),
            "plain_at_tls" => self.is_stray = true,
            other => panic!("there is no setting {other}"),
        }
    }

    /// A client's connection.
    async fn connect(&self, bench: &Bench) -> std::io::Result<Wire> {
        let is_at_tls = self.is_stray || self.secured.is_some();
        let address = bench.secure.filter(|_| is_at_tls).unwrap_or(bench.address);
        let stream = TcpStream::connect(address).await?;
        Ok(match &self.secured {
            Some(secured) => Wire::secured(secured.shake(stream).await),
            None => Wire::new(stream),
        })
    }

    async fn route(&self, web: &str, good: &Backend) -> Route {
        let web = match web {
            "blank" => WebState::Blank,
            "none" => WebState::NoneWanted,
            "crashed" => WebState::Crashed,
            "booting" => WebState::Booting,
            "up" => WebState::Up(vec![good.clone()]),
            "refusing" => WebState::Up(vec![refusing(2).await]),
            "refusing-and-up" => WebState::Up(vec![refusing(2).await, good.clone()]),
            other => panic!("there is no state {other}"),
        };
        Route { web, ..self.route.clone() }
    }
}

async fn refusing(index: u32) -> Backend {
    Backend {
        id: dyno::domain::DynoId(uuid::Uuid::from_u128(index.into())),
        ..backend(index, dead_port().await)
    }
}

/// A connector to dynos that never take a connection.
struct Silent;

impl Connector for Silent {
    fn connect<'a>(&'a self, _: &'a Backend) -> BoxFuture<'a, std::io::Result<TcpStream>> {
        Box::pin(std::future::pending())
    }
}

impl Stage {
    async fn set(case: &Case) -> Self {
        let setting = Setting::of(case);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let good = Backend { id: dyno::domain::DynoId(uuid::Uuid::from_u128(1)), ..backend(1, port) };
        let first = setting.route(&setting.web, &good).await;
        let bench =
            Bench::reaching(setting.config.clone(), first.web.clone(), Arc::clone(&setting.connector)).await;
        bench.publish(first);
        bench.certificates.send_replace(Arc::new(Secured::certificates()));
        let dynos = Wires::default();
        let taken = Arc::clone(&dynos);
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                taken.lock().await.push(Wire::new(stream));
            }
        });
        let client = setting.connect(&bench).await.unwrap();
        Self {
            bench,
            clients: vec![client],
            dynos,
            dyno: 0,
            backend: good,
            setting,
            pending: Vec::new(),
            script: case.script.join("\n"),
            listening,
        }
    }

    /// One step; none where it cannot be done.
    async fn perform(&mut self, line: &str) -> Option<()> {
        let (word, text) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "C:" => self.pending.extend([bytes(text).as_slice(), b"\r\n"].concat()),
            "C+" => self.pending.extend(bytes(text)),
            "get" => self.pending.extend(
                format!("GET {text} HTTP/1.1\r\nHost: example.localhost\r\nConnection: close\r\n\r\n")
                    .bytes(),
            ),
            "set" | "#" => {}
            _ => {
                self.flush().await;
                self.act(word, text).await?;
            }
        }
        Some(())
    }

    async fn act(&mut self, word: &str, text: &str) -> Option<()> {
        match (word, text) {
            ("D:", _) => self.dyno_sends(&[bytes(text).as_slice(), b"\r\n"].concat()).await,
            ("D+", _) => self.dyno_sends(&bytes(text)).await,
            ("ok", _) => self.dyno_sends(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await,
            ("await", _) => match text.split_once(' ')? {
                ("client", text) => self.client().wait_for(&bytes(text)).await,
                ("dyno", text) => self.on_dyno(Some(&bytes(text)), &[]).await,
                _ => return None,
            },
            ("close", "client") => self.client().close(),
            ("shut", "client") => self.client().writer.as_mut()?.shut().await.ok()?,
            ("close", "dyno") => self.dynos.lock().await.get_mut(self.dyno)?.close(),
            ("reset", "dyno") => {
                let mut dynos = self.dynos.lock().await;
                let wire = dynos.get_mut(self.dyno)?;
                let Writer::Plain(half) = wire.writer.as_ref()? else { return None };
                half.as_ref().set_zero_linger().ok()?;
                wire.close();
            }
            ("next", "client") => {
                self.rest().await;
                self.clients.push(self.setting.connect(&self.bench).await.ok()?);
            }
            ("next", "dyno") => self.dyno += 1,
            ("pause", ms) => sleep(Duration::from_millis(ms.parse().ok()?)).await,
            ("publish", state) => {
                let route = self.setting.route(state, &self.backend).await;
                self.bench.publish(route);
            }
            ("stop", _) => self.bench.stop(),
            _ => return None,
        }
        Some(())
    }

    fn client(&mut self) -> &mut Wire {
        self.clients.last_mut().unwrap()
    }

    async fn flush(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        if !pending.is_empty() {
            self.client().send(&pending).await;
        }
    }

    async fn dyno_sends(&mut self, bytes: &[u8]) {
        let is_first = self.dynos.lock().await.get(self.dyno).is_none_or(|wire| wire.place == 0);
        self.on_dyno(is_first.then_some(b"\r\n\r\n".as_slice()), bytes).await;
    }

    /// Waits for the dyno's connection, for a text there, and sends.
    async fn on_dyno(&mut self, text: Option<&[u8]>, send: &[u8]) {
        while self.dynos.lock().await.len() <= self.dyno {
            sleep(LOOK / 4).await;
        }
        let mut dynos = self.dynos.lock().await;
        let wire = &mut dynos[self.dyno];
        if let Some(text) = text {
            wire.wait_for(text).await;
        }
        wire.send(send).await;
    }

    /// Reads until the router closes the client's connection.
    async fn rest(&mut self) {
        self.flush().await;
        let reader = &mut self.client().reader;
        assert!(reader.is_finished() || timeout(PATIENCE, reader).await.is_ok(), "the router closes in time");
    }

    async fn seen(&self) -> Vec<String> {
        let mut seen = Vec::new();
        for (number, client) in self.clients.iter().enumerate() {
            self.show("client", number, &client.got.lock().unwrap(), &mut seen);
            let who = named("client", number);
            let notes = client.notes.as_ref().map(|notes| notes.lock().unwrap().clone()).unwrap_or_default();
            seen.extend(notes.into_iter().map(|note| format!("{who}! {note}")));
        }
        for (number, dyno) in self.dynos.lock().await.iter().enumerate() {
            self.show("dyno", number, &dyno.got.lock().unwrap(), &mut seen);
        }
        for line in self.bench.raw_lines() {
            let text = self.mask_line(&line);
            seen.push(format!("log| {text}"));
        }
        seen
    }

    fn show(&self, who: &str, number: usize, got: &[u8], seen: &mut Vec<String>) {
        let who = named(who, number);
        let mut text = got.to_vec();
        for (page, name) in [
            (Page::ApplicationError, "application error"),
            (Page::Maintenance, "maintenance"),
            (Page::Welcome, "welcome"),
            (Page::NoSuchApp, "no such app"),
        ] {
            text = replace(&text, page.html().as_bytes(), format!("{{page {name}}}").as_bytes());
        }
        let mut lines = Vec::new();
        let mut rest = text.as_slice();
        while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
            lines.push(self.mask_header(&printable(&rest[..end])));
            rest = &rest[end + 2..];
        }
        let over_tls = PLATFORM.replace("Proto: http\n", "Proto: https\n");
        let shown =
            lines.join("\n").replace(PLATFORM, "{platform}").replace(&over_tls, "{platform over TLS}");
        if !lines.is_empty() {
            seen.extend(shown.split('\n').map(|line| format!("{who}| {line}").trim_end().to_owned()));
        }
        if !rest.is_empty() {
            seen.push(format!("{who}+ {}", printable(rest)));
        }
    }

    fn mask_header(&self, line: &str) -> String {
        let Some((name, value)) = line.split_once(": ") else { return line.to_owned() };
        let is_ours = !self.script.contains(value);
        let masked = match name {
            "Date" if is_ours => "DATE",
            "X-Request-Id" if is_ours && value.len() == 36 => "ID",
            "X-Request-Start" if is_ours && value.bytes().all(|byte| byte.is_ascii_digit()) => "NOW",
            "X-Forwarded-Port" if self.ports().any(|port| port.to_string() == value) => "PORT",
            "Set-Cookie" => return between(line, "Expires=", ";", "DATE"),
            _ => return line.to_owned(),
        };
        format!("{name}: {masked}")
    }

    fn ports(&self) -> impl Iterator<Item = u16> {
        [Some(self.bench.address), self.bench.secure].into_iter().flatten().map(|address| address.port())
    }

    fn mask_line(&self, line: &str) -> String {
        let mut text = between(&between(line, "connect=", "ms", "N"), "service=", "ms", "N");
        let id = crate::bench::field(line, "request_id");
        if !self.script.contains(id) {
            text = text.replace(id, "ID");
        }
        text.replace("host=example.localhost request_id=ID fwd=\"127.0.0.1\"", "{request}")
    }
}

/// What every dyno gets from every client that sends none of it.
const PLATFORM: &str = "X-Forwarded-For: 127.0.0.1\nX-Forwarded-Proto: http\nX-Forwarded-Port: PORT\n\
                        X-Request-Start: NOW\nX-Request-Id: ID\nVia: 1.1 heroku-router";

fn named(who: &str, number: usize) -> String {
    if number == 0 { who.to_owned() } else { format!("{who} {}", number + 1) }
}

fn between(text: &str, before: &str, after: &str, by: &str) -> String {
    let Some(start) = text.find(before).map(|at| at + before.len()) else { return text.to_owned() };
    match text[start..].find(after) {
        Some(length) if length > 0 && !text[start..start + length].contains('=') => {
            format!("{}{by}{}", &text[..start], &text[start + length..])
        }
        _ => text.to_owned(),
    }
}

fn replace(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    match text.windows(from.len()).position(|part| part == from) {
        Some(at) => [&text[..at], to, &replace(&text[at + from.len()..], from, to)].concat(),
        None => text.to_owned(),
    }
}

/// A text of a script as bytes.
fn bytes(text: &str) -> Vec<u8> {
    let mut made = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        let run = after.split_once('}').filter(|_| c == '{').and_then(|(run, after)| {
            let (what, count) = run.rsplit_once('*')?;
            Some((bytes(what), count.parse::<usize>().ok()?, after))
        });
        if let Some((what, count, after)) = run {
            made.extend(what.repeat(count));
            rest = after;
        } else if c == '\\' {
            let escape = after.chars().next().expect("a character follows a backslash");
            rest = &after[1..];
            match escape {
                'r' => made.push(b'\r'),
                'n' => made.push(b'\n'),
                't' => made.push(b'\t'),
                '0' => made.push(0),
                'x' => {
                    made.push(u8::from_str_radix(&rest[..2], 16).expect("two hexadecimal digits"));
                    rest = &rest[2..];
                }
                other => made.push(u8::try_from(other).unwrap()),
            }
        } else {
            made.extend(c.to_string().bytes());
            rest = after;
        }
    }
    made
}

/// Bytes as a text that is readable and exact.
fn printable(bytes: &[u8]) -> String {
    let mut text = String::new();
    for run in bytes.chunk_by(|a, b| a == b) {
        let one = match run[0] {
            b'\r' => "\\r".to_owned(),
            b'\n' => "\\n".to_owned(),
            b'\\' => "\\\\".to_owned(),
            byte @ (b' '..=b'~') => char::from(byte).to_string(),
            byte => format!("\\x{byte:02x}"),
        };
        if run.len() > RUN_SHOWN_MAX {
            write!(text, "{{{one}*{}}}", run.len()).unwrap();
        } else {
            text.push_str(&one.repeat(run.len()));
        }
    }
    text
}
