//! `dyno config:edit`

use std::collections::BTreeMap;
use std::io::{BufRead as _, Write as _};
use std::path::Path;
use std::process::Command;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::config::{Changed, Vars, change, shell_lines};
use crate::cli::failure::Failure;
use crate::cli::output::{self, shown_app};
use crate::sys::tty;

/// Variables that name an editor; the first that is set counts.
const VARIABLES: [&str; 2] = ["VISUAL", "EDITOR"];
/// The editor of those who name none.
const EDITOR: &str = "vi";

/// Change config vars in an editor, that of $VISUAL or $EDITOR
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// Name of the one config var to change, whose value alone is in the file [default: all, as NAME=value lines]
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let path = format!("/apps/{app}/config-vars");
        let before: Vars = context.client.get(&path).await?;
        let after = match &self.name {
            Some(name) => one(&before, name, edited)?,
            None => read(&edited(&shell_lines(&before))?)?,
        };
        let changes = changes(&before, &after);
        if changes.is_empty() {
            output::note(" \u{203a}   Warning: no changes to config\n");
            return Ok(());
        }
        output::note(&format!("\nConfig Diff:\n{}\n", difference(&before, &changes)));
        if !confirmed(&app)? {
            return Ok(());
        }
        let made = async {
            let now: Vars = context.client.get(&path).await?;
            if now != before {
                let told = "The config vars have changed meanwhile: nothing was done. Run config:edit again.";
                return Err(Failure::Nothing(told.to_owned()));
            }
            change(context, &app, &changes).await
        };
        let made = output::action("Updating config", made, Changed::version).await?;
        if context.node.json {
            output::json(&made.vars)?;
        }
        made.follow(context, &app).await
    }
}

/// All config vars, one of which has the value that the editor leaves.
fn one(
    before: &Vars,
    name: &str,
    edited: impl FnOnce(&str) -> Result<String, Failure>,
) -> Result<Vars, Failure> {
    let value = before.get(name).map(String::as_str).unwrap_or_default();
    let mut text = edited(value)?;
    // Editors end a file with a line end, of which the value had none.
    if !value.ends_with('\n') && text.ends_with('\n') {
        text.pop();
    }
    let mut after = before.clone();
    after.insert(name.to_owned(), text);
    Ok(after)
}

/// What an editor makes of a text. The file is this user's alone, and is gone afterwards: it holds secrets.
fn edited(text: &str) -> Result<String, Failure> {
    let file = tempfile(text).map_err(Failure::local("write the config vars into a file for the editor"))?;
    let named = VARIABLES.iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let editor = named.unwrap_or_else(|| EDITOR.to_owned());
    // As shells and git do: the variable may hold arguments.
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{editor} \"$1\"")).arg(&editor).arg(file.path());
    let status = command.status().map_err(Failure::local(format!("run the editor {editor}")))?;
    if !status.success() {
        return Err(Failure::Nothing(format!("The editor {editor} has failed: nothing was changed.")));
    }
    std::fs::read_to_string(file.path()).map_err(Failure::local("read what the editor wrote"))
}

/// A file for the editor, that goes when this is dropped.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // An editor may have moved it away.
        let _gone = std::fs::remove_file(&self.0);
    }
}

fn tempfile(text: &str) -> std::io::Result<Scratch> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = std::env::temp_dir().join(format!("dyno-config-{}.sh", uuid::Uuid::new_v4()));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    let scratch = Scratch(path);
    file.write_all(text.as_bytes())?;
    Ok(scratch)
}

/// Reads `NAME=value` lines, whose values may be quoted as a shell has it, over several lines.
fn read(text: &str) -> Result<Vars, Failure> {
    let mut vars = Vars::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(['\n', '\r', ' ', '\t']);
        if rest.is_empty() {
            return Ok(vars);
        }
        let line = rest.lines().next().unwrap_or_default();
        let invalid = || Failure::Usage(format!("Invalid line: {line}"));
        let (name, after) =
            rest.split_once('=').filter(|(name, _)| !name.contains('\n')).ok_or_else(invalid)?;
        let (value, left) = word(after).ok_or_else(invalid)?;
        vars.insert(name.to_owned(), value);
        rest = left;
    }
}

/// A shell's word up to the end of its line, and what comes after; nothing where a quote has no end.
fn word(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut at = text.char_indices();
    while let Some((place, next)) = at.next() {
        match next {
            '\n' => return Some((value, &text[place + 1..])),
            '\'' => loop {
                match at.next()?.1 {
                    '\'' => break,
                    quoted => value.push(quoted),
                }
            },
            '\\' => value.push(at.next()?.1),
            plain => value.push(plain),
        }
    }
    Some((value, ""))
}

/// What changes; null removes a config var.
fn changes(before: &Vars, after: &Vars) -> BTreeMap<String, Option<String>> {
    let set = after.iter().filter(|(name, value)| before.get(*name) != Some(value));
    let set = set.map(|(name, value)| (name.clone(), Some(value.clone())));
    let removed = before.keys().filter(|name| !after.contains_key(*name)).map(|name| (name.clone(), None));
    set.chain(removed).collect()
}

fn difference(before: &Vars, changes: &BTreeMap<String, Option<String>>) -> String {
    let line = |sign: char, name: &str, value: &str| {
        let lines = shell_lines(&Vars::from([(name.to_owned(), value.to_owned())]));
        format!("{sign} {lines}")
    };
    let both = |(name, value): (&String, &Option<String>)| {
        let old = before.get(name).map(|old| line('-', name, old));
        let new = value.as_ref().map(|new| line('+', name, new));
        old.into_iter().chain(new).collect::<String>()
    };
    changes.iter().map(both).collect()
}

fn confirmed(app: &str) -> Result<bool, Failure> {
    if !tty::stdin_is_terminal() {
        let told = "Nobody can be asked here whether to update the config: use config:set and config:unset.";
        return Err(Failure::Usage(told.to_owned()));
    }
    output::note(&format!("Update config on {} with these values? (y/n): ", shown_app(app)));
    let mut typed = String::new();
    std::io::stdin().lock().read_line(&mut typed).map_err(Failure::local("read what you type"))?;
    Ok(matches!(typed.trim(), "y" | "Y" | "yes"))
}

#[cfg(test)]
mod test {
    use super::*;

    fn vars(pairs: &[(&str, &str)]) -> Vars {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_is_written_for_the_editor_reads_back() {
        let all =
            vars(&[("A", "it's $5"), ("B", ""), ("C", "two\nlines='x'\n"), ("D", "plain"), ("E", "a\\b")]);
        assert_eq!(read(&shell_lines(&all)).unwrap(), all);
        assert_eq!(read("\nA=1\n\nB=a b\n").unwrap(), vars(&[("A", "1"), ("B", "a b")]));
        for bad in ["A", "A='x", "A\nB=1"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_what_differs_is_changed_and_shown() {
        let (before, after) =
            (vars(&[("A", "1"), ("B", "2"), ("C", "3")]), vars(&[("A", "1"), ("B", "x y"), ("D", "4")]));
        let changes = changes(&before, &after);
        assert_eq!(changes.keys().collect::<Vec<_>>(), ["B", "C", "D"]);
        assert_eq!(changes["C"], None);
        assert_eq!(difference(&before, &changes), "- B=2\n+ B='x y'\n- C=3\n+ D=4\n");
        let edited = |text: &str| Ok(format!("{text}0\n"));
        assert_eq!(one(&before, "A", edited).unwrap()["A"], "10");
    }
}
