//! Rules for the file system: what the spawner prepares, and where init attaches it.

use std::path::PathBuf;

use oci_spec::runtime::Mount;

use crate::runtime::facts::Facts;
use crate::runtime::plan::PlanError;
use crate::runtime::plan::{GeneratedFile, HostStep, InitStep, KernelFs, Slot};
use crate::runtime::plan::{host_id, target};
use crate::runtime::spec::{Access, ContainerSpec, Exec, IdMapped, IdRange, SandboxMount};

/// Size of a tmpfs whose mount names none, in bytes.
const TMPFS_BYTES_DEFAULT: u64 = 64 << 20;
/// Permission bits of a tmpfs whose mount names none.
const TMPFS_MODE_DEFAULT: u32 = 0o1777;

/// Options that every mount has, or that are attributes: never handed to the file system itself.
const ATTRIBUTES: &[&str] = &[
    "ro", "rw", "nosuid", "nodev", "noexec", "exec", "bind", "rbind", "relatime", "noatime", "private",
    "rprivate",
];

/// Names in a scratch directory that the spawner gives itself.
const RESERVED: &[&str] = &["upper", "work", "disk"];

pub(super) struct Mounts {
    pub(super) host: Vec<HostStep>,
    /// What init makes by itself, while the host's part is done.
    pub(super) made: Vec<InitStep>,
    pub(super) init: Vec<InitStep>,
}

struct Builder<'a> {
    ids: IdRange,
    facts: &'a Facts,
    host: Vec<HostStep>,
    files: Vec<GeneratedFile>,
    made: Vec<InitStep>,
    init: Vec<InitStep>,
    slots: usize,
}

/// Root first, then the kernel's file systems, then the caller's mounts in their order, masks last: they cover what came before.
pub(super) fn plan(spec: &ContainerSpec, ids: IdRange, facts: &Facts) -> Result<Mounts, PlanError> {
    let mut build = Builder { ids, facts, host: vec![], files: vec![], made: vec![], init: vec![], slots: 0 };
    build.disks(spec)?;
    build.root(spec)?;
    for mount in spec.oci.mounts().as_deref().unwrap_or_default() {
        build.oci(mount)?;
    }
    for mount in &spec.ext.mounts {
        build.own(mount)?;
    }
    let linux = spec.oci.linux().as_ref().ok_or(PlanError::Missing("the part 'linux'"))?;
    for path in linux.masked_paths().as_deref().unwrap_or_default() {
        // What the caller has laid over a path hides the kernel's files as well as a mask does.
        if spec.ext.mounts.iter().any(|mount| mount.target() == std::path::Path::new(path)) {
            continue;
        }
        build.init.push(InitStep::Mask(target(path.as_ref())?));
    }
    for path in linux.readonly_paths().as_deref().unwrap_or_default() {
        build.init.push(InitStep::MakeReadOnly(target(path.as_ref())?));
    }
    if !build.files.is_empty() {
        let all = build.slot();
        build.init.push(InitStep::HoldFiles(all));
        build.host.push(HostStep::PrepareFiles { all, files: build.files });
    }
    Ok(Mounts { host: build.host, made: build.made, init: build.init })
}

