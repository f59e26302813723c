//! Sources that are wrong: what a tool says of them becomes what the user is to do. The tools' own words stand here; that they say
//! them is seen where each language is built for real (`tests/e2e/languages.rs`).

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Scratch, root, text};

/// What a function of a buildpack tells of a tool's log.
fn told(buildpack: &str, libs: &[&str], function: &str, log: &str) -> String {
    // Several tests have the same function speak at once.
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let scratch = Scratch::new(&format!("told-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
    scratch.file("log", log);
    let dir = root().join("buildpacks").join(buildpack).join("lib");
    let sources: String =
        ["common.sh"].iter().chain(libs).map(|lib| format!("source {}/{lib}\n", dir.display())).collect();
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &format!("{sources}{function} \"$0\" step")])
        .arg(scratch.path().join("log"))
        .envs([
            ("STACK", "heroku-24"),
            ("BUILD_DIR", "/tmp/build"),
            ("CACHE_DIR", "/tmp/cache"),
            ("CACHE", "/tmp/cache"),
        ])
        .envs([("PYTHON_VERSION", "3.13.5"), ("NODE_VERSION", "20.19.2"), ("RUBY_VERSION", "3.3.8")])
        .envs([("RUST_VERSION", "1.85.0"), ("PHP_VERSION", "8.4.1"), ("VENV", "/app/.heroku/python")])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{buildpack} {function} on {log:?} ends the build");
    text(&output.stderr)
}

#[test]
fn a_manifest_that_cannot_be_read_is_told_with_what_to_correct() {
    for (buildpack, libs, function, log, words) in [
        (
            "java",
            &["version.sh", "maven.sh"][..],
            "explain_maven_failure",
            "[ERROR] Non-parseable POM /tmp/build_0a1b/pom.xml: end tag expected @ line 3\n",
            ["pom.xml cannot be read", "Correct it"],
        ),
        (
            "go",
            &["modules.sh"],
            "explain_go_failure",
            "go: errors parsing go.mod:\ngo.mod:1: usage: module module/path\n",
            ["go.mod cannot be read: go.mod:1: usage", "go mod tidy"],
        ),
        (
            "ruby",
            &["bundle.sh"],
            "explain_bundle_failure",
            "[!] There was an error parsing `Gemfile`: unterminated string meets end of file. Bundler cannot continue.\n",
            ["The Gemfile cannot be read: unterminated string", "Correct it"],
        ),
        (
            "python",
            &["pip.sh"],
            "explain_pip_failure",
            "ERROR: Invalid requirement: 'fla sk==': Expected end or semicolon (from line 1 of requirements.txt)\n",
            ["not a valid requirement", "push again"],
        ),
        (
            "python",
            &["uv.sh"],
            "explain_uv_failure",
            "error: Failed to parse: `pyproject.toml`\n  Caused by: TOML parse error at line 1\n",
            ["cannot be read", "Correct it"],
        ),
    ] {
        let said = told(buildpack, libs, function, log);
        assert!(words.iter().all(|word| said.contains(word)), "{buildpack}: {said}");
    }
}

#[test]
fn a_dependency_that_cannot_be_had_is_named() {
    for (buildpack, libs, function, log, words) in [
        (
            "nodejs",
            &["npm.sh"][..],
            "explain_npm_failure",
            "npm error code E404\nnpm error 404  'no-such-package@^1.0.0' is not in this registry.\n",
            ["no `no-such-package@^1.0.0`", "run `npm install`"],
        ),
        (
            "nodejs",
            &["npm.sh"],
            "explain_npm_failure",
            "npm error code ETARGET\nnpm error notarget No matching version found for ms@999.0.0.\n",
            ["no `ms@999.0.0`", "run `npm install`"],
        ),
        (
            "python",
            &["pip.sh"],
            "explain_pip_failure",
            "ERROR: No matching distribution found for flask==999\n",
            ["no `flask==999` for Python 3.13.5", "requirements.txt"],
        ),
        (
            "ruby",
            &["bundle.sh"],
            "explain_bundle_failure",
            "Could not find gem 'nothing-of-it' in rubygems repository https://rubygems.org/ or installed locally.\n",
            ["The gem 'nothing-of-it' cannot be had", "bundle update NAME"],
        ),
        (
            "java",
            &["version.sh", "maven.sh"],
            "explain_maven_failure",
            "[ERROR] Could not find artifact com.example:none:jar:1.0 in central\n",
            ["no such artifact: com.example:none:jar:1.0", "pom.xml"],
        ),
        (
            "go",
            &["modules.sh"],
            "explain_go_failure",
            "go: github.com/go-chi/chi/v5@v5.999.0: reading proxy: 404 Not Found\n",
            ["A dependency cannot be had: github.com/go-chi/chi/v5@v5.999.0", "go mod tidy"],
        ),
        (
            "rust",
            &["cargo.sh"],
            "explain_cargo_failure",
            "error: failed to select a version for the requirement `tiny_http = \"^999\"`\n",
            ["A dependency cannot be had", "Cargo.toml"],
        ),
        (
            "php",
            &["composer.sh"],
            "explain_composer_failure",
            "  - Root composer.json requires psr/nothing, it could not be found in any version\n",
            ["A package cannot be had: psr/nothing", "composer update"],
        ),
    ] {
        let said = told(buildpack, libs, function, log);
        assert!(words.iter().all(|word| said.contains(word)), "{buildpack}: {said}");
    }
}

