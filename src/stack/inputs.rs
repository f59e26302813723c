//! Everything a stack is made from, and the name that follows from it.

use std::path::Path;
use std::process::Command;

use sha2::{Digest, Sha256};

use super::data;
use super::error::StackError;
use super::manifest::Description;
use super::sources::{self, Credentials, Source};
use super::trust;

/// Length of a content id in hexadecimal digits: 64 bits, ample for telling apart the builds of one node.
pub(super) const ID_DIGITS: usize = 16;
/// Counts changes of this code that make the same data come out differently.
const RECIPE: &str = "1";

/// What goes into a stack.
#[derive(Debug)]
pub(super) struct Inputs {
    pub(super) description: Description,
    pub(super) sources: Vec<Source>,
    /// Certificate authorities of the host, PEM, one each.
    pub(super) certificates: Vec<String>,
    /// Lines of apt configuration: how this host reaches its archives. Not part of the result.
    pub(super) apt_options: Vec<String>,
}

impl Inputs {
    /// Collects the inputs of stack `name` from the binary and from this host.
    pub(super) fn gather(name: &str) -> Result<Self, StackError> {
        let description = Description::embedded(name)?;
        let host_suite = host_suite(Path::new("/etc/os-release"))?;
        let sources = sources::of_host(Path::new("/etc/apt"), &host_suite, &description.manifest.suite)?;
        let certificates = trust::certificates(Path::new(trust::LOCAL_DIR))?;
        Ok(Self { description, sources, certificates, apt_options: host_apt_options()? })
    }

    /// The content id: equal inputs, equal id.
    pub(super) fn content_id(&self) -> String {
        let mut hash = Sha256::new();
        let mut take = |text: &str| {
            hash.update(text.len().to_le_bytes());
            hash.update(text.as_bytes());
        };
        take(RECIPE);
        take(data::FINISH);
        take(data::DELTA);
        take(data::DPKG_OPTIONS);
        for (path, contents) in data::ROOT_FILES {
            take(path);
            take(contents);
        }
        let manifest = &self.description.manifest;
        for text in [&manifest.name, &manifest.description, &manifest.suite, &manifest.compat] {
            take(text);
        }
        for (key, value) in manifest.environment.iter().chain(&manifest.build_environment) {
            take(key);
            take(value);
        }
        take(&self.description.run_packages.join(" "));
        take(&self.description.build_packages.join(" "));
        take(&sources::render(&self.sources, Credentials::Dropped));
        for certificate in &self.certificates {
            take(certificate);
        }
        let mut id = hex::encode(hash.finalize());
        id.truncate(ID_DIGITS);
        id
    }
}

/// The code name of the host's Debian release.
fn host_suite(os_release: &Path) -> Result<String, StackError> {
    let text = std::fs::read_to_string(os_release).map_err(StackError::file("read", os_release))?;
    let name = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let name = name.map(|value| value.trim_matches('"')).filter(|value| !value.is_empty());
    let unknown =
        || StackError::NoSources { host_suite: "no Debian".to_owned(), path: os_release.to_owned() };
    name.map(str::to_owned).ok_or_else(unknown)
}

/// The host's own apt settings that say how to reach an archive.
fn host_apt_options() -> Result<Vec<String>, StackError> {
    let missing = |_| StackError::ToolMissing { program: "apt-config", package: "apt" };
    let output = Command::new("apt-config").args(["dump", "Acquire"]).output().map_err(missing)?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter(|line| reaches_archive(line)).map(str::to_owned).collect())
}

/// Whether a line of `apt-config dump` says how to reach an archive, and holds as well outside this host.
pub(super) fn reaches_archive(line: &str) -> bool {
    const NAMES: &[&str] =
        &["Check-Valid-Until", "Check-Date", "ForceIPv4", "ForceIPv6", "Retries", "Max-FutureTime"];
    let Some((name, value)) = line.split_once(' ') else { return false };
    let Some(name) = name.strip_prefix("Acquire::") else { return false };
    if value == "\"\";" {
        return false;
    }
    let of_protocol = ["http::", "https::"].iter().find_map(|protocol| name.strip_prefix(protocol));
    NAMES.contains(&name)
        || of_protocol.is_some_and(|option| {
            option == "Proxy"
                || option.starts_with("Proxy::")
                || matches!(option, "Timeout" | "Pipeline-Depth")
        })
}

#[cfg(test)]
mod test {
    use super::*;

    fn inputs() -> Inputs {
        let description = Description::embedded("cedar-13").unwrap();
        Inputs { description, sources: vec![], certificates: vec![], apt_options: vec![] }
    }

    #[test]
    fn the_id_follows_what_goes_in_and_nothing_else() {
        let id = inputs().content_id();
        assert_eq!(id.len(), ID_DIGITS);
        let with_proxy = Inputs { apt_options: vec!["Acquire::http::Proxy \"x\";".to_owned()], ..inputs() };
        assert_eq!(with_proxy.content_id(), id);
        let with_trust = Inputs { certificates: vec!["a".to_owned()], ..inputs() };
        assert_ne!(with_trust.content_id(), id);
        let mut with_package = inputs();
        with_package.description.build_packages.push("ninja-build".to_owned());
        assert_ne!(with_package.content_id(), id);
    }

    #[test]
    fn only_options_that_reach_an_archive_are_taken() {
        for line in ["Acquire::http::Proxy \"http://p:3128\";", "Acquire::Check-Valid-Until \"false\";"] {
            assert!(reaches_archive(line), "{line}");
        }
        for line in [
            "Acquire::http::Proxy-Auto-Detect \"/usr/local/bin/detect\";",
            "Acquire::http \"\";",
            "Acquire::CompressionTypes::xz \"xz\";",
            "DPkg::Post-Invoke:: \"rm -f x\";",
        ] {
            assert!(!reaches_archive(line), "{line}");
        }
    }

    #[test]
    fn the_hosts_suite_is_its_release_code_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("os-release");
        std::fs::write(&path, "NAME=x\nVERSION_CODENAME=\"bookworm\"\n").unwrap();
        assert_eq!(host_suite(&path).unwrap(), "bookworm");
        std::fs::write(&path, "NAME=x\n").unwrap();
        assert!(host_suite(&path).is_err());
    }
}
