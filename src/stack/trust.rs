//! The certificate authorities the host trusts beyond Debian's, for the stack's trust store.

use std::path::{Path, PathBuf};

use super::error::StackError;

/// Where an administrator puts certificate authorities on Debian.
pub(super) const LOCAL_DIR: &str = "/usr/local/share/ca-certificates";
/// The bundle of all trusted certificates, on Debian and in every stack.
pub(super) const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The certificates (PEM, one each) in the `.crt` files under `dir`, ordered by file name; none if there is no such directory.
pub(super) fn certificates(dir: &Path) -> Result<Vec<String>, StackError> {
    let mut files = Vec::new();
    collect(dir, &mut files)?;
    files.sort();
    let mut found = Vec::new();
    for file in files {
        // A certificate in binary form (DER) has no text and is of no use to update-ca-certificates either.
        let bytes = std::fs::read(&file).map_err(StackError::file("read", file))?;
        found.extend(split(&String::from_utf8_lossy(&bytes)));
    }
    found.dedup();
    Ok(found)
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> Result<(), StackError> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StackError::file("read", dir)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(StackError::file("read", dir))?;
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|end| end == "crt") {
            files.push(path);
        }
    }
    Ok(())
}

/// The certificates in a PEM text, without what stands between them.
fn split(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(from) = rest.find(BEGIN) {
        let Some(length) = rest[from..].find(END) else { break };
        let to = from + length + END.len();
        found.push(format!("{}\n", &rest[from..to]));
        rest = &rest[to..];
    }
    found
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_file_of_several_certificates_is_taken_apart() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("company")).unwrap();
        let text = format!("a comment\n{BEGIN}\nQQ==\n{END}\n# another\n{BEGIN}\nQg==\n{END}");
        std::fs::write(dir.path().join("company/both.crt"), text).unwrap();
        std::fs::write(dir.path().join("ignored.pem"), format!("{BEGIN}\n{END}\n")).unwrap();
        let found = certificates(dir.path()).unwrap();
        assert_eq!(found, [format!("{BEGIN}\nQQ==\n{END}\n"), format!("{BEGIN}\nQg==\n{END}\n")]);
        assert_eq!(certificates(&dir.path().join("none")).unwrap(), Vec::<String>::new());
    }
}
