//! Dyno sizes: their names, and what one dyno of each may use (platform reference 1.2).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::domain::Bytes;

/// The name of a size: one of the platform's, or one that this node's configuration adds.
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
    /// 30 GB, four hardware threads.
    PerformanceLRam,
    /// 62 GB, eight hardware threads.
    PerformanceXl,
    /// 126 GB, sixteen hardware threads.
    Performance2Xl,
    /// A size of the node's own.
    Own(SizeName),
}

/// The name of a size of the node's own: lower case, kept in place so that a size is a plain value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SizeName {
    text: [u8; SizeName::LENGTH_MAX],
    length: u8,
}

/// No such size.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("there is no {name}: there are {known}")]
pub struct UnknownSize {
    /// What was asked for.
    pub name: String,
    /// What there is, in the form of a list.
    pub known: String,
}

impl SizeName {
    /// The most characters of a name.
    pub const LENGTH_MAX: usize = 24;

    fn new(text: &str) -> Option<Self> {
        let holds_well = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic());
        let length = u8::try_from(text.len()).ok()?;
        if !holds_well || !starts_well || text.len() > Self::LENGTH_MAX {
            return None;
        }
        let mut name = Self { text: [0; Self::LENGTH_MAX], length };
        name.text[..text.len()].copy_from_slice(text.to_ascii_lowercase().as_bytes());
        Some(name)
    }

    fn as_str(&self) -> &str {
        // Made of ASCII letters, digits and dashes alone.
        std::str::from_utf8(&self.text[..usize::from(self.length)]).unwrap_or_default()
    }
}

impl fmt::Debug for SizeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl DynoSize {
    /// The platform's sizes, smallest first.
    pub const ALL: [Self; 9] = [
        Self::Eco,
        Self::Basic,
        Self::Standard1X,
        Self::Standard2X,
        Self::PerformanceM,
        Self::PerformanceL,
        Self::PerformanceLRam,
        Self::PerformanceXl,
        Self::Performance2Xl,
    ];

    /// The name as the API shows it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Eco => "Eco",
            Self::Basic => "Basic",
            Self::Standard1X => "Standard-1X",
            Self::Standard2X => "Standard-2X",
            Self::PerformanceM => "Performance-M",
            Self::PerformanceL => "Performance-L",
            Self::PerformanceLRam => "Performance-L-RAM",
            Self::PerformanceXl => "Performance-XL",
            Self::Performance2Xl => "Performance-2XL",
            Self::Own(name) => name.as_str(),
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

    /// Reads a name in any case. Whether the node has a size of that name is in its [`Sizes`].
    fn from_str(text: &str) -> Result<Self, UnknownSize> {
        let known = Self::ALL.into_iter().find(|size| size.as_str().eq_ignore_ascii_case(text));
        known.or_else(|| SizeName::new(text).map(Self::Own)).ok_or_else(|| Sizes::default().unknown(text))
    }
}

/// What a dyno of one size may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeLimits {
    /// The memory quota: beyond it the dyno is told so (R14).
    pub memory: Bytes,
    /// The memory at which a dyno is killed (R15).
    pub memory_max: Bytes,
    /// The share of a contended CPU, as `cpu.weight` counts it (1 to 10000, 100 is the kernel's default).
    pub cpu_weight: u64,
    /// The most processes and threads.
    pub tasks_max: u64,
    /// The most dynos of one process type.
    pub per_type_max: Option<u32>,
    /// The most one-off dynos of one app at once, [`ONE_OFFS_MAX`] at most.
    pub one_offs_max: usize,
}

/// The sizes of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes(BTreeMap<DynoSize, SizeLimits>);

impl Sizes {
    /// What a dyno of this size may use, if the node has the size.
    #[must_use]
    pub fn get(&self, size: DynoSize) -> Option<SizeLimits> {
        self.0.get(&size).copied()
    }

    /// What a dyno of this size may use; as the default size where the node has it no more, as for one that still runs.
    #[must_use]
    pub fn limits(&self, size: DynoSize) -> SizeLimits {
        self.get(size).unwrap_or_else(|| platform(DynoSize::default()))
    }

