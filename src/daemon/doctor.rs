//! `dyno doctor`: the findings on standard output, and whether containers can be run as the exit status.

use std::io::Write;
use std::process::ExitCode;

use crate::daemon::{Config, ServeArgs};
use crate::oci;

/// Look at this machine and say what a node would miss
#[derive(Debug, clap::Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    node: ServeArgs,
    /// Print data as JSON
    #[arg(long)]
    json: bool,
}

/// Looks, and says what it saw.
pub(super) fn doctor(args: Doctor) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    let config = match Config::load(&args.node) {
        Ok(config) => config,
        Err(error) => {
            let _closed = writeln!(std::io::stderr(), " ›   Error: {error}");
            return ExitCode::FAILURE;
        }
    };
    // A node that runs holds its own ports, which is no defect.
    let listen = match config.api_socket().exists() {
        true => Vec::new(),
        false => {
            let ports = [&config.router, &config.router_https, &config.git, &config.ssh];
            ports.into_iter().flatten().copied().collect()
        }
    };
    let findings = oci::examine(&oci::Subject { lib_dir: config.lib_dir, listen });
    let printed = if args.json {
        serde_json::to_writer_pretty(&mut stdout, &findings)
            .map_err(Into::into)
            .and_then(|()| writeln!(stdout))
    } else {
        findings.iter().try_for_each(|finding| writeln!(stdout, "{finding}"))
    };
    match (printed, oci::is_fit(&findings)) {
        (Ok(()), true) => ExitCode::SUCCESS,
        (Ok(()) | Err(_), _) => ExitCode::FAILURE,
    }
}
