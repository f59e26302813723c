//! A fingerprint of a tree of files by what their directories tell: names, kinds, permissions, sizes, times and the targets of links.
//!
//! It notices files that are missing, new, cut off or written to, in the time that listing takes. Contents are not read: what changes
//! bytes and sets the time back, as failing hardware might, goes unnoticed.

use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Name of the file in which the fingerprint of a tree is kept, beside the tree.
pub const FILE: &str = "fingerprint";

/// What a comparison has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compared {
    /// They are alike, or none was kept.
    Alike,
    /// They are not.
    Different {
        /// The one that was kept.
        kept: String,
        /// That of the tree as it is.
        found: String,
    },
}

/// Keeps the fingerprint of `tree` beside it.
///
/// # Errors
/// The kernel's errno.
pub fn keep(tree: &Path) -> io::Result<()> {
    std::fs::write(tree.with_file_name(FILE), of_tree(tree)?)
}

/// What tells one build of a program from another: its file, and when that was written last.
///
/// # Errors
/// The kernel's errno.
pub fn of_program(program: &Path) -> io::Result<String> {
    let file = std::fs::metadata(program)?;
    Ok(format!("{}:{}:{}:{}.{:09}", file.dev(), file.ino(), file.size(), file.mtime(), file.mtime_nsec()))
}

/// Compares `tree` with the fingerprint beside it.
///
/// # Errors
/// The kernel's errno.
pub fn compare(tree: &Path) -> io::Result<Compared> {
    let kept = match std::fs::read_to_string(tree.with_file_name(FILE)) {
        Ok(kept) => kept,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Compared::Alike),
        Err(error) => return Err(error),
    };
    let found = of_tree(tree)?;
    Ok(if kept == found { Compared::Alike } else { Compared::Different { kept, found } })
}

/// The fingerprint, in hexadecimal digits. Owners do not count, nor does where the tree lies.
///
/// # Errors
/// The kernel's errno.
pub fn of_tree(root: &Path) -> io::Result<String> {
    let mut digest = Sha256::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(within) = waiting.pop() {
        let mut names: Vec<_> = std::fs::read_dir(root.join(&within))?
            .map(|entry| Ok(entry?.file_name()))
            .collect::<io::Result<_>>()?;
        names.sort();
        for name in names {
            let within = within.join(name);
            let path = root.join(&within);
            let meta = std::fs::symlink_metadata(&path)?;
            add(&mut digest, &within, &meta, &path)?;
            if meta.is_dir() {
                waiting.push(within);
            }
        }
    }
    Ok(hex::encode(digest.finalize()))
}

fn add(digest: &mut Sha256, within: &Path, meta: &Metadata, path: &Path) -> io::Result<()> {
    let mut part = |bytes: &[u8]| {
        digest.update((bytes.len() as u64).to_le_bytes());
        digest.update(bytes);
    };
    part(within.as_os_str().as_bytes());
    part(&meta.mode().to_le_bytes());
    if meta.is_symlink() {
        part(std::fs::read_link(path)?.as_os_str().as_bytes());
    } else if meta.is_file() {
        part(&meta.size().to_le_bytes());
        part(&meta.mtime().to_le_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod test {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::time::{Duration, SystemTime};

    use super::*;

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        for name in ["one", "a/two", "a/b/three"] {
            fs::write(dir.path().join(name), name).unwrap();
            let file = fs::File::options().append(true).open(dir.path().join(name)).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(315_532_800)).unwrap();
        }
        symlink("one", dir.path().join("link")).unwrap();
        dir
    }

    #[test]
    fn equal_trees_are_equal_wherever_they_lie() {
        assert_eq!(of_tree(tree().path()).unwrap(), of_tree(tree().path()).unwrap());
    }

    #[test]
    fn a_kept_fingerprint_is_compared_with() {
        let dir = tree();
        let tree = dir.path().join("a");
        assert_eq!(compare(&tree).unwrap(), Compared::Alike, "nothing is kept");
        keep(&tree).unwrap();
        assert_eq!(compare(&tree).unwrap(), Compared::Alike);
        fs::write(tree.join("two"), "changed").unwrap();
        let Compared::Different { kept, found } = compare(&tree).unwrap() else { panic!("not noticed") };
        assert!(kept.len() == 64 && found.len() == 64 && kept != found, "{kept} {found}");
    }

    #[test]
    fn every_change_that_a_directory_tells_of_is_noticed() {
        type Change = fn(&Path) -> io::Result<()>;
        let changes: [Change; 6] = [
            |root| fs::remove_file(root.join("a/two")),
            |root| fs::write(root.join("a/new"), ""),
            |root| fs::write(root.join("one"), "eno"),
            |root| fs::rename(root.join("one"), root.join("uno")),
            |root| fs::set_permissions(root.join("one"), fs::Permissions::from_mode(0o755)),
            |root| fs::remove_file(root.join("link")).and_then(|()| symlink("a/two", root.join("link"))),
        ];
        let whole = of_tree(tree().path()).unwrap();
        for (at, change) in changes.iter().enumerate() {
            let tree = tree();
            change(tree.path()).unwrap();
            assert_ne!(of_tree(tree.path()).unwrap(), whole, "change {at}");
        }
    }
}
