//! The router reaches what listens inside a network namespace, and nothing else.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::Command;

use dyno::domain::{Backend, DynoId, NetnsAddress};
use dyno::router::{Connector, NetnsConnector};
use dyno::sys::netns::{NetnsRef, create, in_netns};

use crate::support::skip::is_root_or_skip;

/// Documentation address (RFC 5737) that the namespace's loopback also has.
const OWN_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// A namespace of its own with its loopback up; gone with the descriptor.
fn namespace() -> OwnedFd {
    let namespace = create().unwrap();
    for arguments in
        [["link", "set", "lo", "up"].as_slice(), &["address", "add", "192.0.2.1/32", "dev", "lo"]]
    {
        let status = in_netns(&namespace, || Command::new("ip").args(arguments).status()).unwrap().unwrap();
        assert!(status.success(), "ip {arguments:?}");
    }
    namespace
}

fn backend(namespace: &OwnedFd, port: u16, address: Option<Ipv4Addr>) -> Backend {
    let at = NetnsRef::of(&PathBuf::from(format!("/proc/self/fd/{}", namespace.as_raw_fd()))).unwrap();
    Backend {
        id: DynoId(uuid::Uuid::nil()),
        dyno: "web.1".parse().unwrap(),
        netns: NetnsAddress { path: at.path, device: at.dev, inode: at.ino },
        address,
        port,
    }
}

/// A listener inside that greets one client.
fn greeter(namespace: &OwnedFd, address: Ipv4Addr) -> u16 {
    let bind = || TcpListener::bind(SocketAddr::from((address, 0)));
    let listener = in_netns(namespace, bind).unwrap().unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.accept().unwrap().0.write_all(b"inside").unwrap());
    port
}

fn reach(backend: &Backend) -> std::io::Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stream = runtime.block_on(NetnsConnector.connect(backend))?.into_std()?;
    stream.set_nonblocking(false)?;
    let mut text = String::new();
    (&stream).read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn the_router_connects_inside_a_dynos_namespace() {
    if !is_root_or_skip("the_router_connects_inside_a_dynos_namespace") {
        return;
    }
    let namespace = namespace();
    let loopback = backend(&namespace, greeter(&namespace, Ipv4Addr::LOCALHOST), None);
    assert_eq!(reach(&loopback).unwrap(), "inside");
    let only_own = backend(&namespace, greeter(&namespace, OWN_ADDRESS), Some(OWN_ADDRESS));
    assert_eq!(reach(&only_own).unwrap(), "inside", "an app may listen on the dyno's own address alone");
    let outside = TcpListener::bind("127.0.0.1:0").unwrap();
    let hosts_port = backend(&namespace, outside.local_addr().unwrap().port(), Some(OWN_ADDRESS));
    assert_eq!(
        reach(&hosts_port).unwrap_err().kind(),
        ErrorKind::ConnectionRefused,
        "the host's port is not the dyno's"
    );
}

#[test]
fn the_router_notices_that_a_namespace_is_another_by_now() {
    if !is_root_or_skip("the_router_notices_that_a_namespace_is_another_by_now") {
        return;
    }
    let namespace = namespace();
    let mut stale = backend(&namespace, greeter(&namespace, Ipv4Addr::LOCALHOST), None);
    stale.netns.inode += 1;
    assert_eq!(reach(&stale).unwrap_err().kind(), ErrorKind::NotFound);
}
