//! Which name servers a container can be given: those of the host that can be reached from another network namespace.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

/// Files that name the host's resolvers, the one to prefer first. The second is where systemd-resolved keeps the real ones while the
/// first names only its own stub on loopback.
const FILES: &[&str] = &["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];
/// The C library asks no more than this many.
const RESOLVERS_MAX: usize = 3;

/// The host's resolvers a container can reach, at most three. Empty where the host has only loopback or IPv6 ones: then
/// some must be configured.
#[must_use]
pub fn of_host() -> Vec<IpAddr> {
    let read = |file: &&str| std::fs::read_to_string(Path::new(file)).unwrap_or_default();
    FILES.iter().map(|file| reachable(&read(file))).find(|found| !found.is_empty()).unwrap_or_default()
}

/// From the text of a resolv.conf: IPv4 and not loopback, since a container has its own loopback and no IPv6.
fn reachable(text: &str) -> Vec<IpAddr> {
    let address = |line: &str| -> Option<Ipv4Addr> {
        let mut words = line.split_whitespace();
        if words.next()? != "nameserver" {
            return None;
        }
        words.next()?.parse().ok()
    };
    let usable = |address: &Ipv4Addr| !address.is_loopback() && !address.is_unspecified();
    text.lines().filter_map(address).filter(usable).map(IpAddr::V4).take(RESOLVERS_MAX).collect()
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn loopback_and_ipv6_are_left_out() {
        let text = "# made by hand\nsearch lan\nnameserver 127.0.0.53\nnameserver fe80::1\nnameserver 10.0.0.2 # x\n\
                    nameserver 9.9.9.9\n";
        let expected: Vec<IpAddr> = vec!["10.0.0.2".parse().unwrap(), "9.9.9.9".parse().unwrap()];
        assert_eq!(reachable(text), expected);
    }
}
