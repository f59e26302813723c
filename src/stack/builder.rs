//! Building a stack: packages, files, a layer for builds; all beside its place, then moved there in one step.

use std::ffi::OsString;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use super::contained::Tool;
use super::data;
use super::error::StackError;
use super::inputs::{ID_DIGITS, Inputs};
use super::progress::{Meter, Phase, Progress, begin};
use super::sources::{self, Credentials};
use super::trust;
use super::{Stack, record};
use crate::domain::StackName;
use crate::sys;

/// Space a build needs while it runs, in MiB: both variants, the fetched packages, and a reserve.
pub(super) const NEEDED_MIB: u64 = 2560;
/// Packages that come without being named, roughly, for the progress of a fresh root.
const ESSENTIAL_PACKAGES: usize = 100;
/// Prefix of a build's directory until it is moved to its place.
pub(super) const UNFINISHED: &str = ".building-";
/// What the build calls, and the Debian package that holds it.
const TOOLS: &[(&str, &str)] = &[
    ("mmdebstrap", "mmdebstrap"),
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
    ("mount", "mount"),
    ("chroot", "coreutils"),
    ("dpkg", "dpkg"),
];
/// Runs `finish.sh` inside `run/`, with a process file system, and nothing of it left there.
const FINISH_RUN: &str = "set -eu; mount -t proc proc run/proc; mount -t tmpfs -o mode=0755 tmpfs run/run
cp \"$1\" run/run/finish.sh; exec chroot run sh /run/finish.sh";

/// Whether a build had anything to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The stack was there, made from the same inputs.
    AlreadyBuilt,
    /// It was built now.
    Built,
}

/// Which packages a build takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Those of the build that is there, if one of the same inputs is.
    AsBuilt,
    /// Those that the archive has now: what was fixed in them since. The name stays, the version is another.
    Today,
}

/// Builds stack `name` under `<lib_dir>/stacks`, or finds it built from the same inputs, and makes it the current one.
///
/// Blocks for minutes; needs root. Killed at any moment it leaves no process, no mount and no half-made stack: what lies in
/// its temporary directory is removed by the next build.
///
/// # Errors
/// [`StackError`] says what is missing and what to do; nothing is then changed.
pub fn build(
    name: &StackName,
    lib_dir: &Path,
    freshness: Freshness,
    progress: &mut dyn Progress,
) -> Result<(Stack, Outcome), StackError> {
    begin(progress, Phase::Check);
    let inputs = Inputs::gather(name.as_str())?;
    let content = inputs.content_id();
    if freshness == Freshness::AsBuilt
        && let Some(stack) = found(name, lib_dir, &content)
    {
        record::make_current(lib_dir, name, &stack.version)?;
        progress.update(Phase::Publish, 100, "already built");
        return Ok((stack, Outcome::AlreadyBuilt));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let built_at_s = i64::try_from(now).unwrap_or(i64::MAX);
    let id = match freshness {
        Freshness::AsBuilt => content.clone(),
        Freshness::Today => later(&content, built_at_s),
    };
    if !sys::privilege::is_root() {
        return Err(StackError::NotRoot);
    }
    let stacks = lib_dir.join("stacks");
    let home = stacks.join(name.as_str());
    std::fs::create_dir_all(&home).map_err(StackError::file("create", &home))?;
    let lock_path = stacks.join(".lock");
    let lock = sys::lock::try_lock(&lock_path).map_err(StackError::file("lock", &lock_path))?;
    let _lock = lock.ok_or(StackError::Busy)?;
    remove_unfinished(&stacks)?;
    check_host(&stacks, &inputs)?;

    let site = Site { dir: stacks.join(format!("{UNFINISHED}{id}")), inputs: &inputs };
    let mark = record::Mark { id: &id, inputs: &content, built_at_s };
    let made = site.make(mark, progress).and_then(|()| record::publish(&site.dir, &home.join(&id)));
    if let Err(error) = made {
        // The cause matters more than a leftover, which the next build removes.
        let _ = sys::fs::remove_tree(&site.dir);
        return Err(error);
    }
    record::make_current(lib_dir, name, &id)?;
    progress.update(Phase::Publish, 100, "");
    Ok((Stack::at(lib_dir, name, &id)?, Outcome::Built))
}

/// The build that was made from the inputs of this id: the current one where it was, since it may be a later one of several.
fn found(name: &StackName, lib_dir: &Path, content: &str) -> Option<Stack> {
    let current = Stack::current(lib_dir, name).ok().filter(|stack| stack.inputs == content);
    current.or_else(|| Stack::at(lib_dir, name, content).ok())
}

/// The version of a later build from the same inputs.
fn later(content: &str, built_at_s: i64) -> String {
    let mut id = hex::encode(Sha256::digest(format!("{content} at {built_at_s}")));
    id.truncate(ID_DIGITS);
    id
}

/// Removes what interrupted builds left. The caller holds the lock.
pub(super) fn remove_unfinished(stacks: &Path) -> Result<(), StackError> {
    let entries = std::fs::read_dir(stacks).map_err(StackError::file("read", stacks))?;
    for entry in entries.flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes()) {
            sys::fs::remove_tree(&entry.path()).map_err(StackError::file("remove", entry.path()))?;
        }
    }
    Ok(())
}

