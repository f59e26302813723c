//! The node's network in a stand-in host: a namespace of our own with an uplink to another one that plays the world. The real host's
//! links, rules and settings are never touched.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dyno::runtime::network::{Ipv4Net, NetworkConfig, NetworkError, NetworkLease, NodeNetwork, Passage};
use dyno::sys::netns::{create, in_netns};

use crate::support::skip::is_root_or_skip;

/// How long something that must not arrive is waited for, in milliseconds.
const SILENCE_MS: u64 = 400;
/// How long something that must arrive is waited for, in milliseconds.
pub(crate) const PATIENCE_MS: u64 = 10_000;
/// Addresses of the world: public, private, a resolver in a private range, a registry in one, the metadata service.
pub(crate) const PUBLIC: &str = "198.51.100.5";
pub(crate) const PRIVATE: &str = "10.9.9.9";
pub(crate) const RESOLVER: &str = "10.255.0.53";
const REGISTRY: &str = "10.9.9.10";
pub(crate) const METADATA: &str = "169.254.169.254";
/// The host's address on its uplink.
pub(crate) const HOST: &str = "203.0.113.1";

/// The stand-in host and the world; both go with their last descriptor.
pub(crate) struct Stage {
    host: OwnedFd,
    world: OwnedFd,
    directory: tempfile::TempDir,
}

/// A process that holds a namespace, ended when dropped.
struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Stage {
    pub(crate) fn build() -> Stage {
        let (host, world) = (create().unwrap(), create().unwrap());
        let sleep = || Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
        let holder = Holder(in_netns(&world, sleep).unwrap());
        let pid = holder.0.id().to_string();
        let stage = Stage { host, world, directory: tempfile::tempdir().unwrap() };
        stage.on_host(|| {
            ip("link set lo up");
            ip(&format!("link add up0 mtu 1400 type veth peer name out0 netns {pid}"));
            ip("address add 203.0.113.1/24 dev up0");
            // No address that the kernel makes up, and that appears when it has looked for another of its kind.
            ip("link set up0 addrgenmode none");
            ip("link set up0 up");
        });
        stage.in_world(|| {
            ip("link set lo up");
            ip("address add 203.0.113.2/24 dev out0");
            ip("link set out0 up");
            for address in [PUBLIC, PRIVATE, RESOLVER, REGISTRY, METADATA] {
                ip(&format!("address add {address}/32 dev out0"));
            }
            // A neighbour that tries to come in through the host.
            ip("route add 172.16.0.0/12 via 203.0.113.1");
        });
        stage.on_host(|| ip("route add default via 203.0.113.2"));
        stage
    }

    pub(crate) fn on_host<T>(&self, work: impl FnOnce() -> T) -> T {
        in_netns(&self.host, work).unwrap()
    }

    pub(crate) fn in_world<T>(&self, work: impl FnOnce() -> T) -> T {
        in_netns(&self.world, work).unwrap()
    }

    /// Runs asynchronous work on the stand-in host: the runtime's one thread is in it, and the threads it starts.
    pub(crate) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.on_host(|| {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
        })
    }

    pub(crate) fn config(&self, index: u32) -> NetworkConfig {
        NetworkConfig {
            index,
            base: Ipv4Net::default_of(index),
            resolvers: vec![RESOLVER.parse().unwrap()],
            egress: vec![format!("{REGISTRY}:443").parse().unwrap()],
            state_file: self.state_file(index),
        }
    }

    fn state_file(&self, index: u32) -> PathBuf {
        self.directory.path().join(format!("network{index}.json"))
    }

    fn forwarding(&self) -> String {
        self.on_host(|| {
            std::fs::read_to_string("/proc/sys/net/ipv4/conf/up0/forwarding").unwrap().trim().to_owned()
        })
    }

    fn listing(&self, program: &str, arguments: &str) -> String {
        self.on_host(|| output(program, arguments))
    }
}

pub(crate) fn ip(arguments: &str) {
    output("ip", arguments);
}

fn output(program: &str, arguments: &str) -> String {
    let output = Command::new(program).args(arguments.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "{program} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A server that tells each caller who it is seen as, until the test ends.
pub(crate) fn greeter(address: &str, port: u16) {
    let listener = TcpListener::bind((address, port)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = stream.peer_addr().map(|peer| write!(&stream, "{}", peer.ip()));
        }
    });
}

/// What the server at the address says, or why it cannot be reached.
pub(crate) fn call(address: &str, port: u16, wait_ms: u64) -> Result<String, ErrorKind> {
    let address = SocketAddr::new(address.parse::<IpAddr>().unwrap(), port);
    let wait = Duration::from_millis(wait_ms);
    let mut stream = TcpStream::connect_timeout(&address, wait).map_err(|error| error.kind())?;
    stream.set_read_timeout(Some(wait)).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(|error| error.kind())?;
    Ok(text)
}

