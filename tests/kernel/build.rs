//! Builds on a real stack: source in, slug out, and nothing left of those that fail.
#![expect(clippy::expect_used, clippy::panic, reason = "in a test a panic is how a failure is told")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use dyno::build::{
    self, BuildFailure, BuildLimits, BuildRequest, BuiltSlug, Ground, Laps, Layers, LayersFailure, STORE_ID,
    Sandboxes, Sink, TestCommands,
};
use dyno::domain::{ArchiveRoot, ConfigVars, StackName};
use dyno::runtime::network::{Ipv4Net, NetworkConfig, NodeNetwork};
use dyno::runtime::slots::Slots;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::support::container::{Node, can_run};
use crate::support::patience::patient;
use crate::support::skip;

/// Where a node's stacks are unless the environment says otherwise.
const LIB_DIR_DEFAULT: &str = "/var/lib/dyno";
/// Index of the tests' node: none that serves, and none of other tests.
const INDEX: u32 = 26;
/// No build here takes longer, on a machine of today.
const BUILD_LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Bench {
    pub(crate) node: Node,
    pub(crate) sandboxes: Sandboxes,
    pub(crate) request: BuildRequest,
    _packages: tempfile::TempDir,
}

#[derive(Default)]
struct Lines(Vec<String>);

impl Sink for Lines {
    fn line(&mut self, line: &str) {
        self.0.push(line.to_owned());
    }
}

/// Has no packages over the stack.
struct NoLayers;

impl Layers for NoLayers {
    fn with<'a>(
        &'a self,
        names: BTreeSet<String>,
        _told: mpsc::UnboundedSender<String>,
    ) -> BoxFuture<'a, Result<Ground, LayersFailure>> {
        Box::pin(async move { Err(LayersFailure::Unknown(format!("there are no packages {names:?}"))) })
    }
}

impl Bench {
    /// A node with a buildpack of these scripts and a source of these files; none, told loudly, without a stack.
    pub(crate) async fn new(test: &str, scripts: &[(&str, &str)], source: &[(&str, &str)]) -> Option<Bench> {
        if !can_run(test) {
            return None;
        }
        let lib = std::env::var_os("DYNO_TEST_LIB").map_or_else(|| LIB_DIR_DEFAULT.into(), PathBuf::from);
        let stack = match dyno::stack::Stack::current(&lib, &StackName::default()) {
            Ok(stack) => stack,
            Err(error) => {
                skip::skip(test, &format!("needs a stack: {error}"));
                return None;
            }
        };
        let node = Node::start().await;
        // What a build has below `/tmp` is its own, so what it is to see of the host's is elsewhere.
        let packages = tempfile::tempdir_in("/var/tmp").expect("a directory");
        fs::set_permissions(packages.path(), fs::Permissions::from_mode(0o755)).expect("it is for all");
        write_all(packages.path(), &[("isolation.rs", "")]);
        let (lib_dir, pack, app) =
            (node.dir.path().join("lib"), node.dir.path().join("pack"), node.dir.path().join("src"));
        write_all(&pack, scripts);
        write_all(&app, source);
        let tar = node.dir.path().join("source.tar");
        let packed = Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(&app).arg(".").status();
        assert!(packed.expect("tar runs").success());
        let vars = BTreeMap::from([("SECRET".to_owned(), "hunter2\n".to_owned())]);
        let request = BuildRequest {
            id: Uuid::new_v4(),
            deed: dyno::wire::push_text::Deed::Push,
            source: tar,
            root: ArchiveRoot::Top,
            source_version: "0123abcd".into(),
            stack: stack.name.clone(),
            stack_compat: stack.compat.clone(),
            stack_base: Ground { version: stack.version.clone(), layers: stack.build_layers() },
            stack_env: stack.build_env.clone(),
            buildpacks: vec![pack.to_string_lossy().into_owned()],
            known_buildpacks: BTreeMap::new(),
            config: ConfigVars::new(vars).expect("good config vars"),
            cache: lib_dir.join("cache/app"),
            limits: BuildLimits { timeout_s: patient(BUILD_LIMIT).as_secs(), ..BuildLimits::default() },
            laps: Laps::default(),
            tests: None,
        };
        let sandboxes = Sandboxes {
            runtime: node.runtime.clone(),
            slots: Slots::new(),
            network: None,
            node_index: INDEX,
            lib_dir,
            env: vec![
                ("FROM_HOST".into(), "yes".into()),
                ("PACKAGES".into(), packages.path().to_string_lossy().into_owned()),
            ],
            files: vec![("/etc/resolv.conf".into(), b"# ours\n".to_vec())],
            mirror: Arc::default(),
            memory_pressure: node.dir.path().join("memory-pressure"),
            binds: vec![packages.path().to_owned()],
        };
        Some(Bench { node, sandboxes, request, _packages: packages })
    }

