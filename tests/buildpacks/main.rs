//! The built-in buildpacks, as far as a machine without a stack can try them: detection, release, refusals and config vars.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its input has failed")]

mod defaults;
mod messages;
#[path = "../support/skip.rs"]
#[expect(dead_code, unreachable_pub, reason = "these tests share one part of what suites share")]
mod skip;
mod tested;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Every built-in buildpack.
const BUILDPACKS: &[&str] = &["go", "java", "nodejs", "php", "procfile", "python", "ruby", "rust", "static"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A directory of its own for one test, removed with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("dyno-buildpacks-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> &Self {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A leftover in the temporary directory fails nothing; the next run has another process id.
        drop(fs::remove_dir_all(&self.0));
    }
}

fn run(buildpack: &str, script: &str, arguments: &[&Path]) -> Output {
    let dir = root().join("buildpacks").join(buildpack);
    Command::new(dir.join("bin").join(script)).args(arguments).current_dir(&dir).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn every_buildpack_has_its_scripts_executable() {
    for buildpack in BUILDPACKS {
        let is_code = !matches!(*buildpack, "procfile" | "static");
        let of_tests: &[_] = if is_code { &["test-compile", "test"] } else { &[] };
        for script in ["detect", "compile", "release"].iter().chain(of_tests) {
            let path = root().join("buildpacks").join(buildpack).join("bin").join(script);
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o111, 0o111, "{} must be executable", path.display());
        }
    }
}

/// Each buildpack must stand alone under the contract, so what they share is a copy; copies must not drift apart.
#[test]
fn what_buildpacks_share_is_the_same_in_each() {
    let shared = |buildpack: &str| {
        fs::read_to_string(root().join("buildpacks").join(buildpack).join("lib/common.sh")).unwrap()
    };
    for buildpack in BUILDPACKS {
        assert_eq!(shared(buildpack), shared(BUILDPACKS[0]), "lib/common.sh of {buildpack} has drifted");
    }
}

#[test]
fn detection_goes_by_the_files_in_the_root() {
    for (file, buildpack, name) in [
        ("Gemfile", "ruby", "Ruby"),
        ("package.json", "nodejs", "Node.js"),
        ("requirements.txt", "python", "Python"),
        ("poetry.lock", "python", "Python"),
        ("uv.lock", "python", "Python"),
        ("manage.py", "python", "Python"),
        ("pom.xml", "java", "Java"),
        ("build.gradle.kts", "java", "Gradle"),
        ("composer.json", "php", "PHP"),
        ("index.php", "php", "PHP"),
        ("go.mod", "go", "Go"),
        ("Gopkg.lock", "go", "Go"),
        ("Cargo.toml", "rust", "Rust"),
        ("index.html", "static", "Static"),
        ("static.json", "static", "Static"),
        ("Procfile", "procfile", "Procfile"),
        ("README.md", "none", ""),
    ] {
        let app = Scratch::new(&format!("detect-{file}"));
        app.file(file, "");
        for candidate in BUILDPACKS {
            let output = run(candidate, "detect", &[app.path()]);
            let expected = *candidate == buildpack;
            assert_eq!(output.status.success(), expected, "{candidate} on {file}");
            let said = if expected { format!("{name}\n") } else { String::new() };
            assert_eq!(text(&output.stdout), said, "{candidate} on {file}");
        }
    }
}

#[test]
fn a_page_beside_a_procfile_is_no_static_site() {
    let app = Scratch::new("page");
    app.file("index.html", "").file("Procfile", "web: ./server\n");
    assert!(!run("static", "detect", &[app.path()]).status.success());
    assert!(run("procfile", "detect", &[app.path()]).status.success());
}

/// A compilation that must end before it needs anything of a stack: what it told.
fn compiled_in_vain(buildpack: &str, files: &[(&str, &str)]) -> String {
    let name = files.iter().map(|(name, _)| *name).collect::<Vec<_>>().join("-");
    let (app, cache) = (Scratch::new(&name), Scratch::new(&format!("{name}-cache")));
    for (name, text) in files {
        app.file(name, text);
    }
    let output = run(buildpack, "compile", &[app.path(), cache.path()]);
    assert_eq!(output.status.code(), Some(1), "{buildpack} {name}: {}", text(&output.stdout));
    text(&output.stderr)
}

