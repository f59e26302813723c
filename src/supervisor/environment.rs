//! What a dyno's process finds: its environment, and its command as the log shows it. Pure.

use std::collections::BTreeMap;

use crate::domain::{DynoId, DynoName, ProcessType};
use crate::supervisor::ReleaseImage;
use crate::wire::dyno_metadata;

/// Where programs are looked for before buildpacks put theirs in front (platform reference 1.4).
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// Where the slug lies.
const HOME: &str = "/app";
/// The prompt of a one-off's shell.
const PS1: &str = r"\[\033[01;34m\]\w\[\033[00m\] \[\033[01;32m\]$ \[\033[00m\]";

/// The environment, whole. Later layers win: defaults, the stack's, config vars, the dyno's own, and last what the
/// platform alone may say (platform reference 1.4).
#[must_use]
pub fn environment(
    release: &ReleaseImage,
    own: &BTreeMap<String, String>,
    (id, dyno): (DynoId, &DynoName),
    port: u16,
) -> BTreeMap<String, String> {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let mut env: BTreeMap<String, String> =
        [("PATH", PATH), ("HOME", HOME), ("PS1", PS1)].into_iter().map(owned).collect();
    env.extend(release.stack.env.iter().cloned());
    env.extend(release.config.iter().map(owned));
    env.extend(own.clone());
    if !release.metadata.is_empty() {
        env.extend(release.metadata.clone());
        env.extend([dyno_metadata::of_dyno(id)]);
    }
    env.insert("PORT".to_owned(), port.to_string());
    env.insert("DYNO".to_owned(), dyno.to_string());
    env
}

/// A one-off's command: a first word that names a process type stands for that type's command.
#[must_use]
pub fn resolve(command: &str, commands: &BTreeMap<ProcessType, String>) -> String {
    let (first, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    match first.parse::<ProcessType>().ok().and_then(|name| commands.get(&name)) {
        Some(known) if rest.is_empty() => known.clone(),
        Some(known) => format!("{known} {rest}"),
        None => command.to_owned(),
    }
}

/// The command with every plain `$NAME` and `${NAME}` that the environment knows replaced; other forms stay as written
/// (platform reference 1.3).
pub(super) fn shown(command: &str, env: &BTreeMap<String, String>) -> String {
    let mut shown = String::with_capacity(command.len());
    let mut rest = command;
    while let Some((before, after)) = rest.split_once('$') {
        shown.push_str(before);
        let (name, tail) = variable(after);
        match name.and_then(|name| env.get(name)) {
            Some(value) => shown.push_str(value),
            None => {
                shown.push('$');
                shown.push_str(&after[..after.len() - tail.len()]);
            }
        }
        rest = tail;
    }
    shown + rest
}

/// The name that a `$` is followed by, if it is a plain one, and what comes after it.
fn variable(text: &str) -> (Option<&str>, &str) {
    if let Some(inner) = text.strip_prefix('{') {
        let end = name_length(inner);
        return match inner[end..].strip_prefix('}') {
            Some(tail) if end > 0 => (Some(&inner[..end]), tail),
            Some(_) | None => (None, text),
        };
    }
    let end = name_length(text);
    if end == 0 { (None, text) } else { (Some(&text[..end]), &text[end..]) }
}

fn name_length(text: &str) -> usize {
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    if starts { end } else { 0 }
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::domain::{ConfigVars, Version};
    use crate::supervisor::StackImage;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_platform_wins_over_the_dyno_over_config_over_the_stack() {
        let release = ReleaseImage {
            version: Version(1),
            slug: "0".repeat(64).parse().unwrap(),
            stack: StackImage {
                name: Default::default(),
                version: "1".to_owned(),
                layers: vec![],
                env: vec![("STACK".to_owned(), "heroku-24".to_owned()), ("A".to_owned(), "stack".to_owned())],
            },
            config: ConfigVars::new(map(&[
                ("A", "config"),
                ("B", "config"),
                ("PATH", "/mine"),
                ("PORT", "80"),
                ("DYNO", "no"),
            ]))
            .unwrap(),
            commands: BTreeMap::new(),
            metadata: BTreeMap::new(),
        };
        let (id, name) = (DynoId(uuid::Uuid::from_u128(7)), "run.4711".parse().unwrap());
        let env = environment(&release, &map(&[("B", "dyno"), ("TERM", "xterm")]), (id, &name), 12345);
        let expected = map(&[
            ("A", "config"),
            ("B", "dyno"),
            ("DYNO", "run.4711"),
            ("HOME", "/app"),
            ("PATH", "/mine"),
            ("PORT", "12345"),
            ("PS1", PS1),
            ("STACK", "heroku-24"),
            ("TERM", "xterm"),
        ]);
        assert_eq!(env, expected);
        let metadata = map(&[("HEROKU_APP_NAME", "sample")]);
        let env = environment(&ReleaseImage { metadata, ..release }, &BTreeMap::new(), (id, &name), 1);
        assert_eq!(env["HEROKU_APP_NAME"], "sample");
        assert_eq!(env["HEROKU_DYNO_ID"], id.to_string());
    }

    #[test]
    fn a_process_type_stands_for_its_command() {
        let commands = BTreeMap::from([("worker".parse().unwrap(), "python work.py".to_owned())]);
        assert_eq!(resolve("worker", &commands), "python work.py");
        assert_eq!(resolve("worker --once", &commands), "python work.py --once");
        assert_eq!(resolve("bash worker", &commands), "bash worker");
        assert_eq!(resolve("", &commands), "");
    }

    #[test]
    fn only_plain_variables_are_shown_replaced() {
        let env = map(&[("PORT", "5000"), ("_X1", "x")]);
        for (command, expected) in [
            ("serve -p $PORT", "serve -p 5000"),
            ("serve ${PORT}/$_X1", "serve 5000/x"),
            ("serve ${PORT:-1} $NONE ${NONE}", "serve ${PORT:-1} $NONE ${NONE}"),
            ("echo $$ $? $1 $", "echo $$ $? $1 $"),
            ("echo $PORTS ä$PORT", "echo $PORTS ä5000"),
            ("${", "${"),
        ] {
            assert_eq!(shown(command, &env), expected);
        }
    }
}
