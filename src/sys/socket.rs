//! What the kernel does for TCP beyond reading and writing.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Bytes written to a connected TCP socket that its other end has not acknowledged (tcp(7), `SIOCOUTQ`).
///
/// # Errors
/// The kernel's errno; `EINVAL` for a socket that listens.
pub fn unacknowledged(socket: &impl AsFd) -> io::Result<u32> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open while `socket` is borrowed, and for SIOCOUTQ, which Linux spells TIOCOUTQ, the kernel
    // writes one int to the address, which is that of `bytes` and outlives the call.
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(u32::try_from(bytes).unwrap_or(0)) }
}

/// Connections that wait to be accepted; the kernel takes no more than its own limit (`net.core.somaxconn`).
const BACKLOG: i32 = 1024;

/// Listens on a TCP address.
///
/// # Errors
/// The kernel's errno.
pub fn listen(address: std::net::SocketAddr) -> io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    // Again, for a longer queue than the standard library's (listen(2)).
    rustix::net::listen(&listener, BACKLOG)?;
    Ok(listener)
}

/// Has what is written to connections go at once and not wait for more to be written (tcp(7), `TCP_NODELAY`): those that `listener`
/// takes from now on have it from there, without a call for each.
///
/// # Errors
/// The kernel's errno; what is no TCP socket has no such option.
pub fn send_at_once(listener: &impl AsFd) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_tcp_nodelay(listener, true)?)
}

#[cfg(test)]
mod test {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn connections_have_it_from_their_listener_that_nothing_waits() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = || {
            let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            listener.accept().unwrap().0.nodelay().unwrap()
        };
        assert!(!taken());
        send_at_once(&listener).unwrap();
        assert!(taken());
    }

    #[test]
    fn what_the_other_end_has_taken_is_acknowledged_and_what_it_cannot_take_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        near.write_all(b"hello").unwrap();
        far.read_exact(&mut [0; 5]).unwrap();
        // The kernel may put an acknowledgement off for a while.
        while unacknowledged(&near).unwrap() > 0 {
            std::thread::yield_now();
        }
        near.set_nonblocking(true).unwrap();
        while near.write(&[0; 65536]).is_ok() {}
        assert!(unacknowledged(&near).unwrap() > 0, "nobody reads");
    }
}
