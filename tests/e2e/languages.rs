//! Every language of the built-in buildpacks: a sample with real packages from its registry is built, served, and built
//! again from the cache; and a source that is wrong is told what to do.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use dyno::domain::StackName;
use dyno::stack::host::HostSettings;
use dyno::stack::{self, Stack};

use crate::support::inside::{Reach, enter};
use crate::support::node::{TestNode, eventually, git, stack_dir};
use crate::{example, is_possible};

/// Which of the tests' nodes the stories here use, one after the other.
const NODE: u32 = 6;

/// An app that is made of a few lines.
pub(crate) struct Sketch {
    dir: tempfile::TempDir,
}

impl Sketch {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let sketch = Self { dir: tempfile::tempdir().unwrap() };
        for (name, text) in files {
            write(&sketch.path().join(name), text);
        }
        sketch
    }

    /// An example with some files replaced or added.
    pub(crate) fn of(example: &Path, files: &[(&str, &str)]) -> Self {
        let sketch = Self { dir: tempfile::tempdir().unwrap() };
        let copied =
            std::process::Command::new("cp").arg("-r").arg(example.join(".")).arg(sketch.path()).status();
        assert!(copied.unwrap().success());
        for (name, text) in files {
            write(&sketch.path().join(name), text);
        }
        sketch
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Deploys these files as an app, and waits until it answers with `text`. Gives the work tree and what the push said.
fn served(node: &TestNode, name: &str, files: &Path, text: &str) -> (PathBuf, String) {
    let source = node.app(name, files);
    let said = node.deploy(&source);
    answers(node, name, "/", text);
    (source, said)
}

fn answers(node: &TestNode, app: &str, path: &str, text: &str) {
    let mut last = (0, String::new());
    let mut is_served = || {
        last = node.get(app, path);
        last.0 == 200 && last.1.contains(text)
    };
    let deadline =
        std::time::Instant::now() + crate::support::patience::patient(crate::support::node::PATIENCE);
    while !is_served() {
        let log = || node.ok(&["logs", "-a", app, "-n", "100"]);
        assert!(std::time::Instant::now() < deadline, "{app}{path} does not answer {text:?}\n{}", log());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// Changes a file of the app and deploys again: what the push said.
fn changed(node: &TestNode, source: &Path, file: &str, (from, to): (&str, &str)) -> String {
    let path = source.join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{file} has no {from:?}");
    fs::write(&path, text.replace(from, to)).unwrap();
    node.commit(source);
    node.deploy(source)
}

/// Pushes a source that is wrong: the push must fail, and say each of these.
fn refused(node: &TestNode, name: &str, files: &Path, words: &[&str]) {
    let source = node.app(name, files);
    let (taken, said) = node.push(&source);
    assert!(!taken, "{name} was taken: {said}");
    for word in words {
        assert!(said.contains(word), "{name} is not told {word:?}: {said}");
    }
}

fn file_of(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn go_modules_are_built_and_served() {
    if !is_possible("go_modules_are_built_and_served") {
        return;
    }
    let node = TestNode::start("go", NODE);
    let (source, said) = served(&node, "go-app", &example("go"), "Hello from Go on web.1!");
    assert!(
        said.contains("-----> Go app detected") && said.contains("Default types for buildpack -> web"),
        "{said}"
    );
    answers(&node, "go-app", "/hello/Ada", "Hello, Ada!");
    let said = changed(&node, &source, "main.go", ("from Go", "from a gopher"));
    assert!(!said.contains("downloading") && said.contains("Using buildpack: heroku/go"), "{said}");
    answers(&node, "go-app", "/", "from a gopher");

    let test = "package main\n\nimport \"testing\"\n\nfunc TestSum(t *testing.T) {\n\tif 1+1 != SUM {\n\t\tt.Fatal()\n\t}\n}\n";
    for (sum, is_right) in [("2", true), ("3", false)] {
        let tested = Sketch::of(&example("go"), &[("main_test.go", &test.replace("SUM", sum))]);
        let ran = node.dyno(&["ci:run", tested.path().to_str().unwrap(), "-a", "go-app"]);
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert_eq!(ran.status.success(), is_right, "{said}{}", String::from_utf8_lossy(&ran.stderr));
        assert!(said.contains("Running test `bin/test of heroku/go`"), "{said}");
    }

    let main = file_of(&example("go/main.go"));
    let bad = |files: &[(&str, &str)]| Sketch::of(&example("go"), files);
    refused(&node, "go-mod", bad(&[("go.mod", "module\n")]).path(), &["go.mod cannot be read", "push again"]);
    let no_such = "module example.com/hello\n\ngo 1.24\n\nrequire github.com/go-chi/chi/v5 v5.999.0\n";
    refused(&node, "go-none", bad(&[("go.mod", no_such)]).path(), &["do not fit each other", "go mod tidy"]);
    let broken = main.replace("chi.NewRouter()", "chi.NewRouter(");
    refused(
        &node,
        "go-syntax",
        bad(&[("main.go", &broken)]).path(),
        &["The app does not compile", "syntax error"],
    );
    let newer = file_of(&example("go/go.mod")).replace("go 1.24", "go 1.999");
    refused(&node, "go-newer", bad(&[("go.mod", &newer)]).path(), &["version of Go", "The stack has go1.24"]);
    let old = Sketch::new(&[("Gopkg.lock", ""), ("main.go", &main)]);
    refused(&node, "go-dep", old.path(), &["There is no go.mod", "go mod init"]);
}

#[test]
fn rust_crates_are_built_and_served() {
    if !is_possible("rust_crates_are_built_and_served") {
        return;
    }
    let node = TestNode::start("rust", NODE);
    let (source, said) = served(&node, "rust", &example("rust"), "Hello from Rust on web.1!");
    assert!(said.contains("-----> Rust app detected") && said.contains("Compiling tiny_http"), "{said}");
    let said = changed(&node, &source, "src/main.rs", ("Hello from Rust", "Greetings from a crab"));
    assert!(!said.contains("Compiling tiny_http") && said.contains("Compiling hello"), "{said}");
    answers(&node, "rust", "/", "from a crab");

    let bad = |files: &[(&str, &str)]| Sketch::of(&example("rust"), files);
    let manifest = file_of(&example("rust/Cargo.toml"));
    refused(&node, "rust-toml", bad(&[("Cargo.toml", "[package\n")]).path(), &["Cargo.toml cannot be read"]);
    let changed = manifest.replace("\"0.12\"", "\"0.11\"");
    refused(
        &node,
        "rust-lock",
        bad(&[("Cargo.toml", &changed)]).path(),
        &["do not fit each other", "Cargo.lock"],
    );
    let none = Sketch::new(&[
        (
            "Cargo.toml",
            &manifest.replace(
                "tiny_http = { version = \"0.12\", default-features = false }",
                "tiny_http = \"999\"",
            ),
        ),
        ("src/main.rs", "fn main() {}\n"),
    ]);
    refused(&node, "rust-none", none.path(), &["A dependency cannot be had", "tiny_http"]);
    refused(
        &node,
        "rust-syntax",
        bad(&[("src/main.rs", "fn main( {\n")]).path(),
        &["The app does not compile"],
    );
    let toolchain = [("rust-toolchain.toml", "[toolchain]\nchannel = \"1.40.0\"\n")];
    refused(&node, "rust-old", bad(&toolchain).path(), &["asks for Rust 1.40.0", "Available on the stack"]);
    let library =
        Sketch::new(&[("Cargo.toml", "[package]\nname = \"l\"\nversion = \"0.1.0\"\n"), ("src/lib.rs", "")]);
    refused(&node, "rust-lib", library.path(), &["no program, only a library"]);
}

#[test]
fn spring_boot_is_built_and_served() {
    if !is_possible("spring_boot_is_built_and_served") {
        return;
    }
    let node = TestNode::start("java", NODE);
    let (source, said) = served(&node, "java", &example("java"), "Hello from Java 21");
    assert!(said.contains("-----> Java app detected") && said.contains("BUILD SUCCESS"), "{said}");
    let memory: u64 = node.get("java", "/memory").1.trim().parse().unwrap();
    assert!((200..=300).contains(&memory), "the heap fits a dyno of 512 MB: {memory}");
    let said =
        changed(&node, &source, "src/main/java/com/example/Hello.java", ("Hello from", "Greetings from"));
    assert!(said.contains("BUILD SUCCESS"), "{said}");
    answers(&node, "java", "/", "Greetings from Java 21");

    let pom = file_of(&example("java/pom.xml"));
    let bad = |files: &[(&str, &str)]| {
        write(&source.join("system.properties"), "java.runtime.version=21\n");
        write(&source.join("pom.xml"), &pom);
        for (name, text) in files {
            write(&source.join(name), text);
        }
        node.commit(&source);
        let (taken, said) = node.push(&source);
        assert!(!taken, "{said}");
        said
    };
    let said = bad(&[("pom.xml", "<project>\n")]);
    assert!(said.contains("pom.xml cannot be read"), "{said}");
    let said = bad(&[("pom.xml", &pom.replace("spring-boot-starter-web", "spring-boot-starter-of-nothing"))]);
    assert!(said.contains("spring-boot-starter-of-nothing"), "{said}");
    let said = bad(&[("system.properties", "java.runtime.version=1.8\n")]);
    assert!(said.contains("asks for Java 1.8") && said.contains("21, 25"), "{said}");
    let said = bad(&[("src/main/java/com/example/Bad.java", "class Bad {\n")]);
    assert!(said.contains("The app does not compile"), "{said}");
    let gradle = Sketch::new(&[("build.gradle", "plugins { id 'java' }\n")]);
    refused(&node, "gradle", gradle.path(), &["no Gradle wrapper", "gradle wrapper"]);
}

#[test]
fn static_sites_are_served_as_they_ask() {
    if !is_possible("static_sites_are_served_as_they_ask") {
        return;
    }
    let node = TestNode::start("static", NODE);
    let (_, said) = served(&node, "site", &example("static"), "Hello from files!");
    assert!(
        said.contains("-----> Static app detected") && said.contains("the files in public_html"),
        "{said}"
    );
    answers(&node, "site", "/about", "About these files.");
    assert_eq!(node.get("site", "/old").0, 302);
    let (status, body) = node.get("site", "/nothing");
    assert!(status == 404 && body.contains("There is no such page."), "{status} {body}");

    let page =
        [("index.html", "<p>one page</p>"), ("static.json", "{\"routes\": {\"/**\": \"index.html\"}}")];
    served(&node, "page", Sketch::new(&page).path(), "one page");
    answers(&node, "page", "/some/deep/path", "one page");
    assert_eq!(node.get("page", "/static.json").0, 404, "what configures the site is no part of it");
    assert_eq!(node.get("page", "/.heroku/static/nginx.conf").0, 404);

    let broken = [("index.html", ""), ("static.json", "{\"root\": }")];
    refused(&node, "broken", Sketch::new(&broken).path(), &["static.json cannot be used", "line 1"]);
    let unknown = [("index.html", ""), ("static.json", "{\"rooot\": \"x\"}")];
    refused(&node, "unknown", Sketch::new(&unknown).path(), &["no setting `rooot`", "clean_urls"]);
    let nowhere = [("static.json", "{\"root\": \"dist\"}")];
    refused(&node, "nowhere", Sketch::new(&nowhere).path(), &["names no directory of the app: dist"]);
    let evil = [("index.html", ""), ("static.json", "{\"error_page\": \"x\\\"; root /; #\"}")];
    refused(&node, "evil", Sketch::new(&evil).path(), &["must be a text without quotes"]);
}

#[test]
fn a_procfile_alone_is_an_app() {
    if !is_possible("a_procfile_alone_is_an_app") {
        return;
    }
    let node = TestNode::start("procfile", NODE);
    let files = [
        ("Procfile", "web: python3 -m http.server --directory files $PORT\n"),
        ("files/index.html", "ready to run"),
    ];
    let (_, said) = served(&node, "ready", Sketch::new(&files).path(), "ready to run");
    assert!(said.contains("-----> Procfile app detected") && said.contains("Nothing to build"), "{said}");
    refused(
        &node,
        "empty",
        Sketch::new(&[("Procfile", "web\n")]).path(),
        &["declares no process type", "web: ./server"],
    );
    refused(
        &node,
        "nothing",
        Sketch::new(&[("a.txt", "")]).path(),
        &["No default language could be detected", "Go (go.mod)"],
    );
}

/// The app of the Node.js stories, with these files more or other.
fn node_app(files: &[(&str, &str)]) -> Sketch {
    let sketch = Sketch::new(files);
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/apps/nodejs");
    for name in ["package.json", "build.js", "server.js"] {
        if !sketch.path().join(name).exists() {
            fs::copy(dir.join(name), sketch.path().join(name)).unwrap();
        }
    }
    sketch
}

fn node_file(name: &str) -> String {
    file_of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/apps/nodejs").join(name))
}

#[test]
fn every_package_manager_of_nodejs_installs_builds_and_prunes() {
    if !is_possible("every_package_manager_of_nodejs_installs_builds_and_prunes") {
        return;
    }
    let node = TestNode::start("nodejs", NODE);
    let berry = node_file("package.json")
        .replace("\"private\"", "\"packageManager\": \"yarn@4.9.1\",\n  \"private\"");
    for (name, files, told) in [
        ("classic", vec![("yarn.lock", node_file("yarn-classic.lock"))], "yarn install (Yarn 1."),
        ("berry", vec![("yarn.lock", node_file("yarn-berry.lock")), ("package.json", berry)], "(Yarn 4.9.1"),
        ("pnpm", vec![("pnpm-lock.yaml", node_file("pnpm-lock.yaml"))], "pnpm install (pnpm 10."),
    ] {
        let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let (_, said) = served(&node, name, node_app(&files).path(), "minute=60000 built=true pruned=true");
        assert!(said.contains(told) && said.contains("Pruning the development packages"), "{name}: {said}");
    }
    let tests = node_file("package.json").replace(
        "\"scripts\": {",
        "\"scripts\": {\n    \"test\": \"test $NODE_ENV = test && node -e 'process.exit(4)'\",",
    );
    let tested = node_app(&[("package.json", &tests)]);
    let ran = node.dyno(&["ci:run", tested.path().to_str().unwrap(), "-a", "pnpm"]);
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.code() == Some(4) && said.contains("The tests have failed (exit status 4)"), "{said}");
    let changed = node_file("package.json").replace("2.1.3", "2.1.2");
    let lock = node_file("pnpm-lock.yaml");
    let unfit = node_app(&[("package.json", &changed), ("pnpm-lock.yaml", &lock)]);
    refused(&node, "unfit", unfit.path(), &["package.json and pnpm-lock.yaml do not fit each other"]);
    let twice = node_app(&[("yarn.lock", ""), ("pnpm-lock.yaml", "")]);
    refused(&node, "twice", twice.path(), &["locked twice: yarn.lock pnpm-lock.yaml"]);
    refused(&node, "syntax", node_app(&[("package.json", "{")]).path(), &["package.json cannot be read"]);
    let none = node_file("package.json").replace("\"ms\": \"2.1.3\"", "\"ms\": \"999.0.0\"");
    refused(
        &node,
        "none",
        node_app(&[("package.json", &none)]).path(),
        &["The registry has no `ms@999.0.0`"],
    );
}

#[test]
fn nodejs_of_another_version_comes_from_the_registry() {
    if !is_possible("nodejs_of_another_version_comes_from_the_registry") {
        return;
    }
    let node = TestNode::start("engines", NODE);
    let engines = |range: &str| {
        let scripts = "\"scripts\": {\n    \"start\": \"node server.js\",";
        let engine = format!("\"engines\": {{ \"node\": \"{range}\" }},\n  \"private\"");
        node_file("package.json").replace("\"private\"", &engine).replace("\"scripts\": {", scripts)
    };
    let app = node_app(&[("package.json", &engines("22.x"))]);
    let (_, said) = served(&node, "newer", app.path(), "node=22.");
    assert!(
        said.contains("Installing Node.js 22.") && said.contains("Default types for buildpack -> web"),
        "{said}"
    );
    assert!(node.ok(&["ps", "-a", "newer"]).contains("npm start"), "a start script is what starts");
    let never = node_app(&[("package.json", &engines("999.x"))]);
    refused(
        &node,
        "never",
        never.path(),
        &["asks for Node.js 999.x", "others from the package registry, such as"],
    );
}

/// A hook of the app that locks with uv: its lock file names a registry, which is the machine's own affair.
const UV_LOCKS: &str = "#!/usr/bin/env bash
set -e
python3 -m venv --without-pip /tmp/locker
python3 -m pip --python /tmp/locker/bin/python install --quiet uv
UV_SYSTEM_CERTS=true UV_PYTHON_DOWNLOADS=never /tmp/locker/bin/uv lock --quiet --python /usr/bin/python3
";

#[test]
fn every_package_manager_of_python_installs() {
    if !is_possible("every_package_manager_of_python_installs") {
        return;
    }
    let node = TestNode::start("managers", NODE);
    let (source, said) = served(&node, "django", &example("django"), "Hello from Django 5.2");
    assert!(said.contains("Installing the packages of poetry.lock with pip"), "{said}");
    assert!(said.contains("1 static file copied") && said.contains("web: gunicorn NAME.wsgi"), "{said}");
    assert!(
        node.ok(&["ps", "-a", "django"]).contains("python manage.py runserver 0.0.0.0:"),
        "by the framework"
    );
    let said = changed(&node, &source, "hello/urls.py", ("Hello from", "Greetings from"));
    assert!(said.contains("Restoring the installed requirements from the build cache"), "{said}");
    answers(&node, "django", "/", "Greetings from Django");

    let uv = Sketch::of(&example("django"), &[("bin/pre_compile", UV_LOCKS)]);
    fs::remove_file(uv.path().join("poetry.lock")).unwrap();
    let (_, said) = served(&node, "with-uv", uv.path(), "Hello from Django 5.2");
    assert!(said.contains("Installing the packages of uv.lock with uv"), "{said}");

    let app = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/apps/pipenv");
    let (_, said) = served(&node, "pipenv", &app, "Hello from Flask 3.1");
    assert!(said.contains("Installing the packages of Pipfile.lock"), "{said}");
    let changed = file_of(&app.join("Pipfile")).replace("3.1.0", "3.0.0");
    let unfit = Sketch::of(&app, &[("Pipfile", &changed)]);
    refused(&node, "unfit", unfit.path(), &["Pipfile and Pipfile.lock do not fit each other", "pipenv lock"]);
    let pinned = [("app.py", ""), ("requirements.txt", ""), (".python-version", "3.9\n")];
    refused(&node, "pinned", Sketch::new(&pinned).path(), &["asks for Python 3.9", "Available on the stack"]);
    let broken = [("app.py", ""), ("requirements.txt", "fla sk==\n")];
    refused(&node, "broken", Sketch::new(&broken).path(), &["not a valid requirement", "fla sk"]);
    let none = [("app.py", ""), ("requirements.txt", "flask==999\n")];
    refused(&node, "none", Sketch::new(&none).path(), &["The package index has no `flask==999`"]);
}

/// Gems as `vendor/cache` holds them, and a lock file for each app that takes them: made once of Debian's packages, since
/// not every machine reaches a source of gems.
pub(crate) fn with_gems(app: &Path) -> Sketch {
    let lib = stack_dir().parent().unwrap().to_owned();
    let stack = Stack::current(&lib, &StackName::default()).unwrap();
    let (stack, _) =
        stack::with_layers(&stack, &BTreeSet::from(["ruby".to_owned()]), &mut stack::Silent).unwrap();
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/vendor");
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("gems-{}", stack.version));
    let layers = stack.build_layers();
    if !kept.join("done").exists() {
        let _earlier = fs::remove_dir_all(&kept);
        fs::create_dir_all(&kept).unwrap();
        let reach = Reach::Registries(HostSettings::collect());
        let shared = [(scripts.as_path(), "/scripts"), (kept.as_path(), "/gems")];
        enter(&layers, reach, &shared, "DEBIAN_FRONTEND=noninteractive sh /scripts/gems.sh /gems");
        write(&kept.join("done"), "");
    }
    let sketch = Sketch::of(app, &[]);
    let cache = sketch.path().join("vendor/cache");
    fs::create_dir_all(&cache).unwrap();
    for gem in fs::read_dir(&kept).unwrap().map(|entry| entry.unwrap().path()) {
        if gem.extension().is_some_and(|end| end == "gem") {
            fs::copy(&gem, cache.join(gem.file_name().unwrap())).unwrap();
        }
    }
    enter(&layers, Reach::Nothing, &[(sketch.path(), "/work")], LOCK);
    sketch
}

/// Bundler locks what is installed; the layers forget it again.
const LOCK: &str = "cd /work
gem install --quiet --local --force --no-document --ignore-dependencies vendor/cache/*.gem
bundle lock --local && rm -rf .bundle";

#[test]
fn rack_and_rails_apps_are_built_and_served() {
    if !is_possible("rack_and_rails_apps_are_built_and_served") {
        return;
    }
    let node = TestNode::start("ruby", NODE);
    let sinatra = with_gems(&example("ruby"));
    let (source, said) = served(&node, "sinatra", sinatra.path(), "Hello from Ruby 3.3");
    assert!(said.contains("-----> Ruby app detected") && said.contains("console, rake, web"), "{said}");
    assert!(
        node.ok(&["ps", "-a", "sinatra"]).contains("bundle exec rackup config.ru -p"),
        "by the framework"
    );
    let said = changed(&node, &source, "config.ru", ("Hello from", "Greetings from"));
    assert!(said.contains("Using the gems of the build cache"), "{said}");
    answers(&node, "sinatra", "/hello/Ada", "Hello, Ada!");

    let rails = with_gems(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/apps/rails"));
    served(&node, "rails", rails.path(), "Hello from Rails 7");
    answers(&node, "rails", "/", "(production, secret of 128)");
    assert!(node.ok(&["ps", "-a", "rails"]).contains("bin/rails server -p"), "by the framework");

    let bad = |files: &[(&str, &str)]| Sketch::of(sinatra.path(), files);
    let gemfile = file_of(&sinatra.path().join("Gemfile"));
    let unfit = format!("{gemfile}gem \"thor\"\n");
    refused(
        &node,
        "unfit",
        bad(&[("Gemfile", &unfit)]).path(),
        &["Gemfile and Gemfile.lock do not fit", "push again"],
    );
    refused(&node, "syntax", bad(&[("Gemfile", "gem \"puma\n")]).path(), &["The Gemfile cannot be read"]);
    let lock = file_of(&sinatra.path().join("Gemfile.lock"));
    let other = lock.replace("ruby 3.3", "ruby 2.7");
    refused(
        &node,
        "older",
        bad(&[("Gemfile.lock", &other)]).path(),
        &["asks for Ruby 2.7", "Available on the stack"],
    );
    let no_lock = bad(&[]);
    fs::remove_file(no_lock.path().join("Gemfile.lock")).unwrap();
    refused(&node, "no-lock", no_lock.path(), &["There is no Gemfile.lock", "bundle lock"]);
}

#[test]
fn php_is_served_behind_apache_and_nginx() {
    if !is_possible("php_is_served_behind_apache_and_nginx") {
        return;
    }
    let node = TestNode::start("php", NODE);
    let (source, said) = served(&node, "php", &example("php"), "Hello from Php 8.4");
    assert!(
        said.contains("-----> PHP app detected") && said.contains("Generating optimized autoload files"),
        "{said}"
    );
    answers(&node, "php", "/a/path?b=c", "/a/path?b=c");
    let said = changed(&node, &source, "Procfile", ("heroku-php-apache2", "vendor/bin/heroku-php-nginx"));
    assert!(said.contains("Released v4"), "{said}");
    // The old front serves until the new one is up.
    eventually("the front is chosen", || {
        node.ok(&["logs", "-a", "php", "-n", "200"]).contains("Starting nginx on port")
    });
    answers(&node, "php", "/other", "/other");
    let plain = [("index.php", "<?php echo 'plain ' . 6 * 7;")];
    served(&node, "plain", Sketch::new(&plain).path(), "plain 42");

    let bad = |json: &str| Sketch::new(&[("composer.json", json)]);
    refused(&node, "syntax", bad("{\"require\": }").path(), &["composer.json cannot be read", "push again"]);
    let unlocked = bad("{\"require\": {\"psr/log\": \"^3\"}}");
    refused(&node, "unlocked", unlocked.path(), &["There is no composer.lock", "composer update"]);
    refused(
        &node,
        "older",
        bad("{\"require\": {\"php\": \"^7.4\"}}").path(),
        &["asks for another PHP", "Available on"],
    );
    refused(
        &node,
        "lacking",
        bad("{\"require\": {\"ext-oci8\": \"*\"}}").path(),
        &["a PHP extension", "ext-oci8"],
    );
}

/// A buildpack that leaves a word for those after it, and a file for the app.
const FIRST_PACK: &[(&str, &str)] = &[
    ("bin/detect", "#!/bin/sh\necho First\n"),
    (
        "bin/compile",
        "#!/bin/sh\necho \"-----> First compiles\"\necho 'export WORD=passed-on' > \"$(dirname \"$0\")/../export\"\nmkdir -p \"$1/files\"\n",
    ),
];
const SECOND_PACK: &[(&str, &str)] = &[
    ("bin/detect", "#!/bin/sh\n[ -n \"$WORD\" ] && echo Second\n"),
    (
        "bin/compile",
        "#!/bin/sh\necho \"-----> Second knows $WORD\"\necho \"$WORD $(cat \"$3/TOLD\")\" > \"$1/files/index.html\"\n",
    ),
    (
        "bin/release",
        "#!/bin/sh\nprintf -- '---\\ndefault_process_types:\\n  web: python3 -m http.server --directory files $PORT\\n'\n",
    ),
];

#[test]
fn buildpacks_of_others_come_from_git_archives_and_paths() {
    if !is_possible("buildpacks_of_others_come_from_git_archives_and_paths") {
        return;
    }
    let repository = PathBuf::from(format!("/var/tmp/dyno-test-first-{}.git", std::process::id()));
    let address = format!("file://{}", repository.display());
    let config = format!("[build.buildpacks]\n\"me/first\" = \"{address}#v1\"\n");
    let node = TestNode::configured("packs", NODE, &config);
    let _earlier = fs::remove_dir_all(&repository);
    let first = Sketch::new(FIRST_PACK);
    git(first.path(), &["init", "-q", "-b", "main"]);
    node.commit(first.path());
    git(first.path(), &["tag", "v1"]);
    git(first.path(), &["clone", "-q", "--bare", ".", repository.to_str().unwrap()]);
    let second = Sketch::new(SECOND_PACK);
    let archive = node.root.join("second.tgz");
    let packed = std::process::Command::new("tar")
        .arg("-czf")
        .arg(&archive)
        .arg("-C")
        .arg(second.path())
        .arg(".")
        .status();
    assert!(packed.unwrap().success());

    let source = node.app("packed", Sketch::new(&[("a.txt", "")]).path());
    node.ok(&["config:set", "TOLD=and told", "-a", "packed"]);
    node.ok(&["buildpacks:set", &format!("file://{}", archive.display()), "-a", "packed"]);
    let told = node.ok(&["buildpacks:add", "me/first", "-i", "1", "-a", "packed"]);
    assert!(told.contains("1. me/first") && told.contains("will use:"), "{told}");
    let said = node.deploy(&source);
    assert!(
        said.contains("-----> First app detected") && said.contains("-----> Second knows passed-on"),
        "{said}"
    );
    answers(&node, "packed", "/", "passed-on and told");

    node.ok(&["buildpacks:remove", "-i", "1", "-a", "packed"]);
    node.commit(&source);
    let (taken, said) = node.push(&source);
    assert!(!taken && said.contains("App not compatible with buildpack"), "{said}");
    for (pack, told) in
        [(format!("{address}#v9").as_str(), "could not be fetched"), ("/nonexistent", "no file bin/compile")]
    {
        node.ok(&["buildpacks:set", pack, "-a", "packed"]);
        let (taken, said) = node.push(&source);
        assert!(!taken && said.contains(told), "{pack}: {said}");
    }
    let said = node.refused(&["buildpacks:set", "heroku/cobol", "-a", "packed"]);
    assert!(said.contains("no name that is known here"), "{said}");
    node.ok(&["buildpacks:clear", "-a", "packed"]);
    assert!(node.ok(&["buildpacks", "-a", "packed"]).contains("has no Buildpacks"));
    fs::remove_dir_all(&repository).unwrap();

    let (source, said) = served(&node, "sticky", Sketch::new(&[("index.html", "first")]).path(), "first");
    assert!(said.contains("Determining which buildpack to use"), "{said}");
    assert!(node.ok(&["buildpacks", "-a", "sticky"]).contains("1. heroku/static"));
    write(&source.join("requirements.txt"), "");
    let said = changed(&node, &source, "index.html", ("first", "second"));
    assert!(said.contains("Using buildpack: heroku/static") && !said.contains("Determining"), "{said}");
}
