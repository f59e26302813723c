//! Packets with descriptors between processes: unix sockets of type SEQPACKET, which keep the borders of messages.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr,
    accept4, bind, connect, listen, recvmsg, sendmsg, socket, socketpair,
};

use rustix::net::RecvFlags;

use crate::sys::process;

/// Largest packet, in bytes; what is larger goes as a sealed file.
pub const PACKET_BYTES_MAX: usize = 64 << 10;
/// Most descriptors in one packet (the kernel's SCM_MAX_FD).
pub const DESCRIPTORS_MAX: usize = 253;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;

/// One end of a connection.
#[derive(Debug)]
pub struct Channel(OwnedFd);

/// A socket that waits for connections.
#[derive(Debug)]
pub struct Listener(OwnedFd);

/// What came: bytes, and descriptors that are ours now.
#[derive(Debug, Default)]
pub struct Packet {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The descriptors, in the sender's order.
    pub descriptors: Vec<OwnedFd>,
}

impl Channel {
    /// Two connected ends.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn pair() -> io::Result<(Channel, Channel)> {
        let (one, other) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((Channel(one), Channel(other)))
    }

    /// Connects to a listener's path.
    ///
    /// # Errors
    /// `NotFound` without a socket there, `ConnectionRefused` where nobody listens any more.
    pub fn connect(path: &Path) -> io::Result<Channel> {
        let end = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?;
        connect(end.as_raw_fd(), &UnixAddr::new(path)?)?;
        Ok(Channel(end))
    }

    /// Sends one packet. Does not raise SIGPIPE.
    ///
    /// # Errors
    /// `BrokenPipe` when the other end is closed; `EMSGSIZE`.
    pub fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let raw: Vec<_> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let control = if raw.is_empty() { &rights[..0] } else { &rights[..] };
        sendmsg::<()>(self.0.as_raw_fd(), &[IoSlice::new(bytes)], control, MsgFlags::MSG_NOSIGNAL, None)?;
        Ok(())
    }

    /// Size of the packet that waits, in bytes, so that a process that was just cloned need not touch room for the largest one; 0 where
    /// the other end is closed.
    fn waiting(&self) -> io::Result<usize> {
        let flags = RecvFlags::PEEK | RecvFlags::TRUNC | RecvFlags::DONTWAIT;
        let peek = || rustix::net::recv(&self.0, &mut [0u8; 0], flags);
        let (_, length) = match peek() {
            // Told once, before what the other end had sent to us; see `receive`.
            Err(rustix::io::Errno::CONNRESET) => peek()?,
            other => other?,
        };
        Ok(length.min(PACKET_BYTES_MAX))
    }

    /// Waits, without holding a thread, until there is something to receive, the other end's close included.
    ///
    /// # Errors
    /// No descriptors left.
    pub async fn readable(&self) -> io::Result<()> {
        process::readable(self.0.try_clone()?).await
    }

    /// Says that no more will be sent; what the other end sends is still received.
    ///
    /// # Errors
    /// It is closed.
    pub fn finish(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(&self.0, rustix::net::Shutdown::Write)?)
    }

    /// Waits for one packet, at most so long; `None` when the other end is closed.
    ///
    /// # Errors
    /// `TimedOut`; `InvalidData` for a packet larger than allowed.
    pub fn receive(&self, timeout: Duration) -> io::Result<Option<Packet>> {
        if process::wait_readable(&[self.0.as_fd()], Some(timeout))? != [true] {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut buffer = vec![0u8; self.waiting()?];
        let mut control = nix::cmsg_space!([std::os::fd::RawFd; DESCRIPTORS_MAX]);
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
        let (length, cut, raw) = {
            let received = match recvmsg::<()>(self.0.as_raw_fd(), &mut parts, Some(&mut control), flags) {
                // The other end was closed with something unread in it. That is told once, before what it had sent to us.
                Err(nix::errno::Errno::ECONNRESET) => None,
                other => Some(other?),
            };
            let got = match received {
                Some(got) => got,
                None => recvmsg::<()>(self.0.as_raw_fd(), &mut parts, Some(&mut control), flags)?,
            };
            let mut raw = Vec::new();
            for message in got.cmsgs()? {
                if let ControlMessageOwned::ScmRights(list) = message {
                    raw.extend(list);
                }
            }
            (got.bytes, got.flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC), raw)
        };
        // SAFETY: the kernel has just made these descriptors for us; nobody else owns them.
        let descriptors: Vec<_> = raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).collect();
        if cut {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the packet is larger than agreed"));
        }
        if length == 0 && descriptors.is_empty() {
            return Ok(None);
        }
        buffer.truncate(length);
        Ok(Some(Packet { bytes: buffer, descriptors }))
    }
}

