//! The working directory as the source of a build: what a push would send, and what is not committed yet.
//!
//! Git and tar do it on the account of the directory's owner, so that nothing is read, and no setting of a repository is obeyed,
//! with rights that its owner has not.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use crate::local::LocalError;

/// The most that the files may hold, bytes.
const SOURCE_BYTES_MAX: u64 = 1 << 30;
/// The most that the list of files may hold, bytes.
const LIST_BYTES_MAX: u64 = 64 << 20;
/// The most of a program's complaint that is kept, bytes.
const SAID_BYTES_MAX: u64 = 4096;
/// The most that is read at once, bytes.
const CHUNK_BYTES: usize = 64 * 1024;
/// Status of a tar that has seen a file change while it read it.
const TAR_CHANGED: i32 = 1;

/// Who owns a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// A working directory, packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// SHA-256 of the archive, in hexadecimal: the same files make the same one.
    pub digest: String,
    /// The names in the directory itself that hold files of the source.
    pub top: BTreeSet<String>,
}

impl Owner {
    /// The owner of `dir`.
    ///
    /// # Errors
    /// The kernel's errno.
    pub fn of(dir: &Path) -> io::Result<Owner> {
        let at = std::fs::metadata(dir)?;
        Ok(Owner { uid: at.uid(), gid: at.gid() })
    }

    /// A program on the owner's account, in `dir`, that knows nothing of this process's environment.
    fn command(self, program: &str, dir: &Path) -> Command {
        let mut command = Command::new(program);
        command.uid(self.uid).gid(self.gid).current_dir(dir).env_clear();
        command.envs([("PATH", "/usr/local/bin:/usr/bin:/bin"), ("LC_ALL", "C")]);
        command.stderr(Stdio::piped());
        command
    }
}

/// Writes the files of `dir` to a new archive at `to`. Of a git repository they are those that are tracked or not ignored, else
/// all. Blocks the thread.
///
/// # Errors
/// [`LocalError`]: git or tar complain, or there is too much.
pub fn pack(dir: &Path, owner: Owner, to: &Path) -> Result<Source, LocalError> {
    let list = list(dir, owner)?;
    let mut command = owner.command("tar", dir);
    // A canonical archive, so that its digest is that of the files.
    command.args(["--create", "--file=-", "--format=gnu", "--owner=0", "--group=0", "--numeric-owner"]);
    command.args([
        "--mtime=@315532800",
        "--no-recursion",
        "--null",
        "--verbatim-files-from",
        "--files-from=-",
    ]);
    let failed = |source: io::Error| LocalError::Pack { dir: dir.to_owned(), said: source.to_string() };
    let mut tar = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(failed)?;
    let (stdin, stdout, stderr) = (tar.stdin.take(), tar.stdout.take(), tar.stderr.take());
    let (written, said) = std::thread::scope(|scope| {
        scope.spawn(|| {
            // A tar that does not read all of it says why by its status.
            let _ended = stdin.map(|mut stdin| stdin.write_all(&list.text));
        });
        let complaint = scope.spawn(|| stderr.map(said).unwrap_or_default());
        let written = stdout.map_or_else(|| Err(io::ErrorKind::BrokenPipe.into()), |out| store(out, to));
        (written, complaint.join().unwrap_or_default())
    });
    let status = tar.wait().map_err(failed)?;
    match written {
        // It ends since nobody reads any more.
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            Err(LocalError::TooLarge { dir: dir.to_owned(), limit_mib: SOURCE_BYTES_MAX >> 20 })
        }
        Err(error) => Err(LocalError::file("write", to)(error)),
        Ok(_) if !status.success() && status.code() != Some(TAR_CHANGED) => {
            Err(LocalError::Pack { dir: dir.to_owned(), said })
        }
        Ok(digest) => Ok(Source { digest, top: list.top }),
    }
}

/// Names of files, each ended by NUL, and the first parts of those names.
struct List {
    text: Vec<u8>,
    top: BTreeSet<String>,
}

