//! What is said of deploys from repositories elsewhere: to their hosts, and to whoever looks at an app's.

use uuid::Uuid;

/// Characters of a commit that are shown.
const COMMIT_CHARS: usize = 8;

/// A message that is about something else.
pub const NO_PUSH: &str = "It is about no push.";
/// Another branch, or a tag.
pub const OTHER_BRANCH: &str = "It is about another branch than the one that is deployed.";
/// The branch has gone.
pub const DELETED: &str = "The branch was deleted; the app goes on as it is.";
/// Deploys are off.
pub const SWITCHED_OFF: &str = "Deploys are disabled: see `dyno github:deploys`.";
/// A commit that runs already.
pub const DEPLOYED: &str = "That commit was deployed last.";
/// A message that is acted on.
pub const ASKED: &str = "The branch is being deployed.";

/// Who tied the app to the branch may do that no longer.
#[must_use]
pub fn no_right(user: &str) -> String {
    format!("{user} may not deploy this app any more, so deploys are switched off: connect it anew.")
}

/// A branch that could not be fetched; `reason` is one clause.
#[must_use]
pub fn not_fetched(reason: &str) -> String {
    format!("The branch could not be fetched: {reason}.")
}

/// The branch is where it was.
#[must_use]
pub fn is_deployed(commit: &str) -> String {
    format!("{} was deployed already.", short(commit))
}

/// A commit that has become a release.
#[must_use]
pub fn deployed(commit: &str) -> String {
    format!("{} was deployed.", short(commit))
}

/// A commit that does not build.
#[must_use]
pub fn build_failed(commit: &str, build: Uuid) -> String {
    format!("{} does not build: see `dyno builds:output {build}`.", short(commit))
}

/// A commit that was not built; `reason` is one clause.
#[must_use]
pub fn failed(commit: &str, reason: &str) -> String {
    format!("{} was not built: {reason}.", short(commit))
}

fn short(commit: &str) -> String {
    commit.chars().take(COMMIT_CHARS).collect()
}
