//! The host's apt sources, turned to another suite of the same archive.

use std::fmt::Write as _;
use std::path::Path;

use super::error::StackError;

/// One entry of apt's sources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Source {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    /// A path, or an inline key block with its line breaks.
    pub(super) signed_by: Option<String>,
    trusted: bool,
}

/// Reads the sources under `etc_apt` that carry the host's suite, and turns them to `suite`.
pub(super) fn of_host(etc_apt: &Path, host_suite: &str, suite: &str) -> Result<Vec<Source>, StackError> {
    let mut all = Vec::new();
    let mut files = vec![etc_apt.join("sources.list")];
    if let Ok(entries) = std::fs::read_dir(etc_apt.join("sources.list.d")) {
        let mut parts: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        parts.sort();
        files.extend(parts);
    }
    for file in files {
        let parse = match file.extension().and_then(|end| end.to_str()) {
            Some("list") => parse_one_line,
            Some("sources") => parse_deb822,
            _ => continue,
        };
        match std::fs::read_to_string(&file) {
            Ok(text) => all.extend(parse(&text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(StackError::file("read", file)(error)),
        }
    }
    let turned: Vec<_> = all.into_iter().filter_map(|source| turn(source, host_suite, suite)).collect();
    let (debian, others): (Vec<_>, Vec<_>) = turned.into_iter().partition(is_debians);
    // An archive under a company's own key is used only where the host knows no other.
    let chosen = if debian.is_empty() { others } else { debian };
    if chosen.is_empty() {
        return Err(StackError::NoSources { host_suite: host_suite.to_owned(), path: etc_apt.to_owned() });
    }
    Ok(chosen)
}

fn is_debians(source: &Source) -> bool {
    let key = source.signed_by.as_deref().and_then(|path| path.rsplit('/').next());
    key.is_none_or(|name| name.starts_with("debian-archive"))
}

/// The source with its suites turned; nothing if none of them is the host's, or no archive of it is reachable by network.
fn turn(source: Source, host_suite: &str, suite: &str) -> Option<Source> {
    let suites: Vec<_> = source.suites.iter().filter_map(|s| turn_suite(s, host_suite, suite)).collect();
    let uris: Vec<_> = source.uris.into_iter().filter(|uri| uri.starts_with("http")).collect();
    let carries_main = source.components.iter().any(|component| component == "main");
    (!suites.is_empty() && !uris.is_empty() && carries_main).then_some(Source { uris, suites, ..source })
}

/// `bookworm-security` -> `trixie-security`; also the old `buster/updates` form and Debian's aliases.
fn turn_suite(old: &str, host_suite: &str, suite: &str) -> Option<String> {
    let (base, rest) = match old.find(['-', '/']) {
        Some(at) => old.split_at(at),
        None => (old, ""),
    };
    let is_hosts = base == host_suite || base == "stable" || base == "oldstable";
    let rest = match rest {
        "" => "",
        "-updates" => "-updates",
        "-security" | "/updates" => "-security",
        _ => return None,
    };
    is_hosts.then(|| format!("{suite}{rest}"))
}

/// The sources in deb822 form. `credentials` says whether user and password in an address are written.
pub(super) fn render(sources: &[Source], credentials: Credentials) -> String {
    let mut text = String::new();
    for source in sources {
        let uris: Vec<_> = source
            .uris
            .iter()
            .map(|uri| match credentials {
                Credentials::Kept => uri.clone(),
                Credentials::Dropped => without_credentials(uri),
            })
            .collect();
        let mut field = |name: &str, value: &str| {
            // A String takes every write.
            let _ = writeln!(text, "{name}: {value}");
        };
        field("Types", "deb");
        field("URIs", &uris.join(" "));
        field("Suites", &source.suites.join(" "));
        field("Components", &source.components.join(" "));
        if let Some(key) = &source.signed_by {
            field("Signed-By", key);
        }
        if source.trusted {
            field("Trusted", "yes");
        }
        text.push('\n');
    }
    text
}

/// Whether addresses are written with the user and password in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Credentials {
    /// For the package tools, during the build.
    Kept,
    /// For what stays in the stack, where every dyno can read it.
    Dropped,
}

fn without_credentials(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else { return uri.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or(authority);
    format!("{scheme}://{host}{path}")
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn parse_one_line(text: &str) -> Vec<Source> {
    text.lines().filter_map(|line| one_line(line.split('#').next().unwrap_or_default().trim())).collect()
}

/// `deb [signed-by=/key] http://archive suite component...`
fn one_line(line: &str) -> Option<Source> {
    let rest = line.strip_prefix("deb")?.strip_prefix([' ', '\t'])?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(inner) => inner.split_once(']')?,
        None => ("", rest),
    };
    let mut source = Source::default();
    for option in options.split_whitespace() {
        match option.split_once('=') {
            Some(("signed-by", value)) => source.signed_by = Some(value.to_owned()),
            Some(("trusted", "yes")) => source.trusted = true,
            _ => {}
        }
    }
    let mut parts = rest.split_whitespace().map(str::to_owned);
    source.uris = vec![parts.next()?];
    source.suites = vec![parts.next()?];
    source.components = parts.collect();
    Some(source)
}

fn parse_deb822(text: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines().chain([""]) {
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            found.extend(stanza(&fields));
            fields.clear();
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    found
}

fn stanza(fields: &[(String, String)]) -> Option<Source> {
    let get = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let is_binary = words(get("types")?).iter().any(|kind| kind == "deb");
    let is_off = get("enabled").is_some_and(|value| value == "no");
    (is_binary && !is_off).then(|| Source {
        uris: words(get("uris").unwrap_or_default()),
        suites: words(get("suites").unwrap_or_default()),
        components: words(get("components").unwrap_or_default()),
        signed_by: get("signed-by").map(str::to_owned),
        trusted: get("trusted") == Some("yes"),
    })
}

#[cfg(test)]
mod test {
    use super::*;

    fn host(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sources.list.d")).unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    fn rewritten(files: &[(&str, &str)]) -> String {
        let dir = host(files);
        render(&of_host(dir.path(), "bookworm", "trixie").unwrap(), Credentials::Dropped)
    }

    #[test]
    fn both_forms_are_turned_to_the_suite_with_their_keys() {
        let deb822 = "# a mirror\nTypes: deb deb-src\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates \
                      bookworm-backports\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n";
        let one_line = "deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] \
                        http://mirror.example/debian-security bookworm-security main contrib # note\n\
                        deb-src http://mirror.example/debian bookworm main\n";
        let text = rewritten(&[("sources.list.d/debian.sources", deb822), ("sources.list", one_line)]);
        assert!(text.contains("Suites: trixie trixie-updates\n"), "{text}");
        assert!(text.contains("Suites: trixie-security\nComponents: main contrib\n"), "{text}");
        assert_eq!(text.matches("Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n").count(), 2);
        assert!(!text.contains("bookworm"), "{text}");
    }

    #[test]
    fn other_vendors_and_switched_off_sources_are_left_out() {
        let debian = "deb http://mirror.example/debian stable main\n";
        let vendor = "Types: deb\nURIs: https://vendor.example\nSuites: bookworm\nComponents: main\nSigned-By: /k/v.gpg\n\n\
                      Types: deb\nEnabled: no\nURIs: https://off.example\nSuites: bookworm\nComponents: main\n";
        let text = rewritten(&[("sources.list", debian), ("sources.list.d/v.sources", vendor)]);
        assert!(
            text.contains("mirror.example") && !text.contains("vendor") && !text.contains("off."),
            "{text}"
        );
        let only_vendor = rewritten(&[("sources.list.d/v.sources", vendor)]);
        assert!(only_vendor.contains("vendor.example"));
    }

    #[test]
    fn a_password_in_an_address_does_not_stay_in_the_stack() {
        let dir = host(&[("sources.list", "deb https://user:secret@mirror.example/debian bookworm main\n")]);
        let sources = of_host(dir.path(), "bookworm", "trixie").unwrap();
        assert!(render(&sources, Credentials::Kept).contains("user:secret@mirror.example/debian"));
        let kept = render(&sources, Credentials::Dropped);
        assert!(kept.contains("URIs: https://mirror.example/debian\n"), "{kept}");
    }

    #[test]
    fn a_host_without_sources_of_its_suite_is_told_so() {
        let dir =
            host(&[("sources.list", "deb cdrom:[disc]/ bookworm main\ndeb http://a.example sid main\n")]);
        let error = of_host(dir.path(), "bookworm", "trixie").unwrap_err();
        assert!(matches!(error, StackError::NoSources { .. }));
    }

    #[test]
    fn an_inline_key_keeps_its_lines() {
        let text = "Types: deb\nURIs: http://m.example\nSuites: bookworm\nComponents: main\nSigned-By:\n -----BEGIN\n .\n x\n";
        assert!(
            rewritten(&[("sources.list.d/a.sources", text)]).contains("Signed-By: \n -----BEGIN\n .\n x\n")
        );
    }
}
