//! How a client over TCP shows who it is: the node's token as a bearer token or as a basic password, whatever the user name.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// The challenge of an answer without credentials.
pub const CHALLENGE: &str = "Basic realm=\"dyno\"";

/// What a git client shows after a 401.
pub const GIT_UNAUTHORIZED: &str = "The password is the node's token, whatever the user name: `dyno git:remote` writes it into the remote.\n";

/// What a git client shows for an app that does not exist.
#[must_use]
pub fn git_no_app(name: &str) -> String {
    // Only what can be part of a name is echoed: the text ends up on a terminal.
    let shown: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(60).collect();
    format!("!\tNo such app as {shown}.\n")
}

/// The secret in an `Authorization` header's value.
#[must_use]
pub fn secret(authorization: &str) -> Option<String> {
    let (scheme, rest) = authorization.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(BASE64_STANDARD.decode(rest).ok()?).ok()?;
    pair.split_once(':').map(|(_, password)| password.to_owned())
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_token_is_read_from_both_schemes() {
        assert_eq!(secret("Bearer abc"), Some("abc".to_owned()));
        assert_eq!(secret("basic dXNlcjphOmI="), Some("a:b".to_owned()), "user:a:b");
        assert_eq!(secret("Basic OmFiYw=="), Some("abc".to_owned()), "an empty user");
        for bad in ["", "abc", "Basic !", "Basic YWJj", "Digest abc"] {
            assert_eq!(secret(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_hostile_name_is_not_echoed_whole() {
        assert_eq!(git_no_app("a\x1b[31m\r\nb"), "!\tNo such app as a31mb.\n");
    }
}
