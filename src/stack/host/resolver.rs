//! Name servers that a network namespace of its own can reach.

use std::net::IpAddr;
use std::path::Path;

/// Where hosts that put a local server in front keep the addresses behind it, most usual first.
const UPSTREAM_FILES: &[&str] =
    &["run/systemd/resolve/resolv.conf", "run/NetworkManager/no-stub-resolv.conf"];
/// A resolver library uses no more.
const ADDRESSES_MAX: usize = 3;

/// Name servers and search domains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolvers {
    /// Addresses, in order; none of them loopback. Empty if the host has only a local server with unknown ones behind it.
    pub addresses: Vec<IpAddr>,
    /// Domains that short names are looked up in.
    pub search: Vec<String>,
}

impl Resolvers {
    /// This host's.
    #[must_use]
    pub fn of_host() -> Self {
        Self::of(Path::new("/"))
    }

    pub(super) fn of(root: &Path) -> Self {
        let read = |file: &str| parse(&std::fs::read_to_string(root.join(file)).unwrap_or_default());
        let named = read("etc/resolv.conf");
        if !named.addresses.is_empty() {
            return named;
        }
        let upstream = UPSTREAM_FILES.iter().map(|file| read(file)).find(|found| !found.addresses.is_empty());
        upstream.unwrap_or(named)
    }

    /// As the text of a sandbox's `/etc/resolv.conf`.
    #[must_use]
    pub fn resolv_conf(&self) -> String {
        let mut text: String =
            self.addresses.iter().map(|address| format!("nameserver {address}\n")).collect();
        if !self.search.is_empty() {
            text.push_str(&format!("search {}\n", self.search.join(" ")));
        }
        text
    }
}

/// Reads resolv.conf(5), leaving out loopback servers and link-local ones, which need an interface of the host.
fn parse(text: &str) -> Resolvers {
    let mut found = Resolvers::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => {
                let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                if let Some(address) = address.filter(|address| is_reachable(*address))
                    && found.addresses.len() < ADDRESSES_MAX
                {
                    found.addresses.push(address);
                }
            }
            Some("search" | "domain") => found.search = words.map(str::to_owned).collect(),
            _ => {}
        }
    }
    found
}

fn is_reachable(address: IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !address.is_loopback() && !address.is_unspecified() && !is_link_local
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn servers_and_domains_are_read_and_written() {
        let text = "# note\nnameserver 10.0.0.2\nnameserver 127.0.0.53\nnameserver fe80::1%eth0\nsearch a.example b\n";
        let found = parse(text);
        assert_eq!(found.resolv_conf(), "nameserver 10.0.0.2\nsearch a.example b\n");
    }

    #[test]
    fn a_local_server_gives_way_to_those_behind_it() {
        let dir = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("etc/resolv.conf", "nameserver 127.0.0.53\nsearch x\n"),
            ("run/systemd/resolve/resolv.conf", "nameserver 192.0.2.1\nnameserver 2001:db8::1\n"),
        ] {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let found = Resolvers::of(dir.path());
        assert_eq!(found.resolv_conf(), "nameserver 192.0.2.1\nnameserver 2001:db8::1\n");
        assert_eq!(Resolvers::of(&dir.path().join("none")), Resolvers::default());
    }
}
