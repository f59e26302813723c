//! What is fetched from a node into a new file here. It has its name once it is whole; of what fails nothing is left.

use std::io;
use std::path::{Path, PathBuf};

use hyper::body::Incoming;
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

use crate::cli::Context;
use crate::cli::client::next_chunk;
use crate::cli::failure::Failure;
use crate::sys::fs;

/// What is behind the name of a file until it is whole.
const PART: &str = ".part";

/// Writes what is at a URL of the node's to a file that is not there yet and that only its owner reads, and tells how many bytes that
/// was. Where a SHA-256 is given, it is that of what has come.
pub(super) async fn to_new_file(
    context: &Context,
    url: &str,
    to: &Path,
    digest: Option<&str>,
) -> Result<u64, Failure> {
    if to.symlink_metadata().is_ok() {
        return Err(is_there(to));
    }
    let mut body = context.client.stream(url).await?;
    let mut aside = to.as_os_str().to_owned();
    aside.push(PART);
    let aside = PathBuf::from(aside);
    let made = tokio::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside).await;
    let mut file = made.map_err(|error| failed(&aside, to, error))?;
    let got = match fetched(&mut body, (&mut file, to), digest).await {
        Ok(bytes) => name(&aside, to).map(|()| bytes).map_err(|error| failed(to, to, error)),
        Err(failure) => Err(failure),
    };
    // It has its name, or it is half of something.
    let _gone = tokio::fs::remove_file(&aside).await;
    got
}

async fn fetched(
    body: &mut Incoming,
    (file, to): (&mut File, &Path),
    digest: Option<&str>,
) -> Result<u64, Failure> {
    let attempt = || Failure::local(format!("write {}", to.display()));
    let (mut hasher, mut bytes) = (Sha256::new(), 0);
    while let Some(piece) = next_chunk(body).await? {
        file.write_all(&piece).await.map_err(attempt())?;
        hasher.update(&piece);
        bytes += piece.len() as u64;
    }
    if digest.is_some_and(|digest| digest != hex::encode(hasher.finalize())) {
        let text = "What has come is not what the node has written: its SHA-256 is another. Try again.";
        return Err(Failure::Nothing(text.to_owned()));
    }
    file.sync_all().await.map_err(attempt())?;
    Ok(bytes)
}

/// Gives a file its name, and takes the place of none that has come to have it meanwhile.
fn name(aside: &Path, to: &Path) -> io::Result<()> {
    std::fs::hard_link(aside, to)?;
    fs::sync_dir(to.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

fn failed(path: &Path, to: &Path, error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::AlreadyExists {
        is_there(path)
    } else {
        Failure::local(format!("write {}", to.display()))(error)
    }
}

fn is_there(path: &Path) -> Failure {
    Failure::Usage(format!("{} is there already: name another with -o.", path.display()))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_file_takes_the_place_of_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let (aside, to) = (dir.path().join("x.part"), dir.path().join("x"));
        std::fs::write(&aside, "new").unwrap();
        name(&aside, &to).unwrap();
        std::fs::write(&to, "theirs").unwrap();
        let refused = failed(&to, &to, name(&aside, &to).unwrap_err()).to_string();
        assert!(refused.ends_with("is there already: name another with -o."), "{refused}");
        assert_eq!(std::fs::read_to_string(to).unwrap(), "theirs");
    }
}
