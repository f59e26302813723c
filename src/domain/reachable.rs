//! Addresses that a node may connect to because a user of an app says so.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// To where connections may lead that the node makes because a user of an app says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Addresses of the public Internet, but for this host's.
    #[default]
    Public,
    /// Any address, those of the node and its networks among them.
    Any,
}

impl From<bool> for Reach {
    /// What a setting `private_networks` says.
    fn from(private_networks: bool) -> Self {
        if private_networks { Self::Any } else { Self::Public }
    }
}

impl Reach {
    /// Those of `found` that may be connected to from the host whose addresses are `own`. Whatever is in front of a host, its
    /// own public addresses lead past it, to what listens for its neighbours or for nobody.
    #[must_use]
    pub fn among(self, found: impl IntoIterator<Item = SocketAddr>, own: &[IpAddr]) -> Vec<SocketAddr> {
        let is_own = |ip: IpAddr| own.iter().any(|own| carried(*own) == carried(ip));
        let is_allowed = |ip: IpAddr| self == Self::Any || (is_public(ip) && !is_own(ip));
        found.into_iter().filter(|address| is_allowed(address.ip())).collect()
    }
}

/// Whether an address is of the public Internet, as the registries of special addresses have it (RFC 6890 and its updates).
/// Others lead to this machine, to its neighbours or to the metadata service of who rents it out. Addresses that carry one of
/// version 4 are judged by that.
fn is_public(address: IpAddr) -> bool {
    match carried(address) {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Where Azure's machines find the service that gives out their own certificates and settings, though its address is a public one.
const AZURE_WIRE_SERVER: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

fn is_public_v4(address: Ipv4Addr) -> bool {
    if address == AZURE_WIRE_SERVER {
        return false;
    }
    let [a, b, c, _] = address.octets();
    let is_special = match (a, b, c) {
        // This network; private; loopback.
        (0 | 10 | 127, ..) => true,
        // Shared by carriers.
        (100, 64..=127, _) => true,
        // Link-local, with the metadata service in it.
        (169, 254, _) => true,
        (172, 16..=31, _) => true,
        // Protocol assignments, documentation, the old relays to version 6.
        (192, 0, 0 | 2) | (192, 88, 99) => true,
        (192, 168, _) => true,
        // Benchmarks; documentation.
        (198, 18 | 19, _) | (198, 51, 100) | (203, 0, 113) => true,
        // Multicast, reserved, broadcast.
        (224..=255, ..) => true,
        _ => false,
    };
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // Teredo, benchmarks, identifiers and other protocols' own; documentation.
        [0x2001, second, ..] if second < 0x200 || second == 0xdb8 => false,
        [0x3fff, second, ..] if second < 0x1000 => false,
        // Only this eighth is given out to the Internet.
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

/// The address of version 4 that one of version 6 stands for; any other address itself.
fn carried(address: IpAddr) -> IpAddr {
    let IpAddr::V6(outer) = address else { return address };
    match outer.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] => embedded(high, low).into(),
        // Translation to version 4.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low).into(),
        // Relays carry one of version 4 in front.
        [0x2002, high, low, ..] => embedded(high, low).into(),
        _ => address,
    }
}

fn embedded(high: u16, low: u16) -> Ipv4Addr {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Ipv4Addr::new(a, b, c, d)
}

/// The part of an address of version 6 that is one network's, bits: whoever has one address there has all.
const NETWORK_BITS: u32 = 64;

/// What counts as one address where strangers are counted.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let kept = u128::MAX << (Ipv6Addr::BITS - NETWORK_BITS);
            Ipv6Addr::from_bits(address.to_bits() & kept).into()
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn only_addresses_of_the_internet_are_connected_to_unless_all_may_be() {
        let addresses = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 80)).collect()
        };
        let none = &[];
        let mixed = addresses(&["127.0.0.1", "1.1.1.1", "::1", "::ffff:10.0.0.1"]);
        assert_eq!(Reach::Public.among(mixed.clone(), none), addresses(&["1.1.1.1"]));
        assert_eq!(Reach::Any.among(mixed.clone(), none), mixed);
        assert_eq!(Reach::Public.among(addresses(&["169.254.169.254"]), none), []);
    }

    #[test]
    fn a_hosts_own_addresses_are_not_the_internet_to_it_however_they_are_spelled() {
        let own: [IpAddr; 3] =
            ["127.0.0.1", "1.1.1.1", "2606:4700:4700::1111"].map(|text| text.parse().unwrap());
        let all =
            ["1.1.1.1", "::ffff:1.1.1.1", "64:ff9b::101:101", "2002:101:101::1", "2606:4700:4700::1111"];
        for text in all {
            let address = SocketAddr::new(text.parse().unwrap(), 80);
            assert_eq!(Reach::Public.among([address], &own), [], "{text}");
            assert_eq!(Reach::Public.among([address], &own[..1]), [address], "{text}");
            assert_eq!(Reach::Any.among([address], &own), [address], "{text}");
        }
    }

    #[test]
    fn what_is_not_of_the_internet_is_told_apart() {
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "192.169.0.1",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2a00:1450:4001::1",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
            "2002:101:101::1",
            "2001:4860:4860::8888",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for special in [
            "0.0.0.0",
            "10.0.0.1",
            "127.0.0.1",
            "127.255.255.255",
            "100.64.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::1",
            "2002:a00:1::1",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
        ] {
            assert!(!is_public(special.parse().unwrap()), "{special}");
        }
    }
}
