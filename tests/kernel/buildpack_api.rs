//! What the buildpacks of others rely on (platform reference 3.4, buildpack reference 2), point by point, on a real stack.
#![expect(clippy::expect_used, clippy::panic, reason = "in a test a panic is how a failure is told")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use dyno::build::{Chooser, Mirror, TestCommands};
use dyno::runtime::network::{Ipv4Net, NetworkConfig, NodeNetwork};

use crate::build::{Bench, DETECT, RELEASE, write_all};
use crate::support::patience::patient;

/// Tells what a script sees, one fact a line.
const FACTS: &str = r#"#!/bin/bash
echo "cwd=$(pwd)"
echo "arguments=$*"
echo "user=$(id -u):$(id -g) umask=$(umask)"
echo "modes=$(stat -c %a:%u "$3") $(stat -c %a:%u "$3/SECRET")"
echo "variables=$(env -0 | cut -z -d= -f1 | sort -z | tr '\0' ' ')"
echo "values=$STACK $SOURCE_VERSION $HOME $BUILDPACK_LOG_FILE $PATH"
echo "dyno=$DYNO request=$REQUEST_ID"
echo "input=$(wc -c) $([ -t 0 ] || [ -t 1 ] || [ -t 2 ] || echo no terminal)"
echo "app=$(ls -A /app | wc -l) $(touch /app/x && rm /app/x && echo writable)"
echo "pack=$(touch scratch && echo writable)"
echo "missing=$(for tool in curl jq git tar gcc make cmake python3 node npm xz zstd unzip patchelf; do
  command -v $tool >/dev/null || printf '%s ' $tool; done)"
echo "memory=$(cat /sys/fs/cgroup/memory/memory.limit_in_bytes)"
echo "reopened=yes" >/dev/stdout
echo "certificates=$([ -s /etc/ssl/certs/ca-certificates.crt ] && echo there)"
"#;

fn fact<'a>(said: &'a str, name: &str) -> &'a str {
    let start = format!("{name}=");
    said.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_default()
}

