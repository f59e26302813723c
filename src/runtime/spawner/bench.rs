//! The spawner's workbench: a tmpfs in its private mount namespace with what all containers share, and room to attach a mount for
//! a moment where the kernel wants one attached. Nobody else sees it; it ends with the spawner.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::runtime::devices::{self, Device};
use crate::runtime::facts::OverlayLayers;
use crate::runtime::plan::GeneratedFile;
use crate::runtime::spec::Exec;
use crate::sys::mount::{self, Attributes, Layers};

/// Directories in the device directory, to be mounted on.
const MOUNT_POINTS: &[&str] = &["pts", "shm", "mqueue"];
/// Names of the masks, for init.
pub(crate) const MASK_FILE: &str = "file";
/// See `MASK_FILE`.
pub(crate) const MASK_DIRECTORY: &str = "directory";

const SAFE: Attributes = Attributes::NO_SETUID.and(Attributes::NO_DEVICES);

#[derive(Debug)]
pub(super) struct Bench {
    at: PathBuf,
}

impl Bench {
    /// Sets the workbench up over the directory `at`, in the caller's mount namespace (a private one).
    pub(super) fn set_up(at: PathBuf) -> io::Result<Bench> {
        std::fs::create_dir_all(&at)?;
        let options = [("mode", "0755"), ("size", "8m")];
        mount::attach_at(&mount::filesystem("tmpfs", &options, Attributes::NO_SETUID)?, &at)?;
        let bench = Bench { at };
        bench.make_devices()?;
        bench.make_masks()?;
        std::fs::create_dir(bench.at.join("layers"))?;
        std::fs::create_dir(bench.at.join("files"))?;
        Ok(bench)
    }

    fn make_devices(&self) -> io::Result<()> {
        let dir = self.at.join("dev");
        std::fs::create_dir(&dir)?;
        let open = std::fs::File::open(&dir)?;
        for Device { name, numbers } in devices::USUAL {
            mount::make_device(&open, name, *numbers)?;
        }
        for (name, target) in devices::LINKS {
            symlink(target, dir.join(name))?;
        }
        for name in MOUNT_POINTS {
            std::fs::create_dir(dir.join(name))?;
        }
        Ok(())
    }

    fn make_masks(&self) -> io::Result<()> {
        let dir = self.at.join("masks");
        std::fs::create_dir(&dir)?;
        std::fs::create_dir(dir.join(MASK_DIRECTORY))?;
        std::fs::write(dir.join(MASK_FILE), b"")?;
        std::fs::set_permissions(dir.join(MASK_FILE), std::fs::Permissions::from_mode(0o444))?;
        std::fs::set_permissions(dir.join(MASK_DIRECTORY), std::fs::Permissions::from_mode(0o555))
    }

    /// A container's device directory; owned by its root where this kernel can map a tmpfs (Linux 6.3), else by nobody.
    pub(super) fn devices(&self, ids: BorrowedFd<'_>) -> io::Result<OwnedFd> {
        let copy = mount::copy(&self.at.join("dev"))?;
        let attributes = Attributes::READ_ONLY.and(Attributes::NO_SETUID).and(Attributes::NO_EXEC);
        if mount::set_attributes(&copy, attributes, Some(ids)).is_err() {
            mount::set_attributes(&copy, attributes, None)?;
        }
        Ok(copy)
    }

    /// What covers masked files and directories.
    pub(super) fn masks(&self) -> io::Result<OwnedFd> {
        let copy = mount::copy(&self.at.join("masks"))?;
        mount::set_attributes(&copy, SAFE.and(Attributes::READ_ONLY).and(Attributes::NO_EXEC), None)?;
        Ok(copy)
    }

    /// A read-only root of prepared layers. A single one is laid over an empty one, for the list of mounts tells every reader where on
    /// the host a plain copy of a directory comes from, and not where an overlay's layers do.
    pub(super) fn root(&self, mut layers: Vec<OwnedFd>, by: OverlayLayers) -> io::Result<OwnedFd> {
        if layers.len() == 1 {
            layers.insert(0, mount::copy(&self.at.join("masks").join(MASK_DIRECTORY))?);
        }
        self.overlay(&layers, by, None)
    }

