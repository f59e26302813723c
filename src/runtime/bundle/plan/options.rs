//! Mount options as the runtime specification names them ("Linux mount options"): which are attributes of the mount, which say how it is
//! made, and which are left to the file system.

use crate::sys::tree::{Change, Extent, Propagation, attribute};

/// Options of one mount, sorted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// Show something that is mounted already, alone or with what is mounted below it.
    pub bind: Option<Extent>,
    /// Attributes of the mount.
    pub own: Change,
    /// Attributes of the mount and of all below it (the `r…` options).
    pub recursive: Change,
    /// What it shares.
    pub propagation: Option<(Propagation, Extent)>,
    /// Start with the files that lie below.
    pub copy_up: bool,
    /// Map the ids on its disk.
    pub map_ids: Option<Extent>,
    /// For the file system.
    pub data: Vec<String>,
}

/// Options that name an attribute: (name, set, clear). With an `r` before the name they hold for the whole tree.
const ATTRIBUTES: &[(&str, u64, u64)] = &[
    ("ro", attribute::READ_ONLY, 0),
    ("rw", 0, attribute::READ_ONLY),
    ("nosuid", attribute::NO_SETUID, 0),
    ("suid", 0, attribute::NO_SETUID),
    ("nodev", attribute::NO_DEVICES, 0),
    ("dev", 0, attribute::NO_DEVICES),
    ("noexec", attribute::NO_EXEC, 0),
    ("exec", 0, attribute::NO_EXEC),
    ("nodiratime", attribute::NO_DIRECTORY_TIME, 0),
    ("diratime", 0, attribute::NO_DIRECTORY_TIME),
    ("relatime", 0, attribute::TIMES),
    ("norelatime", 0, attribute::TIMES),
    ("noatime", attribute::NO_ACCESS_TIME, attribute::TIMES),
    ("atime", 0, attribute::TIMES),
    ("strictatime", attribute::STRICT_ACCESS_TIME, attribute::TIMES),
    ("nostrictatime", 0, attribute::TIMES),
    ("nosymfollow", attribute::NO_LINKS, 0),
    ("symfollow", 0, attribute::NO_LINKS),
];

const PROPAGATIONS: &[(&str, Propagation)] = &[
    ("shared", Propagation::Shared),
    ("slave", Propagation::Slave),
    ("private", Propagation::Private),
    ("unbindable", Propagation::Unbindable),
];

/// What the kernel does anyway, or has not understood for long.
const WITHOUT_EFFECT: &[&str] = &[
    "defaults",
    "async",
    "loud",
    "silent",
    "nolazytime",
    "mand",
    "nomand",
    "iversion",
    "noiversion",
    "remount",
    "tmpcopydown",
];

impl Options {
    /// Sorts a list; later options win over earlier ones.
    #[must_use]
    pub fn parse(list: &[String]) -> Options {
        let mut options = Options::default();
        for option in list {
            options.take(option);
        }
        options
    }

    fn take(&mut self, option: &str) {
        match option {
            "bind" => self.bind = Some(Extent::Top),
            "rbind" => self.bind = Some(Extent::Tree),
            "idmap" => self.map_ids = Some(Extent::Top),
            "ridmap" => self.map_ids = Some(Extent::Tree),
            "tmpcopyup" => self.copy_up = true,
            option if WITHOUT_EFFECT.contains(&option) => {}
            option => {
                if let Some(change) = attribute_of(option) {
                    self.own = merged(self.own, change);
                } else if let Some(propagation) = propagation_of(option) {
                    self.propagation = Some((propagation, Extent::Top));
                } else if let Some(change) = option.strip_prefix('r').and_then(attribute_of) {
                    self.recursive = merged(self.recursive, change);
                } else if let Some(propagation) = option.strip_prefix('r').and_then(propagation_of) {
                    self.propagation = Some((propagation, Extent::Tree));
                } else {
                    self.data.push(option.to_owned());
                }
            }
        }
    }

    /// Whether the mount ends up read-only.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        (self.own.set | self.recursive.set) & attribute::READ_ONLY != 0
    }
}

fn attribute_of(name: &str) -> Option<Change> {
    let found = ATTRIBUTES.iter().find(|(known, ..)| *known == name);
    found.map(|(_, set, clear)| Change { set: *set, clear: *clear })
}

fn propagation_of(name: &str) -> Option<Propagation> {
    PROPAGATIONS.iter().find(|(known, _)| *known == name).map(|(_, propagation)| *propagation)
}

fn merged(before: Change, change: Change) -> Change {
    Change { set: before.set & !change.clear | change.set, clear: before.clear & !change.set | change.clear }
}

/// Every option that is understood here, for `features`.
#[must_use]
pub fn known() -> Vec<String> {
    let mut names: Vec<String> = ["bind", "rbind", "idmap", "ridmap", "tmpcopyup"].map(str::to_owned).into();
    names.extend(WITHOUT_EFFECT.iter().map(ToString::to_string));
    for name in ATTRIBUTES.iter().map(|(name, ..)| name).chain(PROPAGATIONS.iter().map(|(name, _)| name)) {
        names.extend([(*name).to_owned(), format!("r{name}")]);
    }
    names.sort();
    names
}

#[cfg(test)]
mod test {
    use super::*;

    fn parse(text: &str) -> Options {
        Options::parse(&text.split(',').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_of_the_mount_and_of_the_file_system_are_told_apart() {
        let options = parse("nosuid,strictatime,mode=755,size=65536k,rprivate");
        assert_eq!(options.own.set, attribute::NO_SETUID | attribute::STRICT_ACCESS_TIME);
        assert_eq!(options.own.clear, attribute::TIMES);
        assert_eq!(options.data, ["mode=755", "size=65536k"]);
        assert_eq!(options.propagation, Some((Propagation::Private, Extent::Tree)));
        assert_eq!(options.bind, None);
    }

    #[test]
    fn later_options_win() {
        assert!(!parse("ro,rw").is_read_only());
        assert!(parse("rw,ro").is_read_only());
        assert_eq!(parse("noatime,strictatime").own.set, attribute::STRICT_ACCESS_TIME);
    }

    #[test]
    fn recursive_options_stay_apart_from_their_namesakes() {
        let options = parse("rbind,rro,rnosuid");
        assert_eq!((options.bind, options.own), (Some(Extent::Tree), Change::default()));
        assert_eq!(options.recursive.set, attribute::READ_ONLY | attribute::NO_SETUID);
        // "relatime" begins with an r, and is no recursive "elatime".
        assert_eq!(parse("relatime").recursive, Change::default());
        assert_eq!(parse("rrelatime").recursive.clear, attribute::TIMES);
    }
}
