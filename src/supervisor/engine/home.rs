//! What a dyno sees as `/app`.

use std::path::{Path, PathBuf};

use crate::runtime::{Access, Exec, IdMapped, SandboxMount};

/// Where `/app` comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Home {
    /// From the release's slug, under a writable layer of the dyno's own.
    #[default]
    Slug,
    /// From a directory of the host.
    Directory(WorkingDirectory),
}

/// A directory of the host that dynos see as it is, and may write to: what they make there belongs to its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkingDirectory {
    /// Where it is.
    pub path: PathBuf,
    /// Its owner, whose files are seen as the dyno's own; those of others as nobody's.
    pub owner: u32,
    /// Names of directories in the slug that are laid over those of the same name, which must be there, under writable layers of
    /// the dyno's own.
    pub laid_over: Vec<String>,
}

impl Home {
    /// Whether something of the slug is seen.
    pub(super) fn has_slug(&self) -> bool {
        match self {
            Self::Slug => true,
            Self::Directory(directory) => !directory.laid_over.is_empty(),
        }
    }

    /// The mounts that make `/app`, for a dyno of this user. `stored` tells how files of the store are seen.
    pub(super) fn mounts(
        &self,
        uid: u32,
        (slug, scratch): (&Path, &Path),
        stored: impl Fn(PathBuf) -> IdMapped,
    ) -> Vec<SandboxMount> {
        let overlay = |lower: PathBuf, scratch: PathBuf, target: PathBuf| SandboxMount::Overlay {
            lowers: vec![stored(lower)],
            scratch,
            target,
            owner: (uid, uid),
        };
        match self {
            Self::Slug => vec![overlay(slug.to_owned(), scratch.to_owned(), APP.into())],
            Self::Directory(WorkingDirectory { path, owner, laid_over }) => {
                let bind = SandboxMount::Bind {
                    source: IdMapped { path: path.clone(), disk: Some((*owner, uid)) },
                    target: APP.into(),
                    access: Access::ReadWrite,
                    exec: Exec::Allowed,
                };
                let laid = laid_over.iter().enumerate().map(|(number, name)| {
                    let own = scratch.join(format!("laid{number}"));
                    overlay(slug.join(name), own, Path::new(APP).join(name))
                });
                std::iter::once(bind).chain(laid).collect()
            }
        }
    }
}

/// Where an app lies.
const APP: &str = "/app";

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_working_directory_comes_first_and_parts_of_the_slug_over_it() {
        let directory = WorkingDirectory {
            path: "/home/me/app".into(),
            owner: 1000,
            laid_over: vec![".heroku".to_owned(), "vendor".to_owned()],
        };
        let stored = |path| IdMapped { path, disk: Some((7, 42)) };
        let paths = (Path::new("/slug"), Path::new("/scratch"));
        let mounts = Home::Directory(directory.clone()).mounts(42, paths, stored);
        let targets: Vec<_> = mounts.iter().map(|mount| mount.target().to_owned()).collect();
        assert_eq!(targets, ["/app", "/app/.heroku", "/app/vendor"].map(PathBuf::from));
        let SandboxMount::Bind { source, access: Access::ReadWrite, .. } = &mounts[0] else {
            panic!("{:?}", mounts[0]);
        };
        assert_eq!(source, &IdMapped { path: "/home/me/app".into(), disk: Some((1000, 42)) });
        let SandboxMount::Overlay { lowers, scratch, .. } = &mounts[2] else { panic!("{:?}", mounts[2]) };
        assert_eq!(
            (lowers[0].path.as_path(), scratch.as_path()),
            (Path::new("/slug/vendor"), Path::new("/scratch/laid1"))
        );
        assert!(Home::Directory(directory.clone()).has_slug());
        assert!(!Home::Directory(WorkingDirectory { laid_over: vec![], ..directory }).has_slug());
    }
}
