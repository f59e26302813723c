//! Sockets that wait for connections, out of `/proc/<pid>/net/tcp` and `tcp6` (proc_pid_net(5)).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::runtime::spec::ListeningSocket;

/// State of a socket that listens, as the files spell it.
const LISTEN: &str = "0A";

pub(super) fn sockets(pid: u32) -> io::Result<Vec<ListeningSocket>> {
    let mut found = parse(&std::fs::read_to_string(format!("/proc/{pid}/net/tcp"))?);
    // A kernel without IPv6 has no such file.
    if let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/net/tcp6")) {
        found.extend(parse(&text));
    }
    Ok(found)
}

fn parse(text: &str) -> Vec<ListeningSocket> {
    let line = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let (local, state) = (words.next()?, words.nth(1)?);
        let (host, port) = local.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        (state == LISTEN).then_some(())?;
        Some(ListeningSocket { address: SocketAddr::new(address(host)?, port) })
    };
    text.lines().skip(1).filter_map(line).collect()
}

/// The kernel prints each 32-bit word of the address as a number of the machine's own byte order.
fn address(hex: &str) -> Option<IpAddr> {
    let bytes: Vec<u8> = (0..hex.len())
        .step_by(8)
        .map(|at| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes))
        .collect::<Option<Vec<_>>>()?
        .concat();
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(|bytes| Ipv4Addr::from(bytes).into()),
        16 => <[u8; 16]>::try_from(bytes).ok().map(|bytes| Ipv6Addr::from(bytes).into()),
        _ => None,
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn listening_sockets_are_told_from_connected_ones() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n\
             0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000\n\
             1: 0100007F:1F91 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000\n\
             2: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0\n";
        let addresses: Vec<_> = parse(text).into_iter().map(|socket| socket.address.to_string()).collect();
        assert_eq!(addresses, ["127.0.0.1:8080", "[::1]:80"]);
    }

    #[test]
    fn nonsense_is_no_socket() {
        assert!(parse("").is_empty());
        assert!(parse("head\nx\n0: zz:1 0:0 0A\n1: 0100007F:zz 0:0 0A\n").is_empty());
    }
}
