//! Mounts that the starter prepares: everything for which a container's own process may lack the right, or the sight.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::child::{COVER_DIRECTORY, COVER_FILE};
use super::plan::{IdMaps, Options, Prepare};
use crate::runtime::devices;
use crate::sys::message::Channel;
use crate::sys::process::{self, Cloned, Namespaces, SingleThreaded};
use crate::sys::tree::{self, Change, Extent, Node, Propagation};

/// How long a process that only holds a user namespace open is kept, should its maker die.
const HOLDER_TIMEOUT: Duration = Duration::from_secs(10);

/// Whose users a container has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Users {
    /// The host's.
    TheHosts,
    /// Its own.
    ItsOwn,
}

/// Makes one prepared mount.
pub(super) fn prepare(what: &Prepare, single: SingleThreaded, users: Users) -> io::Result<OwnedFd> {
    match what {
        Prepare::Root { path, propagation } => {
            let path = std::fs::canonicalize(path)?;
            if !path.is_dir() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            let root = tree::copy(&path, Extent::Tree)?;
            tree::change(&root, Extent::Tree, Change::default(), Some(*propagation), None)?;
            Ok(root)
        }
        Prepare::Bind { source, options, ids } => bind(source, options, ids.as_ref(), single, users),
        Prepare::Devices { options, attributes, owner, nodes } => {
            let made = tree::filesystem("tmpfs", Path::new("tmpfs"), options, *attributes)?;
            for (path, node) in nodes {
                make_parents(&made, path, *owner)?;
                tree::make_node(&made, path, *node)?;
            }
            devices::LINKS.iter().try_for_each(|(name, to)| tree::make_link(&made, Path::new(name), to))?;
            Ok(made)
        }
        Prepare::Covers(devices) => covers(devices),
        Prepare::Sysfs { attributes } => tree::filesystem("sysfs", Path::new("sysfs"), &[], *attributes),
    }
}

fn covers(devices: &[Node]) -> io::Result<OwnedFd> {
    let size = ["mode=755".to_owned(), "size=1m".to_owned()];
    let made = tree::filesystem("tmpfs", Path::new("tmpfs"), &size, 0)?;
    tree::make_file(&made, Path::new(COVER_FILE), 0o444)?;
    tree::make_directory(&made, Path::new(COVER_DIRECTORY), (0, 0))?;
    for (index, node) in devices.iter().enumerate() {
        tree::make_node(&made, Path::new(&index.to_string()), *node)?;
    }
    Ok(made)
}

fn make_parents(devices: &OwnedFd, path: &Path, owner: (u32, u32)) -> io::Result<()> {
    let mut done = PathBuf::new();
    for name in path.parent().into_iter().flat_map(Path::components) {
        done.push(name);
        tree::make_directory(devices, &done, owner)?;
    }
    Ok(())
}

fn bind(
    source: &Path,
    options: &Options,
    ids: Option<&IdMaps>,
    single: SingleThreaded,
    users: Users,
) -> io::Result<OwnedFd> {
    let made = tree::copy(source, options.bind.unwrap_or(Extent::Top))?;
    let (wanted, extent) = options.propagation.unwrap_or((Propagation::Private, Extent::Tree));
    // A copy of a shared mount is shared too: what is not asked for is cut, over the whole copy, first.
    // A container with users of its own may see what the host mounts, and never the other way round.
    if wanted != Propagation::Shared || users == Users::ItsOwn {
        let first = if wanted == Propagation::Shared || wanted == Propagation::Slave {
            Propagation::Slave
        } else {
            Propagation::Private
        };
        tree::change(&made, Extent::Tree, Change::default(), Some(first), None)?;
    }
    tree::change(&made, extent, Change::default(), Some(wanted), None)?;
    if options.recursive != Change::default() {
        tree::change(&made, Extent::Tree, options.recursive, None, None)?;
    }
    if options.own != Change::default() {
        tree::change(&made, Extent::Top, options.own, None, None)?;
    }
    if let (Some(ids), Some(extent)) = (ids, options.map_ids) {
        let namespace = user_namespace(ids, single)?;
        tree::change(&made, extent, Change::default(), None, Some(namespace.as_fd()))?;
    }
    Ok(made)
}

/// A user namespace that only serves to map ids; a process must be in it while it is set up.
fn user_namespace(ids: &IdMaps, single: SingleThreaded) -> io::Result<OwnedFd> {
    let (ours, theirs) = Channel::pair()?;
    match single.clone(Namespaces::USER, None)? {
        Cloned::Child => {
            drop(ours);
            // Until the other end closes.
            let _ = theirs.receive(HOLDER_TIMEOUT);
            process::exit_now(0)
        }
        Cloned::Parent { pid, pidfd } => {
            map_ids(pid, ids)?;
            let users = std::fs::File::open(format!("/proc/{pid}/ns/user"))?.into();
            drop((ours, theirs));
            process::wait_readable(&[pidfd.as_fd()], Some(HOLDER_TIMEOUT))?;
            process::reap_one(pid)?;
            Ok(users)
        }
    }
}

/// Writes both maps of a fresh user namespace.
pub(super) fn map_ids(pid: u32, ids: &IdMaps) -> io::Result<()> {
    for (file, map) in [("uid_map", &ids.users), ("gid_map", &ids.groups)] {
        let lines: Vec<_> =
            map.iter().map(|(inside, outside, count)| format!("{inside} {outside} {count}\n")).collect();
        std::fs::write(format!("/proc/{pid}/{file}"), lines.concat())?;
    }
    Ok(())
}
