//! Packages that not every app needs, such as those of a language: a layer over a built stack, made when a build first asks
//! for it.
//!
//! Several sets asked for together are one layer, installed as a whole: the package database in it is then true. A layer lies
//! below the stack's version it was made for (`<stack>/<version>/layers/<id>/{run,build}`) and never changes.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::builder::{Site, UNFINISHED, check_host, remove_unfinished};
use super::data;
use super::error::StackError;
use super::inputs::{ID_DIGITS, Inputs};
use super::manifest::Description;
use super::progress::{Meter, Phase, Progress, begin};
use super::{LAYERS_DIR, Outcome, Stack, record};
use crate::domain::Service;
use crate::sys;

/// Counts changes of this code that make the same data come out differently.
const RECIPE: &str = "1";
/// Name of a layer's own record.
pub(super) const FILE: &str = "layer.json";
/// How long one look at a lock that another build holds may last, before the waiting is told again.
const WAIT_STEP: Duration = Duration::from_secs(5);
/// The most looks: longer than any build may take, so a holder that hangs is found out.
const WAIT_STEPS_MAX: u32 = 360;
/// Mounts what the layer goes over as `run`, then runs the installer with the arguments.
const OVER: &str = "set -eu
if [ -e below-build ]; then mount -t overlay overlay -o lowerdir=below-build:below-run run
else mount --bind below-run run; fi
exec sh \"$@\"";

/// What a layer says of itself on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LayerRecord {
    /// The sets it was asked for by.
    pub(super) sets: Vec<String>,
}

/// The sets of packages that stack `name` has besides its own, each with its title.
///
/// # Errors
/// The stack is unknown or its description is faulty.
pub fn sets(name: &str) -> Result<Vec<(String, String)>, StackError> {
    let manifest = Description::embedded(name)?.manifest;
    Ok(manifest.layers.into_iter().map(|(set, layer)| (set, layer.title)).collect())
}

/// `stack` with the layer of `sets` over it: found, or made now. Without sets it is the stack as it is.
///
/// Blocks for a minute when the layer is made; whoever asks for the same one meanwhile waits for it. Killed at any moment it
/// leaves no process, no mount and no half-made layer.
///
/// # Errors
/// [`StackError`] says what is missing and what to do; nothing is then changed.
pub fn with_layers(
    stack: &Stack,
    sets: &BTreeSet<String>,
    progress: &mut dyn Progress,
) -> Result<(Stack, Outcome), StackError> {
    let bare = stack.bare();
    if sets.is_empty() {
        return Ok((bare, Outcome::AlreadyBuilt));
    }
    let description = Description::embedded(bare.name.as_str()).map_err(|error| of_imported(error, sets))?;
    lay(bare, &Lists::of(&description, sets)?, progress)
}

/// `stack` with the packages of a data service over it: found, or made now, as [`with_layers`] does. Builds have no part in it.
///
/// # Errors
/// As [`with_layers`].
pub fn with_service(
    stack: &Stack,
    service: &Service,
    progress: &mut dyn Progress,
) -> Result<(Stack, Outcome), StackError> {
    lay(stack.bare(), &Lists::of_service(service), progress)
}

/// `bare` with a layer of these packages over it.
fn lay(bare: Stack, lists: &Lists, progress: &mut dyn Progress) -> Result<(Stack, Outcome), StackError> {
    let id = lists.content_id(&bare.version);
    if let Ok(found) = bare.clone().over(&id) {
        return Ok((found, Outcome::AlreadyBuilt));
    }
    if !sys::privilege::is_root() {
        return Err(StackError::NotRoot);
    }
    let home = bare.dir.join(LAYERS_DIR);
    std::fs::create_dir_all(&home).map_err(StackError::file("create", &home))?;
    let _lock = locked(&home.join(".lock"), progress)?;
    if let Ok(found) = bare.clone().over(&id) {
        return Ok((found, Outcome::AlreadyBuilt));
    }
    begin(progress, Phase::Check);
    remove_unfinished(&home)?;
    let inputs = Inputs::gather(bare.name.as_str())?;
    check_host(&home, &inputs)?;
    let site = Site { dir: home.join(format!("{UNFINISHED}{id}")), inputs: &inputs };
    let made = make(&site, &bare, lists, progress).and_then(|()| record::publish(&site.dir, &home.join(&id)));
    if let Err(error) = made {
        // The cause matters more than a leftover, which the next build removes.
        let _ = sys::fs::remove_tree(&site.dir);
        return Err(error);
    }
    progress.update(Phase::Publish, 100, "");
    Ok((bare.over(&id)?, Outcome::Built))
}

