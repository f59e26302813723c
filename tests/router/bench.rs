//! A router with short timers between raw client bytes and scripted dynos, all on loopback.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dyno::domain::{
    AppId, Backend, Certificates, DynoId, NetnsAddress, Route, RouteOptions, RouteTable, WebState,
};
use dyno::router::{Connector, Ends, Figures, LoopbackConnector, Router, RouterConfig, RouterLog, Timers};
use dyno::wire::router_line::RouterLine;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

/// No test waits longer for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What a scripted dyno does with a connection, in order.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Reads until this text has come.
    Read(&'static str),
    /// Sends this.
    Send(&'static str),
    /// Sends as many bytes.
    SendBytes(usize),
    /// Waits, milliseconds.
    Pause(u64),
    /// Begins again with the first act.
    Again,
    /// Reads until the other side closes, and keeps it as seen.
    Hold,
    /// Sends back what comes until the other side closes.
    Echo,
}

/// A dyno that plays a script on every connection.
pub(crate) struct Dyno {
    pub(crate) backend: Backend,
    /// All that it was sent.
    pub(crate) seen: Arc<Mutex<Vec<u8>>>,
    /// Connections it has taken.
    pub(crate) taken: Arc<AtomicUsize>,
    /// Connections that the router has closed.
    pub(crate) closed: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Dyno {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Dyno {
    /// `web.<index>`, playing `acts`.
    pub(crate) async fn play(index: u32, acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let backend = backend(index, listener.local_addr().unwrap().port());
        let (seen, taken, closed) =
            (Arc::default(), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let task = tokio::spawn({
            let (seen, taken, closed) = (Arc::clone(&seen), Arc::clone(&taken), Arc::clone(&closed));
            async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    taken.fetch_add(1, Ordering::SeqCst);
                    let (acts, seen, closed) = (acts.clone(), Arc::clone(&seen), Arc::clone(&closed));
                    tokio::spawn(async move {
                        if perform(stream, &acts, &seen).await.is_none() {
                            closed.fetch_add(1, Ordering::SeqCst);
                        }
                    });
                }
            }
        });
        Self { backend, seen, taken, closed, task }
    }

    pub(crate) fn seen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }
}

/// None when the other side closes.
async fn perform(mut stream: TcpStream, acts: &[Act], seen: &Mutex<Vec<u8>>) -> Option<()> {
    let mut place = 0;
    let mut read = String::new();
    while let Some(act) = acts.get(place) {
        place += 1;
        match act {
            Act::Read(text) => {
                while !read.contains(text) {
                    read.push_str(&take(&mut stream, seen).await?);
                }
                read = read.split_once(text).unwrap().1.to_owned();
            }
            Act::Send(text) => stream.write_all(text.as_bytes()).await.ok()?,
            Act::SendBytes(count) => stream.write_all(&vec![b'x'; *count]).await.ok()?,
            Act::Pause(ms) => sleep(Duration::from_millis(*ms)).await,
            Act::Again => place = 0,
            Act::Hold => loop {
                take(&mut stream, seen).await?;
            },
            Act::Echo => loop {
                let text = take(&mut stream, seen).await?;
                stream.write_all(text.as_bytes()).await.ok()?;
            },
        }
    }
    Some(())
}

async fn take(stream: &mut TcpStream, seen: &Mutex<Vec<u8>>) -> Option<String> {
    let mut buffer = vec![0; 16 * 1024];
    let count = stream.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
    seen.lock().unwrap().extend_from_slice(&buffer[..count]);
    Some(String::from_utf8_lossy(&buffer[..count]).into_owned())
}

pub(crate) fn backend(index: u32, port: u16) -> Backend {
    Backend {
        id: DynoId(Uuid::new_v4()),
        dyno: format!("web.{index}").parse().unwrap(),
        netns: NetnsAddress { path: "/proc/self/ns/net".into(), device: 0, inode: 0 },
        address: None,
        port,
    }
}

/// A port of loopback that nobody listens on.
pub(crate) async fn dead_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

/// Lines in the order in which they came.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl RouterLog for Lines {
    fn line(&self, _app: &AppId, line: &RouterLine<'_>) {
        self.0.lock().unwrap().push(line.to_string());
    }
}

pub(crate) struct Bench {
    pub(crate) address: SocketAddr,
    pub(crate) table: watch::Sender<Arc<RouteTable>>,
    pub(crate) certificates: watch::Sender<Arc<Certificates>>,
    /// Where it speaks TLS, if it does.
    pub(crate) secure: Option<SocketAddr>,
    pub(crate) figures: Figures,
    lines: Arc<Lines>,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.served.abort();
    }
}

pub(crate) fn quick() -> RouterConfig {
    let ms = Duration::from_millis;
    let timers = Timers {
        handshake: ms(400),
        connect: ms(200),
        queue: ms(700),
        first_byte: ms(300),
        idle: ms(300),
        client_keep_alive: ms(500),
        dyno_keep_alive: ms(90_000),
        quarantine: ms(300),
        retry_pause: ms(20),
        linger: ms(300),
        shutdown: ms(400),
        finish: ms(400),
    };
    RouterConfig { listen: vec!["127.0.0.1:0".parse().unwrap()], timers, ..RouterConfig::default() }
}

