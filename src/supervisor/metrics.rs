//! What a dyno uses of the machine, looked at every 20 seconds: figures for its log where they are wanted, and the error of
//! a dyno over its quota (R14) always.
//!
//! It only watches: what ends a dyno for its memory is the kernel's limit, and the driver tells of that.

use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::domain::Bytes;
use crate::logs::LogService;
use crate::supervisor::engine::{Reading, Running};
use crate::supervisor::postmortem::Witness;
use crate::sys::clock;
use crate::wire::codes::DynoError;
use crate::wire::logline::{LogLine, Measured, MetricsLine, OverQuotaLine};

/// Whether figures of dynos go to their apps' logs (platform reference 5.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RuntimeMetrics {
    /// They do not.
    #[default]
    Off,
    /// They do.
    On,
}

/// How a node looks at its dynos.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sampling {
    pub(super) every: Duration,
    pub(super) metrics: RuntimeMetrics,
}

impl Sampling {
    /// The same, for an app that has chosen: its figures are logged where it or the node wants them.
    pub(super) fn chosen(self, app: RuntimeMetrics) -> Self {
        match app {
            RuntimeMetrics::On => Self { metrics: RuntimeMetrics::On, ..self },
            RuntimeMetrics::Off => self,
        }
    }
}

/// Spans of the load averages, seconds.
const LOAD_SPANS_S: [f64; 3] = [60.0, 300.0, 900.0];

/// Looks at a dyno of this quota until it is gone. The task ends with the dyno, or with the runtime.
pub(super) fn watch(
    (sampling, quota): (Sampling, Bytes),
    witness: &Arc<Witness>,
    dyno: &Arc<dyn Running>,
    logs: LogService,
) {
    // Weak: a dyno that is cleared away is not kept for its figures.
    let dyno = Arc::downgrade(dyno);
    let label = witness.label();
    let of = Measured { app: label.app, id: label.id, name: label.name.clone() };
    let sampler = Sampler { of, quota, sampling, load: [0.0; 3] };
    tokio::spawn(sampler.run(dyno, logs, Arc::clone(witness)));
}

struct Sampler {
    of: Measured,
    quota: Bytes,
    sampling: Sampling,
    load: [f64; 3],
}

// === impl Sampler ===

impl Sampler {
    async fn run(mut self, dyno: Weak<dyn Running>, logs: LogService, witness: Arc<Witness>) {
        loop {
            tokio::time::sleep(self.sampling.every).await;
            let Some(dyno) = dyno.upgrade() else { return };
            // Files of the kernel: quick, but not for an async thread.
            let mut load = self.load;
            let every = self.sampling.every;
            let look = move || {
                let reading = dyno.reading()?;
                average(&mut load, every, reading.runnable);
                dyno.show(&reading, load);
                Some((reading, load, dyno.listening()))
            };
            let Ok(Some((reading, load, sockets))) = tokio::task::spawn_blocking(look).await else { return };
            self.load = load;
            witness.saw_memory(&reading);
            witness.saw_listening(sockets.unwrap_or_default());
            for line in self.lines(&reading) {
                logs.push(self.of.app, line);
            }
        }
    }

    /// What one reading has to say.
    fn lines(&self, reading: &Reading) -> Vec<LogLine> {
        let now = clock::now();
        let mut lines = Vec::new();
        if self.sampling.metrics == RuntimeMetrics::On {
            let (of, memory, quota) = (self.of.clone(), reading.memory, self.quota);
            let load = MetricsLine::Load { of: of.clone(), averages: self.load };
            lines.push(LogLine::dyno(now, &self.of.name, load));
            lines.push(LogLine::dyno(now, &self.of.name, MetricsLine::Memory { of, memory, quota }));
        }
        let total = reading.memory.total();
        if total > self.quota {
            lines.push(LogLine::dyno(now, &self.of.name, OverQuotaLine { total, quota: self.quota }));
            lines.push(LogLine::dyno(now, &self.of.name, DynoError::MEMORY_QUOTA_EXCEEDED));
        }
        lines
    }
}

/// Takes what runs now into load averages that are told so often.
fn average(load: &mut [f64; 3], every: Duration, runnable: u32) {
    for (average, span) in load.iter_mut().zip(LOAD_SPANS_S) {
        let kept = (-every.as_secs_f64() / span).exp();
        *average = *average * kept + f64::from(runnable) * (1.0 - kept);
    }
}

#[cfg(test)]
mod test {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{AppId, DynoId};
    use crate::wire::logline::MemoryFigures;

    fn sampler(metrics: RuntimeMetrics) -> Sampler {
        let (app, id) = (AppId(Uuid::nil()), DynoId(Uuid::nil()));
        let of = Measured { app, id, name: "web.1".parse().unwrap() };
        let sampling = Sampling { every: Duration::from_secs(20), metrics };
        Sampler { of, quota: Bytes::mib(512), sampling, load: [0.0; 3] }
    }

    fn reading(mib: u64, runnable: u32) -> Reading {
        let memory = MemoryFigures { rss: Bytes::mib(mib), ..MemoryFigures::default() };
        Reading { memory, runnable, ..Reading::default() }
    }

    #[test]
    fn a_dyno_over_its_quota_is_told_so_and_one_within_is_not() {
        let sampler = sampler(RuntimeMetrics::Off);
        assert!(sampler.lines(&reading(512, 0)).is_empty());
        let told: Vec<_> = sampler.lines(&reading(600, 0)).iter().map(|line| line.message.clone()).collect();
        let expected = ["Process running mem=600M(117.2%)", "Error R14 (Memory quota exceeded)"];
        assert_eq!(told, expected.map(|text| text.as_bytes().to_vec()));
    }

    #[test]
    fn load_nears_what_runs_the_shorter_span_first() {
        assert_eq!(sampler(RuntimeMetrics::On).lines(&reading(1, 4)).len(), 2);
        let (mut load, every) = ([0.0; 3], Duration::from_secs(20));
        average(&mut load, every, 4);
        let first = 4.0 * (1.0 - (-20.0_f64 / 60.0).exp());
        assert!((load[0] - first).abs() < 1e-9, "{load:?}");
        for _ in 0..30 {
            average(&mut load, every, 4);
        }
        let [one, five, fifteen] = load;
        assert!(one > 3.99 && one > five && five > fifteen && fifteen > 1.0, "{load:?}");
    }
}
