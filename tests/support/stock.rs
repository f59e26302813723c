//! The platform's own command, as its makers publish it: one version, installed once, outside of the repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The version whose requests this project was built against.
pub const VERSION: &str = "11.10.0";
/// Names a folder that has the command already.
const DIR_NAME: &str = "DYNO_TEST_STOCK_CLI";

/// The folder of the command's program; why not, when it cannot be installed.
pub fn installed() -> Result<PathBuf, String> {
    let dir = std::env::var_os(DIR_NAME)
        .map_or_else(|| PathBuf::from(format!("/var/tmp/dyno-stock-cli-{VERSION}")), PathBuf::from);
    let bin = dir.join("node_modules/.bin");
    if is_whole(&bin) {
        return Ok(bin);
    }
    // Aside first: another test may look at the same moment.
    let aside = PathBuf::from(format!("{}.{}", dir.display(), std::process::id()));
    let wanted = format!("heroku@{VERSION}");
    let mut npm = Command::new("npm");
    npm.args(["install", &wanted, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
    npm.arg("--prefix").arg(&aside).stdin(Stdio::null());
    let outcome = npm.output().map_err(|error| format!("npm does not run: {error}"))?;
    if !outcome.status.success() {
        let _gone = fs::remove_dir_all(&aside);
        return Err(format!("npm cannot install {wanted}: {}", String::from_utf8_lossy(&outcome.stderr)));
    }
    if fs::rename(&aside, &dir).is_err() {
        // Another test was faster.
        let _gone = fs::remove_dir_all(&aside);
    }
    if is_whole(&bin) { Ok(bin) } else { Err(format!("{} is not whole: remove it", dir.display())) }
}

fn is_whole(bin: &Path) -> bool {
    bin.join("heroku").exists()
}
