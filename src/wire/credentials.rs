//! How a client over TCP shows who it is: a token as a bearer token or as a basic password, whatever the user name; and,
//! where a token is made, a name and a password.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// What a git client shows after a 403.
pub const GIT_FORBIDDEN: &str = "!\tYou do not have access to that app, or the token is not good for this.\n";

/// What a git client shows that has too many commands at once, and so does one of SSH.
pub const GIT_TOO_MANY: &str =
    "!\tToo many git commands of yours run on this node: wait until one has ended.\n";

/// The challenge of an answer without credentials.
pub const CHALLENGE: &str = "Basic realm=\"dyno\"";

/// What a git client shows after a 401.
pub const GIT_UNAUTHORIZED: &str = "The password is a token, whatever the user name: `dyno git:remote` sets git up for it, and so does the stock command.\n";

/// What a git client shows for an app that does not exist.
#[must_use]
pub fn git_no_app(name: &str) -> String {
    // Only what can be part of a name is echoed: the text ends up on a terminal.
    let shown: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(60).collect();
    format!("!\tNo such app as {shown}.\n")
}

/// What an `Authorization` header says.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name, when one was given.
    pub user: Option<String>,
    /// A token, or a password.
    pub secret: String,
}

/// Never shown: it ends up in messages of panics and logs.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// Reads an `Authorization` header's value.
#[must_use]
pub fn read(authorization: &str) -> Option<Credentials> {
    let (scheme, rest) = authorization.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Credentials { user: None, secret: rest.to_owned() });
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(BASE64_STANDARD.decode(rest).ok()?).ok()?;
    let (user, secret) = pair.split_once(':')?;
    Some(Credentials { user: (!user.is_empty()).then(|| user.to_owned()), secret: secret.to_owned() })
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_secret_is_read_from_both_schemes() {
        let shown = |text| read(text).map(|found| (found.user, found.secret));
        assert_eq!(shown("Bearer abc"), Some((None, "abc".to_owned())));
        assert_eq!(shown("basic dXNlcjphOmI="), Some((Some("user".to_owned()), "a:b".to_owned())));
        assert_eq!(shown("Basic OmFiYw=="), Some((None, "abc".to_owned())), "an empty user");
        for bad in ["", "abc", "Basic !", "Basic YWJj", "Digest abc"] {
            assert_eq!(shown(bad), None, "{bad}");
        }
        assert!(!format!("{:?}", read("Bearer abc")).contains("abc"));
    }

    #[test]
    fn a_hostile_name_is_not_echoed_whole() {
        assert_eq!(git_no_app("a\x1b[31m\r\nb"), "!\tNo such app as a31mb.\n");
    }
}