#[tokio::test]
async fn scripts_find_what_the_platform_promises() {
    let name = "buildpack_api::scripts_find_what_the_platform_promises";
    let pack = [DETECT, ("bin/compile", FACTS), RELEASE];
    let Some(mut bench) = Bench::new(name, &pack, &[("app.txt", "")]).await else { return };
    bench.sandboxes.env.clear();
    let (built, said) = bench.build().await;
    assert!(built.is_ok(), "{said}");
    let id = bench.request.id.simple().to_string();
    let mark = &id[..8];
    let is = |name: &str, expected: &str| assert_eq!(fact(&said, name), expected, "{name} in\n{said}");
    is("cwd", "/tmp/buildpacks/0");
    is("arguments", &format!("/tmp/build_{mark} /tmp/codon/tmp/cache /tmp/env_{mark}"));
    is("user", "1000:1000 umask=0022");
    is("modes", "700:1000 600:1000");
    is("variables", "BUILDPACK_LOG_FILE DYNO HOME PATH PWD REQUEST_ID SHLVL SOURCE_VERSION STACK _ ");
    is(
        "values",
        "heroku-24 0123abcd /app /dev/null /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    );
    is("dyno", &format!("build.{mark} request={}", bench.request.id));
    is("input", "0 no terminal");
    is("app", "0 writable");
    is("pack", "writable");
    is("missing", "");
    is("memory", &(2560_u64 << 20).to_string());
    is("reopened", "yes");
    is("certificates", "there");

    let (_, again) = bench.build().await;
    assert_ne!(fact(&said, "arguments"), fact(&again, "arguments"), "every build has a directory of its own");
    bench.assert_nothing_left();
}

#[tokio::test]
async fn a_report_runs_after_success_and_failure_and_changes_neither() {
    let name = "buildpack_api::a_report_runs_after_success_and_failure";
    let compile = ("bin/compile", "#!/bin/sh\necho 'export FROM_FIRST=set' >export\ntest ! -f \"$1/fail\"\n");
    let report = (
        "bin/report",
        "#!/bin/sh\necho \"seen=$# ${FROM_FIRST:-unset}\" >\"$1/report\"\necho 'a: 1'\nexit 3\n",
    );
    let pack = [DETECT, compile, report, RELEASE];
    let Some(mut bench) = Bench::new(name, &pack, &[("app.txt", "")]).await else { return };
    let (built, said) = bench.build().await;
    let built =
        built.unwrap_or_else(|error| panic!("a report's failure is none of the build: {error:?}\n{said}"));
    assert!(!said.contains("a: 1"), "{said}");
    let told = std::fs::read_to_string(bench.app(&built).join("report")).expect("a report");
    assert_eq!(told, "seen=3 unset\n", "exports are not for reports");

    // A failed build keeps nothing, so one looks while it is there.
    let waits = ("bin/report", "#!/bin/sh\ntouch /app/reported\nsleep 2\n");
    write_all(&bench.node.dir.path().join("pack"), &[("bin/compile", "#!/bin/sh\nexit 1\n"), waits]);
    let scratch = bench.sandboxes.lib_dir.join("scratch");
    let seen = tokio::time::timeout(patient(Duration::from_secs(30)), async {
        while !reported(&scratch) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let ((failed, said), seen) = tokio::join!(bench.build(), seen);
    assert!(failed.is_err() && said.contains("failed to compile Text app"), "{said}");
    assert!(seen.is_ok(), "the report ran after the failure");
    bench.assert_nothing_left();
}

/// Whether the report of a build that runs now has left its mark.
fn reported(scratch: &Path) -> bool {
    let builds = std::fs::read_dir(scratch).into_iter().flatten().flatten();
    builds.into_iter().any(|build| build.path().join("app/reported").exists())
}

#[tokio::test]
async fn a_release_is_asked_without_the_exports_of_others() {
    let name = "buildpack_api::a_release_is_asked_without_exports";
    let compile = ("bin/compile", "#!/bin/sh\necho 'export FROM_FIRST=set' >export\n");
    let Some(mut bench) = Bench::new(name, &[DETECT, compile], &[("app.txt", "")]).await else { return };
    let second = bench.node.dir.path().join("second");
    let release = (
        "bin/release",
        "#!/bin/sh\nprintf -- \"---\\ndefault_process_types:\\n  web: run ${FROM_FIRST:-unset}\\n\"\n",
    );
    write_all(&second, &[DETECT, ("bin/compile", "#!/bin/sh\ntest \"$FROM_FIRST\" = set\n"), release]);
    bench.request.buildpacks.push(second.to_string_lossy().into_owned());
    let (built, said) = bench.build().await;
    let built = built.unwrap_or_else(|error| panic!("it builds: {error:?}\n{said}"));
    let web = built.process_types.values().next().map(String::as_str);
    assert_eq!(web, Some("run unset"), "{said}");
    bench.assert_nothing_left();
}

/// Runs git in `dir`, as nobody in particular.
fn git(dir: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"])
        .args(arguments)
        .current_dir(dir)
        .output()
        .expect("git runs");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A compile script that tells which version of the buildpack it is.
fn version(number: u32) -> String {
    format!(
        "#!/bin/sh\necho 'version {number}'\nmkdir -p \"$1/.profile.d\"\necho 'export V={number}' >\"$1/.profile.d/v.sh\"\n"
    )
}

#[tokio::test]
async fn a_buildpack_comes_from_a_repository_an_archive_or_a_directory() {
    let name = "buildpack_api::a_buildpack_comes_from";
    let Some(mut bench) = Bench::new(name, &[DETECT], &[("app.txt", "")]).await else { return };
    let root = bench.node.dir.path().to_owned();
    let work = root.join("work");
    write_all(&work, &[DETECT, ("bin/compile", &version(1))]);
    git(&work, &["init", "--quiet"]);
    let commit = |number: u32| {
        write_all(&work, &[("bin/compile", &version(number))]);
        git(&work, &["add", "-A"]);
        git(&work, &["commit", "--quiet", "--message", "a change"]);
        git(&work, &["rev-parse", "HEAD"])
    };
    let first = commit(1);
    git(&work, &["tag", "v1"]);
    commit(2);
    git(&work, &["branch", "older"]);
    commit(3);
    let bare = root.join("pack.git");
    git(&root, &["clone", "--quiet", "--bare", "work", "pack.git"]);
    // As hosts of repositories make archives: all in one directory.
    let tgz = root.join("pack.tgz");
    let packed =
        Command::new("tar").args(["-czf", "pack.tgz", "--exclude=.git", "work"]).current_dir(&root).status();
    assert!(packed.expect("tar runs").success());
    let known = "me/pack".to_owned();
    bench.request.known_buildpacks.insert(known.clone(), format!("file://{}#v1", bare.display()));
    for (source, number) in [
        (format!("{}#main", bare.display()), 3),
        (format!("file://{}#older", bare.display()), 2),
        (format!("file://{}#v1", bare.display()), 1),
        (format!("{}#{first}", bare.display()), 1),
        (tgz.display().to_string(), 3),
        (work.display().to_string(), 3),
        (known, 1),
    ] {
        bench.request.buildpacks = vec![source.clone()];
        let (built, said) = bench.build().await;
        let built = built.unwrap_or_else(|error| panic!("{source} builds: {error:?}\n{said}"));
        assert!(said.contains(&format!("version {number}")), "{source}: {said}");
        let profile =
            std::fs::read_to_string(bench.app(&built).join(".profile.d/v.sh")).expect("a profile script");
        assert_eq!(profile, format!("export V={number}\n"), "{source}");
    }
    bench.request.buildpacks = vec![format!("{}#no-such-branch", bare.display())];
    let (failed, said) = bench.build().await;
    assert!(failed.is_err() && said.contains("cannot be used: it could not be fetched"), "{said}");
    bench.assert_nothing_left();
}

#[tokio::test]
async fn the_first_build_on_another_stack_begins_with_an_empty_cache() {
    let name = "buildpack_api::the_first_build_on_another_stack";
    let compile = ("bin/compile", "#!/bin/sh\necho \"kept=$(ls \"$2\")\"\ntouch \"$2/of-before\"\n");
    let Some(mut bench) = Bench::new(name, &[DETECT, compile], &[("app.txt", "")]).await else { return };
    let mut kept = Vec::new();
    for stack in ["cedar-13", "cedar-13", "cedar-12", "cedar-13"] {
        bench.request.stack = stack.parse().expect("a name");
        let (built, said) = bench.build().await;
        assert!(built.is_ok(), "{said}");
        kept.push(fact(&said, "kept").to_owned());
    }
    assert_eq!(kept, ["", "of-before", "", ""]);
    bench.assert_nothing_left();
}

/// Leaves what the app begins with, and tells where it was asked to work.
const TEST_COMPILE: &str = "#!/bin/sh
echo \"test-compile $1 CI=$CI\"
mkdir -p \"$1/.profile.d\"
echo 'export FROM_PROFILE=set' >\"$1/.profile.d/a.sh\"
";

#[tokio::test]
async fn tests_are_compiled_and_run_where_the_app_will_be() {
    let name = "buildpack_api::tests_are_compiled_and_run_where_the_app_will_be";
    let pack = [
        DETECT,
        ("bin/compile", "#!/bin/sh\necho compile\n"),
        ("bin/test-compile", TEST_COMPILE),
        ("bin/test", "#!/bin/sh\necho \"test $* in $(ls -a \"$1\" | wc -l)\"\nexit 3\n"),
    ];
    let source = [("app.txt", ""), ("app.json", "{}")];
    let Some(mut bench) = Bench::new(name, &pack, &source).await else { return };
    let (status, said) = bench.test(TestCommands::default()).await;
    let env = format!("/tmp/env_{}", &bench.request.id.simple().to_string()[..8]);
    assert_eq!(status.ok(), Some(3), "{said}");
    assert!(said.contains("test-compile /app CI=true") && !said.contains("\ncompile"), "{said}");
    assert!(said.contains(&format!("test /app {env} in ")), "{said}");

    let command = "echo \"$PWD $SECRET $FROM_PROFILE it's\"; exit 0";
    let commands = TestCommands { setup: Some("echo prepared".to_owned()), test: Some(command.to_owned()) };
    let (status, said) = bench.test(commands).await;
    assert_eq!(status.ok(), Some(0), "{said}");
    assert!(said.contains("prepared") && said.contains("/app hunter2\n set it's"), "{said}");
    let broken = TestCommands { setup: Some("exit 5".to_owned()), test: Some("echo never".to_owned()) };
    let (status, said) = bench.test(broken).await;
    assert!(status.ok() == Some(5) && !said.contains("\nnever"), "{said}");

    std::fs::remove_file(bench.node.dir.path().join("pack/bin/test")).expect("a file");
    let (status, said) = bench.test(TestCommands::default()).await;
    assert!(status.is_err() && said.contains("There is no test to run"), "{said}");
    assert_eq!(bench.manifest().await.ok().as_deref(), Some(&b"{}"[..]));
    let (built, said) = bench.build().await;
    assert!(built.is_ok() && said.contains("\ncompile"), "a deploy compiles as ever: {said}");
    bench.assert_nothing_left();
}

#[tokio::test]
async fn a_source_names_its_buildpacks_and_its_processes() {
    let name = "buildpack_api::a_source_names_its_buildpacks";
    let pack = [DETECT, ("bin/compile", "#!/bin/sh\n"), RELEASE];
    let processes = "run:\n  web: ./serve\nrelease:\n  command: [./prepare, all]\n";
    let source = [("app.txt", ""), ("package.json", "{"), ("heroku.yml", processes)];
    let Some(mut bench) = Bench::new(name, &pack, &source).await else { return };
    let (built, said) = bench.build().await;
    let built = built.unwrap_or_else(|error| panic!("{error:?}: {said}"));
    assert_eq!(built.chooser, Chooser::Caller);
    let types: Vec<_> =
        built.process_types.iter().map(|(name, command)| format!("{name}={command}")).collect();
    assert_eq!(types, ["console=sh", "release=./prepare all", "web=./serve"]);

    // Its files say Node.js.
    let project = "[[io.buildpacks.group]]\nid = \"heroku/procfile\"\n";
    bench.change(&[("project.toml", project), ("Procfile", "web: true\n")]);
    bench.request.buildpacks.clear();
    let (built, said) = bench.build().await;
    assert!(said.contains("Using buildpack: heroku/procfile") && !said.contains("Determining"), "{said}");
    assert_eq!(built.map(|built| built.chooser).ok(), Some(Chooser::Source));

    bench.change(&[("project.toml", "[[io.buildpacks.group]]\nuri = \"/etc\"\n")]);
    let (refused, said) = bench.build().await;
    assert!(refused.is_err() && said.contains("a source cannot name a directory of the node"), "{said}");
    bench.assert_nothing_left();
}

/// Index of the node whose network the mirror is tried in: none that serves, and none of other tests.
const MIRROR_INDEX: u32 = 22;

/// Asks for what is mirrored, for what is not there, and for what would lead out.
const ASKING: &str = r#"#!/bin/bash
ask() { curl --silent --show-error --max-time 20 --output "$1" --write-out "$1=%{http_code}\n" "${@:2}"; }
cd /tmp
ask tls https://vendor.example/files/tool-1.2.tgz
ask clear http://vendor.example/files/tool-1.2.tgz
ask other https://vendor.example/files/tool-1.3.tgz
ask out --path-as-is https://vendor.example/files/../secret
ask single https://single.example/one
ask sent --request POST --data x https://single.example/one
echo "held=$(cat tls clear single | tr '\n' ' ')"
curl --silent --max-time 5 https://unmirrored.invalid/ || echo "elsewhere=$?"
"#;

#[tokio::test]
async fn a_mirror_gives_the_files_that_are_there_and_404_for_all_else() {
    let name = "buildpack_api::a_mirror_gives_the_files";
    let Some(mut bench) = Bench::new(name, &[DETECT, ("bin/compile", ASKING)], &[("app.txt", "")]).await
    else {
        return;
    };
    let place = bench.node.dir.path().join("mirror");
    write_all(&place, &[("files/tool-1.2.tgz", "the tool\n"), ("secret", "a secret\n"), ("one", "one\n")]);
    let table = [
        ("https://vendor.example/files/".to_owned(), place.join("files")),
        ("https://single.example/one".to_owned(), place.join("one")),
    ];
    bench.sandboxes.mirror = Arc::new(Mirror::new(&table.into()).expect("a table"));
    let config = NetworkConfig {
        index: MIRROR_INDEX,
        base: Ipv4Net::default_of(MIRROR_INDEX),
        resolvers: vec![],
        egress: vec![],
        state_file: bench.node.dir.path().join("network.json"),
    };
    let network = NodeNetwork::setup(config.clone()).await.expect("a network");
    bench.sandboxes.network = Some(Arc::new(network));
    let (built, said) = bench.build().await;
    bench.sandboxes.network = None;
    NodeNetwork::teardown(config).await.expect("it is taken down");
    assert!(built.is_ok(), "{said}");
    for (name, status) in [
        ("tls", "200"),
        ("clear", "200"),
        ("other", "404"),
        ("out", "404"),
        ("single", "200"),
        ("sent", "405"),
    ] {
        assert_eq!(fact(&said, name), status, "{name} in\n{said}");
    }
    assert_eq!(fact(&said, "held"), "the tool the tool one ", "{said}");
    assert!(!fact(&said, "elsewhere").is_empty(), "{said}");
    bench.assert_nothing_left();
}

/// Index of the node whose network submodules are fetched in: none that serves, and none of other tests.
const SUBMODULES_INDEX: u32 = 23;

#[tokio::test]
async fn submodules_are_fetched_at_their_commits() {
    let name = "buildpack_api::submodules_are_fetched_at_their_commits";
    let pack = [DETECT, ("bin/compile", "#!/bin/sh\nls -A \"$1\" \"$1/vendor/lib\"\n")];
    let Some(mut bench) = Bench::new(name, &pack, &[("app.txt", "")]).await else { return };
    let (place, work) = (bench.node.dir.path().join("mirror"), bench.node.dir.path().join("library"));
    std::fs::create_dir_all(&place).expect("a directory");
    write_all(&work, &[("first.txt", "first\n")]);
    git(&work, &["init", "--quiet"]);
    git(&work, &["add", "-A"]);
    git(&work, &["commit", "--quiet", "--message", "first"]);
    let commit = git(&work, &["rev-parse", "HEAD"]);
    write_all(&work, &[("second.txt", "second\n")]);
    git(&work, &["add", "-A"]);
    git(&work, &["commit", "--quiet", "--message", "second"]);
    git(&place, &["clone", "--quiet", "--bare", work.to_str().expect("text"), "library.git"]);
    git(&place.join("library.git"), &["update-server-info"]);
    let modules = "[submodule \"a name\"]\n\tpath = vendor/lib\n\turl = https://git.example/library.git\n";
    bench.change(&[(".gitmodules", modules), (".dyno-submodules", &format!("{commit} vendor/lib\n"))]);
    let table = [("https://git.example/".to_owned(), place)];
    bench.sandboxes.mirror = Arc::new(Mirror::new(&table.into()).expect("a table"));
    let config = NetworkConfig {
        index: SUBMODULES_INDEX,
        base: Ipv4Net::default_of(SUBMODULES_INDEX),
        resolvers: vec![],
        egress: vec![],
        state_file: bench.node.dir.path().join("network.json"),
    };
    let network = NodeNetwork::setup(config.clone()).await.expect("a network");
    bench.sandboxes.network = Some(Arc::new(network));
    let (built, said) = bench.build().await;
    bench.change(&[(".dyno-submodules", &format!("{} vendor/lib\n", "1a".repeat(20)))]);
    let (unknown, told) = bench.build().await;
    bench.change(&[(".gitmodules", &modules.replace("https://git.example", ".."))]);
    let (relative, said_of_it) = bench.build().await;
    bench.sandboxes.network = None;
    NodeNetwork::teardown(config).await.expect("it is taken down");
    let built = built.unwrap_or_else(|error| panic!("{error:?}: {said}"));
    assert!(said.contains(&format!("vendor/lib at {}", &commit[..7])), "{said}");
    let app = bench.app(&built);
    assert!(
        app.join("vendor/lib/first.txt").exists() && !app.join("vendor/lib/second.txt").exists(),
        "{said}"
    );
    for left_out in [".gitmodules", ".dyno-submodules", "vendor/lib/.git"] {
        assert!(!app.join(left_out).exists(), "{left_out}");
    }
    assert!(unknown.is_err() && told.contains("has no commit"), "{told}");
    assert!(relative.is_err() && said_of_it.contains("write a whole one"), "{said_of_it}");
    bench.assert_nothing_left();
}
