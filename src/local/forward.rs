//! A port of this machine's loopback that leads to a process: bytes pass both ways as they are.
//!
//! The router is not between: there is one process behind a port, and whatever it speaks is its own matter.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::domain::Backend;
use crate::router::{Connector, NetnsConnector};

/// Connections to one process at one time; further ones wait to be taken.
const CONNECTIONS_MAX: usize = 512;
/// Pause after a connection could not be taken, as when no descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A port that is ours and leads nowhere yet: whoever connects waits.
#[derive(Debug)]
pub(super) struct Port(Vec<TcpListener>);

impl Port {
    /// Takes a port on both loopback addresses; on the IPv4 one alone where the machine has no IPv6.
    ///
    /// # Errors
    /// The kernel's errno; `AddrInUse` where another program has it.
    pub(super) async fn take(port: u16) -> io::Result<Port> {
        let mut taken = vec![TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?];
        match TcpListener::bind(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).await {
            Ok(listener) => taken.push(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(_no_such_address) => {}
        }
        Ok(Port(taken))
    }

    /// Leads connections to `backend`, those that wait first, until it is dropped.
    pub(super) async fn lead_to(self, backend: Backend) {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut doors = JoinSet::new();
        for listener in self.0 {
            doors.spawn(admit(listener, backend.clone(), Arc::clone(&room)));
        }
        while doors.join_next().await.is_some() {}
    }
}

async fn admit(listener: TcpListener, backend: Backend, room: Arc<Semaphore>) {
    // Connections end with the door: nobody is left to lead to.
    let mut connections = JoinSet::new();
    // The semaphore is never closed.
    while let Ok(place) = Arc::clone(&room).acquire_owned().await {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let backend = backend.clone();
        connections.spawn(async move {
            // A connection that breaks is told to both ends by its end.
            let _broken = pass(stream, &backend).await;
            drop(place);
        });
    }
}

async fn pass(mut outside: TcpStream, backend: &Backend) -> io::Result<()> {
    let mut inside = NetnsConnector.connect(backend).await?;
    outside.set_nodelay(true)?;
    inside.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut outside, &mut inside).await.map(drop)
}

#[cfg(test)]
mod test {
    use super::*;

    #[tokio::test]
    async fn a_port_is_taken_once() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let held = Port::take(free).await.unwrap();
        assert_eq!(Port::take(free).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(held);
        Port::take(free).await.unwrap();
    }
}
