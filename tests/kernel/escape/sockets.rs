//! Sockets of other kinds, and the network: the host, neighbours, private ranges, metadata.

use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use super::probe::Refusal::Errno;
use super::probe::{Aims, Probe, Refusal, Verdict, gate};
use super::raw::{at, call, flag, open, start};

const DENIED: &[Refusal] = &[Errno(libc::EPERM)];
/// Nobody answers, or there is no way.
const CUT_OFF: &[Refusal] =
    &[Errno(libc::ETIMEDOUT), Errno(libc::ENETUNREACH), Errno(libc::EHOSTUNREACH), Errno(libc::ECONNREFUSED)];
/// How long an answer is waited for.
const SILENCE: Duration = Duration::from_millis(400);

/// A probe of a server behind the network.
macro_rules! server {
    ($name:literal, $attacks:literal) => {
        Probe::new($name, $attacks, CUT_OFF, |aims| reach(aims, $name))
    };
}

pub(crate) const PROBES: &[Probe] = &[
    Probe::new("packet_socket", "hear and forge frames", DENIED, |_| socket(17, 3, 0)),
    Probe::new("raw_socket", "forge packets", DENIED, |_| socket(2, 3, 1)),
    Probe::new("raw_socket_of_version_6", "forge packets of version 6", DENIED, |_| socket(10, 3, 58)),
    Probe::new("firewall_socket", "change the firewall", DENIED, |_| socket(16, 3, 12)),
    Probe::new("transform_socket", "change the rules of encryption", DENIED, |_| socket(16, 3, 6)),
    Probe::new("audit_socket", "hear what the host audits", DENIED, |_| socket(16, 3, 9)),
    Probe::new("uevent_socket", "hear of the host's devices", DENIED, |_| socket(16, 3, 15)),
    Probe::new("diagnosis_socket", "list all sockets", DENIED, |_| socket(16, 3, 4)),
    Probe::new("machine_socket", "talk to the machine's hypervisor (vsock)", DENIED, |_| socket(40, 1, 0)),
    Probe::new("crypto_socket", "reach the kernel's ciphers (AF_ALG)", DENIED, |_| socket(38, 5, 0)),
    Probe::new("express_socket", "take packets past the kernel (AF_XDP)", DENIED, |_| socket(44, 3, 0)),
    Probe::new("key_socket", "reach the kernel's older key interface (AF_KEY)", DENIED, |_| socket(15, 3, 2)),
    Probe::new("multipath_socket", "run the kernel's multipath protocol (MPTCP)", DENIED, |_| {
        socket(2, 1, 262)
    }),
    Probe::new("lite_socket", "run a protocol that nobody needs (UDP-Lite)", DENIED, |_| socket(2, 2, 136)),
    Probe::new("stream_control_socket", "have the kernel load a protocol (SCTP)", DENIED, |_| {
        socket(2, 1, 132)
    }),
    Probe::new(
        "socket_family_in_upper_half",
        "ask for a family with bits set that the kernel ignores",
        DENIED,
        |_| gate(open(libc::SYS_socket, &[17 | 1 << 32, 3, 0]).map(|_| 0), &[]),
    ),
    Probe::new("mark_packets", "mark packets, by which rules let them pass", DENIED, |_| {
        with_socket(|socket| {
            let mark = [1i32];
            gate(call(libc::SYS_setsockopt, &[socket, 1, 36, at(&mark), 4]), &[])
        })
    }),
    Probe::new("transparent_socket", "answer for other addresses (IP_TRANSPARENT)", DENIED, |_| {
        with_socket(|socket| {
            let on = [1i32];
            gate(call(libc::SYS_setsockopt, &[socket, 0, 19, at(&on), 4]), &[])
        })
    }),
    Probe::new(
        "force_buffers",
        "take more of the kernel's memory for a socket than is allowed",
        DENIED,
        |_| {
            with_socket(|socket| {
                let bytes = [64i32 << 20];
                // SO_SNDBUFFORCE.
                gate(call(libc::SYS_setsockopt, &[socket, 1, 32, at(&bytes), 4]), &[])
            })
        },
    ),
    Probe::new("add_an_address", "take an address of somebody else's", DENIED, |_| add_address()),
    Probe::new("take_a_link_up", "change a link", DENIED, |_| {
        with_socket(|socket| {
            // SIOCSIFFLAGS of "lo": up and running, as it is.
            let mut request = [0u8; 40];
            request[..2].copy_from_slice(b"lo");
            request[16..18].copy_from_slice(&0x49u16.to_ne_bytes());
            gate(call(libc::SYS_ioctl, &[socket, 0x8914, start(&request)]), &[])
        })
    }),
    server!("metadata", "ask the cloud for credentials"),
    server!("metadata_of_version_6", "ask the cloud for credentials by version 6"),
    server!("private_range", "reach machines beside the host"),
    server!("host", "reach a service of the host by its address"),
    server!("loopback_of_the_host", "reach a service that listens for the host alone"),
    server!("gateway", "reach a service of the host by the gateway's address"),
    server!("neighbour", "reach another container"),
    server!("resolver_on_another_port", "reach more of the resolver than its name service"),
];

