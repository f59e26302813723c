//! What is said over a router's link: one JSON value a packet; what may be large goes as a sealed file beside it.
//!
//! `Hello`, `TakeOver`, `Taken` and `Stop` with their answers stay as they are in every version: by them routers and control planes of
//! different builds part in order. `PROTOCOL` counts the rest.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::{
    Affinity, AppId, Backend, Certificates, Choice, DynoId, DynoProtocol, Http2, NetnsAddress, Route,
    RouteOptions, RouteTable, WebState,
};
use crate::router::apart::certificates::CertificatesRecord;
use crate::sys::message::{self, Channel, Packet};
use crate::wire::metrics::{AppTraffic, BOUNDS, Durations};

/// Version of what is said here.
pub(super) const PROTOCOL: u32 = 2;
/// The largest file beside a packet, bytes: a table of some 100,000 apps.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// What a router does with its listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// It takes connections.
    Serving,
    /// Another has them; it goes on with the connections that it had.
    Finishing,
}

/// What a router is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Say who you are.
    Hello,
    /// Hand out your listeners, and go on until `Taken`.
    TakeOver,
    /// The listeners are served by another: finish.
    Taken,
    /// End, with the shutdown time for requests in flight.
    Stop,
    /// From here on this connection brings tables and takes lines, in place of an earlier one that did.
    Follow,
    /// File: the table from now on, and the certificates where they are others than before.
    Table,
    /// Every line below this number is in its log.
    Heard {
        /// The number.
        next: u64,
    },
    /// Say what you have counted.
    Figures,
}

/// What a router answers, or tells who follows it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    /// To `Hello`.
    Hello {
        /// Its `PROTOCOL`.
        protocol: u32,
        /// The build of the program it runs.
        build: String,
        /// The addresses that it was told to listen on.
        listen: Vec<SocketAddr>,
        /// Those for TLS among them are apart; builds that know of none leave them out.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        secure: Vec<SocketAddr>,
        /// What it does with them.
        standing: Standing,
    },
    /// To `TakeOver`. Descriptors: its table in a file, then the listeners.
    Listeners,
    /// It has none to give: another has them.
    NoListeners,
    /// File, not of JSON: lines, the first of them with this number; so many were lost for want of room since it started.
    Lines {
        /// The number of the first.
        first: u64,
        /// Lines lost.
        lost: u64,
    },
    /// To `Figures`. File: the figures.
    Figures,
}

/// A table as it is sent. An app with several host names is there once.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct TableRecord {
    apps: Vec<RouteRecord>,
    /// None where they are the same as before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificates: Option<CertificatesRecord>,
}

#[derive(Debug, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "settings of a route, each on or off")]
struct RouteRecord {
    app: Uuid,
    name: String,
    hosts: Vec<String>,
    wildcards: Vec<String>,
    maintenance: bool,
    maintenance_page: Option<String>,
    error_page: Option<String>,
    affinity: AffinityRecord,
    choice: ChoiceRecord,
    /// Milliseconds.
    first_byte_ms: Option<u64>,
    rolling_ms: Option<u64>,
    /// For all names or for none; builds that know of no HTTP/2 leave it out, as for own domains.
    #[serde(default)]
    http2: Option<bool>,
    #[serde(default)]
    dyno_http2: bool,
    web: WebRecord,
}

#[derive(Debug, Serialize, Deserialize)]
enum ChoiceRecord {
    Random,
    LeastConnections,
}

#[derive(Debug, Serialize, Deserialize)]
enum AffinityRecord {
    Off,
    Cookie,
}

#[derive(Debug, Serialize, Deserialize)]
enum WebRecord {
    Blank,
    NoneWanted,
    Crashed,
    Booting,
    Up(Vec<BackendRecord>),
}

#[derive(Debug, Serialize, Deserialize)]
struct BackendRecord {
    id: Uuid,
    dyno: String,
    netns: PathBuf,
    device: u64,
    inode: u64,
    address: Option<Ipv4Addr>,
    port: u16,
}

/// An app's figures as they are sent.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FiguresRecord {
    app: String,
    in_flight: u64,
    statuses: Vec<(String, u64)>,
    codes: Vec<(String, u64)>,
    queue: DurationsRecord,
    connect: DurationsRecord,
    service: DurationsRecord,
}

#[derive(Debug, Serialize, Deserialize)]
struct DurationsRecord {
    counts: Vec<u64>,
    sum_us: u64,
}

// === impl TableRecord ===

impl TableRecord {
    /// To be sent, with certificates or without.
    pub(super) fn of(table: &RouteTable, certificates: Option<&Certificates>) -> Self {
        let mut apps: HashMap<Uuid, RouteRecord> = HashMap::new();
        for (host, route) in &table.routes {
            apps.entry(route.app.0).or_insert_with(|| RouteRecord::of(route)).hosts.push(host.to_string());
        }
        for (host, route) in &table.wildcards {
            let record = apps.entry(route.app.0).or_insert_with(|| RouteRecord::of(route));
            record.wildcards.push(host.to_string());
        }
        Self { apps: apps.into_values().collect(), certificates: certificates.map(CertificatesRecord::from) }
    }

