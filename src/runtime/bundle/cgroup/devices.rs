//! Which devices a container may use: rules for version 1, a program of the kernel's for version 2.

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType, LinuxResources};

use super::{BundleCgroup, Devices, access};
use crate::runtime::cgroup::CgroupError;
use crate::sys::cgroup::Group;
use crate::sys::device_filter::{self, DeviceKind, Earlier, Rule};

/// Devices every container may use (runtime-spec, "Default Devices"), terminals, and making of device files of any kind: that alone opens none.
const USUAL: &[(DeviceKind, Option<u32>, Option<u32>, &str)] = &[
    (DeviceKind::Character, None, None, "m"),
    (DeviceKind::Block, None, None, "m"),
    (DeviceKind::Character, Some(1), Some(3), "rwm"),
    (DeviceKind::Character, Some(1), Some(5), "rwm"),
    (DeviceKind::Character, Some(1), Some(7), "rwm"),
    (DeviceKind::Character, Some(1), Some(8), "rwm"),
    (DeviceKind::Character, Some(1), Some(9), "rwm"),
    (DeviceKind::Character, Some(5), Some(0), "rwm"),
    (DeviceKind::Character, Some(5), Some(2), "rwm"),
    (DeviceKind::Character, Some(136), None, "rwm"),
];

impl BundleCgroup {
    /// Puts the rules in force.
    pub(super) fn hold_devices(
        &self,
        resources: Option<&LinuxResources>,
        wanted: Devices,
    ) -> Result<(), CgroupError> {
        let listed = resources.and_then(|resources| resources.devices().as_deref()).unwrap_or_default();
        if listed.is_empty() && wanted == Devices::HeldIfAsked {
            return Ok(());
        }
        let rules = rules(listed);
        if let Some(dir) = self.legacy_dir("devices") {
            let group = Group::open(dir).map_err(access("open", dir))?;
            for rule in &rules {
                let file = if rule.allow { "devices.allow" } else { "devices.deny" };
                let text = text(rule);
                group.write(file, &text).map_err(access(&format!("write {text:?} to {file} of"), dir))?;
            }
        } else if let Some(dir) = &self.unified {
            let group = Group::open(dir).map_err(access("open", dir))?;
            device_filter::attach(&group, &rules, Earlier::Stay)
                .map_err(access("restrict the devices of", dir))?;
        }
        Ok(())
    }
}

/// Everything denied, then the configuration's rules, then the usual ones; later ones win.
fn rules(listed: &[LinuxDeviceCgroup]) -> Vec<Rule> {
    let any =
        Rule { allow: false, kind: DeviceKind::Any, major: None, minor: None, access: access_bits("rwm") };
    let mut all = vec![any];
    all.extend(listed.iter().map(|rule| Rule {
        allow: rule.allow(),
        kind: match rule.typ().unwrap_or_default() {
            LinuxDeviceType::A | LinuxDeviceType::P => DeviceKind::Any,
            LinuxDeviceType::B => DeviceKind::Block,
            LinuxDeviceType::C | LinuxDeviceType::U => DeviceKind::Character,
        },
        major: rule.major().and_then(|n| u32::try_from(n).ok()),
        minor: rule.minor().and_then(|n| u32::try_from(n).ok()),
        access: access_bits(rule.access().as_deref().filter(|access| !access.is_empty()).unwrap_or("rwm")),
    }));
    all.extend(USUAL.iter().map(|(kind, major, minor, access)| Rule {
        allow: true,
        kind: *kind,
        major: *major,
        minor: *minor,
        access: access_bits(access),
    }));
    all
}

fn access_bits(text: &str) -> u32 {
    let bit = |letter| match letter {
        'm' => device_filter::MAKE,
        'r' => device_filter::READ,
        'w' => device_filter::WRITE,
        _ => 0,
    };
    text.chars().map(bit).fold(0, |all, bit| all | bit)
}

/// A rule as version 1 takes it.
fn text(rule: &Rule) -> String {
    let kind = match rule.kind {
        DeviceKind::Any => return "a".to_owned(),
        DeviceKind::Block => 'b',
        DeviceKind::Character => 'c',
    };
    let number = |n: Option<u32>| n.map_or_else(|| "*".to_owned(), |n| n.to_string());
    let letters = [(device_filter::READ, 'r'), (device_filter::WRITE, 'w'), (device_filter::MAKE, 'm')];
    let access: String =
        letters.iter().filter(|(bit, _)| rule.access & bit != 0).map(|(_, letter)| letter).collect();
    format!("{kind} {}:{} {access}", number(rule.major), number(rule.minor))
}
