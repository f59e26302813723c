//! What a release says it is (platform reference 3.8).

use crate::domain::{AddOnName, AppName, AttachmentName, Bytes, Version};

/// Characters of a commit that a description shows.
const COMMIT_CHARS: usize = 8;

/// The release every app begins with.
pub const INITIAL: &str = "Initial release";

/// The release in which an app gets its log; the first deploy is therefore the third release.
pub const ENABLE_LOGPLEX: &str = "Enable Logplex";

/// Why nothing came of a promotion on an app whose release command has failed.
pub const COMMAND_FAILED: &str = "The release command failed: see `dyno releases:output`.";

/// A deploy of `commit`: `Deploy 1a2b3c4d`; `Deploy` where nobody says of what.
#[must_use]
pub fn deploy(commit: &str) -> String {
    let short: String = commit.chars().take(COMMIT_CHARS).collect();
    format!("Deploy {short}").trim_end().to_owned()
}

/// A change of config vars: `Set FOO, BAR config vars`, `Remove FOO config vars`, or both in one sentence.
#[must_use]
pub fn config_change(set: &[&str], removed: &[&str]) -> String {
    match (set, removed) {
        (set, []) => format!("Set {} config vars", set.join(", ")),
        ([], removed) => format!("Remove {} config vars", removed.join(", ")),
        (set, removed) => format!("Set {} and remove {} config vars", set.join(", "), removed.join(", ")),
    }
}

/// An add-on that an app has from now on, under this name.
#[must_use]
pub fn attach(attachment: &AttachmentName, add_on: &AddOnName) -> String {
    format!("Attach {attachment} (@ref:{add_on})")
}

/// An add-on that an app has no more.
#[must_use]
pub fn detach(attachment: &AttachmentName, add_on: &AddOnName) -> String {
    format!("Detach {attachment} (@ref:{add_on})")
}

/// An add-on that answers for the first time.
#[must_use]
pub fn provisioned(attachment: &AttachmentName, add_on: &AddOnName) -> String {
    format!("@ref:{add_on} completed provisioning, setting {}.", attachment.config_var())
}

/// Config vars that a service gives another value: `Update DATABASE by heroku-postgresql`.
#[must_use]
pub fn updated(attachment: &AttachmentName, service: &str) -> String {
    format!("Update {attachment} by {service}")
}

/// A return to an earlier release.
#[must_use]
pub fn rollback(version: Version) -> String {
    format!("Rollback to {version}")
}

/// A slug that came from another app: `Promote example-staging v7 1a2b3c4d`; without a commit where none is known.
#[must_use]
pub fn promotion(source: &AppName, version: Version, commit: Option<&str>) -> String {
    let short: String = commit.unwrap_or_default().chars().take(COMMIT_CHARS).collect();
    format!("Promote {source} {version} {short}").trim_end().to_owned()
}

/// The last line of an output of which no more than `limit` is kept.
#[must_use]
pub fn output_cut(limit: Bytes) -> String {
    format!(" !     There are more than {limit} of output; the rest is in the app's log.")
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn descriptions_read_as_published() {
        assert_eq!(deploy("1a2b3c4d5e6f"), "Deploy 1a2b3c4d");
        assert_eq!(deploy("abc"), "Deploy abc");
        assert_eq!(deploy(""), "Deploy");
        assert_eq!(config_change(&["FOO", "BAR"], &[]), "Set FOO, BAR config vars");
        assert_eq!(config_change(&[], &["FOO"]), "Remove FOO config vars");
        assert_eq!(config_change(&["A"], &["B"]), "Set A and remove B config vars");
        let staging = "example-staging".parse().unwrap();
        let promoted = promotion(&staging, Version(7), Some("1a2b3c4d5e6f"));
        assert_eq!(promoted, "Promote example-staging v7 1a2b3c4d");
        assert_eq!(promotion(&staging, Version(7), None), "Promote example-staging v7");
        let (database, add_on) = ("DATABASE".parse().unwrap(), "postgresql-round-12345".parse().unwrap());
        assert_eq!(attach(&database, &add_on), "Attach DATABASE (@ref:postgresql-round-12345)");
        assert_eq!(detach(&database, &add_on), "Detach DATABASE (@ref:postgresql-round-12345)");
        let ready = "@ref:postgresql-round-12345 completed provisioning, setting DATABASE_URL.";
        assert_eq!(provisioned(&database, &add_on), ready);
        assert_eq!(rollback(Version(3)), "Rollback to v3");
        let cut = " !     There are more than 8.0M of output; the rest is in the app's log.";
        assert_eq!(output_cut(Bytes::mib(8)), cut);
    }
}