    /// The table, and the certificates if there are any in it.
    ///
    /// # Errors
    /// A name in it is none.
    pub(super) fn read(self) -> io::Result<(RouteTable, Option<Certificates>)> {
        let certificates = self.certificates.map(CertificatesRecord::certificates).transpose()?;
        let mut table = RouteTable::default();
        for mut record in self.apps {
            let (hosts, wildcards) =
                (std::mem::take(&mut record.hosts), std::mem::take(&mut record.wildcards));
            let route = Arc::new(record.route()?);
            for host in hosts {
                table.routes.insert(host.parse().map_err(invalid)?, Arc::clone(&route));
            }
            for host in wildcards {
                table.wildcards.insert(host.parse().map_err(invalid)?, Arc::clone(&route));
            }
        }
        Ok((table, certificates))
    }
}

impl RouteRecord {
    fn of(route: &Route) -> Self {
        let options = route.options;
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            app: route.app.0,
            name: route.name.to_string(),
            hosts: Vec::new(),
            wildcards: Vec::new(),
            maintenance: route.maintenance,
            maintenance_page: route.maintenance_page.clone(),
            error_page: route.error_page.clone(),
            affinity: match options.affinity {
                Affinity::Off => AffinityRecord::Off,
                Affinity::Cookie => AffinityRecord::Cookie,
            },
            choice: match options.choice {
                Choice::Random => ChoiceRecord::Random,
                Choice::LeastConnections => ChoiceRecord::LeastConnections,
            },
            first_byte_ms: options.first_byte.map(millis),
            rolling_ms: options.rolling.map(millis),
            http2: match options.http2 {
                Http2::OwnDomains => None,
                Http2::Always => Some(true),
                Http2::Never => Some(false),
            },
            dyno_http2: options.dyno_protocol == DynoProtocol::Http2,
            web: match &route.web {
                WebState::Blank => WebRecord::Blank,
                WebState::NoneWanted => WebRecord::NoneWanted,
                WebState::Crashed => WebRecord::Crashed,
                WebState::Booting => WebRecord::Booting,
                WebState::Up(backends) => WebRecord::Up(backends.iter().map(BackendRecord::of).collect()),
            },
        }
    }

    fn route(self) -> io::Result<Route> {
        Ok(Route {
            app: AppId(self.app),
            name: self.name.parse().map_err(invalid)?,
            maintenance: self.maintenance,
            maintenance_page: self.maintenance_page,
            error_page: self.error_page,
            web: match self.web {
                WebRecord::Blank => WebState::Blank,
                WebRecord::NoneWanted => WebState::NoneWanted,
                WebRecord::Crashed => WebState::Crashed,
                WebRecord::Booting => WebState::Booting,
                WebRecord::Up(backends) => {
                    let backends = backends.into_iter().map(BackendRecord::backend);
                    WebState::Up(backends.collect::<io::Result<_>>()?)
                }
            },
            options: RouteOptions {
                affinity: match self.affinity {
                    AffinityRecord::Off => Affinity::Off,
                    AffinityRecord::Cookie => Affinity::Cookie,
                },
                choice: match self.choice {
                    ChoiceRecord::Random => Choice::Random,
                    ChoiceRecord::LeastConnections => Choice::LeastConnections,
                },
                first_byte: self.first_byte_ms.map(Duration::from_millis),
                rolling: self.rolling_ms.map(Duration::from_millis),
                http2: match self.http2 {
                    None => Http2::OwnDomains,
                    Some(true) => Http2::Always,
                    Some(false) => Http2::Never,
                },
                dyno_protocol: if self.dyno_http2 { DynoProtocol::Http2 } else { DynoProtocol::Http1 },
            },
        })
    }
}

impl BackendRecord {
    fn of(backend: &Backend) -> Self {
        Self {
            id: backend.id.0,
            dyno: backend.dyno.to_string(),
            netns: backend.netns.path.clone(),
            device: backend.netns.device,
            inode: backend.netns.inode,
            address: backend.address,
            port: backend.port,
        }
    }

    fn backend(self) -> io::Result<Backend> {
        Ok(Backend {
            id: DynoId(self.id),
            dyno: self.dyno.parse().map_err(invalid)?,
            netns: NetnsAddress { path: self.netns, device: self.device, inode: self.inode },
            address: self.address,
            port: self.port,
        })
    }
}

// === impl FiguresRecord ===

impl From<AppTraffic> for FiguresRecord {
    fn from(traffic: AppTraffic) -> Self {
        let AppTraffic { app, in_flight, statuses, codes, queue, connect, service } = traffic;
        let record = |durations: Durations| DurationsRecord {
            counts: durations.counts.to_vec(),
            sum_us: durations.sum_us,
        };
        Self {
            app: app.to_string(),
            in_flight,
            statuses,
            codes,
            queue: record(queue),
            connect: record(connect),
            service: record(service),
        }
    }
}

