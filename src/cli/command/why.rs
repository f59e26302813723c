//! `dyno why`

use std::fmt::Write as _;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Now, heading, megabytes, pairs, shown_app};
use crate::wire::api::{Death, DeathMemory, DeathPressure, DeathTasks};

/// Of the lines that are kept so many are shown; `--json` has all.
const LINES_SHOWN: usize = 20;

/// Tell why a dyno has ended, and what to do about it
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The dyno: web.1, run.4711
    #[arg(value_name = "DYNO")]
    dyno: String,
    #[command(flatten)]
    app: AppArgs,
    /// Tell of every end that is kept, the newest first
    #[arg(long)]
    all: bool,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (app, dyno) = (self.app.name()?, self.dyno);
        let plain = !dyno.is_empty() && dyno.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
        if !plain {
            return Err(Failure::Usage(format!("{dyno:?} is no name of a dyno, such as web.1.")));
        }
        let deaths: Vec<Death> = context.client.get(&format!("/apps/{app}/dynos/{dyno}/deaths")).await?;
        let told = if self.all { deaths } else { most_telling(deaths) };
        match (context.node.json, told.as_slice()) {
            (true, _) => output::json(&told),
            (false, []) => output::data(&format!(
                "{dyno} of {} has not ended since its name was given.\n",
                shown_app(&app)
            )),
            (false, told) => {
                let now = Now::here();
                let texts: Vec<_> = told.iter().map(|death| rendered(death, &app, &now)).collect();
                output::data(&texts.join("\n"))
            }
        }
    }
}

/// The newest end that was not as it should be; where all were, the newest.
fn most_telling(deaths: Vec<Death>) -> Vec<Death> {
    let at = deaths.iter().position(|death| !death.orderly).unwrap_or(0);
    deaths.into_iter().skip(at).take(1).collect()
}

fn rendered(death: &Death, app: &str, now: &Now) -> String {
    let Death { name, diagnosis, .. } = death;
    let mut text = heading(&format!("{name} of {}: {}", shown_app(app), diagnosis.name));
    // Writing to a String cannot fail.
    for sentence in [&diagnosis.what, &diagnosis.advice].into_iter().chain(&death.remarks) {
        if !sentence.is_empty() {
            let _ = writeln!(text, "{sentence}");
        }
    }
    text.push('\n');
    let facts = facts(death, now);
    text.push_str(&pairs(facts.iter().map(|(key, value)| (*key, value.as_str()))));
    match &death.last_lines {
        None => text.push_str("\nIts output went to its client.\n"),
        Some(lines) if lines.is_empty() => text.push_str("\nIt printed nothing.\n"),
        Some(lines) => {
            text.push_str("\nIts last lines:\n");
            for line in lines.iter().skip(lines.len().saturating_sub(LINES_SHOWN)) {
                let _ = writeln!(text, "    {}", shown(line));
            }
        }
    }
    text
}

fn facts(death: &Death, now: &Now) -> Vec<(&'static str, String)> {
    let how = match (death.exit_code, death.signal) {
        (Some(code), _) => format!("with status {code}"),
        (None, Some(signal)) => format!("by signal {signal}"),
        (None, None) => "in a way nobody saw".to_owned(),
    };
    let ended = format!("{}, {how}, after {}", now.ago(&death.ended_at), span(death.lived_s));
    let mut facts = vec![
        ("Ended", ended),
        ("Ran", format!("{} (v{}, {})", shown(&death.command), death.release, death.size)),
        ("Memory", memory(&death.memory)),
    ];
    if let Some(listened) = &death.listened {
        let listened = if listened.is_empty() { "nowhere".to_owned() } else { listened.join(", ") };
        facts.push(("Listened", format!("{listened} ($PORT was {})", death.port)));
    }
    let DeathTasks { limit, refused } = death.tasks;
    facts.push(("Tasks", format!("{refused} refused beyond {limit}")));
    facts.extend(pressure(&death.pressure).map(|pressure| ("Pressure", pressure)));
    facts
}

