//! What is run for an app's tests, with stand-ins for the tools of the stack.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::{Scratch, root, text};

/// Programs that tell how they were called, and end with the status in `STATUS`.
const STAND_IN: &str = "#!/bin/sh\necho \"${0##*/} $*\"\nexit \"${STATUS:-0}\"\n";

fn executable(path: &Path, script: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, script).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A copy of a buildpack: its tests may leave a file in it.
fn copy(buildpack: &str, to: &Path) {
    let from = root().join("buildpacks").join(buildpack);
    assert!(Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap().success());
}

/// What `bin/test` of a buildpack did in an app of these files: its status, and what it said. `cached` is what
/// `bin/test-compile` has noted before, where it does. Tools that stand at `tools` tell how they are called, and end with 3.
fn tested(buildpack: &str, files: &[(&str, &str)], tools: &[(&str, &str)]) -> (Option<i32>, String) {
    let name = format!("tested-{buildpack}-{}", files.iter().map(|(name, _)| name.len()).sum::<usize>());
    let (app, bench) = (Scratch::new(&name), Scratch::new(&format!("{name}-bench")));
    for (file, text) in files {
        app.file(file, text);
    }
    for file in ["bin/rails", "gradlew", "vendor/bin/phpspec", "vendor/bin/phpunit"] {
        let path = app.path().join(file);
        if path.exists() {
            executable(&path, STAND_IN);
        }
    }
    let (pack, bin) = (bench.path().join("pack"), bench.path().join("bin"));
    copy(buildpack, &pack);
    fs::write(pack.join("test-environment"), "export CACHE_DIR=/cache\n").unwrap();
    for (tool, script) in tools {
        executable(&bin.join(tool), script);
    }
    let output = Command::new(pack.join("bin/test"))
        .args([app.path(), app.path()])
        .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
        .env("STATUS", "3")
        .env_remove("DATABASE_URL")
        .output()
        .unwrap();
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn the_tests_of_each_language_are_run_by_what_the_app_has_for_them() {
    let stands_in = |name: &'static str| (name, STAND_IN);
    let bundle = stands_in("bundle");
    // `rake -P` lists tasks, `ruby -e` and the rest say how they are called.
    let rake = (
        "bundle",
        "#!/bin/sh\ncase $* in *-P*) echo 'rake test' ;; *) echo \"bundle $*\" && exit 3 ;; esac\n",
    );
    let with_pytest = ("python", "#!/bin/sh\n[ \"$1\" = -c ] || { echo \"python $*\"; exit 3; }\n");
    let without = ("python", "#!/bin/sh\n[ \"$1\" != -c ] || exit 1\necho \"python $*\"\nexit 3\n");
    let django = (
        "python",
        "#!/bin/sh\ncase $* in *pytest) exit 1 ;; *django) exit 0 ;; *) echo \"python $*\" && exit 3 ;; esac\n",
    );
    let (script, none) = (("php", "#!/bin/sh\nexit 0\n"), ("php", "#!/bin/sh\nexit 1\n"));
    let rspec = "GEM\n  specs:\n    rspec-core (3.13.0)\n";
    let rails = "GEM\n  specs:\n    railties (8.0.0)\n";
    for (buildpack, files, tools, told) in [
        ("ruby", vec![("Gemfile.lock", rspec), ("spec/a_spec.rb", "")], vec![bundle], "bundle exec rspec\n"),
        ("ruby", vec![("Gemfile.lock", rails), ("bin/rails", "")], vec![bundle], "rails test\n"),
        ("ruby", vec![("Gemfile.lock", ""), ("Rakefile", "")], vec![rake], "bundle exec rake test\n"),
        ("ruby", vec![("Gemfile.lock", ""), ("test/a_test.rb", "")], vec![bundle], "ruby -Ilib -Itest"),
        ("python", vec![("test_app.py", "")], vec![with_pytest], "python -m pytest\n"),
        ("python", vec![("test_app.py", "")], vec![without], "python -m unittest\n"),
        ("python", vec![("site/manage.py", "")], vec![django], "python site/manage.py test\n"),
        ("java", vec![("pom.xml", "")], vec![stands_in("mvn")], "-Dmaven.repo.local=/cache/java/repository"),
        (
            "java",
            vec![("build.gradle", ""), ("gradlew", "")],
            vec![],
            "gradlew --no-daemon --console=plain test\n",
        ),
        ("php", vec![("composer.json", "{}")], vec![script, stands_in("composer")], "composer run-script"),
        ("php", vec![("composer.json", ""), ("vendor/bin/phpunit", "")], vec![none], "phpunit \n"),
        ("php", vec![("vendor/bin/phpspec", "")], vec![none], "phpspec run\n"),
        ("go", vec![("go.mod", "")], vec![stands_in("go")], "go test -tags heroku ./...\n"),
        ("rust", vec![("Cargo.toml", "")], vec![stands_in("cargo")], "cargo test --release --workspace\n"),
        ("nodejs", vec![("package.json", "")], vec![stands_in("npm")], "npm test\n"),
    ] {
        let (status, said) = tested(buildpack, &files, &tools);
        assert!(said.contains(told), "{buildpack} {files:?}: {said}");
        assert_eq!(status, Some(3), "the status of the tests is theirs: {buildpack} {files:?}: {said}");
    }
}

#[test]
fn an_app_without_tests_is_told_where_to_name_them() {
    for (buildpack, files, tools) in [
        ("ruby", vec![("Gemfile.lock", "")], vec![]),
        ("php", vec![("index.php", "")], vec![("php", "#!/bin/sh\nexit 1\n")]),
    ] {
        let (status, said) = tested(buildpack, &files, &tools);
        assert!(status == Some(1) && said.contains("scripts.test in app.json"), "{buildpack}: {said}");
    }
}

/// Of a compilation for tests it is told what the build would do otherwise, in the place of `bin/compile`.
#[test]
fn a_compilation_for_tests_is_the_usual_one_told_so() {
    let told = "#!/bin/sh\nmkdir -p \"$1/.profile.d\"\necho \"compile $# tests=${FOR_TESTS:-} without=${BUNDLE_WITHOUT:-} \
                rails=${RAILS_ENV:-} static=${DISABLE_COLLECTSTATIC:-} goals=${MAVEN_CUSTOM_GOALS:-} \
                task=${GRADLE_TASK:-} node=${NODE_ENV:-}\"\n";
    for (buildpack, expected) in [
        ("ruby", "compile 3 tests=1 without=development rails=test static= goals= task= node=\n"),
        ("python", "compile 3 tests=1 without= rails= static=1 goals= task= node=\n"),
        (
            "java",
            "compile 3 tests=1 without= rails= static= goals=clean test-compile task=testClasses node=\n",
        ),
        ("php", "compile 3 tests=1 without= rails= static= goals= task= node=\n"),
        ("go", "compile 3 tests= without= rails= static= goals= task= node=\n"),
        ("rust", "compile 3 tests= without= rails= static= goals= task= node=\n"),
        ("nodejs", "compile 3 tests= without= rails= static= goals= task= node=test\n"),
    ] {
        let bench = Scratch::new(&format!("for-tests-{buildpack}"));
        let (pack, app) = (bench.path().join("pack"), bench.path().join("app"));
        copy(buildpack, &pack);
        executable(&pack.join("bin/compile"), told);
        fs::create_dir(&app).unwrap();
        let output = Command::new(pack.join("bin/test-compile"))
            .args([&app, Path::new("/cache"), Path::new("/env")])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .output()
            .unwrap();
        assert_eq!(text(&output.stdout), expected, "{buildpack}: {}", text(&output.stderr));
    }
}
