//! The platform's exec manager, which the stock command asks for a way into a dyno, and what the SSH behind that says.

use serde::{Deserialize, Serialize};

/// What the manager is told: whoever comes has the other half of this key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct NewVisitor {
    /// In OpenSSH's form, without a comment.
    pub client_key: String,
}

/// The way in, at [`PORT`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WayIn {
    /// Where SSH is spoken: an address.
    pub tunnel_host: String,
    /// The user's name there, good for one connection.
    pub client_user: String,
    /// The host's key, in OpenSSH's form.
    pub proxy_public_key: String,
}

/// A dyno that there is a way into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reachable {
    /// `web.1`.
    pub dyno_name: String,
}

/// The one port that clients come to.
pub const PORT: u16 = 80;

/// The node could not do it; on the standard error of a client, which has a terminal.
pub const FAILED: &str = "The node failed: its own log says more.";

/// Files are read and nothing else.
pub const READ_ONLY: &str = "Files of a dyno can be read here, and nothing else.";

/// No such file, or none for the app's user.
pub const NO_FILE: &str = "The dyno has no such file that it may read.";

/// One file at a time.
pub const ONE_FILE: &str = "One file is open already: close it first.";

/// A handle that is none.
pub const NO_HANDLE: &str = "No such file is open.";

/// A read too far from where the last one ended.
pub const NOT_IN_ORDER: &str = "A file is read from its begin to its end, in order.";

/// What came is not what there was when the copy began.
pub const CHANGED: &str = "The file did not come as it is: does something write to it?";