    pub(crate) async fn build(&mut self) -> (Result<BuiltSlug, BuildFailure>, String) {
        self.request.id = Uuid::new_v4();
        let mut lines = Lines::default();
        let result = build::build(self.request.clone(), &self.sandboxes, &NoLayers, &mut lines).await;
        (result, lines.0.join("\n"))
    }

    /// Writes these files over the source.
    pub(crate) fn change(&self, files: &[(&str, &str)]) {
        let app = self.node.dir.path().join("src");
        write_all(&app, files);
        let tar = &self.request.source;
        let packed = Command::new("tar").arg("-cf").arg(tar).arg("-C").arg(&app).arg(".").status();
        assert!(packed.expect("tar runs").success());
    }

    /// Runs the tests of the source.
    pub(crate) async fn test(&mut self, commands: TestCommands) -> (Result<u8, BuildFailure>, String) {
        self.request.id = Uuid::new_v4();
        self.request.tests = Some(commands);
        let mut lines = Lines::default();
        let result = build::test(self.request.clone(), &self.sandboxes, &NoLayers, &mut lines).await;
        self.request.tests = None;
        (result, lines.0.join("\n"))
    }

    /// The `app.json` of the source.
    pub(crate) async fn manifest(&mut self) -> Result<Vec<u8>, BuildFailure> {
        self.request.id = Uuid::new_v4();
        let mut lines = Lines::default();
        build::manifest(self.request.clone(), &self.sandboxes, &NoLayers, &mut lines).await
    }

    /// Where the cache of builds on the default stack is kept.
    pub(crate) fn kept_cache(&self) -> PathBuf {
        self.request.cache.join(self.request.stack.as_str())
    }

    pub(crate) fn app(&self, slug: &BuiltSlug) -> PathBuf {
        self.sandboxes.lib_dir.join("slugs").join(slug.digest.as_str()).join("app")
    }

    pub(crate) fn assert_nothing_left(&self) {
        assert_eq!(names(&self.sandboxes.lib_dir.join("scratch")), [""; 0]);
        assert!(names(&self.sandboxes.lib_dir.join("slugs")).iter().all(|name| !name.ends_with(".new")));
        assert!(names(&self.node.dir.path().join("run/containers")).is_empty());
        assert_eq!(self.sandboxes.slots.held(), 0);
    }
}

pub(crate) fn write_all(dir: &Path, files: &[(&str, &str)]) {
    for (path, contents) in files {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(path, contents).expect("a file");
    }
}

fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let name =
        |entry: Result<fs::DirEntry, _>| entry.expect("an entry").file_name().to_string_lossy().into_owned();
    entries.map(name).collect()
}

pub(crate) const DETECT: (&str, &str) = ("bin/detect", "#!/bin/sh\n[ -f \"$1/app.txt\" ] && echo Text\n");
pub(crate) const RELEASE: (&str, &str) = (
    "bin/release",
    "#!/bin/sh\nprintf -- '---\\ndefault_process_types:\\n  web: default\\n  console: sh\\n'\n",
);
const COMPILE: (&str, &str) = (
    "bin/compile",
    "#!/bin/bash\nset -e\necho '-----> Compiling'\necho \"       $STACK $SOURCE_VERSION $HOME $FROM_HOST ${SECRET:-unset}\" >&2\n\
     cat \"$3/SECRET\" > \"$1/secret\"\nls -A \"$1\" | tr '\\n' ' '\necho\ncat /etc/resolv.conf\nls \"$PACKAGES\"\n\
     echo run >> \"$2/runs\"\nwc -l < \"$2/runs\"\ntouch /app/scribble export\n\
     ln \"$1/app.txt\" \"$1/hard\"\nln -s ./app.txt \"$1/soft\"\nchmod 0 \"$1/hard\"\ncat\n",
);

