//! What builds need of the host to reach its package registries: proxies, registry settings, resolvers, trust.
//!
//! These settings may hold secrets (a registry's token, a proxy's password). They are given to build sandboxes only, laid
//! read-only outside `/app`, and never become part of a slug, a release, a runtime environment or a log: nothing here writes
//! them anywhere, and `Debug` shows names, not values.

mod npm;
mod pip;
mod resolver;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::inputs::reaches_archive;
use super::trust;

pub use resolver::Resolvers;

/// Variables passed on as they are: how to reach the network, and the choices of Go's proxy and pip's index.
const PASSED_ON: &[&str] = &[
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "GOINSECURE",
    "GONOPROXY",
    "GONOSUMDB",
    "GOPRIVATE",
    "GOPROXY",
    "GOSUMDB",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "PIP_NO_INDEX",
    "PIP_PROXY",
    "PIP_DEFAULT_TIMEOUT",
    "PIP_RETRIES",
    "PIP_DISABLE_PIP_VERSION_CHECK",
];
/// Variables that name a file of certificates: they come to name the stack's, which holds the host's too.
const TRUST: &[&str] = &[
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "PIP_CERT",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
];
/// Those that are set wherever the host trusts authorities of its own: the tools bring their own lists otherwise.
const TRUST_NEEDED: &[&str] = &["NODE_EXTRA_CA_CERTS", "PIP_CERT", "REQUESTS_CA_BUNDLE"];

/// Settings of the host for a build sandbox.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HostSettings {
    /// Environment, below the build's own.
    pub env: Vec<(String, String)>,
    /// Files to be laid read-only: path in the sandbox (there in every stack), contents.
    pub files: Vec<(PathBuf, Vec<u8>)>,
    /// Directories of the host to be bound read-only at the same path: packages kept locally.
    pub binds: Vec<PathBuf>,
    /// Name servers, with loopback ones replaced.
    pub resolvers: Resolvers,
}

impl fmt::Debug for HostSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let env: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        let files: Vec<_> = self.files.iter().map(|(path, _)| path).collect();
        f.debug_struct("HostSettings")
            .field("env", &env)
            .field("files", &files)
            .field("binds", &self.binds)
            .field("resolvers", &self.resolvers)
            .finish()
    }
}

impl HostSettings {
    /// Collects this host's settings. What cannot be read is as if it were not there: a build that needs it says so.
    #[must_use]
    pub fn collect() -> Self {
        let env: BTreeMap<_, _> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let home = env.get("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
        Host { root: PathBuf::from("/"), home, env }.settings()
    }
}

/// A host as seen: a parameter, so that tests can make one.
struct Host {
    root: PathBuf,
    home: PathBuf,
    env: BTreeMap<String, String>,
}

impl Host {
    fn settings(&self) -> HostSettings {
        let mut settings = HostSettings { resolvers: Resolvers::of(&self.root), ..HostSettings::default() };
        self.environment(&mut settings);
        self.pip(&mut settings);
        self.npm(&mut settings);
        self.apt(&mut settings);
        settings.binds.sort();
        settings.binds.dedup();
        settings
    }

    fn environment(&self, settings: &mut HostSettings) {
        let mut env: BTreeMap<&str, &str> = BTreeMap::new();
        for name in PASSED_ON {
            if let Some(value) = self.env.get(*name) {
                env.insert(name, value);
            }
        }
        for (name, value) in &self.env {
            let lower = name.to_ascii_lowercase().replace('-', "_");
            if lower.strip_prefix("npm_config_").is_some_and(npm::is_passed_on) {
                env.insert(name, value);
            }
        }
        let local = self.root.join(trust::LOCAL_DIR.trim_start_matches('/'));
        let has_own = trust::certificates(&local).is_ok_and(|found| !found.is_empty());
        for name in TRUST {
            if self.env.contains_key(*name) || (has_own && TRUST_NEEDED.contains(name)) {
                env.insert(name, trust::BUNDLE);
            }
        }
        settings.env = env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        if let Some(links) = self.env.get("PIP_FIND_LINKS") {
            let kept = pip::reachable_links(links, &self.root, &mut settings.binds);
            if !kept.is_empty() {
                settings.env.push(("PIP_FIND_LINKS".to_owned(), kept));
            }
        }
    }

    fn pip(&self, settings: &mut HostSettings) {
        let mut merged = pip::Config::default();
        // Lowest first, in pip's own order.
        let mut files = vec![
            self.root.join("etc/xdg/pip/pip.conf"),
            self.root.join("etc/pip.conf"),
            self.home.join(".pip/pip.conf"),
            self.home.join(".config/pip/pip.conf"),
        ];
        files.extend(self.env.get("PIP_CONFIG_FILE").map(PathBuf::from));
        for text in files.iter().filter_map(|file| read(file)) {
            merged.add(&text);
        }
        let text = merged.render(&self.root, &mut settings.binds);
        settings.lay("/etc/pip.conf", text);
    }

