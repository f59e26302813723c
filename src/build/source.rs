//! Before the buildpacks: the directories of a build, the source in them, and the cache of the build before.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use crate::build::buildpack::Pack;
use crate::build::ignore::{self, Doomed, Entry, Patterns};
use crate::build::sandbox::{
    BUILD_MEMORY, CACHE_DIR, FIGURES_DIR, Input, Reach, SIDE_DIR, Step, Workshop, first,
};
use crate::build::submodules;
use crate::build::transcript::Transcript;
use crate::build::{BuildRequest, NodeFailure, STORE_ID, Stop};
use crate::domain::{ArchiveRoot, ConfigVars, StackName};
use crate::runtime::Access;
use crate::sys::mount::give_to;
use crate::wire::push_text;

/// The most that the list of a source's files may hold, in bytes; `.slugignore` is not applied to more.
const LIST_BYTES_MAX: usize = 64 << 20;

/// Directories of a build: the user's alone, for they hold secrets.
const PRIVATE_DIR: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;
const OPEN_DIR: u32 = 0o755;
const FIGURES_FILE: u32 = 0o444;

impl Workshop {
    /// Makes the build's directories with config vars and buildpacks in them. No step has run before: from now on the
    /// host touches nothing below them.
    pub(super) async fn lay_out(&self, request: &BuildRequest, packs: &[Pack]) -> Result<(), NodeFailure> {
        let dir = self.dir().to_owned();
        let env_dir = self.env_dir();
        let (config, packs) = (request.config.clone(), packs.to_vec());
        let binds: Vec<_> = self.host_binds().cloned().collect();
        let laid = tokio::task::spawn_blocking(move || {
            make_dir(&dir, PRIVATE_DIR)?;
            let targets = dir.join("targets");
            make_dir(&targets, OPEN_DIR)?;
            for bind in binds {
                let mut path = targets.clone();
                for part in bind.strip_prefix("/").unwrap_or(&bind) {
                    path.push(part);
                    make_dir(&path, OPEN_DIR)?;
                }
            }
            write_figures(&dir.join(FIGURES_DIR))?;
            let tmp = dir.join("tmp");
            for shared in ["app", "cache", "tmp/codon/tmp/cache", "tmp/buildpacks"] {
                make_dir(&dir.join(shared), OPEN_DIR)?;
            }
            for pack in packs {
                pack.copy_to(&tmp.join("buildpacks").join(pack.index.to_string()))?;
            }
            let env_dir = dir.join(env_dir.trim_start_matches('/'));
            make_dir(&env_dir, PRIVATE_DIR)?;
            write_config(&env_dir, &config)?;
            for shared in ["app", "cache", "tmp"] {
                give_tree(&dir.join(shared))?;
            }
            Ok(())
        });
        laid.await.unwrap_or(Err(NodeFailure::ShuttingDown))
    }

    /// Makes the cache that the scripts have left the one of the next build on this stack, and the only one. A build has
    /// succeeded without it as well.
    pub(super) async fn keep_cache(&self, cache: &Path, stack: &StackName) -> Result<(), NodeFailure> {
        let (new, old, cache) = (self.dir().join("cache"), self.dir().join("cache-before"), cache.to_owned());
        let kept = on_stack(&cache, stack);
        let swapped = tokio::task::spawn_blocking(move || {
            if cache.exists() {
                fs::rename(&cache, &old).map_err(NodeFailure::file("set aside", &cache))?;
            }
            fs::create_dir_all(&cache).map_err(NodeFailure::file("make", &cache))?;
            fs::rename(&new, &kept).map_err(NodeFailure::file("put in place", &kept))
        });
        let swapped = swapped.await.unwrap_or(Err(NodeFailure::ShuttingDown));
        if let Err(error) = swapped {
            tracing::warn!(%error, "the cache of a build is lost");
        }
        Ok(())
    }
}

/// A directory of exactly this mode, whatever the process masks; those above it are the user's alone where they are new.
fn make_dir(path: &Path, mode: u32) -> Result<(), NodeFailure> {
    let made = fs::DirBuilder::new().recursive(true).mode(PRIVATE_DIR).create(path);
    made.and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .map_err(NodeFailure::file("make", path))
}

/// What scripts see as `/sys/fs/cgroup`: they size heaps and processes by the one file in it (buildpack reference 2, contract
/// details), and would by the whole machine where it is not there.
fn write_figures(dir: &Path) -> Result<(), NodeFailure> {
    let memory = dir.join("memory");
    for path in [dir, &memory] {
        make_dir(path, OPEN_DIR)?;
    }
    let path = memory.join("memory.limit_in_bytes");
    let written = fs::write(&path, format!("{}\n", BUILD_MEMORY.0));
    written
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(FIGURES_FILE)))
        .map_err(NodeFailure::file("write", &path))
}

