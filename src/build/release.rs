//! Which processes an app has: its Procfile over what the last buildpack's `bin/release` declares.

use std::collections::BTreeMap;

use yaml_rust2::parser::{Event, Parser};
use yaml_rust2::{Yaml, YamlLoader};

use crate::build::Stop;
use crate::build::buildpack::Chosen;
use crate::build::compile::scripts;
use crate::build::heroku_yml;
use crate::build::sandbox::{Input, Workshop, first};
use crate::build::source::own;
use crate::build::transcript::Transcript;
use crate::domain::ProcessType;
use crate::wire::procfile::{self, PROCFILE_BYTES_MAX, PROCFILE_NAME};
use crate::wire::push_text;

/// The most bytes of a `bin/release`.
const RELEASE_BYTES_MAX: usize = 64 * 1024;
/// How deep its YAML may nest; the contract needs two.
const DEPTH_MAX: usize = 16;

pub(super) type ProcessTypes = BTreeMap<ProcessType, String>;

/// Reads both, shows them, and merges them.
pub(super) async fn process_types(
    workshop: &Workshop,
    last: Option<&Chosen>,
    transcript: &mut Transcript<'_>,
) -> Result<ProcessTypes, Stop> {
    let defaults = match last {
        Some(chosen) => defaults(workshop, chosen).await?,
        None => ProcessTypes::new(),
    };
    let (mut declared, ignored) = declared(workshop).await?;
    if declared.is_empty() {
        declared = of_heroku_yml(workshop).await?;
        if !declared.is_empty() {
            transcript.say_all(push_text::types_of_heroku_yml());
        }
    }
    let only_defaults: Vec<_> = defaults.keys().filter(|name| !declared.contains_key(*name)).collect();
    transcript.say_all(push_text::discovering(&declared.keys().collect::<Vec<_>>(), &only_defaults));
    transcript.say_all(push_text::procfile_lines_ignored(&ignored));
    Ok(defaults.into_iter().chain(declared).collect())
}

/// What the Procfile declares, and the numbers of lines that declare nothing.
async fn declared(workshop: &Workshop) -> Result<(ProcessTypes, Vec<usize>), Stop> {
    let max = PROCFILE_BYTES_MAX + 1;
    let dir = workshop.build_dir();
    let script = format!("cd {dir} && if [ -f {PROCFILE_NAME} ]; then head -c {max} {PROCFILE_NAME}; fi");
    let ended = workshop.run(own("read the Procfile", script), Input::Empty, |out| first(out, max)).await?;
    let bytes = ended.or_refuse(|_, said| refused(&format!("the Procfile cannot be read: {said}")))?;
    let types = procfile::parse(&bytes).map_err(|error| refused(&error.to_string()))?;
    Ok((types, procfile::ignored(&bytes)))
}

/// What a `heroku.yml` declares.
async fn of_heroku_yml(workshop: &Workshop) -> Result<ProcessTypes, Stop> {
    let (dir, name, max) = (workshop.build_dir(), heroku_yml::FILE, heroku_yml::FILE_BYTES_MAX);
    let most = max + 1;
    let script = format!("cd {dir} && if [ -f {name} ]; then head -c {most} {name}; fi");
    let bytes = workshop.run_own(own("read heroku.yml", script), Input::Empty, max).await?;
    heroku_yml::parse(&bytes).map_err(|reason| refused(&format!("{name} {reason}")))
}

async fn defaults(workshop: &Workshop, chosen: &Chosen) -> Result<ProcessTypes, Stop> {
    let command = format!("if [ -f bin/release ]; then exec bin/release {}; fi", workshop.build_dir());
    let step = scripts(workshop, &chosen.pack, &[], "release", &command);
    let ended = workshop.run(step, Input::Empty, |stdout| first(stdout, RELEASE_BYTES_MAX + 1)).await?;
    let name = &chosen.pack.name;
    let bytes = ended.or_refuse(|status, said| {
        refused(&format!("bin/release of the buildpack {name} ended with status {status}: {said}"))
    })?;
    parse(&bytes).map_err(|reason| refused(&format!("bin/release of the buildpack {name} {reason}")))
}