fn socket(family: usize, kind: usize, protocol: usize) -> Verdict {
    gate(open(libc::SYS_socket, &[family, kind, protocol]).map(|_| 0), &[])
}

/// Runs an attack on an ordinary datagram socket.
fn with_socket(attack: impl FnOnce(usize) -> Verdict) -> Verdict {
    match UdpSocket::bind("127.0.0.1:0") {
        Ok(socket) => attack(flag(socket.as_raw_fd())),
        Err(error) => Verdict::Absent(format!("there are no sockets: {error}")),
    }
}

fn reach(aims: &Aims, name: &str) -> Verdict {
    let Some((_, address)) = aims.servers.iter().find(|(server, _)| server == name) else {
        return Verdict::Absent("the stage has no such server".to_owned());
    };
    let Ok(address) = address.parse::<SocketAddr>() else {
        return Verdict::Absent(format!("{address} is no address"));
    };
    match TcpStream::connect_timeout(&address, SILENCE) {
        Ok(_) => Verdict::Got(format!("{address} answers")),
        Err(error) if error.kind() == std::io::ErrorKind::TimedOut => Verdict::Errno(libc::ETIMEDOUT),
        Err(error) => Verdict::Errno(error.raw_os_error().unwrap_or(libc::EIO)),
    }
}

/// Adds an address to the loopback device by route netlink, which containers may read.
fn add_address() -> Verdict {
    let socket: OwnedFd = match open(libc::SYS_socket, &[16, 3, 0]) {
        Ok(socket) => socket,
        Err(errno) => return Verdict::Errno(errno),
    };
    let mut request = [0u8; 32];
    // RTM_NEWADDR with request, acknowledgement, create and exclusive; 198.51.100.77/32 on the first link.
    request[..4].copy_from_slice(&32u32.to_ne_bytes());
    request[4..6].copy_from_slice(&20u16.to_ne_bytes());
    request[6..8].copy_from_slice(&0x605u16.to_ne_bytes());
    request[16..24].copy_from_slice(&[2, 32, 0, 0, 1, 0, 0, 0]);
    request[24..32].copy_from_slice(&[8, 0, 2, 0, 198, 51, 100, 77]);
    let fd = flag(socket.as_raw_fd());
    let sent = call(libc::SYS_sendto, &[fd, start(&request), request.len(), 0, 0, 0]);
    if let Err(errno) = sent {
        return Verdict::Errno(errno);
    }
    let mut answer = [0u8; 256];
    match call(libc::SYS_recvfrom, &[fd, super::raw::room(&mut answer), answer.len(), 0, 0, 0]) {
        Ok(length) if length >= 20 => {
            match i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]) {
                0 => Verdict::Got("198.51.100.77".to_owned()),
                errno if errno == -libc::EEXIST => Verdict::Got("it is there already".to_owned()),
                errno => Verdict::Errno(-errno),
            }
        }
        Ok(_) => Verdict::Nothing("no answer".to_owned()),
        Err(errno) => Verdict::Errno(errno),
    }
}
