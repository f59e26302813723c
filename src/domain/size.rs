//! Dyno sizes: what one dyno may use (platform reference 1.2).

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::domain::Bytes;

/// A size of the platform's table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DynoSize {
    /// 512 MB, shared.
    Eco,
    /// 512 MB, shared.
    Basic,
    /// 512 MB, shared.
    #[default]
    Standard1X,
    /// 1 GB, shared, twice the weight.
    Standard2X,
    /// 2.5 GB, two hardware threads.
    PerformanceM,
    /// 14 GB, eight hardware threads.
    PerformanceL,
}

/// No such size.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "no such dyno size: {0} (there are eco, basic, standard-1x, standard-2x, performance-m, performance-l)"
)]
pub struct UnknownSize(pub String);

impl DynoSize {
    /// Every size, smallest first.
    pub const ALL: [Self; 6] =
        [Self::Eco, Self::Basic, Self::Standard1X, Self::Standard2X, Self::PerformanceM, Self::PerformanceL];

    /// The name as the API shows it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eco => "Eco",
            Self::Basic => "Basic",
            Self::Standard1X => "Standard-1X",
            Self::Standard2X => "Standard-2X",
            Self::PerformanceM => "Performance-M",
            Self::PerformanceL => "Performance-L",
        }
    }

    /// The memory quota.
    #[must_use]
    pub fn memory(self) -> Bytes {
        match self {
            Self::Eco | Self::Basic | Self::Standard1X => Bytes::mib(512),
            Self::Standard2X => Bytes::mib(1024),
            Self::PerformanceM => Bytes::mib(2560),
            Self::PerformanceL => Bytes::mib(14336),
        }
    }

    /// The memory at which a dyno is killed: twice the quota (R15).
    #[must_use]
    pub fn memory_max(self) -> Bytes {
        Bytes(self.memory().0 * 2)
    }

    /// The most processes and threads.
    #[must_use]
    pub fn tasks_max(self) -> u64 {
        match self {
            Self::Eco | Self::Basic | Self::Standard1X => 256,
            Self::Standard2X => 512,
            Self::PerformanceM => 16384,
            Self::PerformanceL => 32768,
        }
    }

    /// The share of a contended CPU, as `cpu.weight` counts it (1 to 10000, 100 is the kernel's default).
    #[must_use]
    pub fn cpu_weight(self) -> u64 {
        match self {
            Self::Eco | Self::Basic | Self::Standard1X => 100,
            Self::Standard2X => 200,
            Self::PerformanceM => 1200,
            Self::PerformanceL => 5000,
        }
    }
}

impl fmt::Display for DynoSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DynoSize {
    type Err = UnknownSize;

    fn from_str(text: &str) -> Result<Self, UnknownSize> {
        Self::ALL
            .into_iter()
            .find(|size| size.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownSize(text.to_owned()))
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn every_size_reads_back_from_its_name_in_any_case() {
        for size in DynoSize::ALL {
            assert_eq!(size.as_str().parse(), Ok(size));
            assert_eq!(size.as_str().to_lowercase().parse(), Ok(size));
        }
        assert!("standard-3x".parse::<DynoSize>().is_err());
    }
}
