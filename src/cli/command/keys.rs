//! `dyno keys`, `keys:add`, `keys:remove` and `keys:clear`

use std::io::Read as _;
use std::path::{Path, PathBuf};

use hyper::Method;

use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::output::{self, heading};
use crate::wire::api::{CreateKey, Key};

/// No public key is as long, bytes.
const KEY_FILE_BYTES_MAX: u64 = 64 << 10;
/// Characters shown of either end of a key.
const SHOWN_CHARACTERS: usize = 10;

/// Show the public keys that you have left with the node
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Show the keys in full
    #[arg(short, long)]
    long: bool,
}

/// Leave a public key with the node
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct AddArgs {
    /// File with the public key [default: the one there is in ~/.ssh]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Take a public key away from the node
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RemoveArgs {
    /// What stands behind the key, such as me@laptop
    #[arg(value_name = "COMMENT")]
    comment: String,
}

/// Take all of your public keys away from the node
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ClearArgs {}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let keys = all(context).await?;
        if context.node.json {
            return output::json(&keys);
        }
        let shown = if self.long { Shown::InFull } else { Shown::Shortened };
        match rendered(&keys, shown) {
            Some(text) => output::data(&text),
            None => {
                output::note(" \u{203a}   Warning: You have no SSH keys.\n");
                Ok(())
            }
        }
    }
}

impl AddArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let file = match self.file {
            Some(file) => file,
            None => found_at_home()?,
        };
        let body = CreateKey { public_key: public_key(&file)? };
        let added = context.client.send_json::<Key>(Method::POST, "/account/keys", &body);
        let added = output::action(&format!("Uploading {} SSH key", file.display()), added, |_| None).await?;
        if context.node.json { output::json(&added) } else { Ok(()) }
    }
}

impl RemoveArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (meant, others): (Vec<_>, Vec<_>) =
            all(context).await?.into_iter().partition(|key| key.comment == self.comment);
        if meant.is_empty() {
            return Err(Failure::Usage(unknown(&self.comment, &others)));
        }
        let removed = remove(context, &meant);
        let removed =
            output::action(&format!("Removing {} SSH key", self.comment), removed, |_| None).await?;
        if context.node.json { output::json(&removed) } else { Ok(()) }
    }
}

impl ClearArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let removed = async { remove(context, &all(context).await?).await };
        let removed = output::action("Removing all SSH keys", removed, |_| None).await?;
        if context.node.json { output::json(&removed) } else { Ok(()) }
    }
}

async fn all(context: &Context) -> Result<Vec<Key>, Failure> {
    context.client.get("/account/keys").await
}

async fn remove(context: &Context, keys: &[Key]) -> Result<Vec<Key>, Failure> {
    let mut removed = Vec::new();
    for key in keys {
        removed.push(context.client.call(Method::DELETE, &format!("/account/keys/{}", key.id)).await?);
    }
    Ok(removed)
}

fn unknown(comment: &str, keys: &[Key]) -> String {
    let known: Vec<_> = keys.iter().map(|key| key.comment.as_str()).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    format!("SSH Key {comment} not found.\nFound keys: {known}.")
}

/// The one public key in `~/.ssh`; of several the user has to choose.
fn found_at_home() -> Result<PathBuf, Failure> {
    let home = std::env::var_os("HOME")
        .ok_or_else(|| Failure::Usage("HOME is not set: name the file of the public key.".to_owned()))?;
    let dir = Path::new(&home).join(".ssh");
    let entries = match std::fs::read_dir(&dir) {
        Ok(entries) => entries.filter_map(Result::ok).map(|entry| entry.path()).collect(),
        Err(failed) if failed.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(source) => {
            return Err(Failure::Local {
                attempt: format!("look for a public key in {}", dir.display()),
                source,
            });
        }
    };
    let mut keys: Vec<_> =
        entries.into_iter().filter(|path| path.extension().is_some_and(|end| end == "pub")).collect();
    keys.sort();
    match keys.as_slice() {
        [one] => {
            output::note(&format!("Found an SSH public key at {}\n", one.display()));
            Ok(one.clone())
        }
        [] => Err(Failure::Usage(format!(
            "There is no public key in {}: make one with `ssh-keygen`, or name its file.",
            dir.display()
        ))),
        several => {
            let names: Vec<_> = several.iter().map(|path| path.display().to_string()).collect();
            Err(Failure::Usage(format!("There are several public keys: name one of {}.", names.join(", "))))
        }
    }
}

