//! `dyno git:remote`, and how `create` makes its remote.

use crate::cli::Context;
use crate::cli::app::{self, AppArgs, git};
use crate::cli::failure::Failure;
use crate::cli::node::NodeArgs;
use crate::cli::output;
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
        set(&self.remote, &app.git_url, &context.node)?;
        output::note(&format!("set git remote {} to {}\n", self.remote, app.git_url));
        Ok(())
    }
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
    let program = std::env::current_exe().map_err(Failure::local("find this program"))?;
    let helper = helper(&program.to_string_lossy(), &node.flags()?);
    git(&["config", "--local", "--replace-all", &format!("credential.{origin}.helper"), &helper])?;
    // The node is on this machine: a proxy that leads elsewhere would not find it.
    git(&["config", "--local", "--replace-all", &format!("http.{origin}.proxy"), ""]).map(drop)
}

/// `http://127.0.0.1:5080` of `http://127.0.0.1:5080/example.git`.
fn origin(url: &str) -> Option<&str> {
    let host = url.find("://")? + 3;
    let end = url[host..].find('/').map_or(url.len(), |at| host + at);
    Some(&url[..end])
}

/// A credential helper that git runs through a shell (gitcredentials(7): a leading `!`).
fn helper(program: &str, flags: &[String]) -> String {
    let quoted = |word: &str| format!("'{}'", word.replace('\'', r"'\''"));
    let words: Vec<_> =
        std::iter::once(program).chain(flags.iter().map(String::as_str)).map(quoted).collect();
    format!("!{} git:credentials", words.join(" "))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_helper_is_asked_for_the_node_alone_and_finds_it_again() {
        assert_eq!(origin("http://127.0.0.1:5080/example.git"), Some("http://127.0.0.1:5080"));
        assert_eq!(origin("/tmp/x"), None);
        let flags = ["--root".to_owned(), "/it's here".to_owned()];
        assert_eq!(helper("/bin/dyno", &flags), r"!'/bin/dyno' '--root' '/it'\''s here' git:credentials");
    }
}
