//! Everything about mounts: which are prepared by the starter and which are made inside, and in which order.

use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::{LinuxDevice, LinuxDeviceType, Mount, Spec};

use super::options::Options;
use super::step::{IdMaps, NamespacePlan, Prepare, Slot, Step};
use super::{Wish, id_map, refused};
use crate::runtime::devices::{self, Device};
use crate::runtime::plan::PlanError;
use crate::sys::namespace::Kind;
use crate::sys::tree::{Change, Extent, Node, NodeKind, Propagation, attribute};

/// Where programs expect devices.
const DEVICES: &str = "/dev";
/// Mounts of a plan in the making.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    pub(super) prepare: Vec<Prepare>,
    pub(super) steps: Vec<Step>,
    /// Done when nothing is to be made in the mounts any more.
    pub(super) seal: Vec<Step>,
}

impl Mounts {
    fn slot(&mut self, prepare: Prepare) -> Slot {
        self.prepare.push(prepare);
        Slot(self.prepare.len() - 1)
    }
}

/// Plans root, mounts and devices.
pub(super) fn plan(
    wish: &Wish<'_>,
    namespaces: &NamespacePlan,
    ids: Option<&IdMaps>,
) -> Result<Mounts, PlanError> {
    let mut mounts = Mounts::default();
    let root = wish.spec.root().as_ref().ok_or(PlanError::Missing("root"))?;
    let propagation = root_propagation(wish.spec)?;
    // A root that is to be shared later cannot be pivoted to while it is.
    let host_side = match propagation {
        Some((Propagation::Shared | Propagation::Slave, _)) => Propagation::Slave,
        Some((Propagation::Private | Propagation::Unbindable, _)) | None => Propagation::Private,
    };
    // Never shared, or the host would see the container's root.
    mounts.steps.push(Step::Propagate(Propagation::Slave));
    let owner = ids.map_or((0, 0), owner_of_root);
    let list = wish.spec.mounts().as_deref().unwrap_or_default();
    let (inside, loose) = nodes(wish.spec, list, owner)?;
    let masks = wish.linux.masked_paths().as_deref().unwrap_or_default();
    if !masks.is_empty() || !loose.is_empty() {
        let slot = mounts.slot(Prepare::Covers(loose.iter().map(|(_, node)| *node).collect()));
        mounts.steps.push(Step::AttachCovers(slot));
    }
    let path = wish.bundle.join(root.path());
    let slot = mounts.slot(Prepare::Root { path, propagation: host_side });
    mounts.steps.push(Step::AttachRoot(slot));

    for mount in list {
        one(&mut mounts, wish, mount, (namespaces, ids), &inside)?;
    }
    for (index, (target, _)) in loose.into_iter().enumerate() {
        mounts.steps.push(Step::AttachDevice { index, target });
    }
    if !list.iter().any(|mount| mount.destination() == Path::new(DEVICES)) {
        mounts.steps.push(Step::LinkDevices);
    }
    if root.readonly() == Some(true) {
        mounts.seal.push(Step::SealRoot);
    }
    Ok(mounts)
}

fn is_cgroup(mount: &Mount) -> bool {
    mount.typ().as_deref().is_some_and(|kind| kind == "cgroup" || kind == "cgroup2")
}

fn one(
    mounts: &mut Mounts,
    wish: &Wish<'_>,
    mount: &Mount,
    (namespaces, ids): (&NamespacePlan, Option<&IdMaps>),
    devices: &[(PathBuf, Node)],
) -> Result<(), PlanError> {
    let target = target(mount.destination())?;
    let options = Options::parse(mount.options().as_deref().unwrap_or_default());
    let kind = mount.typ().as_deref().unwrap_or_default();
    let source = mount.source().clone().unwrap_or_else(|| PathBuf::from(kind));
    let owner = ids.map_or((0, 0), owner_of_root);
    if options.bind.is_some() || kind == "bind" {
        let bind = Prepare::Bind {
            source: wish
                .bundle
                .join(mount.source().as_ref().ok_or(PlanError::Missing("the source of a bind mount"))?),
            ids: options.map_ids.map(|_| mapping_of(mount, ids)).transpose()?,
            options,
        };
        let slot = mounts.slot(bind);
        mounts.steps.push(Step::Attach { slot, target });
    } else if is_cgroup(mount) {
        mounts.steps.push(Step::AttachCgroups { target, options });
    } else if kind.is_empty() {
        return Err(refused(
            "a mount without type",
            &target.display(),
            "give it a type, or the option 'bind'",
        ));
    } else if kind == "tmpfs" && target == Path::new(DEVICES) {
        seal_later(mounts, &target, &options);
        let attributes = options.own.set & !attribute::READ_ONLY;
        let data = with_owner(options.data, owner);
        let slot =
            mounts.slot(Prepare::Devices { options: data, attributes, owner, nodes: devices.to_vec() });
        mounts.steps.push(Step::Attach { slot, target });
    } else if kind == "sysfs" && namespaces.joins(Kind::Network).is_some() && namespaces.makes(Kind::User) {
        let slot = mounts.slot(Prepare::Sysfs { attributes: options.own.set });
        mounts.steps.push(Step::Attach { slot, target });
    } else {
        let mut options = options;
        if kind == "tmpfs" {
            seal_later(mounts, &target, &options);
            options.own.set &= !attribute::READ_ONLY;
        }
        mounts.steps.push(Step::Mount { kind: kind.to_owned(), source, target, options });
    }
    Ok(())
}

