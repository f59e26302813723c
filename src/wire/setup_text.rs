//! Why an app was not set up, for whoever asked for it.

use crate::wire::app_json::APP_JSON_NAME;

/// The node's process ended before it was done.
pub const CUT_OFF: &str = "The node ended meanwhile. Destroy the app, and set it up again.";
/// The build failed.
pub const BUILD_FAILED: &str = "The build failed; its output tells why.";
/// The release command failed.
pub const RELEASE_FAILED: &str = "The release command failed; its output tells why.";
/// An add-on has gone before it answered.
pub const ADD_ON_GONE: &str = "An add-on was destroyed meanwhile.";
/// The command after the deploy has nothing to print to.
pub const NO_OUTPUT: &str = "The command after the deploy could not be followed.";

/// The node is at fault; `attempt` completes "cannot ...".
#[must_use]
pub fn node_failed(attempt: &str) -> String {
    format!("The node cannot {attempt}; its log tells why.")
}

/// The source's `app.json` is not there, or wrong; what is wrong is told beside it.
#[must_use]
pub fn manifest_refused() -> String {
    format!("{APP_JSON_NAME} cannot be used as it is.")
}

/// There is no `app.json`.
#[must_use]
pub fn no_manifest() -> String {
    format!("there is no {APP_JSON_NAME} in the source")
}

/// The source is not here; `reason` is one clause.
#[must_use]
pub fn source_not_fetched(reason: &str) -> String {
    format!("The source could not be fetched: {reason}.")
}

/// The source is here and cannot be unpacked; `reason` is one clause.
#[must_use]
pub fn source_not_read(reason: &str) -> String {
    format!("The source cannot be read: {reason}.")
}

/// An add-on takes too long.
#[must_use]
pub fn add_on_late(limit_s: u64) -> String {
    format!("An add-on did not answer within {limit_s} s.")
}

/// The command after the deploy failed.
#[must_use]
pub fn postdeploy_failed(exit_code: u8) -> String {
    format!("The command after the deploy ended with status {exit_code}.")
}
