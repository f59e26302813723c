//! Which app a command is about, and the git repository it may be told by.

use std::process::{Command, Stdio};

use clap::Args;

use crate::cli::failure::Failure;

/// Remotes that name an app without `-r`; should both exist, they must name the same.
const REMOTES: [&str; 2] = ["heroku", "dyno"];
/// The remote that `create` makes.
pub(super) const REMOTE: &str = REMOTES[0];
/// Variables that name an app, the first that is set counts.
const VARIABLES: [&str; 2] = ["DYNO_APP", "HEROKU_APP"];

/// Names the app.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct AppArgs {
    /// App to run the command against
    #[arg(short, long, value_name = "APP")]
    pub(super) app: Option<String>,
    /// Git remote of the app to use
    #[arg(short, long, value_name = "REMOTE")]
    pub(super) remote: Option<String>,
}

impl AppArgs {
    /// The app's name: the flag, the named remote, the environment, or the repository's remote.
    pub(super) fn name(&self) -> Result<String, Failure> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        choose(self, VARIABLES.iter().find_map(|name| variable(name)), remotes)
    }
}

/// A git remote: its name and URL.
pub(super) type Remote = (String, String);

fn choose(
    args: &AppArgs,
    variable: Option<String>,
    remotes: impl FnOnce() -> Vec<Remote>,
) -> Result<String, Failure> {
    match (&args.app, &args.remote, variable) {
        (Some(app), _, _) => checked(app),
        (None, Some(wanted), _) => {
            let url = remotes().into_iter().find(|(name, _)| name == wanted);
            let app = url.and_then(|(_, url)| app_of_url(&url));
            app.ok_or_else(|| Failure::NoSuchRemote(wanted.clone()))
        }
        (None, None, Some(app)) => checked(&app),
        (None, None, None) => of_remotes(&remotes()),
    }
}

/// Names and identities are plain words; others would change the request's path.
fn checked(app: &str) -> Result<String, Failure> {
    let plain = !app.is_empty() && app.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if plain { Ok(app.to_owned()) } else { Err(Failure::Usage(format!("{app:?} is no name of an app."))) }
}

fn of_remotes(remotes: &[Remote]) -> Result<String, Failure> {
    let known: Vec<_> = remotes
        .iter()
        .filter(|(name, _)| REMOTES.contains(&name.as_str()))
        .filter_map(|(name, url)| Some((name.clone(), app_of_url(url)?)))
        .collect();
    match known.as_slice() {
        [] => Err(Failure::NoApp),
        [(_, app), rest @ ..] if rest.iter().all(|(_, other)| other == app) => Ok(app.clone()),
        several => Err(Failure::AmbiguousRemote(several.iter().map(|(name, _)| name.clone()).collect())),
    }
}

/// The app in `http://127.0.0.1:5080/example.git`, `ssh://git@127.0.0.1:5022/example.git` or `git@host:example.git`.
fn app_of_url(url: &str) -> Option<String> {
    let path = match url.split_once("://") {
        Some(("http" | "https", rest)) => rest.split_once('/')?.1,
        Some(("ssh", rest)) => rest.strip_prefix("git@")?.split_once('/')?.1,
        Some(_) => return None,
        None => url.strip_prefix("git@")?.split_once(':')?.1,
    };
    let name = path.strip_suffix(".git")?;
    checked(name).is_ok().then(|| name.to_owned())
}

/// The remotes of the repository around the current directory; none where there is no repository, or no git.
pub(super) fn remotes() -> Vec<Remote> {
    let Ok(text) = git(&["config", "--get-regexp", r"^remote\..*\.url$"]) else { return Vec::new() };
    let remote = |line: &str| {
        let (key, url) = line.split_once(' ')?;
        Some((key.strip_prefix("remote.")?.strip_suffix(".url")?.to_owned(), url.to_owned()))
    };
    text.lines().filter_map(remote).collect()
}

/// Whether the current directory is in a git repository.
pub(super) fn in_repository() -> bool {
    git(&["rev-parse", "--git-dir"]).is_ok()
}

/// Runs git in the current directory and returns what it prints.
pub(super) fn git(args: &[&str]) -> Result<String, Failure> {
    let attempt = || format!("run git {}", args.join(" "));
    let output = Command::new("git")
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Failure::Local { attempt: attempt(), source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Failure::Local { attempt: attempt(), source: std::io::Error::other(reason) })
}

#[cfg(test)]
mod test {
    use super::*;

    fn remote(name: &str, app: &str) -> Remote {
        (name.to_owned(), format!("http://127.0.0.1:5080/{app}.git"))
    }

    fn args(app: Option<&str>, remote: Option<&str>) -> AppArgs {
        AppArgs { app: app.map(str::to_owned), remote: remote.map(str::to_owned) }
    }

    #[test]
    fn the_flag_goes_before_the_remote_before_the_environment_before_the_repository() {
        let remotes = || vec![remote("heroku", "from-heroku"), remote("staging", "from-staging")];
        let name = |args: &AppArgs, variable: Option<&str>| {
            choose(args, variable.map(str::to_owned), remotes).unwrap()
        };
        assert_eq!(name(&args(Some("flag"), Some("staging")), Some("env")), "flag");
        assert_eq!(name(&args(None, Some("staging")), Some("env")), "from-staging");
        assert_eq!(name(&args(None, None), Some("env")), "env");
        assert_eq!(name(&args(None, None), None), "from-heroku");
    }

    #[test]
    fn what_names_no_app_is_refused() {
        let none = Vec::new;
        assert!(matches!(choose(&args(None, None), None, none), Err(Failure::NoApp)));
        assert!(matches!(choose(&args(None, Some("x")), None, none), Err(Failure::NoSuchRemote(_))));
        assert!(matches!(choose(&args(Some("../x"), None), None, none), Err(Failure::Usage(_))));
        let two = || vec![remote("heroku", "one"), remote("dyno", "two")];
        assert!(matches!(choose(&args(None, None), None, two), Err(Failure::AmbiguousRemote(_))));
    }

    #[test]
    fn only_urls_of_a_node_name_an_app() {
        for url in [
            "http://127.0.0.1:5080/example.git",
            "https://localhost:5080/example.git",
            "ssh://git@127.0.0.1:5022/example.git",
            "git@node.example:example.git",
        ] {
            assert_eq!(app_of_url(url).as_deref(), Some("example"), "{url}");
        }
        for other in ["git@host:me/example.git", "https://host/me/example.git", "/tmp/example.git", ""] {
            assert_eq!(app_of_url(other), None, "{other}");
        }
    }
}
