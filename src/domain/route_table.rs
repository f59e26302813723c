//! The routing table: the one thing that supervisor and router share, published as immutable snapshots.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::{AppId, AppName, DynoId, DynoName, Hostname};

/// Every host name the router answers for.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    /// Routes by exact host name. Apps with several names share one route.
    pub routes: HashMap<Hostname, Arc<Route>>,
    /// Routes by what follows `*.` in a wildcard. It stands for one label, and only where no exact name does.
    pub wildcards: HashMap<Hostname, Arc<Route>>,
}

/// What the router knows of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The app.
    pub app: AppId,
    /// Its name, for pages and our own log.
    pub name: AppName,
    /// Whether the maintenance page is shown instead of the app.
    pub maintenance: bool,
    /// Page shown in place of the default maintenance page.
    pub maintenance_page: Option<String>,
    /// Page shown in place of the default error page.
    pub error_page: Option<String>,
    /// Whether requests can be served, must wait, or fail.
    pub web: WebState,
    /// What differs from the usual for this app.
    pub options: RouteOptions,
}

/// What differs from the usual for an app. The default is the platform's way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteOptions {
    /// Whether clients come back to the dyno that answered them before.
    pub affinity: Affinity,
    /// Which web dyno is asked, where nothing leads to one.
    pub choice: Choice,
    /// How long the first byte of an answer may take; the router's own time where none is given.
    pub first_byte: Option<Duration>,
    /// How long either side may be silent later on; the router's own time where none is given.
    pub rolling: Option<Duration>,
    /// For which of its names clients may speak HTTP/2.
    pub http2: Http2,
    /// What its dynos are spoken to in.
    pub dyno_protocol: DynoProtocol,
}

/// For which of an app's names clients may speak HTTP/2, where they speak TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Http2 {
    /// For its own, not for the one that it is given.
    #[default]
    OwnDomains,
    /// For all.
    Always,
    /// For none.
    Never,
}

/// What an app's dynos are spoken to in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DynoProtocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 without TLS, from the first byte on (RFC 9113 section 3.3): as servers of gRPC expect it.
    Http2,
}

/// Which of several web dynos is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// Any, evenly.
    #[default]
    Random,
    /// The one that has the fewest requests in hand; any of those.
    LeastConnections,
}

/// Whether clients come back to the dyno that answered them before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Affinity {
    /// Every request is for any dyno.
    #[default]
    Off,
    /// A cookie leads back, for as long as the dyno is up.
    Cookie,
}

/// What the app's web process type is good for at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebState {
    /// Never deployed.
    Blank,
    /// No web process type, or none of it wanted.
    NoneWanted,
    /// All wanted web dynos have crashed.
    Crashed,
    /// Wanted, none up yet: requests wait.
    Booting,
    /// These are up; never empty.
    Up(Vec<Backend>),
}

/// A web dyno that is up, and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// The dyno's identity: connections are kept per identity, never per name.
    pub id: DynoId,
    /// Its name, for the log line.
    pub dyno: DynoName,
    /// The network namespace it lives in.
    pub netns: NetnsAddress,
    /// Its address within that namespace, tried when its loopback refuses.
    pub address: Option<Ipv4Addr>,
    /// `$PORT`.
    pub port: u16,
}

/// A network namespace named by a file, with the file's identity so that a reused process id is noticed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NetnsAddress {
    /// Such as `/proc/4711/ns/net`.
    pub path: std::path::PathBuf,
    /// Device of the namespace file (`stat(2)` `st_dev`).
    pub device: u64,
    /// Inode of the namespace file (`stat(2)` `st_ino`).
    pub inode: u64,
}