pub(crate) fn route(web: WebState) -> Route {
    Route {
        app: AppId(Uuid::nil()),
        name: "example".parse().unwrap(),
        maintenance: false,
        maintenance_page: None,
        error_page: None,
        web,
        options: RouteOptions::default(),
    }
}

pub(crate) fn table(route: Route) -> Arc<RouteTable> {
    let mut table = RouteTable::default();
    table.routes.insert("example.localhost".parse().unwrap(), Arc::new(route));
    Arc::new(table)
}

impl Bench {
    pub(crate) async fn of(dynos: &[&Dyno]) -> Self {
        Self::with(quick(), WebState::Up(dynos.iter().map(|dyno| dyno.backend.clone()).collect())).await
    }

    pub(crate) async fn with(config: RouterConfig, web: WebState) -> Self {
        Self::reaching(config, web, Arc::new(LoopbackConnector)).await
    }

    pub(crate) async fn reaching(config: RouterConfig, web: WebState, connector: Arc<dyn Connector>) -> Self {
        let (table, receiver) = watch::channel(table(route(web)));
        let lines = Arc::new(Lines::default());
        let (certificates, shown) = watch::channel(Arc::default());
        let log = Arc::<Lines>::clone(&lines);
        let ends = Ends { table: receiver, certificates: shown, log, connector };
        let router = Router::bind(config, ends).await.unwrap();
        let (address, secure) = (router.addresses()[0], router.addresses().get(1).copied());
        let figures = router.figures();
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(router.serve(async move { drop(stopped.await) }));
        Self { address, table, certificates, secure, figures, lines, stop: Some(stop), served }
    }

    pub(crate) fn publish(&self, route: Route) {
        self.table.send_replace(table(route));
    }

    pub(crate) async fn client(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    /// Sends `request` on a connection of its own and gives all that comes until the router closes.
    pub(crate) async fn ask(&self, request: &str) -> String {
        let mut client = self.client().await;
        client.send(request).await;
        client.rest().await
    }

    /// A plain request for `path` on a connection of its own.
    pub(crate) async fn get(&self, path: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: example.localhost\r\nConnection: close\r\n\r\n"))
            .await
    }

    /// The lines so far, once there are `count`, with what differs between runs masked.
    pub(crate) async fn lines(&self, count: usize) -> Vec<String> {
        let arrived = async {
            while self.lines.0.lock().unwrap().len() < count {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let in_time = timeout(PATIENCE, arrived).await.is_ok();
        // A line too many would come about now.
        sleep(Duration::from_millis(30)).await;
        let lines: Vec<_> = self.lines.0.lock().unwrap().iter().map(|line| mask(line)).collect();
        assert!(in_time && lines.len() == count, "{count} lines were expected: {lines:#?}");
        lines
    }

    /// The lines so far, as they are.
    pub(crate) fn raw_lines(&self) -> Vec<String> {
        self.lines.0.lock().unwrap().clone()
    }

    /// The one line there is.
    pub(crate) async fn line(&self) -> String {
        self.lines(1).await.remove(0)
    }

    /// Tells the router to stop, without waiting for it.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits for the router's end.
    pub(crate) async fn stopped(&mut self) {
        timeout(PATIENCE, &mut self.served).await.expect("the router ends").unwrap();
    }
}

/// A raw connection to the router.
pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    pub(crate) async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads until `text` has come.
    pub(crate) async fn read(&mut self, text: &str) -> String {
        let mut read = String::new();
        while !read.contains(text) {
            let mut buffer = [0; 4096];
            let count = timeout(PATIENCE, self.0.read(&mut buffer)).await.expect("it comes in time").unwrap();
            assert!(count > 0, "closed before {text:?}, after {read:?}");
            read.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        read
    }

    /// Reads until the router closes; a reset is a close.
    pub(crate) async fn rest(&mut self) -> String {
        let mut all = Vec::new();
        let _ = timeout(PATIENCE, self.0.read_to_end(&mut all)).await.expect("the router closes in time");
        String::from_utf8_lossy(&all).into_owned()
    }
}

/// Replaces the values that differ between runs.
pub(crate) fn mask(text: &str) -> String {
    let mut masked = text.to_owned();
    for (before, after, by) in [
        ("request_id=", " ", "ID"),
        ("connect=", "ms", "N"),
        ("service=", "ms", "N"),
        ("X-Request-Id: ", "\r", "ID"),
        ("X-Request-Start: ", "\r", "NOW"),
        ("X-Forwarded-Port: ", "\r", "PORT"),
        ("Date: ", "\r", "DATE"),
    ] {
        let Some(start) = masked.find(before).map(|at| at + before.len()) else { continue };
        let Some(length) = masked[start..].find(after) else { continue };
        if !masked[start..start + length].contains(' ') || before == "Date: " {
            masked.replace_range(start..start + length, by);
        }
    }
    masked
}

/// The value of a field of a line.
pub(crate) fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let at = line.find(&format!("{name}=")).unwrap_or_else(|| panic!("no {name} in {line}")) + name.len() + 1;
    line[at..].split(' ').next().unwrap_or_default()
}

/// The status of an answer.
pub(crate) fn status(answer: &str) -> u16 {
    answer
        .split(' ')
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| panic!("no status in {answer:?}"))
}