impl Builder<'_> {
    fn slot(&mut self) -> Slot {
        self.slots += 1;
        Slot(self.slots - 1)
    }

    fn attach(&mut self, slot: Slot, path: &std::path::Path) -> Result<(), PlanError> {
        self.init.push(InitStep::Attach { slot, target: target(path)? });
        Ok(())
    }

    /// One for each scratch directory, if they are limited.
    fn disks(&mut self, spec: &ContainerSpec) -> Result<(), PlanError> {
        let Some(size_bytes) = spec.ext.disk_bytes else { return Ok(()) };
        let mut known = Vec::new();
        for mount in &spec.ext.mounts {
            let (SandboxMount::Overlay { scratch, .. } | SandboxMount::Scratch { scratch, .. }) = mount
            else {
                continue;
            };
            if !known.contains(&scratch) {
                known.push(scratch);
                self.host.push(HostStep::PrepareDisk { scratch: overlay_path(scratch)?, size_bytes });
            }
        }
        Ok(())
    }

    fn root(&mut self, spec: &ContainerSpec) -> Result<(), PlanError> {
        let layers = spec.ext.root_layers.clone();
        if layers.is_empty() {
            return Err(PlanError::Missing("a root"));
        }
        let masks = self.slot();
        self.host.push(HostStep::PrepareMasks(masks));
        self.init.push(InitStep::AttachMasks(masks));
        let slot = self.slot();
        self.host.push(HostStep::PrepareRoot { slot, layers, by: self.facts.overlay_layers });
        self.init.push(InitStep::AttachRoot(slot));
        Ok(())
    }

    fn oci(&mut self, mount: &Mount) -> Result<(), PlanError> {
        let path = mount.destination();
        let kind = mount.typ().as_deref().unwrap_or_default();
        let options = Options(mount.options().as_deref().unwrap_or_default());
        let kernel = match kind {
            "proc" => Some(KernelFs::Proc),
            "devpts" => Some(KernelFs::Devpts),
            "mqueue" => Some(KernelFs::Mqueue),
            _ => None,
        };
        if let Some(kind) = kernel {
            let options = options.of_the_file_system();
            self.made.push(InitStep::Make { kind, options });
            self.init.push(InitStep::AttachMade { kind, target: target(path)? });
            return Ok(());
        }
        let slot = self.slot();
        self.host.push(match kind {
            "sysfs" => HostStep::PrepareSysfs(slot),
            "tmpfs" if path == std::path::Path::new("/dev") => HostStep::PrepareDevices(slot),
            "tmpfs" => HostStep::PrepareTmpfs {
                slot,
                size_bytes: options.number("size", 10).unwrap_or(TMPFS_BYTES_DEFAULT),
                mode: options
                    .number("mode", 8)
                    .and_then(|n| u32::try_from(n).ok())
                    .unwrap_or(TMPFS_MODE_DEFAULT),
                owner: (host_id(self.ids, 0)?, host_id(self.ids, 0)?),
                exec: options.exec(),
            },
            "bind" | "none" | "" if options.has("bind") || options.has("rbind") => HostStep::PrepareBind {
                slot,
                source: IdMapped {
                    path: mount.source().clone().ok_or(PlanError::Missing("a bind mount's source"))?,
                    disk: None,
                },
                access: if options.has("ro") { Access::ReadOnly } else { Access::ReadWrite },
                exec: options.exec(),
            },
            _ => {
                return Err(PlanError::Refused {
                    what: "the mount type",
                    value: kind.to_owned(),
                    why: "use proc, sysfs, tmpfs, devpts, mqueue or bind",
                });
            }
        });
        self.attach(slot, path)
    }

    fn own(&mut self, mount: &SandboxMount) -> Result<(), PlanError> {
        let slot = self.slot();
        match mount {
            SandboxMount::Overlay { lowers, scratch, owner, .. } => {
                if lowers.is_empty() {
                    return Err(PlanError::Missing("a lower layer of an overlay"));
                }
                self.host.push(HostStep::PrepareOverlay {
                    slot,
                    lowers: self.checked(lowers)?,
                    scratch: overlay_path(scratch)?,
                    owner: self.owner(*owner)?,
                    by: self.facts.overlay_layers,
                });
            }
            SandboxMount::Scratch { scratch, name, mode, owner, .. } => {
                let (scratch, owner) = (overlay_path(scratch)?, self.owner(*owner)?);
                let name = scratch_name(name)?;
                self.host.push(HostStep::PrepareScratch { slot, scratch, name, mode: *mode, owner });
            }
            SandboxMount::Bind { source, access, exec, .. } => {
                let source = self.checked(std::slice::from_ref(source))?.remove(0);
                self.host.push(HostStep::PrepareBind { slot, source, access: *access, exec: *exec });
            }
            SandboxMount::Tmpfs { size_bytes, mode, owner, exec, .. } => {
                let owner = self.owner(*owner)?;
                let (size_bytes, mode, exec) = (*size_bytes, *mode, *exec);
                self.host.push(HostStep::PrepareTmpfs { slot, size_bytes, mode, owner, exec });
            }
            SandboxMount::File { target, contents, mode } => {
                let (name, contents) = (file_name(target), contents.clone());
                self.files.push(GeneratedFile { slot, name, contents, mode: *mode });
            }
        }
        self.attach(slot, mount.target())
    }

    fn owner(&self, (uid, gid): (u32, u32)) -> Result<(u32, u32), PlanError> {
        Ok((host_id(self.ids, uid)?, host_id(self.ids, gid)?))
    }

    /// From container ids to host ids.
    fn checked(&self, sources: &[IdMapped]) -> Result<Vec<IdMapped>, PlanError> {
        let mut checked = Vec::new();
        for source in sources {
            let disk = match source.disk {
                Some((disk, inside)) => Some((disk, host_id(self.ids, inside)?)),
                None => None,
            };
            checked.push(IdMapped { path: source.path.clone(), disk });
        }
        Ok(checked)
    }
}

/// The name that a generated file has in its file system: its target in one word. Two targets with one name are refused when
/// the second is made.
pub(in crate::runtime) fn file_name(target: &std::path::Path) -> String {
    target.to_string_lossy().trim_start_matches('/').replace('/', "-")
}

/// The kernel takes the writable layer's directories as text in which these two separate.
fn overlay_path(path: &std::path::Path) -> Result<PathBuf, PlanError> {
    let text = path.to_string_lossy();
    if path.is_absolute() && !text.contains([':', ',', '\\']) {
        Ok(path.to_owned())
    } else {
        Err(PlanError::Refused {
            what: "the scratch directory",
            value: text.into_owned(),
            why: "give an absolute path without colon, comma or backslash",
        })
    }
}

/// A name in the scratch directory that is none of the overlay's.
fn scratch_name(name: &str) -> Result<String, PlanError> {
    let is_plain = !name.is_empty() && name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if is_plain && !RESERVED.contains(&name) {
        Ok(name.to_owned())
    } else {
        Err(PlanError::Refused {
            what: "the name of a private directory",
            value: name.to_owned(),
            why: "use lower-case letters and digits, and not 'upper', 'work' or 'disk'",
        })
    }
}

/// Mount options of the OCI specification.
struct Options<'a>(&'a [String]);

impl Options<'_> {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|option| option == name)
    }

    fn exec(&self) -> Exec {
        if self.has("noexec") { Exec::Denied } else { Exec::Allowed }
    }

    fn number(&self, name: &str, radix: u32) -> Option<u64> {
        let value = self.0.iter().find_map(|option| option.strip_prefix(name)?.strip_prefix('='));
        u64::from_str_radix(value?, radix).ok()
    }

    fn of_the_file_system(&self) -> Vec<(String, String)> {
        let own = self.0.iter().filter(|option| !ATTRIBUTES.contains(&option.as_str()));
        own.map(|option| {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            (name.to_owned(), value.to_owned())
        })
        .collect()
    }
}
