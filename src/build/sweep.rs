//! What builds have left that did not end: of a process that was killed, or a machine that went down.

use std::path::Path;

use crate::build::NodeFailure;
use crate::build::sandbox::{NAME_PREFIX, SCRATCH_DIR};
use crate::build::slug::{SLUGS_DIR, UNFINISHED};
use crate::runtime::{Adopted, Runtime};
use crate::sys::fs::remove_tree;

/// Ends the sandboxes of former builds and removes their files. To be called at the start, before anything is started.
///
/// # Errors
/// [`NodeFailure`]: something would not go; what did is gone, and a further try goes on.
pub async fn sweep(lib_dir: &Path, runtime: &Runtime) -> Result<(), NodeFailure> {
    let adopted = runtime
        .adopt_all()
        .map_err(|error| NodeFailure::file("find the sandboxes of", lib_dir)(std::io::Error::other(error)))?;
    for Adopted { container, .. } in adopted.iter().filter(|found| found.id.as_str().starts_with(NAME_PREFIX))
    {
        container.kill()?;
        container.wait().await;
        container.remove().await?;
    }
    let lib_dir = lib_dir.to_owned();
    let removed = tokio::task::spawn_blocking(move || sweep_files(&lib_dir));
    removed.await.unwrap_or(Err(NodeFailure::ShuttingDown))
}

fn sweep_files(lib_dir: &Path) -> Result<(), NodeFailure> {
    remove_where(&lib_dir.join(SCRATCH_DIR), |name| name.starts_with(NAME_PREFIX))?;
    remove_where(&lib_dir.join(SLUGS_DIR), |name| name.ends_with(UNFINISHED))
}

fn remove_where(dir: &Path, is_left: impl Fn(&str) -> bool) -> Result<(), NodeFailure> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(NodeFailure::file("list", dir)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(NodeFailure::file("list", dir))?;
        if entry.file_name().to_str().is_some_and(&is_left) {
            remove_tree(&entry.path()).map_err(NodeFailure::file("remove", entry.path()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn only_what_builds_left_is_removed() {
        let lib = tempfile::tempdir().unwrap();
        let left = ["scratch/build-1/tmp", "slugs/ab.12345678.new/app"];
        let kept = ["scratch/web-1", "slugs/ab/app"];
        for dir in left.iter().chain(&kept) {
            std::fs::create_dir_all(lib.path().join(dir)).unwrap();
        }
        sweep_files(lib.path()).unwrap();
        assert!(left.iter().all(|dir| !lib.path().join(dir).exists()));
        assert!(kept.iter().all(|dir| lib.path().join(dir).exists()));
        sweep_files(&lib.path().join("none")).unwrap();
    }
}