#[test]
fn a_version_that_is_not_there_is_told_with_those_that_are() {
    for (buildpack, libs, function, log, words) in [
        (
            "java",
            &["version.sh", "maven.sh"][..],
            "explain_maven_failure",
            "[ERROR] Fatal error compiling: error: release version 26 not supported\n",
            ["another Java", "available: 21, 25"],
        ),
        (
            "php",
            &["composer.sh"],
            "explain_composer_failure",
            "    - Root composer.json requires php ^7.4 but your php version (8.4.1) does not satisfy that requirement.\n",
            ["asks for another PHP", "8.4.1"],
        ),
        (
            "rust",
            &["cargo.sh"],
            "explain_cargo_failure",
            "  error: package `x v1.0.0` cannot be built because it requires rustc 1.99 or newer\n",
            ["needs a newer Rust than the stack's 1.85.0", "cargo update"],
        ),
        (
            "python",
            &["uv.sh"],
            "explain_uv_failure",
            "error: The requested interpreter resolved to Python 3.13.5, which is incompatible with the project's Python requirement: `>=3.14` (from `project.requires-python`)\n",
            ["does not allow the stack's Python 3.13.5", "requires-python"],
        ),
    ] {
        let said = told(buildpack, libs, function, log);
        assert!(words.iter().all(|word| said.contains(word)), "{buildpack}: {said}");
    }
}

#[test]
fn files_that_do_not_fit_each_other_are_told_with_what_makes_them_fit() {
    for (buildpack, libs, function, log, words) in [
        (
            "nodejs",
            &["npm.sh"][..],
            "explain_npm_failure",
            "npm error code EUSAGE\nnpm error `npm ci` can only install packages when your package.json and package-lock.json are in sync.\n",
            ["do not fit each other", "commit the lock file"],
        ),
        (
            "python",
            &["uv.sh"],
            "explain_uv_failure",
            "error: The lockfile at `uv.lock` needs to be updated, but `--locked` was provided.\n",
            ["pyproject.toml and uv.lock do not fit", "uv lock"],
        ),
        (
            "ruby",
            &["bundle.sh"],
            "explain_bundle_failure",
            "The dependencies in your gemfile changed, but the lockfile can't be updated because frozen mode is set\n",
            ["Gemfile and Gemfile.lock do not fit", "bundle install"],
        ),
        (
            "rust",
            &["cargo.sh"],
            "explain_cargo_failure",
            "error: the lock file /tmp/build/Cargo.lock needs to be updated but --locked was passed\n",
            ["Cargo.toml and Cargo.lock do not fit", "cargo build"],
        ),
        (
            "go",
            &["modules.sh"],
            "explain_go_failure",
            "main.go:3:8: missing go.sum entry for module providing package x\n",
            ["do not fit each other", "go mod tidy"],
        ),
        (
            "php",
            &["composer.sh"],
            "explain_composer_failure",
            "- Required package \"psr/log\" is not present in the lock file.\n",
            ["composer.json and composer.lock do not fit", "composer update"],
        ),
    ] {
        let said = told(buildpack, libs, function, log);
        assert!(words.iter().all(|word| said.contains(word)), "{buildpack}: {said}");
    }
}
