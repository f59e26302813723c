//! The addresses of this host.

use std::io;
use std::net::IpAddr;

/// Those that the interfaces of the caller's network namespace have now (getifaddrs(3)): whoever connects to one of them
/// connects to this host, without a packet leaving it.
///
/// # Errors
/// The kernel's errno.
pub fn own() -> io::Result<Vec<IpAddr>> {
    let of = |storage: nix::sys::socket::SockaddrStorage| {
        let v4 = storage.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| storage.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    };
    Ok(nix::ifaddrs::getifaddrs()?.filter_map(|interface| interface.address.and_then(of)).collect())
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn loopback_is_among_them_and_no_other_machine() {
        let own = own().unwrap();
        assert!(own.contains(&"127.0.0.1".parse().unwrap()), "{own:?}");
        assert!(!own.contains(&"1.1.1.1".parse().unwrap()), "{own:?}");
    }
}