pub(super) fn check_host(stacks: &Path, inputs: &Inputs) -> Result<(), StackError> {
    for (program, package) in TOOLS {
        let found = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"]
            .iter()
            .any(|dir| Path::new(dir).join(program).exists());
        if !found {
            return Err(StackError::ToolMissing { program, package });
        }
    }
    for key in inputs.sources.iter().filter_map(|source| source.signed_by.as_deref()) {
        if key.starts_with('/') && !Path::new(key).exists() {
            let suite = inputs.description.manifest.suite.clone();
            return Err(StackError::KeyringMissing { suite, detail: format!("no file {key}") });
        }
    }
    let free_mib = sys::fs::free_bytes(stacks).map_err(StackError::file("measure", stacks))? >> 20;
    if free_mib < NEEDED_MIB {
        return Err(StackError::DiskFull { path: stacks.to_owned(), free_mib, needed_mib: NEEDED_MIB });
    }
    Ok(())
}

/// The place of one build. `run/` and `build/` in it become the stack; the rest goes.
pub(super) struct Site<'a> {
    pub(super) dir: PathBuf,
    pub(super) inputs: &'a Inputs,
}

impl Site<'_> {
    fn make(&self, mark: record::Mark<'_>, progress: &mut dyn Progress) -> Result<(), StackError> {
        self.write_tools()?;
        for part in ["run", "build", "work", "merged"] {
            self.make_dir(Path::new(part))?;
        }
        self.write("tools/dpkg.cfg", data::DPKG_OPTIONS)?;
        self.write("tools/build.packages", &self.inputs.description.build_packages.join("\n"))?;

        self.install_run(progress)?;
        begin(progress, Phase::RunFinish);
        self.lay_files()?;
        self.tool("finishing the run variant", ["sh", "-c", FINISH_RUN, "sh", "tools/finish.sh"])
            .run(&mut |_| ())?;
        self.install_build(progress)?;

        begin(progress, Phase::Publish);
        for part in ["work", "merged", "tools"] {
            let path = self.dir.join(part);
            sys::fs::remove_tree(&path).map_err(StackError::file("remove", path))?;
        }
        record::write(&self.dir, &self.inputs.description.manifest, mark)?;
        self.tool("writing to disk", ["sync", "--file-system", "."]).run(&mut |_| ())
    }

    /// Makes the place, and puts there what every installation needs.
    pub(super) fn write_tools(&self) -> Result<(), StackError> {
        self.make_dir(Path::new(""))?;
        self.write("tools/finish.sh", data::FINISH)?;
        self.write("tools/delta.sh", data::DELTA)?;
        self.write("tools/apt.conf", &self.apt_configuration())?;
        self.write("tools/debian.sources", &sources::render(&self.inputs.sources, Credentials::Kept))
    }

    fn install_run(&self, progress: &mut dyn Progress) -> Result<(), StackError> {
        let description = &self.inputs.description;
        let mut argv: Vec<OsString> = ["mmdebstrap", "--verbose", "--mode=root", "--variant=apt"]
            .into_iter()
            .chain(["--format=directory", "--dpkgopt=tools/dpkg.cfg"])
            // Some packages' scripts make links among the manual pages, and fail where there is no directory for them.
            .chain(["--setup-hook=for n in 1 2 3 4 5 6 7 8; do mkdir -p \"$1/usr/share/man/man$n\"; done"])
            .map(OsString::from)
            .collect();
        argv.extend(self.apt_options().map(|option| format!("--aptopt={option}").into()));
        argv.push(format!("--include={}", description.run_packages.join(",")).into());
        argv.push(description.manifest.suite.clone().into());
        argv.push("run".into());
        argv.push("tools/debian.sources".into());
        let meter = Meter::new(Phase::RunPackages, description.run_packages.len() + ESSENTIAL_PACKAGES);
        self.metered("installing the run variant", argv, meter, progress)
    }

    fn install_build(&self, progress: &mut dyn Progress) -> Result<(), StackError> {
        let argv = ["sh", "tools/delta.sh", "tools/apt.conf", "tools/build.packages", "tools/finish.sh"];
        let argv = argv.into_iter().chain(["tools/debian.sources"]).map(OsString::from).collect();
        let meter = Meter::new(Phase::BuildPackages, self.inputs.description.build_packages.len());
        self.metered("installing the build variant", argv, meter, progress)
    }

    pub(super) fn metered(
        &self,
        step: &'static str,
        argv: Vec<OsString>,
        mut meter: Meter,
        progress: &mut dyn Progress,
    ) -> Result<(), StackError> {
        let phase = meter.phase();
        begin(progress, phase);
        let tool = Tool { step, argv, dir: &self.dir, suite: &self.inputs.description.manifest.suite };
        tool.run(&mut |line| {
            if let Some((percent, doing)) = meter.line(line) {
                progress.update(phase, percent, doing);
            }
        })
    }

    pub(super) fn tool<const N: usize>(&self, step: &'static str, argv: [&str; N]) -> Tool<'_> {
        let argv = argv.into_iter().map(OsString::from).collect();
        Tool { step, argv, dir: &self.dir, suite: &self.inputs.description.manifest.suite }
    }

    /// The files of every stack, the sources with their keys, and the host's certificate authorities.
    fn lay_files(&self) -> Result<(), StackError> {
        for (path, contents) in data::ROOT_FILES {
            self.write(&format!("run/{path}"), contents)?;
        }
        let left_by_tool = self.dir.join("run/etc/apt/sources.list.d");
        sys::fs::remove_tree(&left_by_tool).map_err(StackError::file("remove", left_by_tool))?;
        let kept = sources::render(&self.inputs.sources, Credentials::Dropped);
        self.write("run/etc/apt/sources.list.d/debian.sources", &kept)?;
        for key in self.inputs.sources.iter().filter_map(|source| source.signed_by.as_deref()) {
            let target = self.dir.join("run").join(key.trim_start_matches('/'));
            if key.starts_with('/') && !target.exists() {
                if let Some(parent) = target.parent() {
                    std::fs::create_dir_all(parent).map_err(StackError::file("create", parent))?;
                }
                std::fs::copy(key, &target).map_err(StackError::file("copy the key to", target))?;
            }
        }
        for (index, certificate) in self.inputs.certificates.iter().enumerate() {
            self.write(&format!("run{}/host-{index}.crt", trust::LOCAL_DIR), certificate)?;
        }
        Ok(())
    }

    fn apt_options(&self) -> impl Iterator<Item = String> {
        let ours =
            ["Acquire::Languages \"none\";", "APT::Install-Recommends \"false\";", "Dpkg::Use-Pty \"0\";"];
        ours.into_iter().map(str::to_owned).chain(self.inputs.apt_options.iter().cloned())
    }

    fn apt_configuration(&self) -> String {
        self.apt_options().map(|option| option + "\n").collect()
    }

    pub(super) fn make_dir(&self, part: &Path) -> Result<(), StackError> {
        let path = self.dir.join(part);
        std::fs::create_dir_all(&path).map_err(StackError::file("create", &path))?;
        // The package tools drop to users of their own and must get through, whatever the caller's umask is.
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&path, mode).map_err(StackError::file("open up", path))
    }

    /// Writes a file readable by all at `part`, in place of whatever is there (a link is not followed).
    pub(super) fn write(&self, part: &str, contents: &str) -> Result<(), StackError> {
        let path = self.dir.join(part);
        let mut missing: Vec<_> =
            Path::new(part).ancestors().skip(1).take_while(|dir| !self.dir.join(dir).exists()).collect();
        while let Some(dir) = missing.pop() {
            self.make_dir(dir)?;
        }
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StackError::file("replace", path)(error));
            }
            _ => {}
        }
        std::fs::write(&path, contents).map_err(StackError::file("write", &path))?;
        let mode = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(&path, mode).map_err(StackError::file("open up", path))
    }
}

