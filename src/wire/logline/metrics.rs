//! What the platform tells of a dyno's use of the machine (platform reference 5.6).

use std::fmt;

use crate::domain::{AppId, Bytes, DynoId, DynoName};

/// Which dyno a figure belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Its app.
    pub app: AppId,
    /// Its identity.
    pub id: DynoId,
    /// Its name.
    pub name: DynoName,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Where the platform numbers apps, the first digits of the app's identity stand.
        let (app, ..) = self.app.0.as_fields();
        write!(f, "source={} dyno=heroku.{app}.{}", self.name, self.id.0)
    }
}

/// Figures of one sample, as `heroku[<dyno>]`.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricsLine {
    /// How many of its tasks wanted a processor, averaged.
    Load {
        /// The dyno.
        of: Measured,
        /// Over 1, 5 and 15 minutes.
        averages: [f64; 3],
    },
    /// Its memory.
    Memory {
        /// The dyno.
        of: Measured,
        /// The figures.
        memory: MemoryFigures,
        /// What its size grants.
        quota: Bytes,
    },
}

/// Memory of a dyno at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryFigures {
    /// Of no file: heaps and stacks.
    pub rss: Bytes,
    /// Page cache.
    pub cache: Bytes,
    /// Swap.
    pub swap: Bytes,
    /// Pages charged since the start; 0 where the kernel does not count them.
    pub pages_in: u64,
    /// Pages no longer charged, since the start; 0 where the kernel does not count them.
    pub pages_out: u64,
}

impl MemoryFigures {
    /// What counts against the quota.
    #[must_use]
    pub fn total(&self) -> Bytes {
        Bytes(self.rss.0.saturating_add(self.cache.0).saturating_add(self.swap.0))
    }
}

impl fmt::Display for MetricsLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load { of, averages: [one, five, fifteen] } => write!(
                f,
                "{of} sample#load_avg_1m={one:.2} sample#load_avg_5m={five:.2} sample#load_avg_15m={fifteen:.2}"
            ),
            Self::Memory { of, memory, quota } => write!(
                f,
                "{of} sample#memory_total={:.2}MB sample#memory_rss={:.2}MB sample#memory_cache={:.2}MB \
                 sample#memory_swap={:.2}MB sample#memory_pgpgin={}pages sample#memory_pgpgout={}pages \
                 sample#memory_quota={:.2}MB",
                mebibytes(memory.total()),
                mebibytes(memory.rss),
                mebibytes(memory.cache),
                mebibytes(memory.swap),
                memory.pages_in,
                memory.pages_out,
                mebibytes(*quota),
            ),
        }
    }
}

/// A dyno over its quota, told before the error: `Process running mem=528M(103.3%)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverQuotaLine {
    /// What it uses.
    pub total: Bytes,
    /// What its size grants.
    pub quota: Bytes,
}

impl fmt::Display for OverQuotaLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (total, quota) = (mebibytes(self.total), mebibytes(self.quota));
        write!(f, "Process running mem={total:.0}M({:.1}%)", total / quota * 100.0)
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with two digits after the point")]
fn mebibytes(bytes: Bytes) -> f64 {
    bytes.0 as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod test {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn figures_are_told_in_the_published_form() {
        let of = || Measured {
            app: AppId(Uuid::from_u128(0x2a_dd4e << 96)),
            id: DynoId(Uuid::from_u128(0xd97d_0ea7)),
            name: "web.1".parse().unwrap(),
        };
        let kib = |kib: u64| Bytes(kib << 10);
        let memory = MemoryFigures {
            rss: kib(184_371),
            cache: kib(389),
            swap: Bytes(0),
            pages_in: 84_329,
            pages_out: 38_140,
        };
        let quota = Bytes::mib(512);
        let told = [
            MetricsLine::Load { of: of(), averages: [2.46, 1.06, 0.994] }.to_string(),
            MetricsLine::Memory { of: of(), memory, quota }.to_string(),
            OverQuotaLine { total: kib(541_600), quota }.to_string(),
        ];
        insta::assert_snapshot!(told.join("\n"), @r"
        source=web.1 dyno=heroku.2809166.00000000-0000-0000-0000-0000d97d0ea7 sample#load_avg_1m=2.46 sample#load_avg_5m=1.06 sample#load_avg_15m=0.99
        source=web.1 dyno=heroku.2809166.00000000-0000-0000-0000-0000d97d0ea7 sample#memory_total=180.43MB sample#memory_rss=180.05MB sample#memory_cache=0.38MB sample#memory_swap=0.00MB sample#memory_pgpgin=84329pages sample#memory_pgpgout=38140pages sample#memory_quota=512.00MB
        Process running mem=529M(103.3%)
        ");
    }
}