#[tokio::test]
async fn a_source_becomes_a_slug_and_the_same_source_the_same_slug() {
    let source = [
        ("app.txt", "hello"),
        ("Procfile", "web: cat app.txt\nworker: sleep 1\n"),
        (".slugignore", "docs/\n*.psd\n"),
        ("docs/a.md", ""),
        ("docs/b.md", ""),
        ("art.psd", ""),
        (".git/config", ""),
    ];
    let name = "build::a_source_becomes_a_slug";
    let Some(mut bench) = Bench::new(name, &[DETECT, COMPILE, RELEASE], &source).await else { return };
    let (built, said) = bench.build().await;
    let built = built.unwrap_or_else(|error| panic!("it builds: {error:?}\n{said}"));
    for wanted in [
        "-----> Building on the Cedar-13 stack",
        "-----> Deleting 3 files matching .slugignore patterns.",
        "-----> Text app detected",
        "       heroku-24 0123abcd /app yes unset",
        ".slugignore Procfile app.txt secret ",
        "# ours",
        "isolation.rs",
        "       Procfile declares types     -> web, worker",
        "       Default types for buildpack -> console",
        "       Done: ",
    ] {
        assert!(said.contains(wanted), "{wanted:?} in\n{said}");
    }
    let types: Vec<_> =
        built.process_types.iter().map(|(name, command)| format!("{name}={command}")).collect();
    assert_eq!(types, ["console=sh", "web=cat app.txt", "worker=sleep 1"]);
    assert_eq!(built.description.as_deref(), Some("Text"));
    let app = bench.app(&built);
    let mut found = names(&app);
    found.sort();
    assert_eq!(found, [".slugignore", "Procfile", "app.txt", "hard", "secret", "soft"]);
    assert_eq!(fs::read_to_string(app.join("secret")).expect("a file"), "hunter2\n");
    assert_eq!(fs::read_link(app.join("soft")).expect("a link"), Path::new("./app.txt"));
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(app.join("app.txt")).expect("a file"));
    assert_eq!(owner, STORE_ID);
    bench.assert_nothing_left();
    let (again, said) = bench.build().await;
    assert_eq!(again.map(|slug| slug.digest).ok(), Some(built.digest));
    assert_eq!(fs::read_to_string(bench.kept_cache().join("runs")).expect("a cache"), "run\nrun\n", "{said}");
    bench.assert_nothing_left();
}

#[tokio::test]
async fn a_build_that_fails_leaves_nothing_and_keeps_the_old_cache() {
    let compile = ("bin/compile", "#!/bin/sh\necho broken >> $2/runs\necho ' !     No luck'\nexit 3\n");
    let name = "build::a_build_that_fails_leaves_nothing";
    let Some(mut bench) = Bench::new(name, &[DETECT, compile], &[("app.txt", "")]).await else { return };
    let (result, said) = bench.build().await;
    assert!(matches!(result, Err(BuildFailure::Source)), "{result:?}");
    assert!(said.contains(" !     No luck\n !     Push rejected, failed to compile Text app."), "{said}");
    assert!(said.ends_with(" !     Push failed"), "{said}");
    assert!(!bench.request.cache.exists() && names(&bench.sandboxes.lib_dir.join("slugs")).is_empty());
    bench.assert_nothing_left();

    bench.request.source = bench.node.dir.path().join("pack/bin/detect");
    assert!(bench.build().await.1.contains("Failed decompressing source code"));
    bench.request.buildpacks = vec!["heroku/python".into()];
    write_all(&bench.node.dir.path().join("empty"), &[("x", "")]);
    bench.request.source = bench.node.dir.path().join("source.tar");
    assert!(bench.build().await.1.contains("App not compatible with buildpack: heroku/python"));
    bench.request.buildpacks.clear();
    assert!(bench.build().await.1.contains("No default language could be detected"));
    bench.assert_nothing_left();
}

#[tokio::test]
async fn a_build_that_fills_the_disk_is_ended_before_it_is_full() {
    let compile = (
        "bin/compile",
        "#!/bin/sh\necho begun\ndd if=/dev/zero of=\"$1/fill\" bs=1048576 count=256 2>&1; sleep 1000\n",
    );
    let name = "build::a_build_that_fills_the_disk";
    let Some(mut bench) = Bench::new(name, &[DETECT, compile], &[("app.txt", "")]).await else { return };
    let free = dyno::sys::fs::free_bytes(bench.node.dir.path()).expect("the disk is measured");
    // The stand-in for a full disk: nearly all that is free now must stay free.
    bench.request.limits.disk_reserve = dyno::domain::Bytes(free.saturating_sub(128 << 20));
    let (result, said) = bench.build().await;
    assert!(matches!(result, Err(BuildFailure::Source)), "{result:?} {said}");
    assert!(said.contains("of the node's disk and was ended."), "{said}");
    bench.assert_nothing_left();
}

