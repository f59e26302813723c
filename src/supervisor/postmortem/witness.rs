//! Who looks at a dyno while it lives, and at what is left of it: some facts are gone with its processes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use futures_util::StreamExt as _;

use crate::domain::{DynoState, SizeLimits};
use crate::logs::{Filter, Followed, FollowedFrom, LAST_LINES_MAX, LogService, Tail};
use crate::supervisor::engine::{DynoLabel, End, Reading, Remains, Running};
use crate::supervisor::lifecycle::{AfterKill, Class, State, shown};
use crate::supervisor::postmortem::{Death, Ending, Kind, MemoryFacts, Passage, PressureFacts, TaskFacts};
use crate::wire::logline::{LogLine, Source};

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
        (followed, logs): (Option<Followed>, &LogService),
    ) -> Death {
        let looked_at = Arc::clone(dyno);
        // Files of the kernel: quick, but not for an async thread.
        let remains = tokio::task::spawn_blocking(move || looked_at.remains()).await.unwrap_or_default();
        let last_lines = match followed {
            Some(followed) => Some(self.last_lines(followed, logs).await),
            None => None,
        };
        self.death(end, remains, last_lines)
    }

    fn death(&self, end: End, remains: Remains, last_lines: Option<Vec<String>>) -> Death {
        let blank = blank(&self.label, &self.limits);
        let seen = self.see(|seen| seen.clone());
        let Remains { lost, signal, memory_peak, memory_limit_hits, oom_kills, refused_tasks, .. } = remains;
        let refused_calls = remains.refused_calls;
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
            refused_calls,
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

    /// The newest of its lines. Those that only an earlier process of the node has seen come out of the log, where other dynos
    /// of its name have theirs, too: from its launch to the first line that is known to be its own.
    async fn last_lines(&self, followed: Followed, logs: &LogService) -> Vec<String> {
        let Followed { last, from } = followed;
        let mut lines = Vec::new();
        if from == FollowedFrom::Later && last.len() < LAST_LINES_MAX {
            lines = self.earlier_lines(logs, last.first().map(|line| line.at)).await;
            lines.drain(..(lines.len() + last.len()).saturating_sub(LAST_LINES_MAX));
        }
        lines.extend(last.iter().map(|line| shortened(&line.message)));
        lines
    }

    async fn earlier_lines(&self, logs: &LogService, before: Option<SystemTime>) -> Vec<String> {
        let filter = Filter {
            ps: Some(self.label.name.to_string()),
            source: Some(Source::App.to_string()),
            ..Filter::default()
        };
        let recent = logs.session(self.label.app, filter, LAST_LINES_MAX, Tail::End);
        let is_its_own =
            |line: &LogLine| line.at >= self.label.started && before.is_none_or(|before| line.at < before);
        let lines = recent.filter(|line| std::future::ready(is_its_own(line)));
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
        refused_calls: Vec::new(),
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

#[cfg(test)]
mod test {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;
    use crate::domain::{AppId, DynoId, DynoSize, Sizes, Version};

    fn label(started: SystemTime) -> DynoLabel {
        let id = DynoId(Uuid::from_u128(1));
        DynoLabel {
            app: AppId(Uuid::nil()),
            id,
            name: "web.1".parse().unwrap(),
            class: Class::Web,
            release: Version(3),
            command: "serve".to_owned(),
            size: DynoSize::Basic,
            port: 12345,
            uid: 54321,
            crashes: 0,
            cycle_after: Duration::from_secs(86_400),
            lineage: id,
            behind: None,
            started,
        }
    }

    #[tokio::test]
    async fn only_lines_that_an_earlier_process_has_seen_come_out_of_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let logs = LogService::open(dir.path().to_owned()).unwrap();
        let at = |second| SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        let line = |second, text: &str| LogLine::output(at(second), "web.1", text.as_bytes().to_vec());
        let label = label(at(10));
        let all =
            [line(9, "of the one before"), line(11, "its own"), line(13, "seen"), line(14, "of the next")];
        all.into_iter().for_each(|line| logs.push(label.app, line));
        logs.flush().await;
        let witness = Witness::new(label.clone(), Sizes::default().limits(label.size));
        let seen = |from| Followed { last: vec![line(13, "seen")], from };
        assert_eq!(witness.last_lines(seen(FollowedFrom::Later), &logs).await, ["its own", "seen"]);
        assert_eq!(witness.last_lines(seen(FollowedFrom::First), &logs).await, ["seen"]);
    }
}
