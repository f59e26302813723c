//! Which buildpacks a build may use, and their copies for one build.
//!
//! Two forms: names of those that are part of this program, and absolute paths of directories on this host. Copies are
//! fresh for every build and writable, because scripts leave an `export` file beside themselves.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::build::{NodeFailure, Stop};
use crate::domain::Bytes;
use crate::wire::push_text;

/// The most that a local buildpack may hold.
const LOCAL_MAX: Bytes = Bytes::mib(256);

/// Permission bits of what `bin` holds.
const SCRIPT_MODE: u32 = 0o755;

/// How the API spells the name of a built-in one.
const URN: &str = "urn:buildpack:";

/// A buildpack that is part of this program.
struct BuiltIn {
    name: &'static str,
    /// What it is for and by which file it knows it: `Python (requirements.txt)`.
    title: &'static str,
    /// Relative paths and contents.
    files: &'static [(&'static str, &'static str)],
}

/// The files of one directory below `buildpacks/`.
macro_rules! files {
    ($dir:literal: $($path:literal),+ $(,)?) => {
        &[$(($path, include_str!(concat!("../../buildpacks/", $dir, "/", $path)))),+]
    };
}

/// In the order of detection.
const BUILT_IN: &[BuiltIn] = &[
    BuiltIn {
        name: "heroku/nodejs",
        title: "Node.js (package.json)",
        files: files!("nodejs": "bin/compile", "bin/detect", "bin/release", "lib/common.sh", "lib/engine.sh", "lib/manifest.js",
            "lib/npm.sh", "lib/profile.sh"),
    },
    BuiltIn {
        name: "heroku/python",
        title: "Python (requirements.txt)",
        files: files!("python": "bin/compile", "bin/detect", "bin/release", "lib/common.sh", "lib/django.sh", "lib/pip.sh",
            "lib/profile.sh", "lib/version.sh"),
    },
];

/// A buildpack of a build.
#[derive(Clone, Debug)]
pub(super) struct Pack {
    /// As the app names it.
    pub(super) name: String,
    /// Which of the build's copies it is.
    pub(super) index: usize,
    origin: Origin,
}

#[derive(Clone, Debug)]
enum Origin {
    BuiltIn(&'static [(&'static str, &'static str)]),
    Local(PathBuf),
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
pub(super) fn resolve(names: &[String]) -> Result<Vec<Pack>, Stop> {
    if names.is_empty() {
        let all = BUILT_IN.iter().enumerate();
        return Ok(all
            .map(|(index, own)| Pack { name: own.name.to_owned(), index, origin: Origin::BuiltIn(own.files) })
            .collect());
    }
    let origins = names.iter().enumerate().map(|(index, name)| {
        let origin =
            origin(name).map_err(|reason| Stop::Source(push_text::buildpack_refused(name, &reason)))?;
        Ok(Pack { name: name.strip_prefix(URN).unwrap_or(name).to_owned(), index, origin })
    });
    origins.collect()
}

/// What the built-in ones are for, in the order of detection.
pub(super) fn titles() -> Vec<&'static str> {
    BUILT_IN.iter().map(|own| own.title).collect()
}

fn origin(name: &str) -> Result<Origin, String> {
    let plain = name.strip_prefix(URN).unwrap_or(name);
    if let Some(own) = BUILT_IN.iter().find(|own| own.name == plain) {
        return Ok(Origin::BuiltIn(own.files));
    }
    if plain.contains("://") || plain.starts_with("git@") {
        return Err("buildpacks from the network are not supported; copy it to a directory on this host and name its \
                    absolute path"
            .to_owned());
    }
    let path = Path::new(plain);
    if !path.is_absolute() {
        let known: Vec<_> = BUILT_IN.iter().map(|own| own.name).collect();
        return Err(format!("it is none of the built-in ones ({}) and no absolute path", known.join(", ")));
    }
    let has_compile = path.join("bin/compile").is_file();
    if has_compile {
        Ok(Origin::Local(path.to_owned()))
    } else {
        Err("there is no file bin/compile in it".to_owned())
    }
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

    fn refused(name: &str) -> String {
        match resolve(&[name.to_owned()]) {
            Err(Stop::Source(lines)) => lines.join("\n"),
            Ok(_) | Err(Stop::Node(_)) => panic!("{name} is refused"),
        }
    }

    #[test]
    fn the_built_in_ones_are_complete_and_in_the_order_of_detection() {
        let names: Vec<_> = resolve(&[]).unwrap_or_default().into_iter().map(|pack| pack.name).collect();
        assert_eq!(names, ["heroku/nodejs", "heroku/python"]);
        for own in BUILT_IN {
            for script in ["bin/detect", "bin/compile", "bin/release"] {
                assert!(own.files.iter().any(|(path, _)| *path == script), "{} {script}", own.name);
            }
        }
    }

    #[test]
    fn every_file_of_the_built_in_ones_is_in_the_program() {
        for own in BUILT_IN {
            let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("buildpacks")
                .join(own.name.strip_prefix("heroku/").unwrap());
            let found = walk(&dir, &dir);
            let mut embedded: Vec<_> = own.files.iter().map(|(path, _)| (*path).to_owned()).collect();
            embedded.sort();
            assert_eq!(found, embedded, "{}", own.name);
        }
    }

    /// Files of `bin`, `lib` and the like; tests and documentation of a buildpack stay outside.
    fn walk(root: &Path, dir: &Path) -> Vec<String> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if path.file_name().unwrap() != "test" {
                    found.extend(walk(root, &path));
                }
            } else if path.extension().is_none_or(|ending| ending != "md") {
                found.push(path.strip_prefix(root).unwrap().to_string_lossy().into_owned());
            }
        }
        found.sort();
        found
    }

    #[test]
    fn names_from_the_api_and_plain_ones_are_the_same() {
        let names = ["heroku/python".to_owned(), "urn:buildpack:heroku/nodejs".to_owned()];
        let packs = resolve(&names).unwrap_or_default();
        let found: Vec<_> = packs.iter().map(|pack| (pack.name.as_str(), pack.index)).collect();
        assert_eq!(found, [("heroku/python", 0), ("heroku/nodejs", 1)]);
    }

    #[test]
    fn other_forms_are_refused_with_a_way_out() {
        assert!(refused("https://example.com/pack.tgz").contains("copy it to a directory on this host"));
        assert!(refused("heroku/ruby").contains("heroku/nodejs, heroku/python"));
        assert!(refused("/nonexistent").contains("no file bin/compile"));
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
        let packs = resolve(&[from.to_string_lossy().into_owned()]).unwrap_or_default();
        packs.first().unwrap().copy_to(&to).unwrap();
        assert_eq!(fs::metadata(to.join("bin/compile")).unwrap().permissions().mode() & 0o777, SCRIPT_MODE);
        assert!(to.join("link").is_symlink() && !to.join(".git").exists());
    }
}
