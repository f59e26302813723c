//! Which buildpacks a build may use, and their copies for one build.
//!
//! Copies are fresh for every build and writable, because scripts leave an `export` file beside themselves. What lies in the
//! network, or in a repository or an archive, is fetched by a step of the build (`fetch`) into a place that is made here.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::build::built_in::BUILT_IN;
use crate::build::origin::{self, Origin};
use crate::build::{NodeFailure, Stop};
use crate::domain::Bytes;
use crate::wire::push_text;

/// The most that a local buildpack may hold.
const LOCAL_MAX: Bytes = Bytes::mib(256);

/// Permission bits of what `bin` holds.
const SCRIPT_MODE: u32 = 0o755;

/// A buildpack of a build.
#[derive(Clone, Debug)]
pub(super) struct Pack {
    /// As the app names it, without what an address holds of secrets.
    pub(super) name: String,
    /// Which of the build's copies it is.
    pub(super) index: usize,
    pub(super) origin: Origin,
}

/// A buildpack that will compile the app.
pub(super) struct Chosen {
    pub(super) pack: Pack,
    /// What its detection said, if it has run.
    pub(super) detected: Option<String>,
}

impl Chosen {
    pub(super) fn undetected(pack: Pack) -> Chosen {
        Chosen { pack, detected: None }
    }
}

/// The buildpacks of these names; all built-in ones, in the order of detection, if there are none.
pub(super) fn resolve(names: &[String], known: &BTreeMap<String, String>) -> Result<Vec<Pack>, Stop> {
    if names.is_empty() {
        let all = BUILT_IN.iter().enumerate();
        return Ok(all
            .map(|(index, own)| Pack { name: own.name.to_owned(), index, origin: Origin::BuiltIn(own.files) })
            .collect());
    }
    let packs = names.iter().enumerate().map(|(index, name)| {
        let shown = origin::shown(name);
        let origin = origin::of(name, known)
            .map_err(|reason| Stop::Source(push_text::buildpack_refused(&shown, &reason)))?;
        Ok(Pack { name: shown, index, origin })
    });
    packs.collect()
}

impl Pack {
    /// Makes the copy at `dir`, which must not exist.
    pub(super) fn copy_to(&self, dir: &Path) -> Result<(), NodeFailure> {
        match &self.origin {
            Origin::BuiltIn(files) => {
                for (path, contents) in *files {
                    let path = dir.join(path);
                    let parent = path.parent().unwrap_or(dir);
                    fs::create_dir_all(parent).map_err(NodeFailure::file("make", parent))?;
                    fs::write(&path, contents).map_err(NodeFailure::file("write", &path))?;
                }
            }
            Origin::Local(from) => {
                let mut room = LOCAL_MAX.0;
                copy_tree(from, dir, &mut room).map_err(NodeFailure::file("copy the buildpack", from))?;
            }
            Origin::Git { .. } | Origin::Archive(_) => {
                return fs::create_dir_all(dir).map_err(NodeFailure::file("make", dir));
            }
        }
        make_scripts_executable(&dir.join("bin")).map_err(NodeFailure::file("prepare", dir.join("bin")))
    }
}

fn make_scripts_executable(bin: &Path) -> io::Result<()> {
    for entry in fs::read_dir(bin)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(SCRIPT_MODE))?;
        }
    }
    Ok(())
}

/// Files, directories and links; a link is copied as one, so nothing outside the tree is read.
fn copy_tree(from: &Path, to: &Path, room: &mut u64) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            if entry.file_name() != ".git" {
                copy_tree(&entry.path(), &target, room)?;
            }
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, &target)?;
        } else if kind.is_file() {
            let too_large = || io::Error::other(format!("it holds more than {LOCAL_MAX}"));
            *room = room.checked_sub(entry.metadata()?.len()).ok_or_else(too_large)?;
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn names_from_the_api_and_plain_ones_are_the_same() {
        let names = ["heroku/python".to_owned(), "urn:buildpack:heroku/nodejs".to_owned()];
        let packs = resolve(&names, &BTreeMap::new()).unwrap_or_default();
        let found: Vec<_> = packs.iter().map(|pack| (pack.name.as_str(), pack.index)).collect();
        assert_eq!(found, [("heroku/python", 0), ("heroku/nodejs", 1)]);
    }

    #[test]
    fn a_local_one_is_copied_with_links_and_without_its_history() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        for sub in ["bin", ".git"] {
            fs::create_dir_all(from.join(sub)).unwrap();
        }
        fs::write(from.join("bin/compile"), "#!/bin/sh\n").unwrap();
        fs::write(from.join(".git/config"), "").unwrap();
        symlink("/etc/passwd", from.join("link")).unwrap();
        let packs = resolve(&[from.to_string_lossy().into_owned()], &BTreeMap::new()).unwrap_or_default();
        packs.first().unwrap().copy_to(&to).unwrap();
        assert_eq!(fs::metadata(to.join("bin/compile")).unwrap().permissions().mode() & 0o777, SCRIPT_MODE);
        assert!(to.join("link").is_symlink() && !to.join(".git").exists());
    }
}
