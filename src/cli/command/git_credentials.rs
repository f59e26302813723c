//! `dyno git:credentials`: git asks it for the password of the node's git URL (gitcredentials(7)).

use std::io::Read as _;

use crate::cli::command::auth;
use crate::cli::failure::Failure;
use crate::cli::{Context, output};

/// Most that git tells a helper, bytes.
const QUESTION_BYTES_MAX: u64 = 64 * 1024;
/// The user name; the node looks at the password alone.
const USER: &str = "dyno";

/// Answer git with the node's password
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// get, store or erase, as git says; only get does anything
    operation: String,
}

impl Args {
    pub(in crate::cli) fn run(self, context: &Context) -> Result<(), Failure> {
        let mut question = String::new();
        let mut stdin = std::io::stdin().lock().take(QUESTION_BYTES_MAX);
        stdin.read_to_string(&mut question).map_err(Failure::local("read git's question"))?;
        let is_known = match &context.node.host {
            Some(host) => host_of(&question) == host.authority(),
            None => is_local(&question),
        };
        if self.operation != "get" || !is_known {
            return Ok(());
        }
        let token = auth::token(context)?;
        output::data(&format!("username={USER}\npassword={token}\n"))
    }
}

/// The host, with its port, that git asks for.
fn host_of(question: &str) -> &str {
    question.lines().find_map(|line| line.strip_prefix("host=")).unwrap_or_default()
}

/// Whether git asks for this machine: the password goes nowhere else.
fn is_local(question: &str) -> bool {
    let host = host_of(question);
    let name = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next(),
        None => host.split(':').next(),
    };
    matches!(name, Some("127.0.0.1" | "localhost" | "::1"))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn only_this_machine_gets_the_password() {
        for host in ["127.0.0.1:5080", "localhost", "[::1]:5080"] {
            assert!(is_local(&format!("protocol=http\nhost={host}\n\n")), "{host}");
        }
        for host in ["git.example.com", "127.0.0.1.example.com", "localhost.example.com:80", ""] {
            assert!(!is_local(&format!("protocol=http\nhost={host}\n\n")), "{host}");
        }
        assert!(!is_local(""));
    }
}