/// One file each. Names that no file can have are left out: they could only walk out of the directory.
fn write_config(dir: &Path, config: &ConfigVars) -> Result<(), NodeFailure> {
    for (name, value) in config.iter().filter(|(name, _)| is_file_name(name)) {
        let path = dir.join(name);
        let open = fs::OpenOptions::new().write(true).create_new(true).mode(PRIVATE_FILE).open(&path);
        open.and_then(|mut file| file.write_all(value.as_bytes()))
            .map_err(NodeFailure::file("write", &path))?;
    }
    Ok(())
}

fn is_file_name(name: &str) -> bool {
    const BYTES_MAX: usize = 255;
    !name.contains('/') && !matches!(name, "." | "..") && name.len() <= BYTES_MAX
}

/// Gives a tree of our own making to the store.
fn give_tree(path: &Path) -> Result<(), NodeFailure> {
    give_to(path, STORE_ID, STORE_ID).map_err(NodeFailure::file("give away", path))?;
    if !path.is_symlink() && path.is_dir() {
        for entry in fs::read_dir(path).map_err(NodeFailure::file("list", path))? {
            give_tree(&entry.map_err(NodeFailure::file("list", path))?.path())?;
        }
    }
    Ok(())
}

/// How an archive begins that went through gzip (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The options by which tar unpacks the archive: through a pipe it cannot look for itself.
pub(super) fn tar_options(archive: &Path) -> Result<&'static str, NodeFailure> {
    let mut head = [0; GZIP.len()];
    let open = fs::File::open(archive);
    match open.and_then(|mut file| file.read_exact(&mut head)) {
        Ok(()) if head == GZIP => Ok("-xz"),
        // What has not even two bytes tar tells of.
        Ok(()) => Ok("-x"),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok("-x"),
        Err(error) => Err(NodeFailure::file("read", archive)(error)),
    }
}

