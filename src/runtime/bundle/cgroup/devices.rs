//! Which devices a container may use: rules for version 1, a program of the kernel's for version 2.

use std::io;
use std::path::Path;

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType, LinuxResources};

use super::{BundleCgroup, Devices, access};
use crate::runtime::cgroup::CgroupError;
use crate::runtime::devices;
use crate::sys::cgroup::Group;
use crate::sys::device_filter::{self, DeviceKind, Earlier, Rule};

/// What every container may do with the devices that are its to use.
const USUAL: &str = "rwm";
/// Device files of any kind may be made: that alone opens none.
const MAKING: &str = "m";

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
        let named = Path::new("the configuration");
        let rules = rules(listed).map_err(access("follow the device rules of", named))?;
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
        } else {
            return Err(CgroupError::CannotLimit { limit: "devices", controller: "devices" });
        }
        Ok(())
    }
}

/// The usual access: all of it.
const FULL: &str = "rwm";

/// Everything denied, then the configuration's rules, then the usual ones; later ones win.
fn rules(listed: &[LinuxDeviceCgroup]) -> io::Result<Vec<Rule>> {
    let mut all = vec![Rule {
        allow: false,
        kind: DeviceKind::Any,
        major: None,
        minor: None,
        access: access_bits(FULL)?,
    }];
    for rule in listed {
        all.extend(configured(rule)?);
    }
    let (making, usual) = (access_bits(MAKING)?, access_bits(USUAL)?);
    for kind in [DeviceKind::Character, DeviceKind::Block] {
        all.push(Rule { allow: true, kind, major: None, minor: None, access: making });
    }
    for (major, minor) in devices::usable() {
        let kind = DeviceKind::Character;
        all.push(Rule { allow: true, kind, major: Some(major), minor, access: usual });
    }
    Ok(all)
}

/// A rule of a configuration. One about both kinds that is not about all there is becomes one for each kind.
fn configured(rule: &LinuxDeviceCgroup) -> io::Result<Vec<Rule>> {
    let refused = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
    let access = access_bits(rule.access().as_deref().filter(|text| !text.is_empty()).unwrap_or(FULL))?;
    // -1 stands for all, as in other runtimes.
    let number = |number: Option<i64>| match number {
        None | Some(-1) => Ok(None),
        Some(n) => {
            u32::try_from(n).map(Some).map_err(|_| refused("a device number is no number of a device"))
        }
    };
    let (major, minor) = (number(rule.major())?, number(rule.minor())?);
    let is_whole = major.is_none() && minor.is_none() && access == access_bits(FULL)?;
    let kinds: &[DeviceKind] = match rule.typ().unwrap_or_default() {
        LinuxDeviceType::A if is_whole => &[DeviceKind::Any],
        LinuxDeviceType::A => &[DeviceKind::Block, DeviceKind::Character],
        LinuxDeviceType::B => &[DeviceKind::Block],
        LinuxDeviceType::C | LinuxDeviceType::U => &[DeviceKind::Character],
        LinuxDeviceType::P => return Err(refused("a pipe (type p) is no device")),
    };
    Ok(kinds.iter().map(|kind| Rule { allow: rule.allow(), kind: *kind, major, minor, access }).collect())
}

fn access_bits(text: &str) -> io::Result<u32> {
    text.chars().try_fold(0, |all, letter| match letter {
        'm' => Ok(all | device_filter::MAKE),
        'r' => Ok(all | device_filter::READ),
        'w' => Ok(all | device_filter::WRITE),
        _ => {
            let what = format!("{letter:?} in {text:?} is no access: r, w and m are");
            Err(io::Error::new(io::ErrorKind::InvalidInput, what))
        }
    })
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

#[cfg(test)]
mod test {
    use oci_spec::runtime::LinuxDeviceCgroupBuilder;

    use super::*;

    fn told(rule: &LinuxDeviceCgroup) -> io::Result<Vec<String>> {
        Ok(configured(rule)?.iter().map(text).collect())
    }

    fn rule(kind: Option<LinuxDeviceType>, numbers: (i64, i64), access: &str) -> LinuxDeviceCgroup {
        let mut rule = LinuxDeviceCgroupBuilder::default().allow(true).access(access).build().unwrap();
        rule.set_typ(kind).set_major(Some(numbers.0)).set_minor(Some(numbers.1));
        rule
    }

    #[test]
    fn a_rule_is_never_widened() {
        let kind = Some(LinuxDeviceType::C);
        assert_eq!(told(&rule(kind, (10, 229), "rw")).unwrap(), ["c 10:229 rw"]);
        assert_eq!(told(&rule(None, (10, 229), "rw")).unwrap(), ["b 10:229 rw", "c 10:229 rw"]);
        assert_eq!(told(&rule(None, (-1, -1), "r")).unwrap(), ["b *:* r", "c *:* r"]);
        assert_eq!(told(&rule(None, (-1, -1), "rwm")).unwrap(), ["a"]);
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for rule in [
            rule(Some(LinuxDeviceType::P), (1, 1), "r"),
            rule(Some(LinuxDeviceType::C), (1 << 33, 1), "r"),
            rule(Some(LinuxDeviceType::C), (-2, 1), "r"),
            rule(Some(LinuxDeviceType::C), (1, 1), "rx"),
        ] {
            assert_eq!(told(&rule).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{rule:?}");
        }
    }
}