/// What a container gets from an address it should reach.
fn from(lease: &NetworkLease, address: &str, port: u16) -> Result<String, ErrorKind> {
    in_netns(lease, || call(address, port, PATIENCE_MS)).unwrap()
}

/// Whether a container gets nothing from an address it should not reach.
fn is_cut_off(lease: &NetworkLease, address: &str, port: u16) -> bool {
    in_netns(lease, || call(address, port, SILENCE_MS)).unwrap() == Err(ErrorKind::TimedOut)
}

#[test]
fn a_container_reaches_the_world_and_its_resolver_and_nothing_else() {
    if !is_root_or_skip("a_container_reaches_the_world_and_its_resolver_and_nothing_else") {
        return;
    }
    let stage = Stage::build();
    let (one, other) = stage.run(async {
        let network = NodeNetwork::setup(stage.config(0)).await.unwrap();
        (network.allot(0).await.unwrap(), network.allot(1).await.unwrap())
    });
    stage.in_world(|| {
        for (address, port) in [
            (PUBLIC, 80),
            (PRIVATE, 80),
            (RESOLVER, 53),
            (RESOLVER, 80),
            (REGISTRY, 443),
            (REGISTRY, 80),
            (METADATA, 80),
        ] {
            greeter(address, port);
        }
    });
    stage.on_host(|| greeter(HOST, 80));
    stage.on_host(|| greeter(&one.gateway.to_string(), 80));
    in_netns(&other, || greeter(&other.address.to_string(), 80)).unwrap();

    assert_eq!(from(&one, PUBLIC, 80).as_deref(), Ok(HOST), "out by NAT");
    assert_eq!(from(&one, RESOLVER, 53).as_deref(), Ok(HOST), "the resolver, private or not");
    assert_eq!(from(&one, REGISTRY, 443).as_deref(), Ok(HOST), "what was let through by name");
    for (address, port) in [
        (PRIVATE, 80),
        (RESOLVER, 80),
        (REGISTRY, 80),
        (METADATA, 80),
        (HOST, 80),
        (&*one.gateway.to_string(), 80),
        (&*other.address.to_string(), 80),
    ] {
        assert!(is_cut_off(&one, address, port), "{address}:{port}");
    }
    let known = |address: &str| {
        let neighbours = in_netns(&one, || output("ip", "neighbour")).unwrap();
        neighbours.lines().any(|line| line.starts_with(address) && line.contains("lladdr"))
    };
    in_netns(&one, || ip(&format!("route add {HOST}/32 dev eth0"))).unwrap();
    assert!(is_cut_off(&one, HOST, 80));
    assert!(known(&one.gateway.to_string()) && !known(HOST), "the host does not tell which addresses it has");
    // The neighbour has a route to the container, and the container listens; still there is no way in.
    in_netns(&one, || greeter(&one.address.to_string(), 8080)).unwrap();
    let inward = stage.in_world(|| call(&one.address.to_string(), 8080, SILENCE_MS));
    assert_eq!(inward, Err(ErrorKind::TimedOut));
    assert!(from(&one, &one.address.to_string(), 8080).is_ok(), "the container itself reaches its server");
    stage.run(NodeNetwork::teardown(stage.config(0))).unwrap();
}

