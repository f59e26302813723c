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

/// Has `listener` tell of a connection when its client has sent something, rather than when it has come (tcp(7), `TCP_DEFER_ACCEPT`),
/// for as long as `wait`: of one that is silent it tells after that. The kernel rounds up to the times at which it would greet again.
///
/// # Errors
/// The kernel's errno; what is no TCP socket has no such option.
pub fn tell_of_who_speaks(listener: &impl AsFd, wait: std::time::Duration) -> io::Result<()> {
    let seconds = libc::c_int::try_from(wait.as_secs()).unwrap_or(libc::c_int::MAX);
    let size = libc::socklen_t::try_from(size_of_val(&seconds)).unwrap_or(0);
    let descriptor = listener.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open while `listener` is borrowed, and for TCP_DEFER_ACCEPT the kernel reads one int of `size` bytes
    // from the address, which is that of `seconds` and outlives the call.
    let result = unsafe {
        libc::setsockopt(
            descriptor,
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const seconds).cast(),
            size,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod test {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};

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
    fn a_client_that_speaks_is_told_of_when_it_does_and_a_silent_one_after_a_while() {
        let wait = Duration::from_secs(1);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        tell_of_who_speaks(&listener, wait).unwrap();
        let begun = Instant::now();
        let _silent = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut speaker = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        speaker.write_all(b"hello").unwrap();
        let first = listener.accept().unwrap().1;
        assert_eq!(first, speaker.local_addr().unwrap(), "the silent one came before it");
        listener.accept().unwrap();
        assert!(begun.elapsed() >= wait, "{:?}", begun.elapsed());
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
