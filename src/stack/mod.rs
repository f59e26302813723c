//! Stacks: root file systems that dynos and builds run on, built from data.
//!
//! A stack has two variants: `run`, which dynos see, and `build`, a layer over it with compilers and headers. A built stack
//! never changes; its version is a digest of what went into it, and several versions may lie side by side on a node
//! (`<lib>/stacks/<name>/<version>/{run,build}`, and `current`, a link to the version that new builds use).
//!
//! Not here: mounting a stack (`runtime`), and choosing one for an app (`flows`).
//! Contract: [`build`] makes one visible whole or not at all; [`Stack`] finds one; [`host`] collects what builds need of the host.

mod builder;
mod contained;
mod data;
mod error;
pub mod host;
mod inputs;
mod manifest;
mod progress;
mod record;
mod sources;
mod trust;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::domain::StackName;

pub use builder::{Outcome, build};
pub use error::StackError;
pub use progress::{Phase, Progress, Silent};

/// A built stack on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    /// Its name, such as `cedar-13`.
    pub name: StackName,
    /// Digest of what went into it.
    pub version: String,
    /// The name third-party buildpacks see in `$STACK`.
    pub compat: String,
    /// One line for people.
    pub description: String,
    /// Environment of every process on the run variant, below everything else.
    pub env: BTreeMap<String, String>,
    /// The same for builds.
    pub build_env: BTreeMap<String, String>,
    dir: PathBuf,
}

impl Stack {
    /// The version of `name` that new builds use.
    ///
    /// # Errors
    /// [`StackError::NotBuilt`], or a damaged record.
    pub fn current(lib_dir: &Path, name: &StackName) -> Result<Self, StackError> {
        let link = home(lib_dir, name).join(record::CURRENT);
        match std::fs::read_link(&link) {
            Ok(version) => Self::at(lib_dir, name, &version.to_string_lossy()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(StackError::NotBuilt(name.to_string()))
            }
            Err(error) => Err(StackError::file("read", link)(error)),
        }
    }

    /// A given version, such as the one a release remembers.
    ///
    /// # Errors
    /// [`StackError::NotBuilt`], or a damaged record.
    pub fn at(lib_dir: &Path, name: &StackName, version: &str) -> Result<Self, StackError> {
        let is_plain = !version.is_empty() && version.bytes().all(|b| b.is_ascii_hexdigit());
        let dir = home(lib_dir, name).join(version);
        let record = if is_plain { record::read(&dir)? } else { None };
        let record = record.ok_or_else(|| StackError::NotBuilt(name.to_string()))?;
        Ok(Self {
            name: name.clone(),
            version: version.to_owned(),
            compat: record.compat,
            description: record.description,
            env: record.env,
            build_env: record.build_env,
            dir,
        })
    }

    /// The layers dynos run on, lowest first.
    #[must_use]
    pub fn run_layers(&self) -> Vec<PathBuf> {
        vec![self.dir.join("run")]
    }

    /// The layers builds run on, lowest first.
    #[must_use]
    pub fn build_layers(&self) -> Vec<PathBuf> {
        vec![self.dir.join("run"), self.dir.join("build")]
    }
}

/// The names of the stacks this binary can build, in order, whether built or not.
#[must_use]
pub fn known() -> Vec<StackName> {
    data::stack_names().filter_map(|name| name.parse().ok()).collect()
}

fn home(lib_dir: &Path, name: &StackName) -> PathBuf {
    lib_dir.join("stacks").join(name.as_str())
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_stack_is_found_by_its_version_and_as_the_current_one() {
        let lib = tempfile::tempdir().unwrap();
        let name = StackName::default();
        assert!(matches!(Stack::current(lib.path(), &name), Err(StackError::NotBuilt(_))));
        let dir = home(lib.path(), &name).join("00ff");
        std::fs::create_dir_all(&dir).unwrap();
        let description = manifest::Description::embedded(name.as_str()).unwrap();
        record::write(&dir, &description.manifest, "00ff").unwrap();
        record::make_current(lib.path(), &name, "00ff").unwrap();
        let stack = Stack::current(lib.path(), &name).unwrap();
        assert_eq!((stack.version.as_str(), stack.compat.as_str()), ("00ff", "heroku-24"));
        assert_eq!(stack.run_layers(), [dir.join("run")]);
        assert_eq!(stack.build_layers(), [dir.join("run"), dir.join("build")]);
        for foreign in ["", "..", "../cedar-13/00ff", "beef"] {
            assert!(Stack::at(lib.path(), &name, foreign).is_err(), "{foreign}");
        }
    }

    #[test]
    fn the_default_stack_is_known() {
        assert!(known().contains(&StackName::default()));
    }

    #[test]
    fn a_damaged_record_is_told_from_a_missing_one() {
        let lib = tempfile::tempdir().unwrap();
        let dir = home(lib.path(), &StackName::default()).join("00ff");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(record::FILE), "{").unwrap();
        let found = Stack::at(lib.path(), &StackName::default(), "00ff");
        assert!(matches!(found, Err(StackError::Record { .. })));
    }
}