    /// An overlay over prepared layers.
    pub(super) fn overlay(
        &self,
        layers: &[OwnedFd],
        by: OverlayLayers,
        scratch: Option<&Path>,
    ) -> io::Result<OwnedFd> {
        let attributes = if scratch.is_some() { SAFE } else { SAFE.and(Attributes::READ_ONLY) };
        match by {
            OverlayLayers::ByDescriptor => mount::overlay(&Layers::Descriptors(layers), scratch, attributes),
            OverlayLayers::ByPath => {
                let mut attached = Attached::default();
                for (number, layer) in layers.iter().enumerate() {
                    let place = self.at.join("layers").join(number.to_string());
                    std::fs::create_dir_all(&place)?;
                    mount::attach_at(layer, &place)?;
                    attached.0.push(place);
                }
                mount::overlay(&Layers::Attached(layers), scratch, attributes)
            }
        }
    }

    /// Each file as a read-only mount of its own, owned by `owner`, in one memory file system; that comes first, and can be
    /// written to.
    pub(super) fn files(
        &self,
        files: &[GeneratedFile],
        owner: (u32, u32),
    ) -> io::Result<(OwnedFd, Vec<OwnedFd>)> {
        // Whole pages for each, and some for the directory.
        let bytes: usize = files.iter().map(|file| file.contents.len() + 8192).sum();
        let size = (bytes + 65_536).to_string();
        let all = mount::filesystem("tmpfs", &[("size", &size)], SAFE.and(Attributes::NO_EXEC))?;
        let place = self.at.join("files");
        mount::attach_at(&all, &place)?;
        let _attached = Attached(vec![place.clone()]);
        let mut copies = Vec::new();
        for file in files {
            let path = place.join(&file.name);
            let mut made = std::fs::File::create_new(&path).map_err(|error| name(&path, error))?;
            made.write_all(&file.contents)?;
            made.set_permissions(std::fs::Permissions::from_mode(file.mode))?;
            mount::give_to(&path, owner.0, owner.1)?;
            let copy = mount::copy(&path)?;
            mount::set_attributes(&copy, SAFE.and(Attributes::NO_EXEC).and(Attributes::READ_ONLY), None)?;
            copies.push(copy);
        }
        Ok((all, copies))
    }
}

/// Takes its mounts away again when dropped.
#[derive(Debug, Default)]
pub(super) struct Attached(Vec<PathBuf>);

impl Attached {
    /// Attaches a mount to a directory until dropped.
    pub(super) fn at(place: &Path, mount: &OwnedFd) -> io::Result<Attached> {
        mount::attach_at(mount, place)?;
        Ok(Attached(vec![place.to_owned()]))
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        for path in &self.0 {
            // Attached by us a moment ago; should it fail, the mount ends with the spawner.
            let _ = mount::detach(path);
        }
    }
}

/// A file system in memory.
pub(super) fn tmpfs(size_bytes: u64, mode: u32, (uid, gid): (u32, u32), exec: Exec) -> io::Result<OwnedFd> {
    let (size, mode) = (size_bytes.to_string(), format!("{mode:o}"));
    let (uid, gid) = (uid.to_string(), gid.to_string());
    let options = [("size", size.as_str()), ("mode", &mode), ("uid", &uid), ("gid", &gid)];
    let attributes = Attributes::NO_SETUID.and(Attributes::NO_DEVICES).and(exec_attribute(exec));
    mount::filesystem("tmpfs", &options, attributes)
}

/// Whether programs may be run from a mount, as its attribute.
pub(super) fn exec_attribute(exec: Exec) -> Attributes {
    match exec {
        Exec::Allowed => Attributes::NONE,
        Exec::Denied => Attributes::NO_EXEC,
    }
}

/// A host directory or file as one layer: id-mapped, read-only or not.
pub(super) fn layer(path: &Path, attributes: Attributes, ids: &impl AsFd) -> io::Result<OwnedFd> {
    let named = |error: io::Error| name(path, error);
    let copy = mount::copy(path).map_err(named)?;
    mount::set_attributes(&copy, SAFE.and(attributes), Some(ids.as_fd())).map_err(named)?;
    Ok(copy)
}

/// Adds the path to an error, keeping its kind.
pub(super) fn name(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
