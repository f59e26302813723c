//! System call numbers by name, for the architectures the filter is written for.

use std::collections::BTreeMap;
use std::sync::OnceLock;

/// The table as text, so that it can be compared with the kernel's own by eye and by tool.
const TABLE: &str = include_str!("numbers.txt");
/// The table of 32-bit x86, whose calls no 64-bit profile judges.
const TABLE_X86: &str = include_str!("numbers_x86.txt");

/// The newest call of the table on every architecture: numbers are shared from 424 on. Above it we know nothing.
pub const NEWEST: u32 = 470;

/// A processor architecture with its own numbering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// AMD64 and Intel 64.
    X86_64,
    /// ARM, 64 bits.
    Aarch64,
    /// Intel, 32 bits, as run by 64-bit processors. Known to filters that a container's configuration brings; the hardened profile
    /// refuses it whole.
    X86,
}

impl Architecture {
    /// The one this program was compiled for; `None` where no table exists.
    #[must_use]
    pub fn native() -> Option<Architecture> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Architecture::X86_64),
            "aarch64" => Some(Architecture::Aarch64),
            _ => None,
        }
    }

    /// The kernel's audit name of it, as a filter sees it in `seccomp_data.arch`.
    #[must_use]
    pub fn audit_number(self) -> u32 {
        match self {
            Architecture::X86_64 => 0xc000_003e,
            Architecture::Aarch64 => 0xc000_00b7,
            Architecture::X86 => 0x4000_0003,
        }
    }
}

/// Every call of the architecture: name and number.
#[must_use]
pub fn all(architecture: Architecture) -> &'static BTreeMap<&'static str, u32> {
    static X86_64: OnceLock<BTreeMap<&'static str, u32>> = OnceLock::new();
    static AARCH64: OnceLock<BTreeMap<&'static str, u32>> = OnceLock::new();
    static X86: OnceLock<BTreeMap<&'static str, u32>> = OnceLock::new();
    match architecture {
        Architecture::X86_64 => X86_64.get_or_init(|| parse(TABLE, 1)),
        Architecture::Aarch64 => AARCH64.get_or_init(|| parse(TABLE, 2)),
        Architecture::X86 => X86.get_or_init(|| parse(TABLE_X86, 1)),
    }
}

/// The name of one of this machine's calls; `None` beyond the table, or where there is none.
#[must_use]
pub fn name(number: u32) -> Option<&'static str> {
    let calls = all(Architecture::native()?);
    calls.iter().find_map(|(name, known)| (*known == number).then_some(*name))
}

/// Whether any architecture of the table has a call of this name.
#[must_use]
pub fn is_known(name: &str) -> bool {
    [Architecture::X86_64, Architecture::Aarch64].iter().any(|a| all(*a).contains_key(name))
}

fn parse(table: &'static str, column: usize) -> BTreeMap<&'static str, u32> {
    table
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let name = fields.next()?;
            let number = fields.nth(column - 1)?.parse().ok()?;
            Some((name, number))
        })
        .collect()
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_read() {
        for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<_> = line.split_whitespace().collect();
            assert_eq!(fields.len(), 3, "{line}");
            for number in &fields[1..] {
                assert!(*number == "-" || number.parse::<u32>().is_ok(), "{line}");
            }
        }
        assert!(all(Architecture::X86_64).len() > 370);
        assert!(all(Architecture::Aarch64).len() > 300);
    }

    #[test]
    fn no_number_is_given_twice_and_the_newest_is_the_last() {
        for architecture in [Architecture::X86_64, Architecture::Aarch64] {
            let calls = all(architecture);
            let mut numbers: Vec<_> = calls.values().collect();
            numbers.sort();
            numbers.dedup();
            assert_eq!(numbers.len(), calls.len(), "{architecture:?}");
            assert_eq!(numbers.last(), Some(&&NEWEST), "{architecture:?}");
        }
    }

    #[test]
    fn well_known_numbers_are_right() {
        let x86 = all(Architecture::X86_64);
        assert_eq!((x86["read"], x86["execve"], x86["clone3"], x86["openat2"]), (0, 59, 435, 437));
        let old = all(Architecture::X86);
        assert_eq!((old["read"], old["execve"], old["socketcall"], old["clone3"]), (3, 11, 102, 435));
        let arm = all(Architecture::Aarch64);
        assert_eq!((arm["read"], arm["execve"], arm["clone3"], arm.get("fork")), (63, 221, 435, None));
    }
}