/// A read-only tmpfs is made read-only when what is to be mounted in it has its place.
fn seal_later(mounts: &mut Mounts, target: &Path, options: &Options) {
    if options.is_read_only() {
        let change = Change { set: attribute::READ_ONLY, clear: 0 };
        mounts.seal.push(Step::Seal { target: target.to_owned(), change, extent: Extent::Top });
    }
}

/// A file system made by the host's root belongs to the container's.
fn with_owner(mut options: Vec<String>, (uid, gid): (u32, u32)) -> Vec<String> {
    for (name, id) in [("uid=", uid), ("gid=", gid)] {
        if id != 0 && !options.iter().any(|option| option.starts_with(name)) {
            options.push(format!("{name}{id}"));
        }
    }
    options
}

fn mapping_of(mount: &Mount, ids: Option<&IdMaps>) -> Result<IdMaps, PlanError> {
    match (mount.uid_mappings(), mount.gid_mappings(), ids) {
        (Some(users), Some(groups), _) => Ok(IdMaps { users: id_map(users), groups: id_map(groups) }),
        (None, None, Some(ids)) => Ok(ids.clone()),
        _ => Err(refused(
            "an id-mapped mount without mapping",
            &mount.destination().display(),
            "give it uidMappings and gidMappings, or the container a user namespace",
        )),
    }
}

fn owner_of_root(ids: &IdMaps) -> (u32, u32) {
    let root = |map: &[(u32, u32, u32)]| {
        map.iter().find(|(inside, ..)| *inside == 0).map_or(0, |(_, host, _)| *host)
    };
    (root(&ids.users), root(&ids.groups))
}

/// What the root shares with the host, and later with what is mounted in it.
pub(super) fn root_propagation(spec: &Spec) -> Result<Option<(Propagation, Extent)>, PlanError> {
    let Some(text) = spec.linux().as_ref().and_then(|linux| linux.rootfs_propagation().clone()) else {
        return Ok(None);
    };
    if text.is_empty() {
        return Ok(None);
    }
    let options = Options::parse(std::slice::from_ref(&text));
    match options.propagation {
        Some(found) => Ok(Some(found)),
        None => Err(refused("rootfsPropagation", &text, "give one of shared, slave, private, unbindable")),
    }
}

type Devices = Vec<(PathBuf, Node)>;

/// Devices in the prepared device directory (by their path below it), and those elsewhere.
fn nodes(spec: &Spec, mounts: &[Mount], owner: (u32, u32)) -> Result<(Devices, Devices), PlanError> {
    let at = mounts.iter().rev().find(|mount| mount.destination() == Path::new(DEVICES));
    let is_prepared = at.is_some_and(|mount| mount.typ().as_deref() == Some("tmpfs"));
    let mut all: Devices = Vec::new();
    // A device directory of the host's has what the host has.
    if at.is_none() || is_prepared {
        for Device { name, numbers: (major, minor) } in devices::USUAL {
            let kind = NodeKind::Character;
            let node = Node { kind, major: *major, minor: *minor, mode: 0o666, uid: owner.0, gid: owner.1 };
            all.push((Path::new(DEVICES).join(name), node));
        }
        let wanted = spec.linux().as_ref().and_then(|linux| linux.devices().as_deref()).unwrap_or_default();
        for device in wanted {
            let (path, node) = (target(device.path())?, node(device, owner)?);
            all.retain(|(other, _)| *other != path);
            all.push((path, node));
        }
    }
    let is_inside = |path: &Path| is_prepared && path.starts_with(DEVICES);
    let (inside, loose): (Devices, Devices) = all.into_iter().partition(|(path, _)| is_inside(path));
    let below = |path: PathBuf| path.strip_prefix(DEVICES).map(Path::to_owned).unwrap_or(path);
    Ok((inside.into_iter().map(|(path, node)| (below(path), node)).collect(), loose))
}

fn node(device: &LinuxDevice, owner: (u32, u32)) -> Result<Node, PlanError> {
    let kind = match device.typ() {
        LinuxDeviceType::B => NodeKind::Block,
        LinuxDeviceType::C | LinuxDeviceType::U => NodeKind::Character,
        LinuxDeviceType::P => NodeKind::Fifo,
        LinuxDeviceType::A => {
            return Err(refused("a device of type", &"a", "give one of c, b, u, p"));
        }
    };
    let number = |value: i64| {
        u32::try_from(value).map_err(|_| refused("the device number", &value, "give a number from 0"))
    };
    let (major, minor) = match kind {
        NodeKind::Fifo => (0, 0),
        NodeKind::Character | NodeKind::Block => (number(device.major())?, number(device.minor())?),
    };
    Ok(Node {
        kind,
        major,
        minor,
        mode: device.file_mode().unwrap_or(0o666),
        uid: owner.0.saturating_add(device.uid().unwrap_or(0)),
        gid: owner.1.saturating_add(device.gid().unwrap_or(0)),
    })
}

/// A place in the container: absolute, and it does not climb.
pub(super) fn target(path: &Path) -> Result<PathBuf, PlanError> {
    if path.components().any(|part| matches!(part, Component::ParentDir)) {
        return Err(refused("the path", &path.display(), "give an absolute path without '..'"));
    }
    // Relative ones are an old custom that the specification still lets pass.
    Ok(Path::new("/").join(path).components().collect())
}
