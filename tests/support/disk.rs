//! A file system of a test's own, in a file: a disk that can be filled without anybody else's, or one that shares blocks among files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Has `body` run while a file system of that many MiB, made by the command `mkfs`, is at `at`, where nothing was; or says why this
/// machine cannot have it. The thread of `body` has a mount namespace of its own, and what it starts is in that: a test that is killed
/// leaves no mount behind.
pub fn with(at: &Path, (mib, mkfs): (u64, &[&str]), body: impl FnOnce() + Send) -> Result<(), String> {
    let on_it = || {
        let disk = Disk::make(at, (mib, mkfs))?;
        body();
        drop(disk);
        assert!(!at.exists(), "the disk is gone");
        Ok(())
    };
    let ended = std::thread::scope(|scope| scope.spawn(on_it).join());
    ended.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked))
}

/// A mounted file system; unmounted and removed when dropped.
struct Disk {
    image: PathBuf,
    at: PathBuf,
    is_mounted: bool,
}

impl Disk {
    fn make(at: &Path, (mib, mkfs): (u64, &[&str])) -> Result<Self, String> {
        let image = at.with_extension("img");
        fs::File::create(&image).unwrap().set_len(mib << 20).unwrap();
        let mut disk = Self { image, at: at.to_owned(), is_mounted: false };
        let image = disk.image.to_str().unwrap().to_owned();
        run(mkfs[0], &[&mkfs[1..], &[image.as_str()]].concat())?;
        dyno::sys::mount::enter_private_namespace()
            .map_err(|error| format!("no mount namespace: {error}"))?;
        fs::create_dir_all(at).unwrap();
        run("mount", &["-o", "loop", &image, at.to_str().unwrap()])?;
        disk.is_mounted = true;
        Ok(disk)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let at = self.at.to_str().unwrap();
        // A process that a failed test has left may still be in it.
        let unmount = || run("umount", &[at]).or_else(|_| run("umount", &["--lazy", at]));
        let unmounted = if self.is_mounted { unmount() } else { Ok(()) };
        let _gone = (fs::remove_dir(&self.at), fs::remove_file(&self.image));
        if !std::thread::panicking() {
            unmounted.unwrap();
        }
    }
}

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let done = Command::new(program).args(args).output().map_err(|error| format!("{program}: {error}"))?;
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    if done.status.success() { Ok(()) } else { Err(format!("{program} {args:?}: {said}")) }
}