fn list(dir: &Path, owner: Owner) -> Result<List, LocalError> {
    let mut git = owner.command("git", dir);
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let output = match run(&mut git) {
        Ok(output) => output,
        // No repository, or no git: then every file counts.
        Err(_) => {
            let mut find = owner.command("find", dir);
            find.args([".", "-name", ".git", "-prune", "-o", "(", "-type", "f", "-o", "-type", "l", ")"]);
            find.args(["-printf", "%P\\0"]);
            run(&mut find).map_err(|said| LocalError::Pack { dir: dir.to_owned(), said })?
        }
    };
    let mut names: BTreeSet<&[u8]> =
        output.split(|byte| *byte == 0).filter(|name| !name.is_empty()).collect();
    // What is tracked and was deleted; a submodule is a directory, and its files are another repository's.
    names.retain(|name| std::fs::symlink_metadata(dir.join(path(name))).is_ok_and(|at| !at.is_dir()));
    let mut found = List { text: Vec::new(), top: BTreeSet::new() };
    for name in names {
        let top = name.split(|byte| *byte == b'/').next().unwrap_or_default();
        found.top.insert(String::from_utf8_lossy(top).into_owned());
        found.text.extend_from_slice(name);
        found.text.push(0);
    }
    Ok(found)
}

fn path(name: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(name))
}

/// The output of a program that succeeds; else its complaint.
fn run(command: &mut Command) -> Result<Vec<u8>, String> {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(|error| error.to_string())?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let complaint = std::thread::spawn(|| stderr.map(said).unwrap_or_default());
    let mut output = Vec::new();
    let read = stdout.map_or(Ok(0), |out| out.take(LIST_BYTES_MAX + 1).read_to_end(&mut output));
    let status = child.wait();
    let complaint = complaint.join().unwrap_or_default();
    match (read, status) {
        (Ok(length), Ok(_)) if u64::try_from(length).is_ok_and(|length| length > LIST_BYTES_MAX) => {
            Err("there are too many files".to_owned())
        }
        (Ok(_), Ok(status)) if status.success() => Ok(output),
        (Ok(_), Ok(_)) => Err(complaint),
        (Err(error), _) | (_, Err(error)) => Err(error.to_string()),
    }
}

/// The beginning of a program's complaint, in one line; the rest is read and forgotten.
fn said(mut from: impl Read) -> String {
    let mut text = Vec::new();
    let _cut = (&mut from).take(SAID_BYTES_MAX).read_to_end(&mut text);
    let _rest = io::copy(&mut from, &mut io::sink());
    String::from_utf8_lossy(&text).trim().replace('\n', "; ")
}

/// Writes a new file, and tells the digest of what is in it.
fn store(mut from: impl Read, to: &Path) -> io::Result<String> {
    let mut file = File::create(to)?;
    let (mut digest, mut chunk, mut total) = (Sha256::new(), vec![0; CHUNK_BYTES], 0_u64);
    loop {
        let count = from.read(&mut chunk)?;
        if count == 0 {
            return Ok(hex::encode(digest.finalize()));
        }
        total += count as u64;
        if total > SOURCE_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        digest.update(&chunk[..count]);
        file.write_all(&chunk[..count])?;
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn packed(dir: &Path) -> Source {
        let place = tempfile::tempdir().unwrap();
        pack(dir, Owner::of(dir).unwrap(), &place.path().join("source.tar")).unwrap()
    }

    fn git(dir: &Path, args: &[&str]) {
        let done = Command::new("git").args(args).current_dir(dir).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    #[test]
    fn a_repository_gives_what_is_not_ignored_and_any_directory_all() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for folder in ["src", "node_modules", ".heroku"] {
            std::fs::create_dir(at(folder)).unwrap();
        }
        for (name, text) in
            [("src/a", "1"), ("node_modules/b", "2"), ("-x", "3"), (".gitignore", "node_modules\n")]
        {
            std::fs::write(at(name), text).unwrap();
        }
        let all = packed(dir.path());
        assert_eq!(all.top.into_iter().collect::<Vec<_>>(), ["-x", ".gitignore", "node_modules", "src"]);
        git(dir.path(), &["init", "-q"]);
        git(dir.path(), &["add", "src/a"]);
        let source = packed(dir.path());
        assert_eq!(source.top.iter().collect::<Vec<_>>(), ["-x", ".gitignore", "src"], "committed or not");
        std::fs::write(at("node_modules/b"), "changed").unwrap();
        assert_eq!(packed(dir.path()), source, "what is ignored changes nothing");
        std::fs::write(at("src/a"), "4").unwrap();
        let changed = packed(dir.path());
        assert_ne!(changed.digest, source.digest);
        std::fs::remove_file(at("src/a")).unwrap();
        assert_eq!(
            packed(dir.path()).top.iter().collect::<Vec<_>>(),
            ["-x", ".gitignore"],
            "it is tracked still"
        );
    }
}