/// A stack that is not known as data was imported, and has no sets.
fn of_imported(error: StackError, sets: &BTreeSet<String>) -> StackError {
    let StackError::Unknown { name: stack, .. } = error else { return error };
    let name = sets.iter().cloned().collect::<Vec<_>>().join(", ");
    StackError::UnknownLayer { name, stack, known: "none, for it was imported".to_owned() }
}

/// The lock of a stack's layers, waited for as long as another build may need it.
fn locked(path: &Path, progress: &mut dyn Progress) -> Result<sys::lock::Lock, StackError> {
    for step in 0..WAIT_STEPS_MAX {
        let patience = if step == 0 { Duration::ZERO } else { WAIT_STEP };
        if let Some(lock) = sys::lock::wait_lock(path, patience).map_err(StackError::file("lock", path))? {
            return Ok(lock);
        }
        begin(progress, Phase::Wait);
    }
    Err(StackError::Busy)
}

/// The packages of some sets.
struct Lists {
    sets: BTreeSet<String>,
    run: BTreeSet<String>,
    build: BTreeSet<String>,
}

impl Lists {
    fn of_service(service: &Service) -> Self {
        let run = service.packages.iter().cloned().collect();
        Self { sets: [service.name.clone()].into(), run, build: BTreeSet::new() }
    }

    fn of(description: &Description, sets: &BTreeSet<String>) -> Result<Self, StackError> {
        let mut lists = Self { sets: sets.clone(), run: BTreeSet::new(), build: BTreeSet::new() };
        for set in sets {
            let layers = &description.manifest.layers;
            let layer = layers.get(set).ok_or_else(|| StackError::UnknownLayer {
                name: set.clone(),
                stack: description.manifest.name.clone(),
                known: layers.keys().cloned().collect::<Vec<_>>().join(", "),
            })?;
            lists.run.extend(layer.run.iter().cloned());
            // Builds see no layer of dynos, so theirs holds both.
            lists.build.extend(layer.run.iter().chain(&layer.build).cloned());
        }
        Ok(lists)
    }

    /// Equal packages over an equal stack, equal id.
    fn content_id(&self, stack_version: &str) -> String {
        let mut hash = Sha256::new();
        let mut take = |text: &str| {
            hash.update(text.len().to_le_bytes());
            hash.update(text.as_bytes());
        };
        for text in [RECIPE, data::FINISH, data::DELTA, stack_version] {
            take(text);
        }
        for list in [&self.run, &self.build] {
            take(&list.iter().map(String::as_str).collect::<Vec<_>>().join(" "));
        }
        let mut id = hex::encode(hash.finalize());
        id.truncate(ID_DIGITS);
        id
    }
}

