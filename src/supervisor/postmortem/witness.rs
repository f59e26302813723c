//! Who looks at a dyno while it lives, and at what is left of it: some facts are gone with its processes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt as _;

use crate::domain::{DynoState, SizeLimits};
use crate::logs::{Filter, LogService, Tail};
use crate::supervisor::engine::{DynoLabel, End, Reading, Remains, Running};
use crate::supervisor::lifecycle::{AfterKill, Class, State, shown};
use crate::supervisor::postmortem::{Death, Ending, Kind, MemoryFacts, Passage, PressureFacts, TaskFacts};
use crate::wire::logline::Source;

/// Lines kept of what a dyno printed last.
pub const LAST_LINES_MAX: usize = 50;
/// Characters kept of one of these lines.
pub const LAST_LINE_CHARS_MAX: usize = 1000;

/// Looks at one dyno.
#[derive(Debug)]
pub(in crate::supervisor) struct Witness {
    label: DynoLabel,
    limits: SizeLimits,
    seen: Mutex<Seen>,
}

/// What was last seen while it lived.
#[derive(Clone, Debug, Default)]
struct Seen {
    listening: Option<Vec<SocketAddr>>,
    memory_bytes: u64,
}

// === impl Witness ===

impl Witness {
    /// Of a dyno that may use so much.
    pub(in crate::supervisor) fn new(label: DynoLabel, limits: SizeLimits) -> Arc<Self> {
        Arc::new(Self { label, limits, seen: Mutex::default() })
    }

    /// Whom it looks at.
    pub(in crate::supervisor) fn label(&self) -> &DynoLabel {
        &self.label
    }

    /// It listens there now. A dyno on its way out closes its sockets one by one: none is no news after some.
    pub(in crate::supervisor) fn saw_listening(&self, sockets: Vec<SocketAddr>) {
        self.see(|seen| match &seen.listening {
            Some(before) if sockets.is_empty() && !before.is_empty() => {}
            Some(_) | None => seen.listening = Some(sockets),
        });
    }

    /// It uses so much now.
    pub(in crate::supervisor) fn saw_memory(&self, reading: &Reading) {
        let bytes = reading.memory.rss.0.saturating_add(reading.memory.swap.0);
        self.see(|seen| seen.memory_bytes = seen.memory_bytes.max(bytes));
    }

    fn see<T>(&self, note: impl FnOnce(&mut Seen) -> T) -> T {
        // Plain values, whole after every operation.
        note(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What there is to say once it has ended, and its output is collected, before it is cleared away. `passage` of the
    /// outcome is for whoever knows its life to set.
    pub(in crate::supervisor) async fn testify(
        &self,
        dyno: &Arc<dyn Running>,
        end: End,
        logs: &LogService,
    ) -> Death {
        let (looked_at, has_log) = (Arc::clone(dyno), dyno.log_ring().is_some());
        // Files of the kernel: quick, but not for an async thread.
        let remains = tokio::task::spawn_blocking(move || looked_at.remains()).await.unwrap_or_default();
        let last_lines = if has_log { Some(self.last_lines(logs).await) } else { None };
        self.death(end, remains, last_lines)
    }

    fn death(&self, end: End, remains: Remains, last_lines: Option<Vec<String>>) -> Death {
        let blank = blank(&self.label, &self.limits);
        let seen = self.see(|seen| seen.clone());
        let Remains { lost, signal, memory_peak, memory_limit_hits, oom_kills, refused_tasks, .. } = remains;
        Death {
            ending: match (lost, signal) {
                (true, _) => Ending::Lost,
                (false, Some(signal)) => Ending::Signal(signal),
                (false, None) => Ending::Code(end.status),
            },
            at: end.at,
            memory: MemoryFacts {
                peak: memory_peak.0,
                sampled: seen.memory_bytes,
                limit_hits: memory_limit_hits,
                kills: oom_kills.max(u64::from(end.out_of_memory)),
                ..blank.memory
            },
            tasks: TaskFacts { refused: refused_tasks, ..blank.tasks },
            pressure: PressureFacts {
                cpu: remains.waited[0],
                memory: remains.waited[1],
                io: remains.waited[2],
            },
            listened: seen.listening,
            last_lines,
            ..blank
        }
    }

    /// The newest of its lines since its launch: another dyno may have had the name before.
    async fn last_lines(&self, logs: &LogService) -> Vec<String> {
        let filter = Filter {
            ps: Some(self.label.name.to_string()),
            source: Some(Source::App.to_string()),
            ..Filter::default()
        };
        let recent = logs.session(self.label.app, filter, LAST_LINES_MAX, Tail::End);
        let lines = recent.filter(|line| std::future::ready(line.at >= self.label.started));
        lines.map(|line| shortened(&line.message)).collect().await
    }
}

/// A dyno that was never launched, for this reason.
pub(in crate::supervisor) fn not_started(label: &DynoLabel, limits: &SizeLimits, reason: String) -> Death {
    Death { ending: Ending::NotStarted(reason), passage: Passage::Starting, ..blank(label, limits) }
}

/// What the label and the size's limits alone tell.
fn blank(label: &DynoLabel, limits: &SizeLimits) -> Death {
    Death {
        id: label.id.0,
        name: label.name.to_string(),
        kind: match label.class {
            Class::Web => Kind::Web,
            Class::Worker => Kind::Worker,
            Class::Detached => Kind::OneOff,
            Class::Attached => Kind::Attached,
        },
        release: label.release.0,
        command: label.command.clone(),
        size: label.size.to_string(),
        port: label.port,
        launched: label.started,
        at: crate::sys::clock::now(),
        ending: Ending::Lost,
        passage: Passage::Running,
        memory: MemoryFacts { quota: limits.memory.0, limit: limits.memory_max.0, ..MemoryFacts::default() },
        tasks: TaskFacts { limit: limits.tasks_max, refused: 0 },
        pressure: PressureFacts::default(),
        listened: None,
        last_lines: None,
    }
}

fn shortened(message: &[u8]) -> String {
    String::from_utf8_lossy(message).chars().take(LAST_LINE_CHARS_MAX).collect()
}

/// The part of its life in which a dyno is found when its end is told.
pub(in crate::supervisor) fn passage(state: State) -> Passage {
    match state {
        State::Launching { .. } | State::Aborting => Passage::Starting,
        State::Booting { .. } => Passage::Booting,
        State::Killing { then: AfterKill::Crash { .. }, .. } => Passage::BootTimeout,
        State::Killing { then: AfterKill::Leave, .. } => Passage::Forced,
        State::Draining { .. } | State::Stopping { .. } => Passage::Asked,
        State::HangingUp { .. } => Passage::ClientGone,
        State::Up { .. } | State::Yielding { .. } | State::Crashed { .. } | State::Ended => {
            debug_assert!(shown(state) != Some(DynoState::Starting), "what starts has a passage of its own");
            Passage::Running
        }
    }
}