#[tokio::test]
async fn a_cache_that_cannot_be_read_is_begun_anew() {
    let script = "#!/bin/sh\nls $2\ntouch $2/open\nmkdir $2/closed && chmod 0 $2/closed $2\n";
    let name = "build::a_cache_that_cannot_be_read";
    let Some(mut bench) = Bench::new(name, &[DETECT, ("bin/compile", script)], &[("app.txt", "")]).await
    else {
        return;
    };
    for _ in 0..2 {
        let (result, said) = bench.build().await;
        assert!(result.is_ok() && !said.contains("open"), "{said}");
        assert!(bench.kept_cache().join("open").exists());
    }
    bench.assert_nothing_left();
}

#[tokio::test]
async fn a_build_that_takes_too_long_or_is_dropped_is_killed() {
    let compile = ("bin/compile", "#!/bin/sh\necho begun\nsleep 1000 & trap '' TERM; sleep 1000\n");
    let name = "build::a_build_that_takes_too_long";
    let Some(mut bench) = Bench::new(name, &[DETECT, compile], &[("app.txt", "")]).await else { return };
    let limit_s = patient(Duration::from_secs(1)).as_secs();
    bench.request.limits.timeout_s = limit_s;
    let (result, said) = bench.build().await;
    assert!(matches!(result, Err(BuildFailure::Source)), "{result:?}");
    assert!(
        said.contains(&format!(
            "begun\n !     Push rejected, the build took longer than {limit_s} seconds and was ended."
        )),
        "{said}"
    );
    bench.assert_nothing_left();

    bench.request.limits.timeout_s = patient(BUILD_LIMIT).as_secs();
    let dropped = tokio::time::timeout(Duration::from_millis(700), bench.build()).await;
    assert!(dropped.is_err(), "it was dropped before its end");
    let deadline = tokio::time::Instant::now() + patient(Duration::from_secs(10));
    while bench.sandboxes.slots.held() > 0 && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bench.assert_nothing_left();
}

#[tokio::test]
async fn buildpacks_see_what_those_before_them_export() {
    let first = ("bin/compile", "#!/bin/sh\necho 'export FROM_FIRST=set' > export\n");
    let name = "build::buildpacks_see_exports";
    let Some(mut bench) = Bench::new(name, &[DETECT, first, RELEASE], &[("app.txt", "")]).await else {
        return;
    };
    let second = bench.node.dir.path().join("second");
    let compile = ("bin/compile", "#!/bin/sh\necho \"first is ${FROM_FIRST:-unset}\"\n");
    write_all(&second, &[DETECT, compile]);
    bench.request.buildpacks.push(second.to_string_lossy().into_owned());
    let (built, said) = bench.build().await;
    assert!(said.contains("first is set"), "{said}");
    assert!(
        said.contains("       Procfile declares types -> (none)"),
        "only the last one's release counts: {said}"
    );
    assert!(built.is_ok_and(|slug| slug.process_types.is_empty()));
    bench.assert_nothing_left();
}

#[tokio::test]
async fn the_built_in_buildpacks_are_found_by_detection() {
    let name = "build::the_built_in_buildpacks";
    let package = r#"{"name":"a","version":"1.0.0","scripts":{"start":"node a.js"}}"#;
    let node: &[_] = &[("package.json", package), ("a.js", "")];
    let python: &[_] = &[("app.py", ""), ("requirements.txt", ""), ("Procfile", "web: python app.py\n")];
    for (source, title, buildpack) in
        [(node, "Node.js", "heroku/nodejs"), (python, "Python", "heroku/python")]
    {
        let Some(mut bench) = Bench::new(name, &[DETECT], source).await else { return };
        bench.request.buildpacks.clear();
        let (built, said) = bench.build().await;
        let built = built.unwrap_or_else(|error| panic!("it builds: {error:?}\n{said}"));
        assert!(said.contains("-----> Determining which buildpack to use for this app"), "{said}");
        assert!(said.contains(&format!("-----> {title} app detected")), "{said}");
        assert_eq!(built.buildpacks, [buildpack]);
        assert!(built.process_types.keys().any(|name| name.as_str() == "web"), "{said}");
        bench.assert_nothing_left();
    }
}

