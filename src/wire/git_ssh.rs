//! What a client of git over SSH sees that is not git's own. Each text is a whole line on its standard error.

/// The server's name in the first line of a connection (RFC 4253 section 4.2).
pub const SERVER_ID: &str = "SSH-2.0-dyno";

/// The one user name that clients come as; who it is their key tells.
pub const USER: &str = "git";

/// A shell was asked for.
pub const NO_SHELL: &str = "!\tYour key is known, but there is no shell here, only git: `git push`, `git fetch` and `git clone`. \
     `dyno run bash -a APP` starts a dyno with one.\n";

/// A command was asked for that is not one of git's two.
pub const NOT_GIT: &str =
    "!\tNothing but git is served here: git-upload-pack and git-receive-pack of an app's repository.\n";

/// The key has been removed since the connection was opened.
pub const KEY_GONE: &str = "!\tThis key is not known any more: `dyno keys:add` adds one.\n";

/// The caller may look at the app, and no more.
pub const FORBIDDEN: &str =
    "!\tYou may look at that app, but its code takes the right to deploy: ask its owner for it.\n";

/// The node could not do it.
pub const FAILED: &str = "!\tThe node failed: its own log says more.\n";