fn refused(reason: &str) -> Stop {
    Stop::Source(push_text::declaration_refused(reason))
}

/// The default process types; an empty document, and entries that are no commands, are nothing.
fn parse(bytes: &[u8]) -> Result<ProcessTypes, String> {
    if bytes.len() > RELEASE_BYTES_MAX {
        return Err(format!("writes more than {RELEASE_BYTES_MAX} bytes"));
    }
    let text = String::from_utf8_lossy(bytes);
    check(&text)?;
    let documents = YamlLoader::load_from_str(&text).map_err(no_yaml)?;
    let types = documents.first().map(|document| &document["default_process_types"]);
    let Some(Yaml::Hash(types)) = types else { return Ok(ProcessTypes::new()) };
    let entry = |(name, command): (&Yaml, &Yaml)| {
        let command = command.as_str().map(str::trim)?;
        let is_command = !command.is_empty() && !command.contains(['\0', '\n']);
        Some((name.as_str()?.parse().ok()?, is_command.then(|| command.to_owned())?))
    };
    Ok(types.iter().filter_map(entry).collect())
}

/// Aliases and depth are refused before anything is built of them: both let a small text need much memory.
pub(super) fn check(text: &str) -> Result<(), String> {
    let mut parser = Parser::new_from_str(text);
    let mut depth: usize = 0;
    loop {
        let (event, _) = parser.next_token().map_err(no_yaml)?;
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the events of another crate; the rest is harmless"
        )]
        match event {
            Event::StreamEnd => return Ok(()),
            Event::Alias(_) => return Err("gives YAML with aliases".to_owned()),
            Event::SequenceStart(..) | Event::MappingStart(..) if depth == DEPTH_MAX => {
                return Err(format!("gives YAML more than {DEPTH_MAX} levels deep"));
            }
            Event::SequenceStart(..) | Event::MappingStart(..) => depth += 1,
            Event::SequenceEnd | Event::MappingEnd => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
}

pub(super) fn no_yaml(error: yaml_rust2::ScanError) -> String {
    format!("gives what is no YAML: {error}")
}

#[cfg(test)]
mod test {
    use super::*;

    fn parsed(text: &str) -> Vec<(String, String)> {
        let types = parse(text.as_bytes()).unwrap();
        types.into_iter().map(|(name, command)| (name.to_string(), command)).collect()
    }

    #[test]
    fn default_types_are_read() {
        let text = "---\naddons: []\nconfig_vars: {}\ndefault_process_types:\n  web: npm start\n  rake: 'bundle exec rake'\n";
        let expected = [("rake", "bundle exec rake"), ("web", "npm start")];
        assert_eq!(parsed(text), expected.map(|(name, command)| (name.to_owned(), command.to_owned())));
    }

    #[test]
    fn nothing_is_nothing() {
        for text in
            ["", "---\n", "--- {}\n", "default_process_types: {}", "default_process_types:\n", "[]", "text"]
        {
            assert!(parsed(text).is_empty(), "{text:?}");
        }
    }

    #[test]
    fn entries_that_are_no_commands_are_left_out() {
        let text = "default_process_types:\n  web: run\n  a b: x\n  list: [1]\n  none: ''\n  2: x\n";
        assert_eq!(parsed(text), [("web".to_owned(), "run".to_owned())]);
    }

    #[test]
    fn a_small_text_cannot_grow() {
        let bomb = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n";
        assert!(parse(bomb.as_bytes()).unwrap_err().contains("aliases"));
        let deep = "[".repeat(DEPTH_MAX + 1);
        assert!(parse(deep.as_bytes()).unwrap_err().contains("deep"));
        assert!(parse("[".repeat(60_000).as_bytes()).is_err());
        assert!(parse(&[b' '; RELEASE_BYTES_MAX + 1]).is_err());
        assert!(parse(b"a: [").unwrap_err().contains("no YAML"));
    }
}
