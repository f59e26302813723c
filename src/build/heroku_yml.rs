//! What of a `heroku.yml` makes sense without images: the commands of its `run` and `release` parts (platform reference 2.4), for
//! apps whose Procfile declares nothing.

use yaml_rust2::{Yaml, YamlLoader};

use crate::build::release::{ProcessTypes, check, no_yaml};
use crate::domain::ProcessType;

/// The file, in the root of the built directory.
pub(super) const FILE: &str = "heroku.yml";
/// The most bytes of it.
pub(super) const FILE_BYTES_MAX: usize = 64 * 1024;

/// Its process types; the release command is one of them. The reason is one clause.
pub(super) fn parse(bytes: &[u8]) -> Result<ProcessTypes, String> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(format!("has more than {FILE_BYTES_MAX} bytes"));
    }
    let text = String::from_utf8_lossy(bytes);
    check(&text)?;
    let documents = YamlLoader::load_from_str(&text).map_err(no_yaml)?;
    let Some(document) = documents.first() else { return Ok(ProcessTypes::new()) };
    let mut types = ProcessTypes::new();
    if let Yaml::Hash(run) = &document["run"] {
        for (name, value) in run {
            let name = name.as_str().and_then(|name| name.parse().ok());
            types.extend(name.zip(command(value)));
        }
    }
    if let (Some(command), Ok(name)) = (command(&document["release"]), RELEASE.parse::<ProcessType>()) {
        types.insert(name, command);
    }
    Ok(types)
}

/// The process type whose command runs before a release does.
const RELEASE: &str = "release";

/// A command: a text, a list of words, or an object that has one of these.
fn command(value: &Yaml) -> Option<String> {
    let text = match value {
        Yaml::String(text) => text.trim().to_owned(),
        Yaml::Array(words) => words.iter().filter_map(Yaml::as_str).collect::<Vec<_>>().join(" "),
        Yaml::Hash(_) => {
            let inner = &value["command"];
            return if inner.as_hash().is_none() { command(inner) } else { None };
        }
        Yaml::Real(_)
        | Yaml::Integer(_)
        | Yaml::Boolean(_)
        | Yaml::Alias(_)
        | Yaml::Null
        | Yaml::BadValue => return None,
    };
    (!text.is_empty() && !text.contains(['\0', '\n'])).then_some(text)
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn commands_of_run_and_release_are_read() {
        let text = "build:\n  docker:\n    web: Dockerfile\nrelease:\n  image: web\n  command: [\"./tasks.sh\"]\n\
                    run:\n  web: bundle exec puma\n  worker: {command: [python, work.py], image: web}\n  none: 7\n";
        let types: Vec<_> =
            parse(text.as_bytes()).unwrap().into_iter().map(|(name, c)| (name.to_string(), c)).collect();
        let expected = [("release", "./tasks.sh"), ("web", "bundle exec puma"), ("worker", "python work.py")];
        assert_eq!(types, expected.map(|(name, command)| (name.to_owned(), command.to_owned())));
        assert!(parse(b"").unwrap().is_empty() && parse(b"setup: {}\n").unwrap().is_empty());
        assert!(parse(b"run: [").unwrap_err().contains("no YAML"));
    }
}
