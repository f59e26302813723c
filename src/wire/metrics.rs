//! The router's figures in Prometheus' text format, version 0.0.4.
//!
//! Names, labels and bounds are a contract: dashboards go by them. How many series an app can have is bounded, whatever its dynos
//! answer: a status that stands in no table is counted under its class.

use std::fmt;

use crate::domain::AppName;

/// The media type of the text.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The statuses that are counted each by itself, ascending: those of the HTTP registry that apps use, and the router's 499.
const STATUSES: [u16; 45] = [
    101, 103, 200, 201, 202, 203, 204, 205, 206, 207, 300, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403,
    404, 405, 406, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 421, 422, 425, 426, 428, 429, 431, 499,
    500, 502, 503,
];

/// What the other statuses are counted under, by their first digit; the last one is for numbers that have no class.
const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];

/// How many kinds of status are counted.
pub const STATUS_KINDS: usize = STATUSES.len() + CLASSES.len();

/// The upper bounds of the histograms: microseconds, and seconds as they are written.
pub const BOUNDS: [(u64, &str); 14] = [
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (2_500_000, "2.5"),
    (5_000_000, "5"),
    (10_000_000, "10"),
    (30_000_000, "30"),
];

/// The place of a status among the kinds, below [`STATUS_KINDS`].
#[must_use]
pub fn status_kind(status: u16) -> usize {
    let class = || match status {
        100..600 => STATUSES.len() + usize::from(status / 100) - 1,
        _ => STATUS_KINDS - 1,
    };
    STATUSES.binary_search(&status).unwrap_or_else(|_| class())
}

/// What a kind of status is called: a number, or a class such as `5xx`; empty beyond the last kind.
#[must_use]
pub fn status_name(kind: usize) -> String {
    match STATUSES.get(kind) {
        Some(status) => status.to_string(),
        None => CLASSES.get(kind.wrapping_sub(STATUSES.len())).copied().unwrap_or_default().to_owned(),
    }
}

/// The requests of one app since its router started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppTraffic {
    /// The app.
    pub app: AppName,
    /// Requests that are not over.
    pub in_flight: u64,
    /// Requests that are over, by what [`status_name`] calls their status; those that there were.
    pub statuses: Vec<(String, u64)>,
    /// Requests that ended with an H code, by the code; those that there were.
    pub codes: Vec<(String, u64)>,
    /// From a request's arrival until a dyno had taken it, or until it was given up.
    pub queue: Durations,
    /// The connects to dynos, zero for connections that were kept.
    pub connect: Durations,
    /// From the connect to the end of the answer; tunnels are left out.
    pub service: Durations,
}

/// How long things took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// How many took no longer than each of [`BOUNDS`] and longer than the one before; then the rest.
    pub counts: [u64; BOUNDS.len() + 1],
    /// All of them together, microseconds.
    pub sum_us: u64,
}

impl AppTraffic {
    /// Adds what another router has counted of the same app.
    pub fn add(&mut self, other: Self) {
        self.in_flight += other.in_flight;
        for (mine, theirs) in [(&mut self.statuses, other.statuses), (&mut self.codes, other.codes)] {
            for (name, count) in theirs {
                match mine.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, sum)) => *sum += count,
                    None => mine.push((name, count)),
                }
            }
        }
        self.queue.add(&other.queue);
        self.connect.add(&other.connect);
        self.service.add(&other.service);
    }
}

impl Durations {
    fn add(&mut self, other: &Self) {
        for (sum, count) in self.counts.iter_mut().zip(other.counts) {
            *sum += count;
        }
        self.sum_us += other.sum_us;
    }
}

/// What has been lost of what routers had to tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Lines of requests that never came to their app's log: nobody had taken the router's lines for long.
    pub lines: u64,
    /// Routers that did not say in time what they have counted: the figures are without theirs.
    pub silent: u64,
}

/// What routers have counted, and what is missing of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// By app.
    pub apps: Vec<AppTraffic>,
    /// What is missing.
    pub losses: Losses,
}

