//! pip's settings: several files merged into one that holds in a sandbox.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::trust;

/// Keys that name places of the host, or say where to install: the build decides those.
const LEFT_OUT: &[&str] = &[
    "cache-dir",
    "log",
    "log-file",
    "target",
    "prefix",
    "root",
    "src",
    "build",
    "user",
    "python",
    "require-virtualenv",
    "client-cert",
    "requirement",
    "constraint",
];

/// Sections, keys and values of pip's configuration. A value may have several lines.
#[derive(Debug, Default)]
pub(super) struct Config(BTreeMap<String, BTreeMap<String, String>>);

impl Config {
    /// Adds a file's settings over those there.
    pub(super) fn add(&mut self, text: &str) {
        let mut section = String::new();
        let mut last: Option<String> = None;
        for line in text.lines() {
            let trimmed = line.trim();
            if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
                continue;
            }
            if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                name.clone_into(&mut section);
                last = None;
            } else if line.starts_with([' ', '\t'])
                && let Some(key) = &last
            {
                let value = self.0.entry(section.clone()).or_default().entry(key.clone()).or_default();
                value.push('\n');
                value.push_str(trimmed);
            } else if let Some((key, value)) = trimmed.split_once(['=', ':']) {
                let key = key.trim().to_ascii_lowercase().replace('_', "-");
                self.0.entry(section.clone()).or_default().insert(key.clone(), value.trim().to_owned());
                last = Some(key);
            }
        }
    }

    /// The file's text for a sandbox: certificates are the stack's, and directories of packages are added to `binds`.
    pub(super) fn render(&self, root: &Path, binds: &mut Vec<PathBuf>) -> String {
        let mut text = String::new();
        for (section, settings) in &self.0 {
            let mut kept = String::new();
            for (key, value) in settings.iter().filter(|(key, _)| !LEFT_OUT.contains(&key.as_str())) {
                let value = match key.as_str() {
                    "cert" => trust::BUNDLE.to_owned(),
                    "find-links" => reachable_links(value, root, binds).replace(' ', "\n    "),
                    _ => value.replace('\n', "\n    "),
                };
                if !value.is_empty() {
                    // A String takes every write.
                    let _ = writeln!(kept, "{key} = {value}");
                }
            }
            if !kept.is_empty() {
                let _ = write!(text, "[{section}]\n{kept}");
            }
        }
        text
    }
}

/// Of places to look for packages: the addresses, and the directories there are, which are added to `binds`.
pub(super) fn reachable_links(links: &str, root: &Path, binds: &mut Vec<PathBuf>) -> String {
    let mut kept = Vec::new();
    for link in links.split_whitespace() {
        let path = link.strip_prefix("file://").unwrap_or(link);
        if path.starts_with('/') {
            if root.join(path.trim_start_matches('/')).is_dir() {
                binds.push(PathBuf::from(path));
                kept.push(link);
            }
        } else if link.contains("://") {
            kept.push(link);
        }
    }
    kept.join(" ")
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn what_holds_only_on_the_host_is_left_out() {
        let mut config = Config::default();
        config
            .add("# note\n[global]\ncert = /opt/c.pem\ncache-dir = /var/cache/pip\n[install]\nuser = yes\n");
        let text = config.render(Path::new("/nonexistent"), &mut Vec::new());
        assert_eq!(text, format!("[global]\ncert = {}\n", trust::BUNDLE));
    }

    #[test]
    fn a_value_of_several_lines_stays_whole() {
        let mut config = Config::default();
        config.add("[global]\nextra-index-url =\n    https://a.example\n    https://b.example\n");
        config.add("[global]\nTrusted_Host: a.example\n");
        let text = config.render(Path::new("/nonexistent"), &mut Vec::new());
        assert_eq!(
            text,
            "[global]\nextra-index-url = \n    https://a.example\n    https://b.example\ntrusted-host = a.example\n"
        );
    }
}