    fn npm(&self, settings: &mut HostSettings) {
        let user = self.env.get("NPM_CONFIG_USERCONFIG").map(PathBuf::from);
        let files = [self.root.join("etc/npmrc"), user.unwrap_or_else(|| self.home.join(".npmrc"))];
        let text: String =
            files.iter().filter_map(|file| read(file)).map(|text| npm::rewrite(&text, &self.env)).collect();
        if settings.lay("/etc/npmrc", text) {
            settings.env.push(("NPM_CONFIG_GLOBALCONFIG".to_owned(), "/etc/npmrc".to_owned()));
        }
    }

    /// What a buildpack that calls apt needs; the proxies of the environment reach apt by themselves.
    fn apt(&self, settings: &mut HostSettings) {
        if self.root != Path::new("/") {
            return;
        }
        let Ok(output) = std::process::Command::new("apt-config").args(["dump", "Acquire"]).output() else {
            return;
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let kept: String =
            text.lines().filter(|line| reaches_archive(line)).flat_map(|line| [line, "\n"]).collect();
        settings.lay("/etc/apt/apt.conf.d/90host", kept);
    }
}

impl HostSettings {
    fn lay(&mut self, target: &str, text: String) -> bool {
        let has_text = !text.is_empty();
        if has_text {
            self.files.push((PathBuf::from(target), text.into_bytes()));
        }
        has_text
    }
}

fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

#[cfg(test)]
mod test {
    use super::*;

    fn host(env: &[(&str, &str)], files: &[(&str, &str)]) -> (tempfile::TempDir, HostSettings) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let host = Host { root: dir.path().to_owned(), home: dir.path().join("home"), env };
        let settings = host.settings();
        (dir, settings)
    }

    fn file(settings: &HostSettings, path: &str) -> String {
        let found = settings.files.iter().find(|(target, _)| target == Path::new(path)).unwrap();
        String::from_utf8(found.1.clone()).unwrap()
    }

    fn var<'a>(settings: &'a HostSettings, name: &str) -> Option<&'a str> {
        settings.env.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn proxies_and_indexes_pass_and_nothing_else_does() {
        let (_dir, settings) = host(
            &[
                ("https_proxy", "http://p:3128"),
                ("PIP_INDEX_URL", "https://i.example/simple"),
                ("npm_config_registry", "https://n.example/"),
                ("npm_config_cache", "/root/.npm"),
                ("AWS_SECRET_ACCESS_KEY", "x"),
                ("PATH", "/bin"),
            ],
            &[],
        );
        let names: Vec<_> = settings.env.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["PIP_INDEX_URL", "https_proxy", "npm_config_registry"]);
        assert!(settings.files.is_empty());
    }

    #[test]
    fn files_of_certificates_become_the_stacks() {
        let (_dir, settings) = host(
            &[("SSL_CERT_FILE", "/opt/company.pem")],
            &[(
                "usr/local/share/ca-certificates/a.crt",
                "-----BEGIN CERTIFICATE-----\nQQ==\n-----END CERTIFICATE-----\n",
            )],
        );
        for name in ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "PIP_CERT"] {
            assert_eq!(var(&settings, name), Some(trust::BUNDLE), "{name}");
        }
        assert_eq!(var(&settings, "CURL_CA_BUNDLE"), None);
    }

    #[test]
    fn the_users_files_win_over_the_hosts() {
        let (_dir, settings) = host(
            &[("NPM_TOKEN", "t0k")],
            &[
                ("etc/pip.conf", "[global]\nindex-url = https://host.example\ntimeout = 5\n"),
                ("home/.config/pip/pip.conf", "[global]\nindex-url = https://user.example\n"),
                ("etc/npmrc", "registry=https://host.example/\ncafile=/opt/c.pem\n"),
                ("home/.npmrc", "//host.example/:_authToken=${NPM_TOKEN}\nprefix=/opt/npm\n"),
            ],
        );
        assert_eq!(
            file(&settings, "/etc/pip.conf"),
            "[global]\nindex-url = https://user.example\ntimeout = 5\n"
        );
        let npmrc = file(&settings, "/etc/npmrc");
        let bundle = trust::BUNDLE;
        assert_eq!(
            npmrc,
            format!("registry=https://host.example/\ncafile={bundle}\n//host.example/:_authToken=t0k\n")
        );
        assert_eq!(var(&settings, "NPM_CONFIG_GLOBALCONFIG"), Some("/etc/npmrc"));
    }

    #[test]
    fn debug_shows_no_value() {
        let (_dir, settings) = host(
            &[("https_proxy", "http://u:hunter2@p:3128")],
            &[("etc/npmrc", "//n.example/:_authToken=hunter3\n")],
        );
        let shown = format!("{settings:?}");
        assert!(shown.contains("https_proxy") && shown.contains("/etc/npmrc"), "{shown}");
        assert!(!shown.contains("hunter"), "{shown}");
    }

    #[test]
    fn a_directory_of_packages_is_bound_only_if_it_is_there() {
        let (dir, settings) = host(
            &[("PIP_FIND_LINKS", "/opt/wheels /opt/none https://l.example")],
            &[("opt/wheels/.keep", "")],
        );
        assert!(dir.path().join("opt/wheels").is_dir());
        assert_eq!(var(&settings, "PIP_FIND_LINKS"), Some("/opt/wheels https://l.example"));
        assert_eq!(settings.binds, [PathBuf::from("/opt/wheels")]);
    }
}
