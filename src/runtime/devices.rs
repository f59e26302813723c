//! The devices of containers: which files every one has, which links lie beside them, and which devices may be used through whatever file.

/// A character device by name and numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// Its name in the device directory.
    pub name: &'static str,
    /// Device numbers: major, minor.
    pub numbers: (u32, u32),
}

const fn device(name: &'static str, major: u32, minor: u32) -> Device {
    Device { name, numbers: (major, minor) }
}

/// Files that every container has (runtime-spec, "Default Devices"; mem(4), tty(4)).
pub const USUAL: &[Device] = &[
    device("null", 1, 3),
    device("zero", 1, 5),
    device("full", 1, 7),
    device("random", 1, 8),
    device("urandom", 1, 9),
    device("tty", 5, 0),
];

/// Terminals of a container's own, which it may use as well: numbers, a whole major number without the second.
pub const TERMINALS: &[(u32, Option<u32>)] = &[(5, Some(2)), (136, None)];

/// Links that every container has (runtime-spec, "Dev symbolic links").
pub const LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Everything that a container may use: major number, and minor number unless all of them.
pub fn usable() -> impl Iterator<Item = (u32, Option<u32>)> {
    USUAL.iter().map(|device| (device.numbers.0, Some(device.numbers.1))).chain(TERMINALS.iter().copied())
}
