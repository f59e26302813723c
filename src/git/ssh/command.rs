//! The command that a client sends: git's own words, and nothing is given to a shell.

use crate::git::permit::Service;

/// Bytes of a command; the name of an app is short.
const COMMAND_BYTES_MAX: usize = 256;

/// A client's wish.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) service: Service,
    /// The app, as the client wrote it.
    pub(super) name: String,
}

/// Reads `git-upload-pack '/example.git'`. The path is quoted for a shell, and begins with a slash where it was part of a URL,
/// not where it was `git@host:example.git`; `.git` may be missing.
pub(super) fn parse(command: &[u8]) -> Option<Wish> {
    if command.len() > COMMAND_BYTES_MAX {
        return None;
    }
    let text = std::str::from_utf8(command).ok()?;
    let (program, path) = text.split_once(' ')?;
    let service = Service::named(program)?;
    let path = path.trim();
    let path = path.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap_or(path);
    let path = path.strip_prefix('/').unwrap_or(path);
    let name = path.strip_suffix(".git").unwrap_or(path);
    Some(Wish { service, name: name.to_owned() })
}

/// Whether a client may set `GIT_PROTOCOL` to that: `version=2`, or several such pairs with colons between them (git(1)).
pub(super) fn is_protocol(value: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'=' | b':' | b'.' | b'-');
    value.len() <= COMMAND_BYTES_MAX && value.bytes().all(plain)
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn git_is_understood_however_it_was_given_the_address() {
        let wish = |service| Some(Wish { service, name: "example".to_owned() });
        for text in [
            "git-upload-pack '/example.git'",
            "git-upload-pack 'example.git'",
            "git-upload-pack example",
            "git-upload-pack '/example'",
        ] {
            assert_eq!(parse(text.as_bytes()), wish(Service::Fetch), "{text}");
        }
        assert_eq!(parse(b"git-receive-pack '/example.git'"), wish(Service::Push));
    }

    #[test]
    fn nothing_else_is() {
        let long = format!("git-upload-pack '{}'", "a".repeat(COMMAND_BYTES_MAX));
        for text in ["", "ls", "bash -i", "git-upload-archive 'example.git'", "git-upload-pack", &long] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse(b"git-upload-pack '\xff.git'"), None);
        // What no app is called is looked for, and not found.
        let wish = parse(b"git-upload-pack '../../etc/passwd'; id").unwrap();
        assert!(wish.name.parse::<crate::domain::AppName>().is_err());
    }

    #[test]
    fn the_protocol_is_a_plain_word() {
        assert!(is_protocol("version=2") && is_protocol("version=2:object-format=sha1"));
        assert!(!is_protocol("version=2 x") && !is_protocol("$(id)") && !is_protocol(&"a".repeat(300)));
    }
}
