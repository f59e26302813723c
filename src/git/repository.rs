//! The bare repositories: made when first asked for, and brought up to date at every use.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use thiserror::Error;
use tokio::process::Command;
use tokio::sync::Mutex;

use crate::domain::{AppId, shell_quoted};
use crate::flows::git_command;
use crate::git::commands::Commands;

/// Nothing of the host's or a user's configuration reaches these repositories. Old projects hold objects with harmless
/// faults of form; those are let through, everything else `git fsck` refuses is refused. A push brings at most 1 GiB.
const CONFIG: &str = "\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
\tlogAllRefUpdates = false
[receive]
\tfsckObjects = true
\tdenyDeleteCurrent = refuse
\tmaxInputSize = 1g
\tadvertisePushOptions = false
[receive \"fsck\"]
\tbadTimezone = warn
\tmissingSpaceBeforeDate = warn
\tzeroPaddedFilemode = warn
[gc]
\tautoDetach = false
[http]
\treceivepack = true
\tuploadpack = true
\tgetanyfile = false
";

/// The archive of a commit holds every file as committed, whatever the commit's own `.gitattributes` says.
const ATTRIBUTES: &str = "* -export-ignore -export-subst\n";

/// Where the repositories are and what their hooks run.
#[derive(Debug)]
pub struct Repositories {
    /// The folder of all repositories.
    pub(super) dir: PathBuf,
    /// This program, which the hooks run.
    binary: PathBuf,
    /// Requests come several at once, and each makes what it does not find: one at a time.
    making: Mutex<()>,
    /// What runs in them.
    pub(super) commands: Commands,
}

/// A repository could not be made or brought up to date.
#[derive(Debug, Error)]
pub enum RepositoryError {
    /// A file of it.
    #[error("writing {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// git did not start; it is a Debian package named `git`.
    #[error("running git: is it installed?")]
    Git(#[source] io::Error),
    /// git refused to make it.
    #[error("git init of {}: {reason}", path.display())]
    Init {
        /// The repository.
        path: PathBuf,
        /// What git said.
        reason: String,
    },
}

impl Repositories {
    /// Those in `dir`, whose hooks run `binary`, this program.
    #[must_use]
    pub fn new(dir: PathBuf, binary: PathBuf) -> Self {
        Self { dir, binary, making: Mutex::default(), commands: Commands::default() }
    }

    /// The repository of `app`, whether or not it exists.
    #[must_use]
    pub fn path(&self, app: AppId) -> PathBuf {
        self.dir.join(Self::name(app))
    }

    /// The repository's name in the folder.
    #[must_use]
    pub fn name(app: AppId) -> String {
        format!("{app}.git")
    }

    /// Makes the repository of `app` when there is none, and writes our configuration and hook anew.
    ///
    /// # Errors
    /// The disk or git refuse.
    pub async fn ensure(&self, app: AppId) -> Result<PathBuf, RepositoryError> {
        let _making = self.making.lock().await;
        let path = self.path(app);
        if !path.join("HEAD").exists() {
            self.init(&path).await?;
        }
        let hook = format!("#!/bin/sh\nexec {} git:hook\n", shell_quoted(&self.binary.to_string_lossy()));
        for (name, text) in
            [("config", CONFIG), ("info/attributes", ATTRIBUTES), ("hooks/pre-receive", &hook)]
        {
            write_when_different(&path.join(name), text)?;
        }
        make_executable(&path.join("hooks/pre-receive"))?;
        Ok(path)
    }

    async fn init(&self, path: &Path) -> Result<(), RepositoryError> {
        std::fs::create_dir_all(&self.dir)
            .map_err(|source| RepositoryError::File { path: self.dir.clone(), source })?;
        // Made aside and moved in whole, so that a half-made one is never served.
        let aside = path.with_extension("new");
        if aside.exists() {
            std::fs::remove_dir_all(&aside)
                .map_err(|source| RepositoryError::File { path: aside.clone(), source })?;
        }
        let output = git()
            .args(["init", "--quiet", "--bare", "--template=", "--initial-branch=main", "--"])
            .arg(&aside)
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(RepositoryError::Git)?;
        if !output.status.success() {
            let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(RepositoryError::Init { path: path.to_owned(), reason });
        }
        for name in ["hooks", "info"] {
            let dir = aside.join(name);
            std::fs::create_dir_all(&dir).map_err(|source| RepositoryError::File { path: dir, source })?;
        }
        std::fs::rename(&aside, path)
            .map_err(|source| RepositoryError::File { path: path.to_owned(), source })
    }
}

/// git within bounds, with nothing of ours, the user's or the host's in its environment.
pub(super) fn git() -> Command {
    let mut command = git_command(None);
    command.env_clear().envs(ENVIRONMENT.iter().copied());
    command
}

const ENVIRONMENT: &[(&str, &str)] = &[
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("HOME", "/nonexistent"),
    ("LANG", "C.UTF-8"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_TERMINAL_PROMPT", "0"),
    // Otherwise a pushed refs/replace/ would have another tree built than the one of the commit that is named.
    ("GIT_NO_REPLACE_OBJECTS", "1"),
];

fn write_when_different(path: &Path, text: &str) -> Result<(), RepositoryError> {
    let attempt = |source| RepositoryError::File { path: path.to_owned(), source };
    if std::fs::read(path).is_ok_and(|present| present == text.as_bytes()) {
        return Ok(());
    }
    // A push may be running in the repository: it sees the old file or the new one.
    let aside = path.with_extension("new");
    std::fs::write(&aside, text).map_err(attempt)?;
    if path.ends_with("hooks/pre-receive") {
        make_executable(&aside)?;
    }
    std::fs::rename(&aside, path).map_err(attempt)
}

fn make_executable(path: &Path) -> Result<(), RepositoryError> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
        .map_err(|source| RepositoryError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod test {
    use super::*;

    #[tokio::test]
    async fn a_repository_is_made_once_and_repaired_after() {
        let dir = tempfile::tempdir().unwrap();
        let repositories = Repositories::new(dir.path().join("repos"), PathBuf::from("/bin/true"));
        let app = AppId(uuid::Uuid::new_v4());
        let path = repositories.ensure(app).await.unwrap();
        std::fs::write(path.join("info/attributes"), "x").unwrap();
        std::fs::write(path.join("marker"), "x").unwrap();
        assert_eq!(repositories.ensure(app).await.unwrap(), path);
        assert_eq!(std::fs::read_to_string(path.join("info/attributes")).unwrap(), ATTRIBUTES);
        assert!(path.join("marker").exists(), "it was made anew");
        assert_eq!(std::fs::read_to_string(path.join("HEAD")).unwrap(), "ref: refs/heads/main\n");
        assert!(!path.with_extension("new").exists());
    }

    #[tokio::test]
    async fn many_may_ask_first() {
        let dir = tempfile::tempdir().unwrap();
        let repositories = Repositories::new(dir.path().join("repos"), PathBuf::from("/bin/true"));
        let app = AppId(uuid::Uuid::new_v4());
        let all = futures_util::future::join_all((0..8).map(|_| repositories.ensure(app))).await;
        for one in all {
            assert_eq!(one.unwrap(), repositories.path(app));
        }
    }
}