#[test]
fn datagrams_reach_the_resolver_and_a_foreign_source_address_reaches_nobody() {
    if !is_root_or_skip("datagrams_reach_the_resolver_and_a_foreign_source_address_reaches_nobody") {
        return;
    }
    let stage = Stage::build();
    let lease = stage.run(async {
        let network = NodeNetwork::setup(stage.config(0)).await.unwrap();
        network.allot(7).await.unwrap()
    });
    let (resolver, world) =
        stage.in_world(|| (UdpSocket::bind((RESOLVER, 53)).unwrap(), UdpSocket::bind((PUBLIC, 9)).unwrap()));
    for socket in [&resolver, &world] {
        socket.set_read_timeout(Some(Duration::from_millis(PATIENCE_MS))).unwrap();
    }
    let mut buffer = [0; 16];
    let send = |source: &str, to: (&str, u16)| {
        in_netns(&lease, || UdpSocket::bind((source, 0)).unwrap().send_to(b"hello", to).unwrap()).unwrap()
    };
    send("0.0.0.0", (RESOLVER, 53));
    assert_eq!(resolver.recv(&mut buffer).unwrap(), 5);
    send("0.0.0.0", (PUBLIC, 9));
    assert_eq!(world.recv(&mut buffer).unwrap(), 5);
    world.set_read_timeout(Some(Duration::from_millis(SILENCE_MS))).unwrap();
    // Its own network's other addresses, a neighbour's, and a stranger's.
    for spoofed in ["172.16.0.6", "198.51.100.77", "203.0.113.2"] {
        in_netns(&lease, || ip(&format!("address add {spoofed}/32 dev eth0"))).unwrap();
        send(spoofed, (PUBLIC, 9));
        assert_eq!(world.recv(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock, "from {spoofed}");
    }
    stage.run(NodeNetwork::teardown(stage.config(0))).unwrap();
}

#[test]
fn who_is_sealed_answers_over_its_passage_and_begins_nothing() {
    if !is_root_or_skip("who_is_sealed_answers_over_its_passage_and_begins_nothing") {
        return;
    }
    let stage = Stage::build();
    let (network, client, stranger, service) = stage.run(async {
        let network = NodeNetwork::setup(stage.config(0)).await.unwrap();
        let [client, stranger, service] = [0, 1, 2].map(|slot| network.allot(slot));
        let leases = (client.await.unwrap(), stranger.await.unwrap(), service.await.unwrap());
        (network, leases.0, leases.1, leases.2)
    });
    stage.in_world(|| [(PUBLIC, 80), (RESOLVER, 53), (REGISTRY, 443)].map(|(at, port)| greeter(at, port)));
    stage.on_host(|| greeter(&service.gateway.to_string(), 80));
    in_netns(&client, || greeter(&client.address.to_string(), 80)).unwrap();
    let address = service.address.to_string();
    in_netns(&service, || greeter(&address, 5432)).unwrap();
    assert_eq!(from(&service, PUBLIC, 80).as_deref(), Ok(HOST), "it can be told that it is shut off");
    stage.run(async {
        network.seal(service.address).await.unwrap();
        let way = Passage { from: client.address, to: SocketAddrV4::new(service.address, 5432) };
        network.open_passages(&[way].into()).await.unwrap();
    });
    assert_eq!(from(&client, &address, 5432), Ok(client.address.to_string()), "who has it attached");
    for (to, port) in [
        (PUBLIC, 80),
        (RESOLVER, 53),
        (REGISTRY, 443),
        (&*service.gateway.to_string(), 80),
        (&*client.address.to_string(), 80),
    ] {
        assert!(is_cut_off(&service, to, port), "the service reaches {to}:{port}");
    }
    assert!(is_cut_off(&stranger, &address, 5432), "another container");
    let timed_out = Err(ErrorKind::TimedOut);
    assert_eq!(stage.on_host(|| call(&address, 5432, SILENCE_MS)), timed_out, "whoever is on the host");
    assert_eq!(stage.in_world(|| call(&address, 5432, SILENCE_MS)), timed_out, "the network");
    stage.run(network.unseal(service.address)).unwrap();
    stage.run(network.unseal(service.address)).unwrap();
    assert_eq!(from(&service, PUBLIC, 80).as_deref(), Ok(HOST), "who has the address next");
    stage.run(NodeNetwork::teardown(stage.config(0))).unwrap();
}

/// Connections that a container may have at once, and more than that which one tries to have.
const CONNECTIONS_MAX: u16 = 8192;
const CONNECTIONS_TRIED: u16 = 12_000;

#[test]
fn the_hosts_table_of_connections_cannot_be_filled_by_one_container() {
    if !is_root_or_skip("the_hosts_table_of_connections_cannot_be_filled_by_one_container") {
        return;
    }
    let stage = Stage::build();
    let (greedy, other) = stage.run(async {
        let network = NodeNetwork::setup(stage.config(0)).await.unwrap();
        (network.allot(0).await.unwrap(), network.allot(1).await.unwrap())
    });
    stage.in_world(|| greeter(PUBLIC, 80));
    let held = || {
        let path = "/proc/sys/net/netfilter/nf_conntrack_count";
        stage.on_host(|| std::fs::read_to_string(path).unwrap().trim().parse::<u64>().unwrap())
    };
    in_netns(&greedy, || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        for port in 1..=CONNECTIONS_TRIED {
            // Nobody listens there: what comes back is told at some later call.
            let _ = socket.send_to(b"x", (PUBLIC, port));
        }
    })
    .unwrap();
    let begin = Instant::now();
    while held() < u64::from(CONNECTIONS_MAX) / 2 {
        assert!(begin.elapsed() < Duration::from_millis(PATIENCE_MS), "they arrive: {}", held());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(held() <= u64::from(CONNECTIONS_MAX) + 64, "{} are held", held());
    assert_eq!(from(&other, PUBLIC, 80).as_deref(), Ok(HOST), "another's are its own");
    stage.run(NodeNetwork::teardown(stage.config(0))).unwrap();
}

#[test]
fn a_container_has_one_link_no_ipv6_and_the_uplinks_packet_size() {
    if !is_root_or_skip("a_container_has_one_link_no_ipv6_and_the_uplinks_packet_size") {
        return;
    }
    let stage = Stage::build();
    let lease = stage.run(async {
        let network = NodeNetwork::setup(stage.config(3)).await.unwrap();
        network.allot(1023).await.unwrap()
    });
    let inside = |arguments| in_netns(&lease, || output("ip", arguments)).unwrap();
    let links = inside("-o link show");
    assert_eq!(links.lines().count(), 2, "{links}");
    assert!(links.contains("eth0@") && links.contains("mtu 1400"), "{links}");
    assert!(inside("-6 -o address show dev lo").contains("::1/128"));
    assert_eq!(inside("-6 -o address show dev eth0"), "");
    assert!(inside("route show default").contains(&format!("via {} dev eth0", lease.gateway)));
    assert_eq!(stage.listing("ip", "-6 -o address show dev dy3-1023"), "");
    stage.run(NodeNetwork::teardown(stage.config(3))).unwrap();
}

#[test]
fn teardown_leaves_the_host_as_it_was() {
    if !is_root_or_skip("teardown_leaves_the_host_as_it_was") {
        return;
    }
    let stage = Stage::build();
    // Links are listed with counters that change; names, addresses, routes and rules must not.
    let look = || {
        ["ip -br link", "ip -o -4 address", "ip route show table all", "nft list ruleset"].map(|command| {
            let (program, arguments) = command.split_once(' ').unwrap();
            stage.listing(program, arguments)
        })
    };
    stage.on_host(|| {
        output("nft", "add table inet other");
        output(
            "nft",
            "add chain inet other forward { type filter hook forward priority 0 ; policy accept ; }",
        );
    });
    let before = (look(), stage.forwarding());
    assert_eq!(before.1, "0");
    let lease = stage.run(async {
        let network = NodeNetwork::setup(stage.config(0)).await.unwrap();
        network.allot(0).await.unwrap()
    });
    assert_eq!(stage.forwarding(), "1");
    assert!(stage.state_file(0).exists());
    let global = stage.on_host(|| std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap());
    assert_eq!(global.trim(), "0", "never globally");
    // A second setup, as after a crash, keeps the link of the container that lives, and the record.
    stage.run(NodeNetwork::setup(stage.config(0))).unwrap();
    assert!(stage.listing("ip", "-br link").contains("dy0-0"));
    stage.run(NodeNetwork::teardown(stage.config(0))).unwrap();
    assert_eq!((look(), stage.forwarding()), before);
    assert!(!stage.state_file(0).exists());
    stage.run(NodeNetwork::teardown(stage.config(0))).unwrap();
    drop(lease);
}

#[test]
fn of_two_nodes_the_last_to_go_restores_forwarding() {
    if !is_root_or_skip("of_two_nodes_the_last_to_go_restores_forwarding") {
        return;
    }
    let stage = Stage::build();
    stage.run(NodeNetwork::setup(stage.config(0))).unwrap();
    stage.run(NodeNetwork::setup(stage.config(1))).unwrap();
    stage.run(NodeNetwork::teardown(stage.config(0))).unwrap();
    assert_eq!(stage.forwarding(), "1", "the other node still needs it");
    stage.run(NodeNetwork::teardown(stage.config(1))).unwrap();
    assert_eq!(stage.forwarding(), "0");
}

#[test]
fn containers_of_two_nodes_do_not_reach_each_other() {
    if !is_root_or_skip("containers_of_two_nodes_do_not_reach_each_other") {
        return;
    }
    let stage = Stage::build();
    // Addresses outside of the private ranges, which no container reaches anyway.
    let second = NetworkConfig { base: "8.8.0.0/20".parse().unwrap(), ..stage.config(1) };
    let (one, other) = stage.run(async {
        let first = NodeNetwork::setup(stage.config(0)).await.unwrap();
        let second = NodeNetwork::setup(second).await.unwrap();
        (first.allot(0).await.unwrap(), second.allot(0).await.unwrap())
    });
    stage.in_world(|| greeter(PUBLIC, 80));
    in_netns(&other, || greeter(&other.address.to_string(), 80)).unwrap();
    assert!(is_cut_off(&one, &other.address.to_string(), 80));
    assert_eq!(from(&one, PUBLIC, 80).as_deref(), Ok(HOST), "and both still reach the world");
    assert_eq!(from(&other, PUBLIC, 80).as_deref(), Ok(HOST));
    for index in [0, 1] {
        stage.run(NodeNetwork::teardown(stage.config(index))).unwrap();
    }
}

#[test]
fn a_slot_is_allotted_anew_when_its_former_link_is_still_there() {
    if !is_root_or_skip("a_slot_is_allotted_anew_when_its_former_link_is_still_there") {
        return;
    }
    let stage = Stage::build();
    stage.in_world(|| greeter(PUBLIC, 80));
    let (_stale, fresh) = stage.run(async {
        let network = NodeNetwork::setup(stage.config(0)).await.unwrap();
        (network.allot(5).await.unwrap(), network.allot(5).await.unwrap())
    });
    assert_eq!(from(&fresh, PUBLIC, 80).as_deref(), Ok(HOST));
    stage.run(NodeNetwork::teardown(stage.config(0))).unwrap();
}

#[test]
fn a_dropped_lease_takes_its_link_along() {
    if !is_root_or_skip("a_dropped_lease_takes_its_link_along") {
        return;
    }
    let stage = Stage::build();
    let leases = stage.run(async {
        let network = NodeNetwork::setup(stage.config(0)).await.unwrap();
        let mut leases = Vec::new();
        for slot in 0..20 {
            leases.push(network.allot(slot).await.unwrap());
        }
        leases
    });
    let links = || stage.listing("ip", "-br link").matches("dy0-").count();
    assert_eq!(links(), 20);
    // Another process may open the namespace by the path, as long as the lease lives.
    assert!(leases.iter().all(|lease| std::fs::metadata(&lease.netns).is_ok()));
    drop(leases);
    let deadline = Instant::now() + Duration::from_millis(PATIENCE_MS);
    while links() > 0 {
        assert!(Instant::now() < deadline, "{} links are left", links());
        std::thread::sleep(Duration::from_millis(20));
    }
    stage.run(NodeNetwork::teardown(stage.config(0))).unwrap();
}

#[test]
fn a_range_that_the_host_uses_is_refused_and_nothing_is_changed() {
    if !is_root_or_skip("a_range_that_the_host_uses_is_refused_and_nothing_is_changed") {
        return;
    }
    let stage = Stage::build();
    stage.on_host(|| ip("route add 172.16.3.0/24 via 203.0.113.2"));
    let error = stage.run(NodeNetwork::setup(stage.config(0))).unwrap_err();
    assert!(matches!(&error, NetworkError::Overlap { .. }), "{error}");
    assert!(error.to_string().contains("172.16.3.0/24 over up0"), "{error}");
    assert_eq!((stage.forwarding().as_str(), stage.state_file(0).exists()), ("0", false));
}

#[test]
fn an_uplink_that_forwarded_nothing_still_forwards_nothing_for_others() {
    if !is_root_or_skip("an_uplink_that_forwarded_nothing_still_forwards_nothing_for_others") {
        return;
    }
    let stage = Stage::build();
    let behind = create().unwrap();
    let sleep = || Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
    let holder = Holder(in_netns(&behind, sleep).unwrap());
    stage.on_host(|| {
        ip(&format!("link add lan0 type veth peer name eth0 netns {}", holder.0.id()));
        ip("address add 192.168.7.1/24 dev lan0");
        ip("link set lan0 up");
    });
    in_netns(&behind, || {
        ip("address add 192.168.7.2/24 dev eth0");
        ip("link set eth0 up");
        ip("route add default via 192.168.7.1");
        greeter("192.168.7.2", 80);
    })
    .unwrap();
    stage.in_world(|| ip("route add 192.168.7.0/24 via 203.0.113.1"));
    // The answer's way: this link forwards, as it did before us.
    stage.on_host(|| std::fs::write("/proc/sys/net/ipv4/conf/lan0/forwarding", "1").unwrap());
    let inward = |wait_ms| stage.in_world(|| call("192.168.7.2", 80, wait_ms));
    assert!(inward(SILENCE_MS).is_err(), "not before");
    stage.run(NodeNetwork::setup(stage.config(0))).unwrap();
    assert!(inward(SILENCE_MS).is_err(), "and not because of us");
    // The test can fail: without our rule the packet would pass.
    stage.on_host(|| output("nft", "flush chain inet dyno0 forward"));
    assert_eq!(inward(PATIENCE_MS).as_deref(), Ok("203.0.113.2"));
    stage.run(NodeNetwork::teardown(stage.config(0))).unwrap();
}
