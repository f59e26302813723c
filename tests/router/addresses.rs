//! The router's addresses: IPv6 beside IPv4, with TLS and without, and how a client's own address is told.

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;

use dyno::domain::WebState;
use dyno::router::RouterConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::bench::Act::{Again, Read, Send};
use crate::bench::{Bench, Dyno, field, quick, status};
use crate::secured::Secured;
use crate::skip::skip;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET / HTTP/1.1\r\nHost: example.localhost\r\nConnection: close\r\n\r\n";

async fn ask(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin) -> String {
    stream.write_all(GET.as_bytes()).await.unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).await.unwrap();
    all
}

/// A bench that listens on any address of IPv6, which takes clients of IPv4 as well.
async fn bench(dyno: &Dyno) -> Bench {
    let any = || vec![SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))];
    let config = RouterConfig { listen: any(), secure: any(), ..quick() };
    let bench = Bench::with(config, WebState::Up(vec![dyno.backend.clone()])).await;
    bench.certificates.send_replace(Arc::new(Secured::certificates()));
    bench
}

#[tokio::test]
async fn clients_of_both_families_are_served_and_told_by_their_own_addresses() {
    if std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        skip("clients_of_both_families_are_served_and_told_by_their_own_addresses", "the host has no IPv6");
        return;
    }
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Send(OK), Again]).await;
    let bench = bench(&dyno).await;
    for (number, (ip, told)) in [("::1", "::1"), ("127.0.0.1", "127.0.0.1")].into_iter().enumerate() {
        let at = |address: SocketAddr| SocketAddr::new(ip.parse().unwrap(), address.port());
        let plain = TcpStream::connect(at(bench.address)).await.unwrap();
        assert_eq!(status(&ask(plain).await), 200, "{ip}");
        let stream = TcpStream::connect(at(bench.secure.unwrap())).await.unwrap();
        let secured = Secured::default().shake(stream).await.unwrap();
        assert_eq!(status(&ask(secured).await), 200, "{ip} with TLS");
        for line in &bench.lines(2 * (number + 1)).await[2 * number..] {
            assert_eq!(field(line, "fwd"), format!("\"{told}\""), "{line}");
        }
        assert_eq!(
            dyno.seen().matches(&format!("\r\nX-Forwarded-For: {told}\r\n")).count(),
            2,
            "{}",
            dyno.seen()
        );
    }
}

#[tokio::test]
async fn an_address_that_the_host_has_not_is_left_out_where_another_is_left() {
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Send(OK), Again]).await;
    // For documentation alone (RFC 3849): no host has it.
    let nowhere: SocketAddr = "[2001:db8::1]:0".parse().unwrap();
    let config = RouterConfig { listen: vec![nowhere, "127.0.0.1:0".parse().unwrap()], ..quick() };
    let bench = Bench::with(config, WebState::Up(vec![dyno.backend.clone()])).await;
    assert!(bench.address.is_ipv4(), "{}", bench.address);
    assert_eq!(status(&bench.get("/").await), 200);
}