fn make(
    site: &Site<'_>,
    below: &Stack,
    lists: &Lists,
    progress: &mut dyn Progress,
) -> Result<(), StackError> {
    site.write_tools()?;
    let variants = [("run", &lists.run, Phase::RunPackages), ("build", &lists.build, Phase::BuildPackages)];
    for (variant, packages, phase) in variants {
        if packages.is_empty() {
            continue;
        }
        let list = packages.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
        site.write(&format!("tools/{variant}.packages"), &list)?;
        let place = format!("site-{variant}");
        for part in ["run", "build", "work", "merged"] {
            site.make_dir(&Path::new(&place).join(part))?;
        }
        let link = |name: &str| {
            let link = site.dir.join(&place).join(format!("below-{name}"));
            symlink(below.dir.join(name), &link).map_err(StackError::file("link", &link))
        };
        link("run")?;
        if variant == "build" {
            link("build")?;
        }
        let script = format!(
            "cd {place} && exec sh -c \"$1\" sh ../tools/delta.sh ../tools/apt.conf ../tools/{variant}.packages \
             ../tools/finish.sh ../tools/debian.sources"
        );
        let argv = ["sh", "-c", &script, "sh", OVER].map(Into::into).to_vec();
        let meter = Meter::new(phase, packages.len());
        site.metered("installing the packages of a layer", argv, meter, progress)?;
        let (made, kept) = (site.dir.join(&place).join("build"), site.dir.join(variant));
        std::fs::rename(&made, &kept).map_err(StackError::file("move", made))?;
        let rest = site.dir.join(&place);
        sys::fs::remove_tree(&rest).map_err(StackError::file("remove", rest))?;
    }
    begin(progress, Phase::Publish);
    let tools = site.dir.join("tools");
    sys::fs::remove_tree(&tools).map_err(StackError::file("remove", tools))?;
    let record = LayerRecord { sets: lists.sets.iter().cloned().collect() };
    let path = site.dir.join(FILE);
    let bytes = serde_json::to_vec_pretty(&record)
        .map_err(|error| StackError::Record { path: path.clone(), reason: error.to_string() })?;
    sys::fs::write_atomically(&path, &bytes).map_err(StackError::file("write", path))?;
    site.tool("writing to disk", ["sync", "--file-system", "."]).run(&mut |_| ())
}

#[cfg(test)]
mod test {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_id_follows_the_packages_and_the_stack_below() {
        let description = Description::embedded("cedar-13").unwrap();
        let (ruby, both) = (set(&["ruby"]), set(&["go", "ruby"]));
        let id = |sets, below| Lists::of(&description, sets).unwrap().content_id(below);
        assert_eq!(id(&ruby, "00"), id(&ruby, "00"));
        assert_ne!(id(&ruby, "00"), id(&ruby, "01"));
        assert_ne!(id(&ruby, "00"), id(&both, "00"));
        assert_eq!(id(&ruby, "00").len(), ID_DIGITS);
    }

    #[test]
    fn an_unknown_set_is_refused_with_those_there_are() {
        let description = Description::embedded("cedar-13").unwrap();
        let error = Lists::of(&description, &set(&["cobol"])).err().unwrap().to_string();
        assert!(error.contains("cobol") && error.contains("ruby"), "{error}");
    }

    #[test]
    fn a_stack_that_was_imported_has_no_sets() {
        let error = of_imported(Description::embedded("mine").unwrap_err(), &set(&["ruby"])).to_string();
        assert!(
            error.contains("`mine` has no packages of the name `ruby`") && error.contains("imported"),
            "{error}"
        );
    }

    #[test]
    fn builds_see_what_dynos_see_and_more() {
        let description = Description::embedded("cedar-13").unwrap();
        for (name, _) in sets("cedar-13").unwrap() {
            let sets = set(&[&name]);
            let lists = Lists::of(&description, &sets).unwrap();
            assert!(lists.run.is_subset(&lists.build) && !lists.build.is_empty(), "{name}");
        }
    }

    #[test]
    fn without_sets_a_stack_is_as_it_is() {
        let lib = tempfile::tempdir().unwrap();
        let stack = super::super::test::built(lib.path(), "00ff");
        let (same, outcome) = with_layers(&stack, &BTreeSet::new(), &mut super::super::Silent).unwrap();
        assert_eq!((same, outcome), (stack, Outcome::AlreadyBuilt));
    }
}
