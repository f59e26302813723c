//! Reaching a dyno: a socket made inside its network namespace, so that no port is published and no address goes stale.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use futures_util::future::BoxFuture;
use tokio::net::{TcpSocket, TcpStream};

use crate::domain::Backend;
use crate::sys::netns::{IpVersion, NetnsRef, tcp_socket_in};

/// How the router reaches dynos. The caller bounds the time a connect may take.
pub trait Connector: Send + Sync {
    /// Connects to a dyno's `$PORT`.
    ///
    /// # Errors
    /// The dyno refuses, or cannot be reached at all.
    fn connect<'a>(&'a self, backend: &'a Backend) -> BoxFuture<'a, io::Result<TcpStream>>;
}

/// Connects from inside the dyno's network namespace: its loopback first, its own address where that refuses.
#[derive(Clone, Copy, Debug, Default)]
pub struct NetnsConnector;

impl NetnsConnector {
    async fn attempt(backend: &Backend, address: Ipv4Addr) -> io::Result<TcpStream> {
        // The namespace stays open only until the socket exists: a held descriptor would keep a dead one alive.
        let socket = {
            let place = &backend.netns;
            let namespace =
                NetnsRef { path: place.path.clone(), dev: place.device, ino: place.inode }.open()?;
            tcp_socket_in(&namespace, IpVersion::V4)?
        };
        let socket = TcpSocket::from_std_stream(std::net::TcpStream::from(socket));
        socket.connect(SocketAddr::from((address, backend.port))).await
    }
}

impl Connector for NetnsConnector {
    fn connect<'a>(&'a self, backend: &'a Backend) -> BoxFuture<'a, io::Result<TcpStream>> {
        Box::pin(async move {
            match (Self::attempt(backend, Ipv4Addr::LOCALHOST).await, backend.address) {
                (Err(error), Some(address)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    Self::attempt(backend, address).await
                }
                (outcome, _) => outcome,
            }
        })
    }
}

/// Connects on the loopback of this process: for dynos that share its network, as tests do.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoopbackConnector;

impl Connector for LoopbackConnector {
    fn connect<'a>(&'a self, backend: &'a Backend) -> BoxFuture<'a, io::Result<TcpStream>> {
        let address = backend.address.unwrap_or(Ipv4Addr::LOCALHOST);
        Box::pin(TcpStream::connect(SocketAddr::from((address, backend.port))))
    }
}
