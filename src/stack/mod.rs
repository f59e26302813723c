//! Stacks: root file systems that dynos and builds run on, built from data.
//!
//! A stack has two variants: `run`, which dynos see, and `build`, a layer over it with compilers and headers. A built stack
//! never changes; its version is a digest of what went into it, and several versions may lie side by side on a node
//! (`<lib>/stacks/<name>/<version>/{run,build}`, and `current`, a link to the version that new builds use).
//!
//! What not every app needs, such as a language, is a layer over both, made when a build first asks for it
//! (`<version>/layers/<id>/{run,build}`). A version with a layer is written `<version>+<id>`.
//!
//! A stack may also be brought: [`import`] makes one of a root file system or an image. It has no such layers.
//!
//! Not here: mounting a stack (`runtime`), and choosing one for an app (`flows`).
//! Contract: [`build`] makes one visible whole or not at all; [`Stack`] finds one; [`host`] collects what builds need of the host.

mod builder;
mod contained;
mod data;
mod error;
pub mod host;
mod import;
mod inputs;
mod layers;
mod manifest;
mod progress;
mod record;
mod services;
mod sources;
mod trust;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::domain::{StackName, StackVersion};

pub use builder::{Freshness, Outcome, build};
pub use error::StackError;
pub use import::{Import, import};
pub use layers::{sets, with_layers, with_service};
pub use progress::{Phase, Progress, Silent};
pub use services::{service, services};

/// Directory of the layers over a built stack.
const LAYERS_DIR: &str = "layers";
/// What stands between the version of a stack and the layer over it.
const LAYER_MARK: char = '+';

/// A built stack on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    /// Its name, such as `cedar-13`.
    pub name: StackName,
    /// Digest of what went into it; with a layer over it, that one's after a `+`.
    pub version: String,
    /// The name third-party buildpacks see in `$STACK`.
    pub compat: String,
    /// One line for people.
    pub description: String,
    /// Environment of every process on the run variant, below everything else.
    pub env: BTreeMap<String, String>,
    /// The same for builds.
    pub build_env: BTreeMap<String, String>,
    /// Unix time at which it was built, seconds; `None` where that was not kept.
    pub built_at_s: Option<i64>,
    /// Content id of what it was made from.
    inputs: String,
    dir: PathBuf,
    layer: Option<PathBuf>,
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
        if let Some((below, layer)) = version.split_once(LAYER_MARK) {
            return Self::at(lib_dir, name, below)?.over(layer);
        }
        let is_plain = is_id(version);
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
            built_at_s: record.built_at_s,
            inputs: record.inputs.unwrap_or_else(|| version.to_owned()),
            dir,
            layer: None,
        })
    }

    /// The stack without a layer over it.
    fn bare(&self) -> Self {
        let version = self.version.split(LAYER_MARK).next().unwrap_or_default().to_owned();
        Self { version, layer: None, ..self.clone() }
    }

    /// The stack, which must be bare, with the layer `id` over it.
    fn over(self, id: &str) -> Result<Self, StackError> {
        let dir = self.dir.join(LAYERS_DIR).join(id);
        if !is_id(id) || !dir.join(layers::FILE).is_file() {
            return Err(StackError::LayerMissing { stack: self.name.to_string(), id: id.to_owned() });
        }
        let version = format!("{}{LAYER_MARK}{id}", self.version);
        Ok(Self { version, layer: Some(dir), ..self })
    }

    /// Which build of the stack it is, whatever lies over it.
    #[must_use]
    pub fn build_of(&self) -> StackVersion {
        StackVersion { id: self.bare().version, built_at_s: self.built_at_s }
    }

    /// The layers dynos run on, lowest first.
    #[must_use]
    pub fn run_layers(&self) -> Vec<PathBuf> {
        let layer = self.layer.iter().map(|dir| dir.join("run"));
        // A layer of tools that only builds need has none for dynos.
        [self.dir.join("run")].into_iter().chain(layer.filter(|dir| dir.is_dir())).collect()
    }

    /// The layers builds run on, lowest first.
    #[must_use]
    pub fn build_layers(&self) -> Vec<PathBuf> {
        let layer = self.layer.iter().map(|dir| dir.join("build"));
        [self.dir.join("run"), self.dir.join("build")].into_iter().chain(layer).collect()
    }
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The names of the stacks this binary can build, in order, whether built or not.
#[must_use]
pub fn known() -> Vec<StackName> {
    data::stack_names().filter_map(|name| name.parse().ok()).collect()
}

