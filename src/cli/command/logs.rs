//! `dyno logs`

use hyper::Method;
use jiff::civil::DateTime;
use jiff::{Span, Timestamp};

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::client::next_chunk;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Now, shown_app};
use crate::wire::api::{CreateLogSession, LogSession};
use crate::wire::logline::{LogLine, Source};

/// Where lines come from.
const SOURCES: [&str; 2] = ["app", "heroku"];
/// Colours of origins, as ANSI numbers.
const COLOURS: [u8; 5] = [36, 33, 32, 35, 31];
/// The colour of the platform's own lines.
const PLATFORM_COLOUR: u8 = 90;

/// Show the log of an app
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// Number of lines to show, at most 1500 [default: 100; all with --since or --release]
    #[arg(short, long, value_name = "LINES")]
    num: Option<usize>,
    /// Go on with the lines that come
    #[arg(short, long)]
    tail: bool,
    /// Only lines of this dyno (web.1)
    #[arg(short, long, value_name = "DYNO", visible_alias = "dyno", conflicts_with = "process_type")]
    dyno_name: Option<String>,
    /// Only lines of this process type (web)
    #[arg(short, long, value_name = "TYPE", visible_alias = "ps")]
    process_type: Option<String>,
    /// Only lines of this source: what dynos say and what is done to the app, or what the platform does
    #[arg(short, long, value_parser = SOURCES)]
    source: Option<String>,
    /// Only lines since then: 90s, 2h, 1d, or a time such as 2026-11-23 or 2026-11-23T10:00
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only messages in which this regular expression is found
    #[arg(long, value_name = "PATTERN")]
    grep: Option<String>,
    /// Only lines from the time in which this release was the newest (v3)
    #[arg(long, value_name = "RELEASE")]
    release: Option<String>,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let is_filtered =
            [&self.dyno_name, &self.process_type, &self.source, &self.since, &self.grep, &self.release]
                .iter()
                .any(|filter| filter.is_some());
        let request = CreateLogSession {
            dyno: self.dyno_name.or(self.process_type),
            process_type: None,
            source: self.source,
            lines: self.num,
            since: self.since.map(|when| since(&when, &Now::here())).transpose()?,
            grep: self.grep,
            release: self.release,
            tail: Some(self.tail),
        };
        let path = format!("/apps/{app}/log-sessions");
        let session: LogSession = context.client.send_json(Method::POST, &path, &request).await?;
        let mut body = context.client.stream(&session.logplex_url).await?;
        let form = match (context.node.json, output::has_colours()) {
            (true, _) => Form::Json,
            (false, true) => Form::Coloured,
            (false, false) => Form::Plain,
        };
        let (mut received, mut has_lines) = (Vec::new(), false);
        while let Some(chunk) = next_chunk(&mut body).await? {
            has_lines = true;
            received.extend_from_slice(&chunk);
            let whole = received.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let lines: Vec<u8> = received.drain(..whole).collect();
            let shown: Vec<u8> =
                lines.split_inclusive(|byte| *byte == b'\n').flat_map(|line| shown(line, form)).collect();
            output::bytes(&shown)?;
        }
        if !has_lines {
            let which = if is_filtered { "No line of the log is such a one" } else { "The log is empty" };
            output::note(&format!("{which}: {}.\n", shown_app(&app)));
        }
        output::bytes(&received)
    }
}

/// The time that `when` means, as the API takes it: so long before now, or a time of this machine's zone.
fn since(when: &str, now: &Now) -> Result<String, Failure> {
    let unknown = || {
        Failure::Usage(format!("{when} is no time: write 90s, 2h, 1d, 2026-11-23 or 2026-11-23T10:00:00Z."))
    };
    let then = if let Ok(before) = when.parse::<Span>() {
        // A day is as long as the day was here.
        let now = now.at.to_zoned(now.zone.clone());
        now.checked_sub(before.abs()).map_err(|_| unknown())?.timestamp()
    } else if let Ok(exact) = when.parse::<Timestamp>() {
        exact
    } else {
        let local: DateTime = when.parse().map_err(|_| unknown())?;
        local.to_zoned(now.zone.clone()).map_err(|_| unknown())?.timestamp()
    };
    Ok(then.to_string())
}

/// How lines are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Plain,
    Coloured,
    Json,
}

/// A display line in its form; what is no log line (a heartbeat) is shown as it is.
fn shown(line: &[u8], form: Form) -> Vec<u8> {
    let Ok(parsed) = LogLine::parse(line) else { return line.to_vec() };
    match form {
        Form::Plain => line.to_vec(),
        Form::Coloured => {
            // Up to and with the colon after the origin.
            let origin = line.len() - parsed.message.len() - usize::from(line.ends_with(b"\n"));
            let (origin, message) = line.split_at(origin);
            [format!("\x1b[{}m", colour(&parsed)).as_bytes(), origin, b"\x1b[0m", message].concat()
        }
        Form::Json => {
            let at = String::from_utf8_lossy(line).split(' ').next().unwrap_or_default().to_owned();
            let value = serde_json::json!({
                "at": at,
                "source": parsed.source.as_str(),
                "ps": parsed.ps,
                "message": String::from_utf8_lossy(&parsed.message),
            });
            format!("{value}\n").into_bytes()
        }
    }
}

fn colour(line: &LogLine) -> u8 {
    match line.source {
        Source::Heroku => PLATFORM_COLOUR,
        Source::App => {
            let sum: usize = line.ps.bytes().map(usize::from).sum();
            COLOURS[sum % COLOURS.len()]
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    const LINE: &[u8] = b"2026-11-23T06:28:04.170873+00:00 app[web.1]: hello: \"you\"\n";

    #[test]
    fn times_are_given_as_people_do() {
        let now = output::test::now();
        for (when, expected) in [
            ("90s", "2026-11-18T01:58:30Z"),
            ("2h", "2026-11-18T00:00:00Z"),
            ("1d 30m", "2026-11-17T01:30:00Z"),
            ("2026-11-17", "2026-11-17T00:00:00Z"),
            ("2026-11-17T10:00", "2026-11-17T10:00:00Z"),
            ("2026-11-17T10:00:00+02:00", "2026-11-17T08:00:00Z"),
        ] {
            assert_eq!(since(when, &now).unwrap(), expected, "{when}");
        }
        assert!(matches!(since("yesterday", &now), Err(Failure::Usage(_))));
    }

    #[test]
    fn a_line_is_shown_plain_coloured_or_as_json() {
        let text = |form| String::from_utf8(shown(LINE, form)).unwrap();
        assert_eq!(text(Form::Plain).as_bytes(), LINE);
        let coloured = text(Form::Coloured);
        assert!(coloured.ends_with("app[web.1]: \x1b[0mhello: \"you\"\n"), "{coloured:?}");
        let json: serde_json::Value = serde_json::from_str(&text(Form::Json)).unwrap();
        assert_eq!(json["ps"], "web.1");
        assert_eq!(json["message"], "hello: \"you\"");
        assert_eq!(json["at"], "2026-11-23T06:28:04.170873+00:00");
        assert_eq!(shown(b"\0", Form::Json), b"\0");
    }
}
