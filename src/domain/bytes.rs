//! A number of bytes, and how people read it.

use std::fmt;

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

impl Bytes {
    /// `n` mebibytes.
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self(n * 1024 * 1024)
    }

    /// `n` gibibytes.
    #[must_use]
    pub const fn gib(n: u64) -> Self {
        Self(n * 1024 * 1024 * 1024)
    }
}

impl fmt::Display for Bytes {
    /// One decimal and a unit letter, as build transcripts print sizes: `42.2M`, `3.0K` (platform reference 3.6).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const KIB: u64 = 1024;
        const MIB: u64 = 1024 * 1024;
        const GIB: u64 = 1024 * 1024 * 1024;
        let (unit, letter) = match self.0 {
            0..KIB => return write!(f, "{}B", self.0),
            KIB..MIB => (KIB, 'K'),
            MIB..GIB => (MIB, 'M'),
            GIB.. => (GIB, 'G'),
        };
        let tenths = (u128::from(self.0) * 10 + u128::from(unit) / 2) / u128::from(unit);
        write!(f, "{}.{}{letter}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn sizes_print_with_one_decimal_and_a_unit() {
        let print = |n| Bytes(n).to_string();
        assert_eq!(print(0), "0B");
        assert_eq!(print(1023), "1023B");
        assert_eq!(print(1024), "1.0K");
        assert_eq!(print(44_249_907), "42.2M");
        assert_eq!(print(u64::MAX), "17179869184.0G");
    }
}