    /// The size, if the node has it.
    ///
    /// # Errors
    /// It has not; the text names those it has.
    pub fn known(&self, size: DynoSize) -> Result<DynoSize, UnknownSize> {
        if self.0.contains_key(&size) { Ok(size) } else { Err(self.unknown(size.as_str())) }
    }

    /// Sets what a size may use, and adds it where there was none.
    pub fn set(&mut self, size: DynoSize, limits: SizeLimits) {
        self.0.insert(size, limits);
    }

    /// Every size, the platform's first.
    pub fn iter(&self) -> impl Iterator<Item = (DynoSize, SizeLimits)> {
        self.0.iter().map(|(size, limits)| (*size, *limits))
    }

    fn unknown(&self, name: &str) -> UnknownSize {
        let known: Vec<String> = self.0.keys().map(|size| size.as_str().to_ascii_lowercase()).collect();
        UnknownSize { name: name.to_owned(), known: known.join(", ") }
    }
}

impl Default for Sizes {
    /// The platform's table.
    fn default() -> Self {
        Self(DynoSize::ALL.into_iter().map(|size| (size, platform(size))).collect())
    }
}

/// The most one-off dynos of an app at once, whatever their size (platform reference 1.2).
pub const ONE_OFFS_MAX: usize = 50;

/// A row of the platform's table; a size of a node's own starts from the default size.
fn platform(size: DynoSize) -> SizeLimits {
    let row = |memory_mib: u64, max_percent: u64, cpu_weight, tasks_max| SizeLimits {
        memory: Bytes::mib(memory_mib),
        memory_max: Bytes::mib(memory_mib * max_percent / 100),
        cpu_weight,
        tasks_max,
        per_type_max: None,
        one_offs_max: ONE_OFFS_MAX,
    };
    let performance = |row: SizeLimits| SizeLimits { per_type_max: Some(10), one_offs_max: 5, ..row };
    match size {
        DynoSize::Eco => SizeLimits { per_type_max: Some(1), one_offs_max: 1, ..row(512, 200, 100, 256) },
        DynoSize::Basic => SizeLimits { per_type_max: Some(1), ..row(512, 200, 100, 256) },
        DynoSize::Standard1X | DynoSize::Own(_) => row(512, 200, 100, 256),
        DynoSize::Standard2X => row(1024, 200, 200, 512),
        DynoSize::PerformanceM => performance(row(2560, 200, 1200, 16384)),
        DynoSize::PerformanceL => performance(row(14336, 200, 5000, 32768)),
        DynoSize::PerformanceLRam => performance(row(30720, 120, 2400, 16384)),
        DynoSize::PerformanceXl => performance(row(63488, 120, 5000, 32768)),
        DynoSize::Performance2Xl => performance(row(129_024, 120, 10000, 65536)),
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
        let own: DynoSize = "Huge-2".parse().unwrap();
        assert_eq!((own.to_string().as_str(), own.to_string().parse()), ("huge-2", Ok(own)));
        for bad in ["", "1x", "a b", "a_b", &"a".repeat(25)] {
            assert!(bad.parse::<DynoSize>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_table_is_the_platforms_and_can_be_changed() {
        let mut sizes = Sizes::default();
        let mib = |sizes: &Sizes, size| sizes.limits(size).memory_max.0 / Bytes::mib(1).0;
        let max: Vec<u64> = DynoSize::ALL.into_iter().map(|size| mib(&sizes, size)).collect();
        assert_eq!(max, [1024, 1024, 1024, 2048, 5120, 28672, 36864, 76185, 154_828]);
        let own: DynoSize = "huge".parse().unwrap();
        let unknown = sizes.known(own).unwrap_err().to_string();
        assert!(unknown.starts_with("there is no huge: there are eco, basic, standard-1x"), "{unknown}");
        assert_eq!(sizes.limits(own), sizes.limits(DynoSize::Standard1X), "one that runs still has limits");
        sizes.set(own, SizeLimits { memory: Bytes::mib(4096), ..sizes.limits(own) });
        assert_eq!(sizes.known(own), Ok(own));
        assert_eq!(sizes.limits(own).memory, Bytes::mib(4096));
    }
}
