//! What an app runs without a Procfile: the framework decides.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::{Scratch, root, run, skip, text};

/// Runs `script` in bash with the files of a buildpack's `lib` sourced, in the app's directory; `BUILDPACK_DIR` is `made`.
fn sourced(buildpack: &str, libs: &[&str], (app, made): (&Path, &Path), script: &str) -> Output {
    let dir = root().join("buildpacks").join(buildpack).join("lib");
    let sources: String = libs.iter().map(|lib| format!("source {}/{lib}\n", dir.display())).collect();
    Command::new("bash")
        .args(["-euo", "pipefail", "-c", &format!("{sources}{script}")])
        .env("BUILDPACK_DIR", made)
        .current_dir(app)
        .output()
        .unwrap()
}

/// A program of the test, found before those of the machine.
fn program(dir: &Scratch, name: &str, script: &str) {
    dir.file(name, script);
    std::fs::set_permissions(dir.path().join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_node_app_is_started_by_its_script_or_its_main_file() {
    if Command::new("node").arg("--version").output().is_err() {
        skip::skip("a_node_app_is_started_by_its_script_or_its_main_file", "needs node");
        return;
    }
    for (name, manifest, files, expected) in [
        (
            "script",
            r#"{"scripts": {"start": "node x"}, "main": "app.js"}"#,
            &["app.js"][..],
            Some("npm start"),
        ),
        ("main", r#"{"main": "lib/app.js"}"#, &["lib/app.js"], Some("node lib/app.js")),
        ("short", r#"{"main": "lib/app"}"#, &["lib/app.js"], Some("node lib/app.js")),
        ("directory", r#"{"main": "lib"}"#, &["lib/index.js"], Some("node lib/index.js")),
        ("index", "{}", &["index.js"], Some("node index.js")),
        ("server", "{}", &["server.js"], Some("node server.js")),
        ("missing", r#"{"main": "gone.js"}"#, &[], None),
        ("quoted", r#"{"main": "a b; rm.js"}"#, &["a b; rm.js"], None),
    ] {
        let app = Scratch::new(&format!("node-{name}"));
        app.file("package.json", manifest);
        for file in files {
            app.file(file, "");
        }
        let said = text(&run("nodejs", "release", &[app.path()]).stdout);
        let types = match expected {
            Some(command) => format!("---\ndefault_process_types:\n  web: {command}\n"),
            None => "--- {}\n".to_owned(),
        };
        assert_eq!(said, types, "{name}");
    }
}

#[test]
fn a_django_app_without_a_procfile_runs_its_development_server_with_a_warning() {
    let (app, made, programs) =
        (Scratch::new("django"), Scratch::new("django-made"), Scratch::new("django-bin"));
    app.file("site/manage.py", "");
    program(&programs, "python", "#!/bin/sh\nexit 0\n");
    let script = format!("PATH={}:$PATH\nchoose_web", programs.path().display());
    let libs = ["common.sh", "django.sh"];
    let output = sourced("python", &libs, (app.path(), made.path()), &script);
    assert!(output.status.success());
    let warning = text(&output.stderr);
    assert!(
        warning.contains("not made for real use") && warning.contains("web: gunicorn NAME.wsgi"),
        "{warning}"
    );
    let web = std::fs::read_to_string(made.path().join("web")).unwrap();
    assert_eq!(web, "python site/manage.py runserver 0.0.0.0:$PORT\n");

    // With a Procfile there is nothing to choose, and without Django nothing to run.
    std::fs::remove_file(made.path().join("web")).unwrap();
    program(&programs, "python", "#!/bin/sh\nexit 1\n");
    let output = sourced("python", &libs, (app.path(), made.path()), &script);
    assert!(text(&output.stderr).contains("no process will be started") && !made.path().join("web").exists());
    app.file("Procfile", "web: gunicorn site.wsgi\n");
    let output = sourced("python", &libs, (app.path(), made.path()), &script);
    assert_eq!((text(&output.stderr), made.path().join("web").exists()), (String::new(), false));
}

#[test]
fn a_ruby_app_is_started_as_its_framework_says() {
    let types = |name: &str, gems: &[&str], files: &[&str]| {
        let (app, made) = (Scratch::new(&format!("ruby-{name}")), Scratch::new(&format!("ruby-{name}-made")));
        let gems: String = gems.iter().map(|gem| format!("    {gem} (1.0)\n")).collect();
        app.file("Gemfile.lock", &format!("GEM\n  specs:\n{gems}"));
        for file in files {
            app.file(file, "");
        }
        let libs = ["common.sh", "bundle.sh", "rails.sh"];
        let output = sourced("ruby", &libs, (app.path(), made.path()), "choose_web");
        let types = std::fs::read_to_string(made.path().join("types")).unwrap_or_default();
        (types, text(&output.stderr), output.status.success())
    };
    let (rails, warned, _) =
        types("rails", &["railties", "puma"], &["config/application.rb", "config.ru", "bin/rails"]);
    assert!(rails.contains("  web: bin/rails server -p ${PORT:-5000} -e $RAILS_ENV\n"), "{rails}");
    assert!(rails.contains("  console: bin/rails console\n") && warned.is_empty(), "{rails} {warned}");
    let (_, warned, _) = types("no-puma", &["railties"], &["bin/rails"]);
    assert!(warned.contains("add the gem puma"), "{warned}");
    let (rack, warned, _) = types("rack", &["rackup", "sinatra"], &["config.ru"]);
    assert!(
        rack.contains("  web: bundle exec rackup config.ru -p ${PORT:-5000}\n") && warned.is_empty(),
        "{rack}"
    );
    let (_, told, taken) = types("no-rack", &["sinatra"], &["config.ru"]);
    assert!(!taken && told.contains("Add the gem rackup"), "{told}");
    let (plain, warned, _) = types("plain", &["thor"], &[]);
    assert!(!plain.contains("web:") && warned.contains("no process will be started"), "{plain} {warned}");
}

/// What a Gradle wrapper leaves: a jar that can be run, and what only the next build wants.
const WRAPPER: &str = r#"#!/usr/bin/env bash
echo "$@" >arguments
mkdir -p build/libs build/tmp .gradle
python3 - <<'SCRIPT'
import zipfile
for name, main in (("app.jar", "Main-Class: Hello\n"), ("app-plain.jar", "")):
    with zipfile.ZipFile(f"build/libs/{name}", "w") as jar:
        jar.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\n" + main)
SCRIPT
"#;

#[test]
fn an_app_of_gradle_is_built_by_its_wrapper_and_runs_its_jar() {
    let test = "an_app_of_gradle_is_built_by_its_wrapper_and_runs_its_jar";
    let has_unzip = Command::new("unzip").arg("-v").output().is_ok();
    if !has_unzip {
        skip::skip(test, "needs unzip");
        return;
    }
    for (name, build, expected, web) in [
        ("plain", "plugins { id 'java' }", "build -x check", "java $JAVA_OPTS -jar build/libs/app.jar\n"),
        ("stage", "task stage {}", "stage", "java $JAVA_OPTS -jar build/libs/app.jar\n"),
        (
            "spring",
            "plugins { id 'org.springframework.boot' version '3.5.0' }",
            "bootJar",
            "java -Dserver.port=$PORT $JAVA_OPTS -jar build/libs/app.jar\n",
        ),
    ] {
        let (app, made) =
            (Scratch::new(&format!("gradle-{name}")), Scratch::new(&format!("gradle-{name}-made")));
        app.file("gradlew", WRAPPER).file("gradle/wrapper/gradle-wrapper.properties", "");
        app.file("build.gradle", build);
        let script = "CACHE_DIR=/nonexistent\nbuild_with_gradle\nchoose_web";
        let output =
            sourced("java", &["common.sh", "gradle.sh", "web.sh"], (app.path(), made.path()), script);
        assert!(output.status.success(), "{name}: {} {}", text(&output.stdout), text(&output.stderr));
        let arguments = std::fs::read_to_string(app.path().join("arguments")).unwrap();
        assert!(arguments.trim().ends_with(expected), "{name}: {arguments}");
        let init = format!("--init-script {}/lib/reproducible.gradle", made.path().display());
        assert!(arguments.contains(&init), "{name}: archives are the same each time: {arguments}");
        assert_eq!(std::fs::read_to_string(made.path().join("web")).unwrap(), web, "{name}");
        assert!(!app.path().join(".gradle").exists() && !app.path().join("build/tmp").exists(), "{name}");
    }
}