/// The names of the stacks that this node has, in order: those it has built and those that were imported.
#[must_use]
pub fn present(lib_dir: &Path) -> Vec<StackName> {
    let entries = std::fs::read_dir(lib_dir.join("stacks")).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut names: Vec<_> = names.filter(|name| Stack::current(lib_dir, name).is_ok()).collect();
    names.sort();
    names
}

fn home(lib_dir: &Path, name: &StackName) -> PathBuf {
    lib_dir.join("stacks").join(name.as_str())
}

#[cfg(test)]
mod test {
    use super::*;

    /// A stack as it lies on disk, without files.
    pub(super) fn built(lib: &Path, version: &str) -> Stack {
        let name = StackName::default();
        let dir = home(lib, &name).join(version);
        std::fs::create_dir_all(&dir).unwrap();
        let description = manifest::Description::embedded(name.as_str()).unwrap();
        let mark = record::Mark { id: version, inputs: version, built_at_s: 1_700_000_000 };
        record::write(&dir, &description.manifest, mark).unwrap();
        record::make_current(lib, &name, version).unwrap();
        Stack::current(lib, &name).unwrap()
    }

    #[test]
    fn a_layer_lies_over_the_version_it_was_made_for() {
        let lib = tempfile::tempdir().unwrap();
        let stack = built(lib.path(), "00ff");
        let at = |version: &str| Stack::at(lib.path(), &StackName::default(), version);
        assert!(matches!(at("00ff+ab"), Err(StackError::LayerMissing { .. })));
        let layer = stack.dir.join("layers/ab");
        std::fs::create_dir_all(layer.join("build")).unwrap();
        std::fs::write(layer.join(layers::FILE), "{}").unwrap();
        let with = at("00ff+ab").unwrap();
        assert_eq!(with.version, "00ff+ab");
        assert_eq!(with.run_layers(), stack.run_layers());
        assert_eq!(with.build_layers(), [stack.build_layers(), vec![layer.join("build")]].concat());
        std::fs::create_dir(layer.join("run")).unwrap();
        assert_eq!(with.run_layers(), [stack.run_layers(), vec![layer.join("run")]].concat());
        assert_eq!(with.bare(), stack);
        assert!(at("00ff+../ab").is_err() && at("00ff+").is_err());
    }

    #[test]
    fn a_stack_is_found_by_its_version_and_as_the_current_one() {
        let lib = tempfile::tempdir().unwrap();
        let name = StackName::default();
        assert!(matches!(Stack::current(lib.path(), &name), Err(StackError::NotBuilt(_))));
        let stack = built(lib.path(), "00ff");
        let dir = home(lib.path(), &name).join("00ff");
        assert_eq!((stack.version.as_str(), stack.compat.as_str()), ("00ff", "heroku-24"));
        assert_eq!(stack.run_layers(), [dir.join("run")]);
        assert_eq!(stack.build_layers(), [dir.join("run"), dir.join("build")]);
        for foreign in ["", "..", "../cedar-13/00ff", "beef"] {
            assert!(Stack::at(lib.path(), &name, foreign).is_err(), "{foreign}");
        }
    }

    #[test]
    fn a_stack_tells_which_build_it_is_and_so_does_one_with_a_layer() {
        let lib = tempfile::tempdir().unwrap();
        let stack = built(lib.path(), "00ff");
        std::fs::create_dir_all(stack.dir.join("layers/ab/build")).unwrap();
        std::fs::write(stack.dir.join("layers/ab").join(layers::FILE), "{}").unwrap();
        let with = Stack::at(lib.path(), &stack.name, "00ff+ab").unwrap();
        assert_eq!(with.build_of(), StackVersion { id: "00ff".to_owned(), built_at_s: Some(1_700_000_000) });
        // As records were written that knew nothing of it.
        let path = stack.dir.join(record::FILE);
        let text = std::fs::read_to_string(&path).unwrap().replace(",\n  \"built_at_s\": 1700000000", "");
        std::fs::write(&path, text).unwrap();
        let older = Stack::at(lib.path(), &stack.name, "00ff").unwrap();
        assert_eq!((older.built_at_s, older.inputs.as_str()), (None, "00ff"));
    }

    #[test]
    fn what_a_node_has_is_what_is_whole() {
        let lib = tempfile::tempdir().unwrap();
        assert!(present(lib.path()).is_empty());
        built(lib.path(), "00ff");
        for other in [".building-1", "cedar-12", "no name"] {
            std::fs::create_dir_all(lib.path().join("stacks").join(other)).unwrap();
        }
        assert_eq!(present(lib.path()), [StackName::default()]);
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