/// The line in a file, which must not be a private key: that one is never sent anywhere.
fn public_key(file: &Path) -> Result<String, Failure> {
    let failed = |source| Failure::Local { attempt: format!("read {}", file.display()), source };
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(failed)?;
    opened.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    if text.contains("PRIVATE KEY") {
        return Err(Failure::Usage(format!(
            "{} is a private key, which stays with you: name the file that ends in .pub.",
            file.display()
        )));
    }
    Ok(text)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    InFull,
    Shortened,
}

fn rendered(keys: &[Key], shown: Shown) -> Option<String> {
    let email = &keys.first()?.email;
    let line = |key: &Key| match shown {
        Shown::InFull => format!("{}\n", key.public_key.trim_end()),
        Shown::Shortened => {
            let mut parts = key.public_key.split_whitespace();
            let (kind, body) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            format!("{kind} {} {}", ends(body), key.comment).trim_end().to_owned() + "\n"
        }
    };
    Some(heading(&format!("{email} keys")) + &keys.iter().map(line).collect::<String>())
}

/// `AAAAB3NzaC...Zh0wxyQ1ab`; what is not longer than that stays as it is.
fn ends(body: &str) -> String {
    let length = body.chars().count();
    if length <= 2 * SHOWN_CHARACTERS {
        return body.to_owned();
    }
    let first: String = body.chars().take(SHOWN_CHARACTERS).collect();
    let last: String = body.chars().skip(length - SHOWN_CHARACTERS).collect();
    format!("{first}...{last}")
}

#[cfg(test)]
mod test {
    use super::*;

    fn key(comment: &str) -> Key {
        Key {
            comment: comment.to_owned(),
            created_at: "2026-11-18T01:36:38Z".to_owned(),
            email: "me@example.com".to_owned(),
            fingerprint: "SHA256:x".to_owned(),
            id: uuid::Uuid::nil(),
            public_key: format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMk0 {comment}\n"),
            updated_at: "2026-11-18T01:36:38Z".to_owned(),
        }
    }

    #[test]
    fn keys_are_shown_by_their_ends_unless_asked_for_in_full() {
        let keys = [key("me@laptop"), key("")];
        assert_eq!(rendered(&[], Shown::InFull), None);
        insta::assert_snapshot!(rendered(&keys, Shown::Shortened).unwrap(), @r"
        === me@example.com keys

        ssh-ed25519 AAAAC3NzaC...E5AAAAIMk0 me@laptop
        ssh-ed25519 AAAAC3NzaC...E5AAAAIMk0
        ");
        insta::assert_snapshot!(rendered(&keys[..1], Shown::InFull).unwrap(), @r"
        === me@example.com keys

        ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMk0 me@laptop
        ");
    }

    #[test]
    fn an_unknown_comment_is_told_with_those_there_are() {
        assert_eq!(unknown("x", &[key("a"), key("b")]), "SSH Key x not found.\nFound keys: a, b.");
        assert_eq!(unknown("x", &[]), "SSH Key x not found.\nFound keys: none.");
    }

    #[test]
    fn a_private_key_is_never_sent() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("id_ed25519");
        // In two parts, so that no scanner takes this file for one.
        std::fs::write(&file, concat!("-----BEGIN OPENSSH PRIVATE", " KEY-----\nx\n")).unwrap();
        let refused = public_key(&file).unwrap_err();
        assert!(refused.to_string().contains("stays with you"), "{refused}");
        std::fs::write(&file, "ssh-ed25519 AAAA me\n").unwrap();
        assert_eq!(public_key(&file).unwrap(), "ssh-ed25519 AAAA me\n");
    }
}
