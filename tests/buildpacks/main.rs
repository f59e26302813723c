//! The built-in buildpacks, as far as a machine without a stack can try them: detection, release, refusals and config vars.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its input has failed")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Every built-in buildpack.
const BUILDPACKS: &[&str] = &["nodejs", "python"];

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
        fs::write(self.0.join(name), text).unwrap();
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
        for script in ["detect", "compile", "release"] {
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
    for (file, python, nodejs) in [
        ("requirements.txt", true, false),
        ("poetry.lock", true, false),
        ("manage.py", true, false),
        ("package.json", false, true),
        ("index.html", false, false),
    ] {
        let app = Scratch::new(&format!("detect-{file}"));
        app.file(file, "");
        for (buildpack, name, expected) in [("python", "Python\n", python), ("nodejs", "Node.js\n", nodejs)] {
            let output = run(buildpack, "detect", &[app.path()]);
            assert_eq!(output.status.success(), expected, "{buildpack} on {file}");
            assert_eq!(text(&output.stdout), if expected { name } else { "" }, "{buildpack} on {file}");
        }
    }
}

#[test]
fn an_app_of_another_package_manager_is_told_what_to_write() {
    let app = Scratch::new("poetry");
    app.file("poetry.lock", "");
    let cache = Scratch::new("poetry-cache");
    let output = run("python", "compile", &[app.path(), cache.path()]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains(" !     Run `poetry export -o requirements.txt`"), "{said}");
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