/// What makes the root of the one directory in an archive the root of all. The directory gets a name of its own first: one in
/// it may have the same.
const ENTER_ONLY_DIRECTORY: &str = r#"
shopt -s dotglob nullglob
all=(*)
if [ ${#all[@]} = 1 ] && [ -d "${all[0]}" ] && [ ! -L "${all[0]}" ]; then
  mv -T -- "${all[0]}" "$PWD.top"
  rmdir -- "$PWD"
  mv -T -- "$PWD.top" "$PWD"
fi
"#;

/// Unpacks the source to `BUILD_DIR`, without its history and what `.slugignore` names.
pub(super) async fn unpack(
    workshop: &Workshop,
    (source, root): (&Path, ArchiveRoot),
    transcript: &mut Transcript<'_>,
) -> Result<(), Stop> {
    let options = tar_options(source)?;
    let dir = workshop.build_dir();
    let enter = match root {
        ArchiveRoot::Top => "",
        ArchiveRoot::TopOrOnlyDirectory => ENTER_ONLY_DIRECTORY,
    };
    let script = format!(
        "set -e\nmkdir -p {dir}\ntar {options} --no-same-owner -C {dir} -f -\ncd {dir}\n{enter}\ncd {dir}\n\
         rm -rf .git\n{}",
        submodules::look()
    );
    let ended =
        workshop.run(own("unpack", script), Input::File(source.to_owned()), |out| first(out, 1)).await?;
    let has_submodules = ended.or_refuse(|_, said| {
        tracing::debug!(said, "a source could not be unpacked");
        Stop::Source(push_text::bad_source())
    })?;
    if !has_submodules.is_empty() {
        submodules::fetch(workshop, transcript).await?;
    }
    apply_ignore(workshop, transcript).await
}

async fn apply_ignore(workshop: &Workshop, transcript: &mut Transcript<'_>) -> Result<(), Stop> {
    let (dir, name, max) = (workshop.build_dir(), ignore::FILE, ignore::FILE_BYTES_MAX);
    let script = format!("cd {dir} && if [ -f {name} ]; then head -c {max} {name}; fi");
    let text = workshop.run_own(own("read .slugignore", script), Input::Empty, max).await?;
    if text.is_empty() {
        return Ok(());
    }
    let script = format!("cd {dir} && find . -mindepth 1 -printf '%y%P\\0'");
    let list = workshop.run_own(own("list the source", script), Input::Empty, LIST_BYTES_MAX).await?;
    if list.len() > LIST_BYTES_MAX {
        let reason = format!("the source has too many files to apply {name}");
        return Err(Stop::Source(push_text::declaration_refused(&reason)));
    }
    let doomed = doomed(text, list).await?;
    if doomed.paths.is_empty() {
        return Ok(());
    }
    transcript.say(&push_text::deleting_ignored(doomed.files));
    let paths: Vec<u8> = doomed.paths.iter().flat_map(|path| format!("./{path}\0").into_bytes()).collect();
    let script = format!("cd {dir} && xargs -0 rm -rf --");
    workshop.run_own(own("delete ignored files", script), Input::Bytes(paths), 0).await?;
    Ok(())
}

/// What the patterns of `text` name of `list`. Both are of the pusher's making, so the work is done where it holds up
/// nobody else, and ends with the build.
async fn doomed(text: Vec<u8>, list: Vec<u8>) -> Result<Doomed, NodeFailure> {
    let over = CancellationToken::new();
    let _with_the_build = over.clone().drop_guard();
    let matching = tokio::task::spawn_blocking(move || {
        Patterns::read(&String::from_utf8_lossy(&text)).doomed(&entries(&list), || over.is_cancelled())
    });
    matching.await.map_err(|_| NodeFailure::ShuttingDown)
}

/// Of a list as `find` prints it: a letter for the kind, then the path, then NUL. What is not UTF-8 is never ignored.
fn entries(list: &[u8]) -> Vec<Entry> {
    let texts = list.split(|byte| *byte == 0).filter_map(|entry| std::str::from_utf8(entry).ok());
    let entry = |text: &str| {
        let path = text.get(1..).filter(|path| !path.is_empty())?;
        Some(Entry { path: path.to_owned(), is_dir: text.starts_with('d') })
    };
    texts.filter_map(entry).collect()
}

/// Where the cache of builds on a stack is: compiled files of another one may not run on it, so that the first build on a new
/// stack begins without (platform reference 9).
fn on_stack(cache: &Path, stack: &StackName) -> PathBuf {
    cache.join(stack.as_str())
}

/// Copies the cache of the build before; the scripts work on the copy. What scripts have left there may not be readable,
/// and a cache is not worth a build: then they begin with an empty one.
pub(super) async fn restore_cache(workshop: &Workshop, cache: &Path, stack: &StackName) -> Result<(), Stop> {
    let kept = on_stack(cache, stack);
    if !kept.is_dir() {
        return Ok(());
    }
    let script = format!(
        "cp -a --reflink=auto {SIDE_DIR}/. {CACHE_DIR}/ || \
         {{ chmod -R u+rwX {CACHE_DIR} && find {CACHE_DIR} -mindepth 1 -delete; }}"
    );
    let mut step = own("restore the cache", script);
    step.mounts = vec![workshop.cache(), Workshop::bind(kept, SIDE_DIR, Access::ReadOnly)];
    workshop.run_own(step, Input::Empty, 0).await?;
    Ok(())
}

/// A step of our own.
pub(super) fn own(name: &'static str, script: String) -> Step {
    Step { name, script, cwd: "/".to_owned(), reach: Reach::Nothing, mounts: Vec::new() }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn config_vars_become_files_and_never_paths() {
        let dir = tempfile::tempdir().unwrap();
        let env = dir.path().join("env");
        fs::create_dir(&env).unwrap();
        let vars = [("A", "1\n"), ("../out", "x"), ("..", "x"), (".", "x"), ("B.c", "")];
        let vars = vars.map(|(name, value)| (name.to_owned(), value.to_owned()));
        write_config(&env, &ConfigVars::new(vars.into()).unwrap()).unwrap();
        let mut names: Vec<_> =
            fs::read_dir(&env).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["A", "B.c"]);
        assert_eq!(fs::read_to_string(env.join("A")).unwrap(), "1\n");
        assert!(!dir.path().join("out").exists());
    }

    #[tokio::test]
    async fn matching_holds_up_nobody_else() {
        let patterns = "*a*a*a*a*a*a*b\n".repeat(1000);
        let list = format!("f{}\0", "a".repeat(250)).repeat(10_000);
        tokio::select! {
            biased;
            _ = doomed(patterns.into(), list.into()) => panic!("nothing else could run meanwhile"),
            () = tokio::task::yield_now() => {}
        }
    }

    #[test]
    fn the_list_of_find_is_read() {
        let found = entries(b"dsrc\0fsrc/a b\0f\xff\0lx\0");
        let found: Vec<_> = found.iter().map(|entry| (entry.path.as_str(), entry.is_dir)).collect();
        assert_eq!(found, [("src", true), ("src/a b", false), ("x", false)]);
    }
}
