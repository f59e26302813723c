//! The platform's own command and libraries for it, as their makers publish them: one version each, installed once,
//! outside of the repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The version whose requests this project was built against.
pub const VERSION: &str = "11.10.0";
/// Where npm puts programs.
const BIN: &str = "node_modules/.bin";
/// Names a folder that has the command already.
const DIR_NAME: &str = "DYNO_TEST_STOCK_CLI";

/// The folder of the command's program; why not, when it cannot be installed.
pub fn installed() -> Result<PathBuf, String> {
    match std::env::var_os(DIR_NAME) {
        Some(dir) => Ok(PathBuf::from(dir).join(BIN)),
        None => with_npm("heroku", VERSION).map(|dir| dir.join(BIN)),
    }
}

/// The folder of a package of npm, in one version; why not, when it cannot be installed.
pub fn with_npm(package: &str, version: &str) -> Result<PathBuf, String> {
    let wanted = format!("{package}@{version}");
    once(package, version, |aside| {
        let mut npm = Command::new("npm");
        npm.args(["install", &wanted, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
        npm.arg("--prefix").arg(aside);
        npm
    })
}

/// The folder of a package of Python, in one version; why not, when it cannot be installed.
pub fn with_pip(package: &str, version: &str) -> Result<PathBuf, String> {
    let wanted = format!("{package}=={version}");
    once(package, version, |aside| {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile", &wanted]);
        pip.arg("--target").arg(aside);
        pip
    })
}

/// Installs what is not there yet, into a folder that all tests of a machine share.
fn once(package: &str, version: &str, install: impl Fn(&Path) -> Command) -> Result<PathBuf, String> {
    let dir = PathBuf::from(format!("/var/tmp/dyno-test-{package}-{version}"));
    if dir.exists() {
        return Ok(dir);
    }
    // Aside first: another test may look at the same moment, and what is there must be whole.
    let aside = PathBuf::from(format!("{}.{}", dir.display(), std::process::id()));
    let outcome = install(&aside).stdin(Stdio::null()).output();
    let outcome = outcome.map_err(|error| format!("{package} {version} cannot be installed: {error}"))?;
    if !outcome.status.success() {
        let _gone = fs::remove_dir_all(&aside);
        let said = String::from_utf8_lossy(&outcome.stderr).into_owned();
        return Err(format!("{package} {version} cannot be installed: {said}"));
    }
    if fs::rename(&aside, &dir).is_err() {
        // Another test was faster.
        let _gone = fs::remove_dir_all(&aside);
    }
    Ok(dir)
}