/// The text, made when it is written.
pub struct Text<'a>(pub &'a Traffic);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Traffic { apps, losses } = self.0;
        let lines = "Lines of requests that were lost on their way from the router to the logs.";
        head(f, "dyno_router_lost_lines_total", "counter", lines)?;
        writeln!(f, "dyno_router_lost_lines_total {}", losses.lines)?;
        let silent = "Routers that did not say what they have counted: the figures here are without theirs.";
        head(f, "dyno_router_silent", "gauge", silent)?;
        writeln!(f, "dyno_router_silent {}", losses.silent)?;
        head(f, "dyno_router_requests_total", "counter", "Requests that are over, by the status sent.")?;
        for app in apps {
            for (status, count) in &app.statuses {
                let app = &app.app;
                writeln!(f, "dyno_router_requests_total{{app=\"{app}\",status=\"{status}\"}} {count}")?;
            }
        }
        head(f, "dyno_router_errors_total", "counter", "Requests that ended with an H code.")?;
        for app in apps {
            for (code, count) in &app.codes {
                writeln!(f, "dyno_router_errors_total{{app=\"{}\",code=\"{code}\"}} {count}", app.app)?;
            }
        }
        head(f, "dyno_router_requests_in_flight", "gauge", "Requests that are not over, tunnels included.")?;
        for app in apps {
            writeln!(f, "dyno_router_requests_in_flight{{app=\"{}\"}} {}", app.app, app.in_flight)?;
        }
        let queue = "From a request's arrival until a dyno had taken it, or until it was given up.";
        histogram(f, "dyno_router_queue_seconds", queue, apps, |app| &app.queue)?;
        let connect = "Connects to dynos, zero for connections that were kept.";
        histogram(f, "dyno_router_connect_seconds", connect, apps, |app| &app.connect)?;
        let service = "From the connect to the end of the answer, tunnels left out.";
        histogram(f, "dyno_router_service_seconds", service, apps, |app| &app.service)
    }
}

fn head(f: &mut fmt::Formatter<'_>, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(f, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

fn histogram(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    help: &str,
    apps: &[AppTraffic],
    of: impl Fn(&AppTraffic) -> &Durations,
) -> fmt::Result {
    head(f, name, "histogram", help)?;
    for traffic in apps {
        let (app, durations) = (&traffic.app, of(traffic));
        let mut below = 0_u64;
        for (count, (_, bound)) in durations.counts.iter().zip(BOUNDS) {
            below = below.saturating_add(*count);
            writeln!(f, "{name}_bucket{{app=\"{app}\",le=\"{bound}\"}} {below}")?;
        }
        let all = below.saturating_add(durations.counts.last().copied().unwrap_or(0));
        writeln!(f, "{name}_bucket{{app=\"{app}\",le=\"+Inf\"}} {all}")?;
        write!(f, "{name}_sum{{app=\"{app}\"}} ")?;
        seconds(f, durations.sum_us)?;
        writeln!(f, "\n{name}_count{{app=\"{app}\"}} {all}")?;
    }
    Ok(())
}

/// Microseconds as seconds, every digit of them.
fn seconds(f: &mut fmt::Formatter<'_>, us: u64) -> fmt::Result {
    write!(f, "{}.{:06}", us / 1_000_000, us % 1_000_000)
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn every_status_has_one_kind_and_every_kind_a_name() {
        assert!(STATUSES.is_sorted());
        for status in 0..=u16::MAX {
            let name = status_name(status_kind(status));
            let class = format!("{}xx", status / 100);
            let is_right = name == status.to_string()
                || (name == class && (100..600).contains(&status))
                || (name == "other" && !(100..600).contains(&status));
            assert!(is_right, "{status} is counted as {name}");
        }
        let names: std::collections::BTreeSet<_> = (0..STATUS_KINDS).map(status_name).collect();
        assert_eq!(names.len(), STATUS_KINDS);
        assert!(names.iter().all(|name| !name.is_empty()));
    }

    #[test]
    fn the_text_is_the_published_one() {
        let mut queue = Durations::default();
        queue.counts[0] = 2;
        queue.counts[3] = 1;
        queue.counts[BOUNDS.len()] = 1;
        queue.sum_us = 31_007_250;
        let traffic = AppTraffic {
            app: "example".parse().unwrap(),
            in_flight: 3,
            statuses: vec![("200".to_owned(), 3), ("5xx".to_owned(), 1)],
            codes: vec![("H12".to_owned(), 1)],
            queue,
            connect: Durations::default(),
            service: Durations::default(),
        };
        let losses = Losses { lines: 7, silent: 1 };
        let text = Text(&Traffic { apps: vec![traffic], losses }).to_string();
        let (shown, rest) = text.split_once("# HELP dyno_router_connect_seconds").unwrap();
        insta::assert_snapshot!(shown);
        assert!(rest.ends_with("dyno_router_service_seconds_count{app=\"example\"} 0\n"));
    }
}
