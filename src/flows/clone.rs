//! One branch of a repository elsewhere as an archive. Git fetches it: over HTTP alone, from the address that was judged and no
//! other, with nothing of the host's or a user's configuration, and checks every object.

use std::ffi::OsString;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use thiserror::Error;
use tokio::process::Command;

use crate::domain::{Branch, Reach, RepositoryUrl};
use crate::flows::git_command::{GIT_MEMORY_MAX_BYTES, git_command};
use crate::flows::outbound::{ConnectError, addresses};
use crate::flows::sources::{DiskRoom, RECEIVE_TIMEOUT_S, SOURCE_BYTES_MAX};

/// What git says that is given no more memory.
const OUT_OF_MEMORY: &str = "Out of memory";
/// The most characters of what git says that are told.
const SAID_CHARS_MAX: usize = 300;
/// The archive of a commit holds every file as committed, whatever the commit's own `.gitattributes` says.
const ATTRIBUTES: &str = "* -export-ignore -export-subst\n";

/// Why there is no archive. Told to whoever may see the app: it names no address and no secret.
#[derive(Debug, Error)]
pub(super) enum CloneError {
    #[error("{0}")]
    Connect(#[from] ConnectError),
    #[error("git says: {0}")]
    Git(String),
    #[error("git may take {} GiB of memory for it, which are not enough: it holds larger files than that", GIT_MEMORY_MAX_BYTES >> 30)]
    Memory,
    #[error("it took longer than {RECEIVE_TIMEOUT_S} s")]
    Late,
    #[error("the node's disk has no room left for it: its administrator can make some")]
    NoRoom,
    #[error("the node cannot keep it")]
    Disk(#[source] io::Error),
}

/// A branch as it is now.
pub(super) struct Cloned {
    /// Its newest commit.
    pub(super) commit: String,
    /// The files of that, as a tar archive.
    pub(super) archive: PathBuf,
}

/// Fetches a branch into `dir`, which must not exist, and is the caller's to remove.
pub(super) async fn clone(
    (url, branch): (&RepositoryUrl, &Branch),
    reach: Reach,
    dir: &Path,
) -> Result<Cloned, CloneError> {
    let limit = Duration::from_secs(RECEIVE_TIMEOUT_S);
    let whole = async {
        let pinned = pinned(url, reach).await?;
        if !DiskRoom::beside(dir).is_left(0) {
            return Err(CloneError::NoRoom);
        }
        tokio::fs::create_dir(dir).await.map_err(CloneError::Disk)?;
        let repository = dir.join("repo.git");
        let mut fetch = git(dir, &[]);
        fetch.args(pinned.iter().flat_map(|setting| ["-c", setting]));
        fetch.args(["clone", "--bare", "--quiet", "--depth=1", "--single-branch", "--no-tags"]);
        fetch.args(["--branch", branch.as_str(), "--", &address(url)]).arg(&repository);
        authorize(&mut fetch, url);
        output(fetch).await?;
        let info = repository.join("info");
        tokio::fs::create_dir_all(&info).await.map_err(CloneError::Disk)?;
        tokio::fs::write(info.join("attributes"), ATTRIBUTES).await.map_err(CloneError::Disk)?;
        let mut told = git(dir, &["--git-dir"]);
        told.arg(&repository).args(["rev-parse", "--verify", "HEAD^{commit}"]);
        let commit = output(told).await?.trim().to_owned();
        let archive = dir.join("source.tar");
        let mut pack = git(dir, &["--git-dir"]);
        pack.arg(&repository).args(["archive", "--format=tar", "--output"]).arg(&archive).arg(&commit);
        output(pack).await?;
        Ok(Cloned { commit, archive })
    };
    tokio::time::timeout(limit, whole).await.unwrap_or(Err(CloneError::Late))
}

/// The setting that holds git to an address that is allowed: the name may mean another in a moment. An address needs none.
async fn pinned(url: &RepositoryUrl, reach: Reach) -> Result<Option<String>, CloneError> {
    let parts = url.source().parts();
    let allowed = addresses(parts, reach).await?;
    if parts.host.parse::<IpAddr>().is_ok() {
        return Ok(None);
    }
    let text = |address: IpAddr| match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    let all: Vec<_> = allowed.iter().map(|address| text(address.ip())).collect();
    Ok(Some(format!("http.curloptResolve={}:{}:{}", parts.host, parts.port, all.join(","))))
}

/// The address without what other users of the host must not see among the arguments of a process.
fn address(url: &RepositoryUrl) -> String {
    format!("{url}{}", url.source().parts().path)
}

/// User and password go by the environment, which is git's alone.
fn authorize(command: &mut Command, url: &RepositoryUrl) {
    if let Some(userinfo) = &url.source().parts().userinfo {
        let plain: Vec<u8> = percent_decode_str(userinfo).collect();
        command.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "http.extraHeader");
        command.env("GIT_CONFIG_VALUE_0", format!("Authorization: Basic {}", STANDARD.encode(plain)));
    }
}

/// Git as it may run here: within bounds, no file of it beyond a source's, and it asks nobody.
fn git(dir: &Path, args: &[&str]) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin"));
    let mut command = git_command(Some(SOURCE_BYTES_MAX));
    for setting in [
        "protocol.allow=never",
        "protocol.http.allow=always",
        "protocol.https.allow=always",
        "http.followRedirects=false",
        "transfer.fsckObjects=true",
        "fetch.fsck.badTimezone=warn",
        "fetch.fsck.missingSpaceBeforeDate=warn",
        "fetch.fsck.zeroPaddedFilemode=warn",
        "core.hooksPath=/dev/null",
        "credential.helper=",
    ] {
        command.args(["-c", setting]);
    }
    command.args(args).current_dir(dir.parent().unwrap_or(dir));
    command.env_clear().env("PATH", path).env("HOME", dir).env("LC_ALL", "C");
    command
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// What git prints, if it succeeds; else the last line that it complains with.
async fn output(mut command: Command) -> Result<String, CloneError> {
    let ended = command.output().await.map_err(CloneError::Disk)?;
    if ended.status.success() {
        return Ok(String::from_utf8_lossy(&ended.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    // Said by the process that reads the pack; the last line is that of the one that started it.
    if said.contains(OUT_OF_MEMORY) {
        return Err(CloneError::Memory);
    }
    let line = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing");
    let line = line.trim().trim_start_matches("fatal: ").trim_end_matches('.');
    Err(CloneError::Git(line.chars().filter(|c| !c.is_control()).take(SAID_CHARS_MAX).collect()))
}

#[cfg(test)]
mod test {
    use super::*;

    #[tokio::test]
    async fn git_is_held_to_the_addresses_that_were_judged() {
        let url = |text: &str| -> RepositoryUrl { text.parse().unwrap() };
        assert_eq!(pinned(&url("http://127.0.0.1:8080/r.git"), Reach::Any).await.unwrap(), None);
        let setting = pinned(&url("http://localhost:8080/r.git"), Reach::Any).await.unwrap().unwrap();
        assert!(setting.starts_with("http.curloptResolve=localhost:8080:"), "{setting}");
        assert!(setting.contains("127.0.0.1") || setting.contains("[::1]"), "{setting}");
        for private in ["http://localhost/r.git", "http://127.0.0.1/r.git", "http://[::1]/r.git"] {
            let refused = pinned(&url(private), Reach::Public).await;
            assert!(matches!(refused, Err(CloneError::Connect(ConnectError::NotAllowed))), "{private}");
        }
    }

    #[test]
    fn secrets_are_no_arguments() {
        let url: RepositoryUrl = "https://me:p%40ss@example.com/o/r.git".parse().unwrap();
        let mut command = git(Path::new("/d"), &["clone", &address(&url)]);
        authorize(&mut command, &url);
        let command = command.as_std();
        let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
        assert!(args.contains(&"https://example.com:443/o/r.git".to_owned()), "{args:?}");
        assert!(!args.iter().any(|arg| arg.contains("p%40ss") || arg.contains("Basic")), "{args:?}");
        let told = command.get_envs().any(|(_, value)| {
            value.is_some_and(|value| value.to_string_lossy().ends_with("Basic bWU6cEBzcw=="))
        });
        assert!(told);
    }
}
