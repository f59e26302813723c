//! Figures: medians, high quantiles, and tables of them.

/// Durations of one contender, in nanoseconds.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<u64>);

impl Samples {
    /// Adds one.
    pub fn push(&mut self, ns: u64) {
        self.0.push(ns);
    }

    /// The quantile, in milliseconds, by the nearest rank; `None` without samples.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.max(1) - 1).map(|ns| *ns as f64 / 1e6)
    }

    /// The median, in milliseconds.
    pub fn median(&self) -> Option<f64> {
        self.quantile(0.5)
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// A figure for a table; a dash where there is none.
pub fn cell(figure: Option<f64>, decimals: usize) -> String {
    figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.decimals$}"))
}

/// Prints rows under a heading, columns as wide as their widest cell, the first to the left.
pub fn print(heading: &str, columns: &[&str], rows: &[Vec<String>]) {
    let header: Vec<String> = columns.iter().map(ToString::to_string).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&header).chain(rows).collect();
    let width = |column: usize| {
        all.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    println!("\n{heading}");
    for row in &all {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = width(column);
            line += &if column == 0 { format!("  {cell:<width$}") } else { format!("  {cell:>width$}") };
        }
        println!("{}", line.trim_end());
    }
}

/// Nanoseconds of the clock that the workload reads, too.
pub fn now_ns() -> u64 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).expect("the clock runs");
    u64::try_from(time.tv_sec()).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec()).unwrap_or(0)
}
