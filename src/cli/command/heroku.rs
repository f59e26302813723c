//! `dyno heroku`: the stock command, run against this node.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};

use http_body_util::BodyExt as _;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::Context;
use crate::cli::app::{self, git};
use crate::cli::command::heroku_psql::StandIn;
use crate::cli::command::{auth, git_remote};
use crate::cli::failure::Failure;
use crate::cli::host::data_dir;
use crate::cli::output;
use crate::domain::shell_quoted;
use crate::sys::fs::write_atomically;

/// The stock command.
const PROGRAM: &str = "heroku";
/// The name under which the stock command accepts a node: it sends tokens to few others.
const HOST: &str = "localhost";
/// What logs in and out with the stock command, which refuses to where a token is in its environment.
const LOGINS: [&str; 4] = ["login", "auth:login", "logout", "auth:logout"];
/// Commands that ask the platform at a fixed address, and would send it the token of the node; with what to use instead.
const AWAY: [(&str, &str); 3] = [
    ("ci:run", "use `dyno ci:run`, which runs the same and is shown by `dyno heroku ci`"),
    ("ci:rerun", "use `dyno ci:rerun`"),
    ("ci:debug", "use `dyno ci:run`: nobody looks into a run while it goes on"),
];
/// A file of a certificate's digest's bytes tells the authorities of several nodes apart.
const FINGERPRINT_BYTES: usize = 8;
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

/// Where the stock command finds the node, and what vouches for it there.
#[derive(Debug)]
struct Place {
    port: u16,
    authority: Option<PathBuf>,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        if let Some((name, instead)) = self.args.first().and_then(leads_away) {
            let told = "asks the platform at a fixed address, and would send it this node's token";
            return Err(Failure::Nothing(format!("The stock command {name} {told}: {instead}.")));
        }
        let place = place(context).await?;
        let logs_in = self.args.first().is_some_and(|name| LOGINS.iter().any(|login| name == login));
        let token = if logs_in { None } else { Some(auth::token(context)?) };
        let mut environment = environment(&place, token.as_deref());
        if self.env {
            let line = |(name, value): &(&str, String)| format!("export {name}={}\n", shell_quoted(value));
            output::data(&environment.iter().map(line).collect::<String>())?;
            return Ok(ExitCode::SUCCESS);
        }
        let stand_in = StandIn::make(context)?;
        environment.push(("PATH", stand_in.path().to_string_lossy().into_owned()));
        let status = play(&self.args, environment).await?;
        drop(stand_in);
        trust(context, &place)?;
        Ok(exit_code(status))
    }
}

fn leads_away(command: &OsString) -> Option<&'static (&'static str, &'static str)> {
    AWAY.iter().find(|(name, _)| command == name)
}

async fn place(context: &Context) -> Result<Place, Failure> {
    let Some(host) = &context.node.host else {
        let node: Node = context.client.get("/node").await?;
        return Ok(Place { port: node.git_address.port(), authority: node.authority });
    };
    if !host.is_loopback() {
        return Err(Failure::Usage(format!(
            "The stock command sends a token to {HOST} alone: bring the node here with dyno tunnel, rather than {}.",
            host.origin()
        )));
    }
    let answer = context.client.stream("/authority.pem").await?;
    let pem = answer.collect().await.map_err(Failure::connection("reading its certificate"))?.to_bytes();
    let directory = data_dir()?;
    let digest = Sha256::digest(&pem);
    let path = directory.join(format!("authority-{}.pem", hex::encode(&digest[..FINGERPRINT_BYTES])));
    let written = std::fs::create_dir_all(&directory).and_then(|()| write_atomically(&path, &pem));
    written.map_err(Failure::local(format!("write {}", path.display())))?;
    Ok(Place { port: host.port(), authority: Some(path) })
}

/// Everything that the stock command would otherwise ask a host on the internet for leads to the node; what it sends
/// home is switched off.
fn environment(place: &Place, token: Option<&str>) -> Vec<(&'static str, String)> {
    let port = place.port;
    let (http, https) = (format!("http://{HOST}:{port}"), format!("https://{HOST}:{port}"));
    let on = || "true".to_owned();
    let mut all = vec![
        ("HEROKU_HOST", http.clone()),
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
    all.extend(token.map(|token| ("HEROKU_API_KEY", token.to_owned())));
    if let Some(authority) = &place.authority {
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
    // One from outside is for the platform.
    command.args(args).env_remove("HEROKU_API_KEY").envs(environment);
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
fn trust(context: &Context, place: &Place) -> Result<(), Failure> {
    let origin = format!("https://{HOST}:{}", place.port);
    let leads_here = |url: &str| url.strip_prefix(&origin).is_some_and(|rest| rest.starts_with('/'));
    if !app::remotes().iter().any(|(_, url)| leads_here(url)) {
        return Ok(());
    }
    git_remote::prepare(&origin, &context.node)?;
    if let Some(authority) = &place.authority {
        let authority = authority.to_string_lossy();
        git(&["config", "--local", "--replace-all", &format!("http.{origin}.sslCAInfo"), &authority])?;
    }
    Ok(())
}

pub(super) fn exit_code(status: ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt as _;
    let number = status.code().or_else(|| status.signal().map(|signal| SIGNAL_STATUS + signal));
    ExitCode::from(number.and_then(|number| u8::try_from(number).ok()).unwrap_or(1))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_environment_leads_to_the_node_and_nowhere_else() {
        let place = Place { port: 5080, authority: Some("/n/lib/authority/ca.pem".into()) };
        let all = environment(&place, Some("a-token"));
        let value = |name: &str| all.iter().find(|(known, _)| *known == name).unwrap().1.as_str();
        assert_eq!(value("HEROKU_API_KEY"), "a-token");
        assert_eq!(value("HEROKU_HOST"), "http://localhost:5080");
        assert_eq!(value("HEROKU_EXEC_URL"), "https://localhost:5080");
        assert_eq!(value("GIT_CONFIG_KEY_0"), "http.https://localhost:5080.sslCAInfo");
        assert_eq!(value("DISABLE_TELEMETRY"), "true");
        assert!(environment(&place, None).iter().all(|(name, _)| *name != "HEROKU_API_KEY"));
    }
}