fn memory(memory: &DeathMemory) -> String {
    let peak = memory
        .peak
        .map_or_else(|| "a peak not known".to_owned(), |peak| format!("{} at most", megabytes(peak)));
    let quota = format!(
        "{peak}, files included, of {} (ended at {})",
        megabytes(memory.quota),
        megabytes(memory.limit)
    );
    match (memory.limit_hits, memory.kills) {
        (0, 0) => quota,
        (hits, kills) => format!("{quota}; at the limit {hits} times, {kills} processes killed"),
    }
}

fn pressure(pressure: &DeathPressure) -> Option<String> {
    let named = [("cpu", pressure.cpu), ("memory", pressure.memory), ("disk", pressure.io)];
    let known = named.iter().filter_map(|(name, percent)| Some(format!("{name} {:.0}%", (*percent)?)));
    let known: Vec<_> = known.collect();
    if known.is_empty() { None } else { Some(format!("{} of its last minute", known.join(", "))) }
}

/// `12s`, `3m`, `5h`; below ten seconds with a tenth.
fn span(seconds: f64) -> String {
    const MINUTE_S: f64 = 60.0;
    const HOUR_S: f64 = 3600.0;
    match seconds {
        s if s < 10.0 => format!("{s:.1}s"),
        s if s < 2.0 * MINUTE_S => format!("{s:.0}s"),
        s if s < 2.0 * HOUR_S => format!("{:.0}m", s / MINUTE_S),
        s => format!("{:.0}h", s / HOUR_S),
    }
}

/// What a dyno wrote may steer a terminal.
fn shown(line: &str) -> String {
    line.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::cli::output::test::now;
    use crate::wire::api::Diagnosis;

    fn death() -> Death {
        Death {
            id: uuid::Uuid::nil(),
            name: "web.1".to_owned(),
            release: 3,
            command: "python3 app.py".to_owned(),
            size: "Standard-1X".to_owned(),
            launched_at: "2026-11-18T01:54:00Z".to_owned(),
            ended_at: "2026-11-18T01:55:01Z".to_owned(),
            lived_s: 61.2,
            orderly: false,
            exit_code: None,
            signal: Some(9),
            passage: "boot_timeout".to_owned(),
            diagnosis: Diagnosis {
                name: "wrong_port".to_owned(),
                what: "It listened on port 3000, not on $PORT, which was 12345 (R10).".to_owned(),
                advice: "Read the port from the environment.".to_owned(),
            },
            remarks: vec!["Some process of it waited for memory in 41% of its last minute.".to_owned()],
            port: 12345,
            listened: Some(vec!["0.0.0.0:3000".to_owned()]),
            memory: DeathMemory {
                quota: 512 << 20,
                limit: 1 << 30,
                peak: Some(34 << 20),
                ..DeathMemory::default()
            },
            tasks: DeathTasks { limit: 256, refused: 0 },
            refused_calls: vec![],
            pressure: DeathPressure { cpu: Some(2.6), memory: Some(41.0), io: Some(0.0) },
            last_lines: Some(vec!["listening on 3000".to_owned(), "\u{1b}[31mred".to_owned()]),
        }
    }

    #[test]
    fn an_end_reads_from_its_name_to_its_last_lines() {
        insta::assert_snapshot!(rendered(&death(), "example", &now()));
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        let bare = Death {
            signal: None,
            listened: None,
            memory: DeathMemory { limit_hits: 7, kills: 1, ..DeathMemory::default() },
            pressure: DeathPressure::default(),
            remarks: vec![],
            last_lines: None,
            lived_s: 0.27,
            ..death()
        };
        insta::assert_snapshot!(rendered(&bare, "example", &now()));
    }

    #[test]
    fn a_crash_is_more_telling_than_the_stop_after_it() {
        let stop = Death { orderly: true, ..death() };
        assert_eq!(most_telling(vec![stop.clone(), death()]), [death()]);
        assert_eq!(most_telling(vec![stop.clone(), stop.clone()]), [stop]);
        assert_eq!(most_telling(vec![]), []);
    }

    #[test]
    fn spans_are_rounded_to_their_size() {
        let spans = [0.04, 9.96, 61.2, 150.0, 86_400.0].map(span);
        assert_eq!(spans, ["0.0s", "10.0s", "61s", "2m", "24h"]);
    }
}