/// Points `link` at `target` in one step.
pub(super) fn point(link: &Path, target: &str) -> std::io::Result<()> {
    let temporary = link.with_extension(format!("{}.tmp", std::process::id()));
    let _ = std::fs::remove_file(&temporary);
    symlink(target, &temporary)?;
    std::fs::rename(&temporary, link)?;
    link.parent().map_or(Ok(()), sys::fs::sync_dir)
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn leftovers_of_interrupted_builds_go_and_stacks_stay() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join(".building-1/run/usr")).unwrap();
        std::fs::create_dir_all(dir.path().join("cedar-13/1/run")).unwrap();
        remove_unfinished(dir.path()).unwrap();
        assert!(!dir.path().join(".building-1").exists());
        assert!(dir.path().join("cedar-13/1/run").exists());
    }

    #[test]
    fn a_later_build_of_the_same_is_found_while_it_is_the_current_one() {
        let lib = tempfile::tempdir().unwrap();
        let first = super::super::test::built(lib.path(), "00ff");
        assert_eq!(found(&first.name, lib.path(), "00ff"), Some(first.clone()));
        let id = later("00ff", 1_800_000_000);
        assert!(id != "00ff" && id.len() == ID_DIGITS && id != later("00ff", 1_800_000_001));
        let dir = lib.path().join("stacks/cedar-13").join(&id);
        std::fs::create_dir_all(&dir).unwrap();
        let manifest = super::super::manifest::Description::embedded("cedar-13").unwrap().manifest;
        let mark = record::Mark { id: &id, inputs: "00ff", built_at_s: 1_800_000_000 };
        record::write(&dir, &manifest, mark).unwrap();
        record::make_current(lib.path(), &first.name, &id).unwrap();
        let current = found(&first.name, lib.path(), "00ff").unwrap();
        assert_eq!((current.version.as_str(), current.built_at_s), (id.as_str(), Some(1_800_000_000)));
        assert!(
            Stack::at(lib.path(), &first.name, "00ff").is_ok(),
            "releases keep the build they were made on"
        );
        assert_eq!(found(&first.name, lib.path(), "beef"), None);
    }

    #[test]
    fn a_link_is_pointed_anew_in_one_step() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("current");
        for target in ["one", "two"] {
            point(&link, target).unwrap();
            assert_eq!(std::fs::read_link(&link).unwrap(), Path::new(target));
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
