//! A router of several threads: what is one for all of them, and their end.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dyno::domain::{AppId, Certificates, RouteTable, WebState};
use dyno::router::{Doors, Ending, Ends, Figures, LoopbackConnector, RouterConfig, RouterLog, Workers};
use dyno::wire::router_line::RouterLine;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::bench::Act::{Again, Hold, Read, Send};
use crate::bench::{Client, Dyno, PATIENCE, field, quick, route, status, table};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET / HTTP/1.1\r\nHost: example.localhost\r\nConnection: close\r\n\r\n";

/// Lines, each with the thread that it was written by.
#[derive(Default)]
struct Threads(Mutex<Vec<(String, String)>>);

impl RouterLog for Threads {
    fn line(&self, _: &AppId, line: &RouterLine<'_>) {
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        self.0.lock().unwrap().push((thread, line.to_string()));
    }
}

struct Crew {
    address: SocketAddr,
    table: watch::Sender<Arc<RouteTable>>,
    _certificates: watch::Sender<Arc<Certificates>>,
    log: Arc<Threads>,
    figures: Figures,
    ending: watch::Sender<Option<Ending>>,
    served: JoinHandle<std::io::Result<()>>,
}

impl Crew {
    fn of(config: RouterConfig, dyno: &Dyno) -> Self {
        let (table, receiver) = watch::channel(table(route(WebState::Up(vec![dyno.backend.clone()]))));
        let (certificates, shown) = watch::channel(Arc::default());
        let log = Arc::<Threads>::default();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ends = Ends {
            table: receiver,
            certificates: shown,
            log: Arc::<Threads>::clone(&log),
            connector: Arc::new(LoopbackConnector),
        };
        let doors = Doors { plain: vec![listener], secure: Vec::new() };
        let workers = Workers::over(config, doors, ends, NonZeroUsize::new(3).unwrap()).unwrap();
        let figures = workers.figures();
        let (ending, told) = watch::channel(None);
        let served = tokio::spawn(workers.serve_until(told));
        Self { address, table, _certificates: certificates, log, figures, ending, served }
    }

    async fn asks(&self) -> Client {
        let mut client = Client(TcpStream::connect(self.address).await.unwrap());
        client.send(GET).await;
        client
    }

    fn lines(&self) -> Vec<(String, String)> {
        self.log.0.lock().unwrap().clone()
    }

    async fn ends(self, ending: Ending) {
        self.ending.send_replace(Some(ending));
        timeout(PATIENCE, self.served).await.expect("all threads end").unwrap().unwrap();
        assert!(TcpStream::connect(self.address).await.is_err(), "nothing listens any more");
        assert_eq!(self.figures.read(), [], "nothing is left of it");
    }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test]
async fn all_threads_serve_and_are_counted_together() {
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Send(OK), Again]).await;
    let crew = Crew::of(quick(), &dyno);
    let threads = || crew.lines().into_iter().map(|(thread, _)| thread).collect::<BTreeSet<_>>();
    let mut asked = 0;
    // Which thread takes a connection is the kernel's choice.
    let all_have_served = async {
        while threads().len() < 3 {
            let clients = futures_util::future::join_all((0..16).map(|_| crew.asks())).await;
            for mut client in clients {
                assert_eq!(status(&client.rest().await), 200);
                asked += 1;
            }
        }
    };
    timeout(PATIENCE, all_have_served).await.expect("each thread takes some");
    let threads = threads();
    assert!(threads.iter().all(|name| name.starts_with("worker ")), "{threads:?}");
    until("each request has its line", || crew.lines().len() == asked).await;
    let told = crew.figures.read();
    let count = u64::try_from(asked).unwrap();
    assert_eq!((told.len(), &told[0].statuses), (1, &vec![("200".to_owned(), count)]));
    assert_eq!((told[0].in_flight, told[0].queue.counts.iter().sum::<u64>()), (0, count));

    crew.table.send_replace(table(route(WebState::Crashed)));
    for _ in 0..16 {
        assert_eq!(status(&crew.asks().await.rest().await), 503, "all go by the last table");
    }
    crew.ends(Ending::Finish).await;
}

#[tokio::test]
async fn the_cap_on_requests_in_flight_is_one_for_all() {
    let dyno = Dyno::play(1, vec![Hold]).await;
    let mut config = quick();
    config.limits.in_flight_per_dyno = 5;
    config.timers.first_byte = Duration::from_secs(60);
    let crew = Crew::of(config, &dyno);
    let mut held = Vec::new();
    for count in 1..=5 {
        held.push(crew.asks().await);
        until("the dyno gets it", || dyno.seen().matches("GET").count() == count).await;
    }
    for _ in 0..16 {
        assert_eq!(status(&crew.asks().await.rest().await), 503);
    }
    let lines = crew.lines();
    assert_eq!(lines.iter().filter(|(_, line)| field(line, "code") == "H11").count(), 16);
    assert_eq!(crew.figures.read()[0].in_flight, 5);
    crew.ends(Ending::Stop).await;
    for mut client in held {
        assert_eq!(client.rest().await, "");
    }
}
