//! Stacks that are not built here but brought: a root file system in an archive, an image in a directory (OCI layout), or one
//! in a registry.
//!
//! ```text
//!   archive ─┐
//!   layout ──┼─► layers, lowest first ─► unpacked over each other ─► finished ─► <lib>/stacks/<name>/<version>/{run,build}
//!   registry ┘
//! ```
//!
//! An image is not trusted: nothing of it is run here, and `rootfs/import.sh` unpacks it where nothing else can be written.

mod layout;
mod registry;
mod source;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use super::builder::{UNFINISHED, remove_unfinished};
use super::contained::Tool;
use super::inputs::ID_DIGITS;
use super::progress::{Phase, Progress, begin};
use super::record::{self, Record};
use super::{Outcome, Stack, StackError, data, home, trust};
use crate::domain::StackName;
use crate::sys;
use source::Source;

/// The most that one layer of an image may hold, unpacked, in bytes.
const LAYER_BYTES_MAX: u64 = 16 << 30;
/// The most layers of an image.
const LAYERS_MAX: usize = 128;
/// Free space without which nothing is begun, in MiB: a small image and its root file system.
const NEEDED_MIB: u64 = 1024;
/// Where programs are looked for in an image that does not say it.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The most letters of a name in an image's environment.
const VARIABLE_CHARS_MAX: usize = 128;

/// What is to become a stack.
#[derive(Clone, Debug)]
pub struct Import {
    /// The stack's name; none that this program builds itself.
    pub name: StackName,
    /// The name that third-party buildpacks see in `$STACK`; the stack's own if none is given.
    pub compat: Option<String>,
    /// What dynos run on: a path of an archive or of an image's directory, or the name of an image in a registry.
    pub run: String,
    /// What builds see over it; the same as dynos if none is given.
    pub build: Option<String>,
}

/// An image whose layers lie on this host.
#[derive(Debug)]
struct Image {
    /// Archives, lowest first.
    layers: Vec<PathBuf>,
    /// What its processes are to see.
    env: BTreeMap<String, String>,
    /// What it is told apart by.
    digest: String,
}

/// Makes a stack of an image, or finds it made of the same one, and makes it the current one of its name.
///
/// Blocks for minutes; needs root. Killed at any moment it leaves no process, no mount and no half-made stack.
///
/// # Errors
/// [`StackError`] says what is missing and what to do; nothing is then changed.
pub fn import(
    import: &Import,
    lib_dir: &Path,
    progress: &mut dyn Progress,
) -> Result<(Stack, Outcome), StackError> {
    begin(progress, Phase::Check);
    if data::stack_names().any(|name| name == import.name.as_str()) {
        return Err(StackError::NameTaken(import.name.to_string()));
    }
    let run = Source::of(&import.run)?;
    let build = import.build.as_deref().map(Source::of).transpose()?;
    if !sys::privilege::is_root() {
        return Err(StackError::NotRoot);
    }
    let (stacks, home) = (lib_dir.join("stacks"), home(lib_dir, &import.name));
    std::fs::create_dir_all(&home).map_err(StackError::file("create", &home))?;
    let lock_path = stacks.join(".lock");
    let lock = sys::lock::try_lock(&lock_path).map_err(StackError::file("lock", &lock_path))?;
    let _lock = lock.ok_or(StackError::Busy)?;
    remove_unfinished(&stacks)?;
    check_space(&stacks)?;
    let site = stacks.join(format!("{UNFINISHED}{}", import.name));
    let made = make(import, (&run, build.as_ref()), (&site, lib_dir), progress);
    // What was fetched is of no use any more, whether the stack was moved out of there or not.
    let removed = sys::fs::remove_tree(&site).map_err(StackError::file("remove", &site));
    let (id, outcome) = made?;
    removed?;
    record::make_current(lib_dir, &import.name, &id)?;
    progress.update(Phase::Publish, 100, "");
    Ok((Stack::at(lib_dir, &import.name, &id)?, outcome))
}

fn make(
    import: &Import,
    (run, build): (&Source, Option<&Source>),
    (site, lib_dir): (&Path, &Path),
    progress: &mut dyn Progress,
) -> Result<(String, Outcome), StackError> {
    begin(progress, Phase::Fetch);
    let run = run.image(&site.join("fetched-run"), progress)?;
    let build = build.map(|build| build.image(&site.join("fetched-build"), progress)).transpose()?;
    let id = content_id(import, &run, build.as_ref());
    if Stack::at(lib_dir, &import.name, &id).is_ok() {
        return Ok((id, Outcome::AlreadyBuilt));
    }
    let tools = site.join("tools");
    let made = site.join("made");
    for dir in [tools.clone(), made.join("run"), made.join("build")] {
        std::fs::create_dir_all(&dir).map_err(StackError::file("create", dir))?;
    }
    let write = |name: &str, text: &str| {
        let path = tools.join(name);
        std::fs::write(&path, text).map_err(StackError::file("write", path))
    };
    write("import.sh", data::IMPORT)?;
    write("authorities", &trust::certificates(Path::new(trust::LOCAL_DIR))?.concat())?;
    begin(progress, Phase::Unpack);
    unpack(site, &made.join("run"), &run)?;
    if let Some(build) = &build {
        begin(progress, Phase::BuildUnpack);
        unpack(site, &made.join("build"), build)?;
    }
    begin(progress, Phase::Publish);
    record::write_record(&made, &record_of(import, &id, &run, build.as_ref()))?;
    let place = home(lib_dir, &import.name).join(&id);
    record::publish(&made, &place)?;
    Ok((id, Outcome::Built))
}