#[test]
fn a_missing_or_second_lock_file_is_told_with_what_to_write() {
    for (buildpack, files, told) in [
        ("python", [("pdm.lock", ""), ("app.py", "")], "Run `pdm export -o requirements.txt`"),
        ("python", [("app.py", ""), ("wsgi.py", "")], "List the dependencies there, one per line"),
        (
            "python",
            [("requirements.txt", ""), ("uv.lock", "")],
            "listed for several tools: requirements.txt uv.lock",
        ),
        ("python", [("poetry.lock", ""), ("app.py", "")], "but no pyproject.toml"),
        ("go", [("Gopkg.lock", ""), ("main.go", "")], "Run `go mod init` and `go mod tidy`"),
        ("ruby", [("Gemfile", ""), ("config.ru", "")], "Run `bundle lock"),
        ("ruby", [("Gemfile", ""), ("Gemfile.lock", "<<<<<<< HEAD\n")], "unfinished merge"),
        ("procfile", [("Procfile", "web\n"), ("server", "")], "declares no process type"),
    ] {
        let said = compiled_in_vain(buildpack, &files);
        assert!(said.contains(told), "{buildpack} {files:?}: {said}");
    }
}

#[test]
fn java_is_chosen_by_system_properties() {
    for (text, layer) in [
        ("", "java"),
        ("java.runtime.version=21\n", "java"),
        ("# any\njava.runtime.version = 25.0.1\n", "java-25"),
        ("java.runtime.version=17\n", "java"),
    ] {
        let app = Scratch::new("properties");
        app.file("system.properties", text);
        assert_eq!(
            self::text(&run("java", "layers", &[app.path()]).stdout),
            format!("{layer}\n"),
            "{text:?}"
        );
    }
}

#[test]
fn a_site_is_configured_by_what_its_json_may_say() {
    let configured = |json: &str| {
        let app = Scratch::new("site");
        app.file("static.json", json).file("index.html", "");
        let script = root().join("buildpacks/static/lib/config.py");
        let made = Command::new("python3")
            .arg(script)
            .arg(app.path())
            .arg(app.path().join("conf"))
            .output()
            .unwrap();
        let conf = fs::read_to_string(app.path().join("conf")).unwrap_or_default();
        (made.status.success(), text(&made.stderr), conf)
    };
    let (taken, _, conf) =
        configured(r#"{"clean_urls": true, "routes": {"/app/**": "index.html"}, "https_only": true}"#);
    assert!(taken && conf.contains("try_files $uri $uri.html $uri/ @rest;"), "{conf}");
    assert!(conf.contains(r#"if ($uri ~ "^/app/.*$") { rewrite ^ "/index.html" last; }"#), "{conf}");
    assert!(conf.contains(r#"$http_x_forwarded_proto = "http""#), "{conf}");
    for (json, told) in [
        ("[]", "must hold a JSON object"),
        ("{\"root\": \"../..\"}", "names no directory"),
        ("{\"clean_urls\": 1}", "must be a bool"),
        ("{\"redirects\": {\"/a\": {\"url\": \"/b\", \"status\": 200}}}", "no status of a redirect"),
        (r#"{"headers": {"/**": {"X: y": "1"}}}"#, "no name of a header"),
        (r#"{"error_page": "a\"; root /etc; #"}"#, "without quotes"),
    ] {
        let (taken, said, _) = configured(json);
        assert!(!taken && said.contains(told), "{json}: {said}");
    }
}

#[test]
fn config_vars_are_exported_exactly_but_never_those_that_choose_programs() {
    let vars = Scratch::new("vars");
    vars.file("GREETING", "a 'b' $c\n")
        .file("PATH", "/evil")
        .file("LD_PRELOAD", "/evil.so")
        .file("not-a-name", "x");
    for buildpack in BUILDPACKS {
        let output = Command::new("bash")
            .args(["-euc", r#"source lib/common.sh; export_config_vars "$1"; env -0"#, "bash"])
            .arg(vars.path())
            .current_dir(root().join("buildpacks").join(buildpack))
            .output()
            .unwrap();
        let environment = text(&output.stdout);
        let has = |entry: &str| environment.split('\0').any(|found| found == entry);
        assert!(has("GREETING=a 'b' $c\n"), "{buildpack}: the value changed: {environment:?}");
        assert!(!has("PATH=/evil"), "{buildpack}: PATH was replaced");
        assert!(!environment.contains("LD_PRELOAD=/evil.so"), "{buildpack}: LD_PRELOAD was set");
    }
}

#[test]
fn the_lock_file_of_the_example_leaves_the_registry_to_the_machine() {
    let lock = fs::read_to_string(root().join("examples/nodejs/package-lock.json")).unwrap();
    assert!(lock.contains("\"integrity\""), "the versions are locked by their content");
    assert!(!lock.contains("\"resolved\""), "no package is bound to one registry host");
}