impl FiguresRecord {
    /// The figures.
    ///
    /// # Errors
    /// The app's name is none, or there are not as many bounds as this build has.
    pub(super) fn traffic(self) -> io::Result<AppTraffic> {
        let durations = |record: DurationsRecord| {
            let counts: [u64; BOUNDS.len() + 1] =
                record.counts.try_into().map_err(|_| io::ErrorKind::InvalidData)?;
            Ok::<_, io::Error>(Durations { counts, sum_us: record.sum_us })
        };
        Ok(AppTraffic {
            app: self.app.parse().map_err(invalid)?,
            in_flight: self.in_flight,
            statuses: self.statuses,
            codes: self.codes,
            queue: durations(self.queue)?,
            connect: durations(self.connect)?,
            service: durations(self.service)?,
        })
    }
}

pub(super) fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

// === saying and hearing ===

/// Sends one value.
pub(super) fn say(channel: &Channel, value: &impl Serialize, given: &[BorrowedFd<'_>]) -> io::Result<()> {
    channel.send(&serde_json::to_vec(value)?, given)
}

/// Sends one value with a large one beside it.
pub(super) fn say_with(channel: &Channel, value: &impl Serialize, large: &impl Serialize) -> io::Result<()> {
    let file = file(large)?;
    say(channel, value, &[file.as_fd()])
}

/// A large value as a sealed file.
pub(super) fn file(large: &impl Serialize) -> io::Result<OwnedFd> {
    message::sealed(&serde_json::to_vec(large)?)
}

/// Waits for one value; `None` when the other end is closed.
pub(super) fn hear<T: DeserializeOwned>(
    channel: &Channel,
    timeout: Duration,
) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let Some(Packet { bytes, descriptors }) = channel.receive(timeout)? else { return Ok(None) };
    Ok(Some((serde_json::from_slice(&bytes)?, descriptors)))
}

/// The large value beside a packet.
pub(super) fn read<T: DeserializeOwned>(given: Option<OwnedFd>) -> io::Result<T> {
    Ok(serde_json::from_slice(&contents(given)?)?)
}

/// What is in the file beside a packet.
pub(super) fn contents(given: Option<OwnedFd>) -> io::Result<Vec<u8>> {
    message::contents(given.ok_or(io::ErrorKind::InvalidData)?, FILE_BYTES_MAX)
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_table_comes_back_as_it_was_sent() {
        let netns = NetnsAddress { path: "/proc/7/ns/net".into(), device: 4, inode: 5 };
        let backend = Backend {
            id: DynoId(Uuid::from_u128(3)),
            dyno: "web.1".parse().unwrap(),
            netns,
            address: Some(Ipv4Addr::new(10, 0, 0, 2)),
            port: 5000,
        };
        let route = |name: &str, web| Route {
            app: AppId(Uuid::new_v4()),
            name: name.parse().unwrap(),
            maintenance: name == "two",
            maintenance_page: Some("//m".to_owned()),
            error_page: None,
            web,
            options: RouteOptions {
                affinity: Affinity::Cookie,
                choice: Choice::LeastConnections,
                first_byte: Some(Duration::from_secs(60)),
                rolling: Some(Duration::from_secs(3600)),
                http2: if name == "one" { Http2::Always } else { Http2::Never },
                dyno_protocol: DynoProtocol::Http2,
            },
        };
        let mut table = RouteTable::default();
        let webs = [
            WebState::Blank,
            WebState::NoneWanted,
            WebState::Crashed,
            WebState::Booting,
            WebState::Up(vec![backend]),
        ];
        for (name, web) in ["one", "two", "three", "four", "five"].into_iter().zip(webs) {
            let route = Arc::new(route(name, web));
            table.routes.insert(format!("{name}.localhost").parse().unwrap(), Arc::clone(&route));
            table.routes.insert(format!("www.{name}.example").parse().unwrap(), Arc::clone(&route));
            table.wildcards.insert(format!("{name}.example").parse().unwrap(), route);
        }
        let back: TableRecord = read(Some(file(&TableRecord::of(&table, None)).unwrap())).unwrap();
        let (back, certificates) = back.read().unwrap();
        assert_eq!(certificates, None);
        assert_eq!((&back.routes, &back.wildcards), (&table.routes, &table.wildcards));
        assert!(
            Arc::ptr_eq(&back.routes["five.localhost"], &back.wildcards["five.example"]),
            "one app, one route"
        );
    }

    #[test]
    fn words_that_other_builds_know_stay_as_they_are() {
        let text = |request: &Request| serde_json::to_string(request).unwrap();
        assert_eq!(
            [Request::Hello, Request::TakeOver, Request::Taken, Request::Stop].map(|word| text(&word)),
            [r#""Hello""#, r#""TakeOver""#, r#""Taken""#, r#""Stop""#]
        );
        let hello = Reply::Hello {
            protocol: 7,
            build: "b".to_owned(),
            listen: vec![([127, 0, 0, 1], 80).into()],
            secure: vec![],
            standing: Standing::Serving,
        };
        assert_eq!(
            serde_json::to_string(&hello).unwrap(),
            r#"{"Hello":{"protocol":7,"build":"b","listen":["127.0.0.1:80"],"standing":"Serving"}}"#
        );
    }
}
