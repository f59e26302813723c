//! `dyno heroku`: the stock command, run against this node.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};

use serde::Deserialize;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::Context;
use crate::cli::app::{self, git};
use crate::cli::command::{auth, git_remote};
use crate::cli::failure::Failure;
use crate::cli::output;

/// The stock command.
const PROGRAM: &str = "heroku";
/// The name under which the stock command accepts a node: it sends tokens to few others.
const HOST: &str = "localhost";
/// Added to the number of a signal that ended the stock command, as shells have it.
const SIGNAL_STATUS: i32 = 128;

/// Run the stock heroku command against this node
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(in crate::cli) struct Args {
    /// Print the environment that the stock command needs, for a shell: eval "$(dyno heroku --env)"
    #[arg(long, conflicts_with = "args")]
    env: bool,
    /// What the stock command is to do, with its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    args: Vec<OsString>,
}

/// What the node says of itself.
#[derive(Debug, Deserialize)]
struct Node {
    git_address: std::net::SocketAddr,
    authority: Option<PathBuf>,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let node: Node = context.client.get("/node").await?;
        let token = auth::token(context)?;
        let environment = environment(&node, &token);
        if self.env {
            let line = |(name, value): &(&str, String)| format!("export {name}={}\n", quoted(value));
            output::data(&environment.iter().map(line).collect::<String>())?;
            return Ok(ExitCode::SUCCESS);
        }
        let status = play(&self.args, environment).await?;
        trust(context, &node)?;
        Ok(exit_code(status))
    }
}

/// Everything that the stock command would otherwise ask a host on the internet for leads to the node; what it sends
/// home is switched off.
fn environment(node: &Node, token: &str) -> Vec<(&'static str, String)> {
    let port = node.git_address.port();
    let (http, https) = (format!("http://{HOST}:{port}"), format!("https://{HOST}:{port}"));
    let on = || "true".to_owned();
    let mut all = vec![
        ("HEROKU_HOST", http.clone()),
        ("HEROKU_API_KEY", token.to_owned()),
        ("HEROKU_PARTICLEBOARD_URL", http.clone()),
        ("HEROKU_DATA_HOST", HOST.to_owned()),
        ("HEROKU_LOGIN_HOST", http.clone()),
        ("HEROKU_BUILDPACK_REGISTRY_URL", http.clone()),
        ("HEROKU_EXEC_URL", https.clone()),
        ("HEROKU_STATUS_HOST", http),
        // The keychain of a desktop would take the node's token for the platform's.
        ("HEROKU_NETRC_WRITE", on()),
        ("DISABLE_TELEMETRY", on()),
        ("HEROKU_SKIP_NEW_VERSION_CHECK", on()),
        ("HEROKU_DISABLE_AUTOUPDATE", on()),
    ];
    if let Some(authority) = &node.authority {
        let authority = authority.to_string_lossy().into_owned();
        all.extend([
            ("NODE_EXTRA_CA_CERTS", authority.clone()),
            ("GIT_CONFIG_COUNT", "1".to_owned()),
            ("GIT_CONFIG_KEY_0", format!("http.{https}.sslCAInfo")),
            ("GIT_CONFIG_VALUE_0", authority),
        ]);
    }
    all
}

async fn play(args: &[OsString], environment: Vec<(&str, String)>) -> Result<ExitStatus, Failure> {
    // Ctrl-C is the stock command's: this program waits for what it makes of it.
    let _ours = signal(SignalKind::interrupt()).map_err(Failure::local("wait for signals"))?;
    let mut command = Command::new(PROGRAM);
    command.args(args).envs(environment);
    // It would win over the node's authority, and git has nowhere else to go from here.
    command.env_remove("GIT_SSL_CAINFO");
    // A proxy that leads elsewhere would not find this machine.
    command.env("NO_PROXY", without_proxy());
    match command.status().await {
        Ok(status) => Ok(status),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Failure::Nothing(
            "There is no heroku command on the PATH: install it (npm install --global heroku), or use dyno alone."
                .to_owned(),
        )),
        Err(source) => Err(Failure::Local { attempt: "run the heroku command".to_owned(), source }),
    }
}

fn without_proxy() -> String {
    let own = format!("{HOST},127.0.0.1,::1");
    match std::env::var("NO_PROXY") {
        Ok(others) if !others.is_empty() => format!("{own},{others}"),
        Ok(_) | Err(_) => own,
    }
}

/// Makes a later `git push` work in this repository, without the environment of the stock command.
fn trust(context: &Context, node: &Node) -> Result<(), Failure> {
    let origin = format!("https://{HOST}:{}", node.git_address.port());
    let leads_here = |url: &str| url.strip_prefix(&origin).is_some_and(|rest| rest.starts_with('/'));
    if !app::remotes().iter().any(|(_, url)| leads_here(url)) {
        return Ok(());
    }
    git_remote::prepare(&origin, &context.node)?;
    if let Some(authority) = &node.authority {
        let authority = authority.to_string_lossy();
        git(&["config", "--local", "--replace-all", &format!("http.{origin}.sslCAInfo"), &authority])?;
    }
    Ok(())
}

fn exit_code(status: ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt as _;
    let number = status.code().or_else(|| status.signal().map(|signal| SIGNAL_STATUS + signal));
    ExitCode::from(number.and_then(|number| u8::try_from(number).ok()).unwrap_or(1))
}

/// For a shell, whatever the text holds.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_environment_leads_to_the_node_and_nowhere_else() {
        let node = Node {
            git_address: ([127, 0, 0, 1], 5080).into(),
            authority: Some("/n/lib/authority/ca.pem".into()),
        };
        let all = environment(&node, "a-token");
        let value = |name: &str| all.iter().find(|(known, _)| *known == name).unwrap().1.as_str();
        assert_eq!(value("HEROKU_HOST"), "http://localhost:5080");
        assert_eq!(value("HEROKU_EXEC_URL"), "https://localhost:5080");
        assert_eq!(value("GIT_CONFIG_KEY_0"), "http.https://localhost:5080.sslCAInfo");
        assert_eq!(value("DISABLE_TELEMETRY"), "true");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