#[tokio::test]
async fn scripts_have_a_network_and_our_own_steps_do_not_need_one() {
    let routes = ("bin/compile", "#!/bin/sh\ngrep -c ^eth0 /proc/net/route\nid -u\n");
    let name = "build::scripts_have_a_network";
    let Some(mut bench) = Bench::new(name, &[DETECT, routes], &[("app.txt", "")]).await else { return };
    let config = NetworkConfig {
        index: INDEX,
        base: Ipv4Net::default_of(INDEX),
        resolvers: vec![],
        egress: vec![],
        state_file: bench.node.dir.path().join("network.json"),
    };
    let network = NodeNetwork::setup(config.clone()).await.expect("a network");
    bench.sandboxes.network = Some(Arc::new(network));
    let (built, said) = bench.build().await;
    let link = format!("/sys/class/net/dy{INDEX}-0");
    let deadline = tokio::time::Instant::now() + patient(Duration::from_secs(5));
    // The kernel takes namespaces down in the background.
    while Path::new(&link).exists() && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let is_left = Path::new(&link).exists();
    NodeNetwork::teardown(config).await.expect("it is taken down");
    assert!(built.is_ok() && said.contains("Text app detected\n2\n1000\n"), "{said}");
    assert!(!is_left, "the link has gone with the build");
    bench.assert_nothing_left();
}

/// Writes what the kernel would tell of waiting for memory.
fn wait_for_memory(file: &Path, percent: u32) {
    let line = |name: &str| format!("{name} avg10={percent}.00 avg60=0.00 avg300=0.00 total=1\n");
    fs::write(file, line("some") + &line("full")).expect("a file");
}

#[tokio::test]
async fn a_build_waits_for_memory_and_is_frozen_while_it_is_short() {
    let compile = ("bin/compile", "#!/bin/sh\nfor n in 1 2 3 4 5 6; do echo step $n; sleep 1; done\n");
    let name = "build::a_build_waits_for_memory";
    let Some(mut bench) = Bench::new(name, &[DETECT, compile], &[("app.txt", "")]).await else { return };
    let pressure = bench.sandboxes.memory_pressure.clone();
    wait_for_memory(&pressure, 50);
    let (told, mut lines) = mpsc::unbounded_channel();
    let mut sink = Passed { told, kept: Vec::new() };
    let (request, sandboxes) = (bench.request.clone(), bench.sandboxes.clone());
    let building = async {
        let built = build::build(request, &sandboxes, &NoLayers, &mut sink).await;
        (built, sink.kept.join("\n"))
    };
    let memory = async {
        let mut seen = Vec::new();
        for (line, percent) in [("Waiting for memory", 0), ("step 2", 50), ("Held for want of memory", 0)] {
            while seen.last().is_none_or(|last: &String| !last.contains(line)) {
                let next = tokio::time::timeout(patient(BUILD_LIMIT), lines.recv()).await;
                seen.push(next.expect("a line in time").expect("the build tells more"));
            }
            wait_for_memory(&pressure, percent);
        }
    };
    let ((built, said), ()) = tokio::join!(building, memory);
    assert!(built.is_ok(), "{said}");
    for line in ["it 50 % of the last 10 seconds", "       The build goes on.", "step 6"] {
        assert!(said.contains(line), "{line} in\n{said}");
    }
    let at = |line: &str| said.find(line).expect("it was said");
    assert!(at("Waiting for memory") < at("Building on") && at("Held for want") < at("The build goes on"));

    wait_for_memory(&pressure, 50);
    bench.request.limits.held_max_s = 1;
    let (refused, said) = bench.build().await;
    assert!(matches!(refused, Err(BuildFailure::Source)), "{refused:?}");
    assert!(said.contains("was short of memory for more than 1 seconds."), "{said}");
    bench.assert_nothing_left();
}

/// Keeps lines, and passes them on as they come.
struct Passed {
    told: mpsc::UnboundedSender<String>,
    kept: Vec<String>,
}

impl Sink for Passed {
    fn line(&mut self, line: &str) {
        self.kept.push(line.to_owned());
        let _nobody_reads = self.told.send(line.to_owned());
    }
}

#[tokio::test]
async fn a_build_that_keeps_too_much_on_the_disk_is_ended() {
    let compile = (
        "bin/compile",
        "#!/bin/sh\nmkdir \"$1/a\"\ndd if=/dev/urandom of=\"$1/a/fill\" bs=1048576 count=64 2>&1; sleep 1000\n",
    );
    let name = "build::a_build_that_keeps_too_much";
    let Some(mut bench) = Bench::new(name, &[DETECT, compile], &[("app.txt", "")]).await else { return };
    bench.request.limits.disk_max = dyno::domain::Bytes::mib(32);
    let (result, said) = bench.build().await;
    assert!(matches!(result, Err(BuildFailure::Source)), "{result:?} {said}");
    assert!(said.contains("the build wrote more than 32.0M to the node's disk and was ended."), "{said}");
    bench.assert_nothing_left();
}
