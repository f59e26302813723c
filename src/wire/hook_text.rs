//! What a pusher sees before and after the build: what the pre-receive hook itself says (platform reference 3.5, 3.6).

use crate::domain::Bytes;
use crate::wire::api_errors::ErrorBody;

/// A branch that is stored but not built.
pub const OTHER_BRANCH: &str = "Pushed to non-main/master branch, skipping build.";

/// The branch that is deployed cannot be deleted.
pub const DELETE_REFUSED: &str =
    " !     The deployed branch cannot be deleted. Use `dyno apps:destroy` to remove the app.";

/// One push is one release.
pub const SEVERAL_REFUSED: &str = " !     main and master are both deployed. Push one of them at a time, such as with `git push heroku main`.";

/// The transcript ended before its verdict.
pub const TRANSCRIPT_CUT: &str = " !     The node went away during the build. Nothing is known to have changed: see `dyno releases`, then push again.";

/// The archive of the source is being made.
pub const COMPRESSING_SOURCE: &str = "Compressing source files... done.";

/// The transcript ended after its verdict, in the middle of the release command.
pub const RELEASE_CUT: &str = " !     The node went away while the release command ran. The push is kept; see `dyno releases` for what became of the release.";

/// The repository would hold more than it may.
#[must_use]
pub fn repository_full(max_bytes: u64) -> String {
    format!(
        " !     The app's repository would hold more than {}. Delete branches that nobody needs (git push --delete), then push again.",
        Bytes(max_bytes)
    )
}

/// The push was refused before anything was built.
#[must_use]
pub fn refused(body: &ErrorBody) -> String {
    format!(" !     {}", body.message)
}

/// The hook could not do its work.
#[must_use]
pub fn hook_failed(reason: &str) -> String {
    format!(" !     The push could not be handed to the node: {reason}.")
}
