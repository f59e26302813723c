//! Who is at the other end of a unix socket (`SO_PEERCRED`, unix(7)): as the kernel saw them when they connected.

use std::io;
use std::os::fd::AsFd;

/// Identity of the process that connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credentials {
    /// Process id, in the reader's pid namespace; 0 if it has none there.
    pub pid: u32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Asks the kernel about the other end of a connected unix socket.
///
/// # Errors
/// The kernel's errno; `ENOTSOCK` or `EOPNOTSUPP` for something else than a unix socket.
pub fn credentials(socket: &impl AsFd) -> io::Result<Credentials> {
    let peer = nix::sys::socket::getsockopt(socket, nix::sys::socket::sockopt::PeerCredentials)?;
    Ok(Credentials { pid: u32::try_from(peer.pid()).unwrap_or(0), uid: peer.uid(), gid: peer.gid() })
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_other_end_of_a_pair_is_oneself() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let peer = credentials(&one).unwrap();
        assert_eq!(peer.pid, std::process::id());
        assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
    }
}
