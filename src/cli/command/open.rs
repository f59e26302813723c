//! `dyno open`

use std::process::{Command, Stdio};

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::sys::tty;
use crate::wire::api::App;

/// What opens an address in the browser of a desktop.
const OPENER: &str = "xdg-open";
/// Variables that are set where there is a desktop.
const DESKTOPS: [&str; 2] = ["DISPLAY", "WAYLAND_DISPLAY"];

/// Show the address of an app, and open it in the browser where there is one
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// Path below the app's address
    #[arg(value_name = "PATH", default_value = "")]
    path: String,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let name = self.app.name()?;
        let app: App = context.client.get(&format!("/apps/{name}")).await?;
        let none = || Failure::Nothing(format!("{name} has no address."));
        let url = below(&app.web_url.ok_or_else(none)?, &self.path);
        if context.node.json {
            return output::json(&serde_json::json!({ "url": url }));
        }
        output::data(&format!("{url}\n"))?;
        let has_desktop = DESKTOPS.iter().any(|name| std::env::var_os(name).is_some());
        if tty::stdout_is_terminal() && has_desktop {
            let opened = Command::new(OPENER).arg(&url).stdin(Stdio::null()).stdout(Stdio::null()).status();
            if !opened.is_ok_and(|status| status.success()) {
                output::note("No browser could be opened: open the address yourself.\n");
            }
        }
        Ok(())
    }
}

/// An address, and a path below it.
fn below(web_url: &str, path: &str) -> String {
    format!("{}/{}", web_url.trim_end_matches('/'), path.trim_start_matches('/'))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_path_is_below_the_address() {
        let at = "http://example.localhost:8080/";
        assert_eq!(below(at, ""), at);
        assert_eq!(below(at, "/a?b"), "http://example.localhost:8080/a?b");
        assert_eq!(below(at, "a"), "http://example.localhost:8080/a");
    }
}