/// Equal images under equal names, equal id.
fn content_id(import: &Import, run: &Image, build: Option<&Image>) -> String {
    let mut hash = Sha256::new();
    let mut take = |text: &str| {
        hash.update(text.len().to_le_bytes());
        hash.update(text.as_bytes());
    };
    for text in [data::IMPORT, import.name.as_str(), compat(import), &run.digest] {
        take(text);
    }
    take(build.map(|build| build.digest.as_str()).unwrap_or_default());
    let mut id = hex::encode(hash.finalize());
    id.truncate(ID_DIGITS);
    id
}

fn compat(import: &Import) -> &str {
    import.compat.as_deref().unwrap_or(import.name.as_str())
}

fn record_of(import: &Import, id: &str, run: &Image, build: Option<&Image>) -> Record {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Record {
        name: import.name.to_string(),
        version: id.to_owned(),
        compat: compat(import).to_owned(),
        description: format!("Imported from {}", import.run),
        env: run.env.clone(),
        build_env: build.unwrap_or(run).env.clone(),
        inputs: None,
        built_at_s: i64::try_from(now).ok(),
    }
}

fn check_space(stacks: &Path) -> Result<(), StackError> {
    let free_mib = sys::fs::free_bytes(stacks).map_err(StackError::file("measure", stacks))? >> 20;
    if free_mib < NEEDED_MIB {
        return Err(StackError::DiskFull { path: stacks.to_owned(), free_mib, needed_mib: NEEDED_MIB });
    }
    Ok(())
}

/// Unpacks an image's layers over each other into `target`, which exists and is empty.
fn unpack(site: &Path, target: &Path, image: &Image) -> Result<(), StackError> {
    let mut argv: Vec<OsString> = ["sh", "tools/import.sh"].map(Into::into).to_vec();
    argv.extend([target.into(), LAYER_BYTES_MAX.to_string().into(), site.join("tools/authorities").into()]);
    for layer in &image.layers {
        argv.extend([source::decompressor(layer)?.into(), layer.into()]);
    }
    Tool { step: "unpacking the image", argv, dir: site, suite: "" }.run(&mut |_| ())
}

/// The environment of an image, without what no process can have, and with a way to programs.
fn environment(listed: &[String]) -> BTreeMap<String, String> {
    let is_name = |name: &str| {
        name.len() <= VARIABLE_CHARS_MAX
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let pairs = listed.iter().filter_map(|entry| entry.split_once('='));
    let mut env: BTreeMap<_, _> = pairs
        .filter(|(name, value)| !name.is_empty() && is_name(name) && !value.contains('\0'))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    env.entry("PATH".to_owned()).or_insert_with(|| PATH_DEFAULT.to_owned());
    env
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn an_images_environment_is_taken_as_far_as_it_holds_names() {
        let listed = ["A=1", "PATH=/x", "no", "=x", "B C=2", "9=3", "D=a=b"].map(str::to_owned);
        let env: Vec<_> = environment(&listed).into_iter().map(|(name, value)| name + "=" + &value).collect();
        assert_eq!(env, ["A=1", "D=a=b", "PATH=/x"]);
        assert_eq!(environment(&[])["PATH"], PATH_DEFAULT);
    }

    #[test]
    fn a_name_of_a_stack_that_is_built_here_is_not_taken() {
        let lib = tempfile::tempdir().unwrap();
        let order = Import { name: StackName::default(), compat: None, run: "/x.tar".into(), build: None };
        let refused = import(&order, lib.path(), &mut super::super::Silent).unwrap_err();
        assert!(matches!(refused, StackError::NameTaken(_)), "{refused}");
    }

    #[test]
    fn the_id_follows_the_images() {
        let image = |digest: &str| Image { layers: vec![], env: BTreeMap::new(), digest: digest.to_owned() };
        let order = Import { name: "other".parse().unwrap(), compat: None, run: "x".into(), build: None };
        let id = |run: &str, build: Option<&str>| content_id(&order, &image(run), build.map(image).as_ref());
        assert_eq!(id("a", None), id("a", None));
        assert_ne!(id("a", None), id("b", None));
        assert_ne!(id("a", None), id("a", Some("b")));
        assert_eq!(id("a", None).len(), ID_DIGITS);
    }
}
