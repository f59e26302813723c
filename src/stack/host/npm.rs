//! npm's settings for a sandbox.

use std::collections::BTreeMap;

use super::trust;

/// Keys that name places of the host: the build decides those.
const LEFT_OUT: &[&str] = &[
    "prefix",
    "cache",
    "nodedir",
    "globalconfig",
    "userconfig",
    "init-module",
    "script-shell",
    "shell",
    "tmp",
    "logs-dir",
    "python",
    "git",
    "editor",
];
/// `npm_config_<name>` variables that are passed on.
const PASSED_ON: &[&str] = &["registry", "proxy", "http_proxy", "https_proxy", "noproxy", "strict_ssl"];

/// Whether the variable `npm_config_<name>` (lower case, with underscores) says how to reach a registry.
pub(super) fn is_passed_on(name: &str) -> bool {
    PASSED_ON.contains(&name)
}

/// An npmrc's text for a sandbox: host paths left out, certificates from the stack, `${NAME}` replaced by the host's value.
pub(super) fn rewrite(text: &str, env: &BTreeMap<String, String>) -> String {
    let mut kept = String::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let key = line.split('=').next().unwrap_or_default().trim();
        if LEFT_OUT.contains(&key) {
            continue;
        }
        if key == "cafile" {
            kept.push_str("cafile=");
            kept.push_str(trust::BUNDLE);
        } else {
            kept.push_str(&expand(line, env));
        }
        kept.push('\n');
    }
    kept
}

fn expand(line: &str, env: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("${") {
        text.push_str(before);
        let known = after.split_once('}').and_then(|(name, tail)| Some((env.get(name)?, tail)));
        if let Some((value, tail)) = known {
            text.push_str(value);
            rest = tail;
        } else {
            text.push_str("${");
            rest = after;
        }
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn variables_are_replaced_where_they_are_known() {
        let env = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        assert_eq!(expand("x=${A}/${B}/${A", &env), "x=1/${B}/${A");
    }

    #[test]
    fn comments_and_host_paths_go() {
        let text = rewrite("; note\n prefix = /opt\nca=\"-----BEGIN\"\nfund=false\n", &BTreeMap::new());
        assert_eq!(text, "ca=\"-----BEGIN\"\nfund=false\n");
    }
}
