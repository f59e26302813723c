//! `dyno git:remote` and `git:clone`, and how `create` makes its remote.

use std::path::PathBuf;
use std::process::Command;

use crate::cli::Context;
use crate::cli::app::{self, AppArgs, git};
use crate::cli::failure::Failure;
use crate::cli::node::NodeArgs;
use crate::cli::output;
use crate::domain::shell_quoted;
use crate::wire::api::App;

/// Make a git remote for an app in the repository around the current directory
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// App to run the command against
    #[arg(short, long, value_name = "APP")]
    app: String,
    /// Git remote to make
    #[arg(short, long, value_name = "REMOTE", default_value = app::REMOTE)]
    remote: String,
    /// Push over SSH, with a key that keys:add has added, instead of over HTTP
    #[arg(long)]
    ssh_git: bool,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let name = AppArgs { app: Some(self.app), remote: None }.name()?;
        let app: App = context.client.get(&format!("/apps/{name}")).await?;
        if !app::in_repository() {
            return Err(Failure::Usage(
                "The current directory is in no git repository: run `git init` first.".to_owned(),
            ));
        }
        let url = url(&app, self.ssh_git.into(), &context.node)?;
        set(&self.remote, &url, &context.node)?;
        output::note(&format!("set git remote {} to {url}\n", self.remote));
        Ok(())
    }
}

/// Clone an app's repository, with a remote that leads to the node
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CloneArgs {
    /// App to run the command against
    #[arg(short, long, value_name = "APP")]
    app: String,
    /// Git remote to make
    #[arg(short, long, value_name = "REMOTE", default_value = app::REMOTE)]
    remote: String,
    /// Clone over SSH, with a key that keys:add has added, instead of over HTTP
    #[arg(long)]
    ssh_git: bool,
    /// Directory to clone into [default: the app's name]
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl CloneArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let name = AppArgs { app: Some(self.app), remote: None }.name()?;
        let app: App = context.client.get(&format!("/apps/{name}")).await?;
        let url = url(&app, self.ssh_git.into(), &context.node)?;
        let dir = self.dir.unwrap_or_else(|| PathBuf::from(&app.name));
        // The new repository's configuration: what `set` writes into one that is there.
        let settings = match origin(&url) {
            Some(origin) => settings(origin, &context.node)?,
            None => Vec::new(),
        };
        let mut clone = Command::new("git");
        clone.arg("clone").arg("--origin").arg(&self.remote);
        for (key, value) in &settings {
            clone.arg("--config").arg(format!("{key}={value}"));
        }
        let status = clone.arg("--").arg(&url).arg(&dir).status().map_err(Failure::local("run git"))?;
        if status.success() { Ok(()) } else { Err(Failure::Nothing(format!("git could not clone {name}."))) }
    }
}

/// How git reaches the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Http,
    Ssh,
}

impl From<bool> for Over {
    /// What the flag `--ssh-git` says.
    fn from(is_ssh: bool) -> Self {
        if is_ssh { Self::Ssh } else { Self::Http }
    }
}

/// The app's URL for git: over SSH, or over HTTP at the address where this program finds the node.
pub(super) fn url(app: &App, over: Over, node: &NodeArgs) -> Result<String, Failure> {
    match (over, &node.host) {
        (Over::Ssh, _) => ssh_url(app),
        (Over::Http, Some(host)) => Ok(format!("{}/{}.git", host.origin(), app.name)),
        (Over::Http, None) => Ok(app.git_url.clone()),
    }
}

/// The app's URL over SSH, where the node takes git so.
fn ssh_url(app: &App) -> Result<String, Failure> {
    app.ssh_git_url.clone().ok_or_else(|| {
        Failure::Usage(
            "This node takes no git over SSH: its administrator chooses an address for it (`ssh.listen` in the configuration, or dyno serve --ssh-port)."
                .to_owned(),
        )
    })
}

/// The remotes that lead to an app, each with how it does so.
pub(super) fn remotes_of(app: &App, node: &NodeArgs) -> Vec<(String, Over)> {
    let leads = |(remote, found): app::Remote| {
        let over_ssh = Some(&found) == app.ssh_git_url.as_ref();
        let over_http = url(app, Over::Http, node).is_ok_and(|url| url == found);
        (over_ssh || over_http).then_some((remote, over_ssh.into()))
    };
    app::remotes().into_iter().filter_map(leads).collect()
}

/// Points `remote` at `url`, and tells git whom to ask for the password there and that no proxy leads there. Only this repository's configuration is
/// changed.
pub(super) fn set(remote: &str, url: &str, node: &NodeArgs) -> Result<(), Failure> {
    let exists = app::remotes().iter().any(|(name, _)| name == remote);
    git(&["remote", if exists { "set-url" } else { "add" }, remote, url])?;
    match origin(url) {
        Some(origin) => prepare(origin, node),
        None => Ok(()),
    }
}

/// Tells git, in this repository, whom to ask for the password at `origin`, and that no proxy leads there.
pub(super) fn prepare(origin: &str, node: &NodeArgs) -> Result<(), Failure> {
    for (key, value) in settings(origin, node)? {
        git(&["config", "--local", "--replace-all", &key, &value])?;
    }
    Ok(())
}

/// The settings of a repository by which git asks for the password at `origin`, and by which no proxy leads there.
fn settings(origin: &str, node: &NodeArgs) -> Result<Vec<(String, String)>, Failure> {
    let program = std::env::current_exe().map_err(Failure::local("find this program"))?;
    let helper = helper(&program.to_string_lossy(), &node.flags()?);
    let mut settings = vec![(format!("credential.{origin}.helper"), helper)];
    if let Some(authority) = &node.authority {
        let path = std::path::absolute(authority).map_err(Failure::local("tell the current directory"))?;
        settings.push((format!("http.{origin}.sslCAInfo"), path.to_string_lossy().into_owned()));
    }
    // The node is on this machine: a proxy that leads elsewhere would not find it.
    if node.host.as_ref().is_none_or(crate::cli::host::Host::is_loopback) {
        settings.push((format!("http.{origin}.proxy"), String::new()));
    }
    Ok(settings)
}

/// `http://127.0.0.1:5080` of `http://127.0.0.1:5080/example.git`; none where git asks for no password.
fn origin(url: &str) -> Option<&str> {
    if !url.starts_with("http") {
        return None;
    }
    let host = url.find("://")? + 3;
    let end = url[host..].find('/').map_or(url.len(), |at| host + at);
    Some(&url[..end])
}

/// A credential helper that git runs through a shell (gitcredentials(7): a leading `!`).
fn helper(program: &str, flags: &[String]) -> String {
    let words: Vec<_> =
        std::iter::once(program).chain(flags.iter().map(String::as_str)).map(shell_quoted).collect();
    format!("!{} git:credentials", words.join(" "))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_helper_is_asked_for_the_node_alone_and_finds_it_again() {
        assert_eq!(origin("http://127.0.0.1:5080/example.git"), Some("http://127.0.0.1:5080"));
        assert_eq!(origin("/tmp/x"), None);
        assert_eq!(origin("ssh://git@127.0.0.1:5022/example.git"), None);
        let flags = ["--root".to_owned(), "/it's here".to_owned()];
        assert_eq!(helper("/bin/dyno", &flags), r"!'/bin/dyno' '--root' '/it'\''s here' git:credentials");
    }
}