impl From<OwnedFd> for Channel {
    /// An end that came as a descriptor.
    fn from(end: OwnedFd) -> Channel {
        Channel(end)
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Listener {
    /// Listens at `path`, in place of a socket that an earlier listener left there; only the owner may connect.
    ///
    /// # Errors
    /// The kernel's errno; `InvalidInput` for a path above 107 bytes.
    pub fn bind(path: &Path) -> io::Result<Listener> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let end = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
        bind(end.as_raw_fd(), &UnixAddr::new(path)?)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        listen(&end, Backlog::new(BACKLOG)?)?;
        Ok(Listener(end))
    }

    /// The next connection that waits, if any.
    ///
    /// # Errors
    /// The kernel's errno.
    pub fn accept(&self) -> io::Result<Option<Channel>> {
        match accept4(self.0.as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
            // SAFETY: a fresh descriptor of the kernel's, owned by nobody else.
            Ok(fd) => Ok(Some(Channel(unsafe { OwnedFd::from_raw_fd(fd) }))),
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::ECONNABORTED) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A nameless file in memory that holds these bytes and can no longer change.
///
/// # Errors
/// The kernel's errno.
pub fn sealed(bytes: &[u8]) -> io::Result<OwnedFd> {
    use rustix::fs::{MemfdFlags, SealFlags};
    let file = rustix::fs::memfd_create("message", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = std::fs::File::from(file);
    io::Write::write_all(&mut file, bytes)?;
    rustix::fs::fcntl_add_seals(
        &file,
        SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE,
    )?;
    Ok(file.into())
}

/// The bytes of a file from its start, at most `limit`.
///
/// # Errors
/// The kernel's errno; `InvalidData` above the limit.
pub fn contents(file: OwnedFd, limit: u64) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::from(file);
    let length = file.metadata()?.len();
    if length > limit {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{length} bytes, above the limit of {limit}"),
        ));
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// A pipe: (reading end, writing end), both closed on exec.
///
/// # Errors
/// No descriptors left.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

#[cfg(test)]
mod test {
    use super::*;

    const SOON: Duration = Duration::from_millis(20);

    #[test]
    fn packets_keep_their_borders_and_carry_descriptors() {
        let (one, other) = Channel::pair().unwrap();
        let file = sealed(b"inside").unwrap();
        one.send(b"first", &[file.as_fd()]).unwrap();
        one.send(b"second", &[]).unwrap();
        let mut packet = other.receive(SOON).unwrap().unwrap();
        assert_eq!(packet.bytes, b"first");
        assert_eq!(contents(packet.descriptors.remove(0), 100).unwrap(), b"inside");
        assert_eq!(other.receive(SOON).unwrap().unwrap().bytes, b"second");
        assert_eq!(other.receive(SOON).unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(one);
        assert!(other.receive(SOON).unwrap().is_none());
    }

    #[test]
    fn last_words_are_heard_of_one_who_did_not_listen() {
        let (one, other) = Channel::pair().unwrap();
        one.send(b"last words", &[]).unwrap();
        other.send(b"unread", &[]).unwrap();
        drop(one);
        assert_eq!(other.receive(SOON).unwrap().unwrap().bytes, b"last words");
        assert!(other.receive(SOON).unwrap().is_none());
    }
}
