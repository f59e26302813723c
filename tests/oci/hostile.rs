//! Bundles that want out: links where mounts go, paths that climb, configurations that are none.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::json;

use crate::bundle::{Bundle, mount};
use crate::support::container::can_run;

#[test]
fn links_in_the_root_lead_nowhere_outside_it() {
    if !can_run("links_in_the_root_lead_nowhere_outside_it") {
        return;
    }
    for mut bundle in [Bundle::new(), Bundle::with_users()] {
        let outside = bundle.path("outside");
        fs::create_dir(&outside).unwrap();
        for name in ["dev", "proc", "sys", "absolute", "climbing", "file"] {
            let place = bundle.root().join(name);
            let _ = fs::remove_dir(&place);
        }
        // What would be there is made inside, wherever the link points.
        let target = outside.to_str().unwrap();
        symlink(target, bundle.root().join("absolute")).unwrap();
        symlink("../../../../../../../../..".to_owned() + target, bundle.root().join("climbing")).unwrap();
        for name in ["dev", "proc", "sys"] {
            fs::create_dir(bundle.root().join(name)).unwrap();
        }
        fs::create_dir_all(bundle.root().join(target.trim_start_matches('/'))).unwrap();
        for place in ["/absolute/a", "/climbing/b", "/climbing/deep/er"] {
            bundle.mounts().push(mount(place, "tmpfs", "tmpfs", ""));
        }
        let said = bundle.say("grep -c ' /.*/\\(a\\|b\\|er\\) ' /proc/self/mounts");
        assert_eq!(said, "3\n");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "nothing was made outside");
    }
}

#[test]
fn links_in_place_of_the_kernels_directories_are_stopped() {
    if !can_run("links_in_place_of_the_kernels_directories_are_stopped") {
        return;
    }
    for (name, config) in [("proc", "/proc"), ("dev", "/dev"), ("sys", "/sys")] {
        let mut bundle = Bundle::new();
        fs::remove_dir(bundle.root().join(name)).unwrap();
        symlink("/tmp", bundle.root().join(name)).unwrap();
        let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let said = bundle.run("grep -c . /proc/self/mounts");
        assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), before, "{config}: {said:?}");
    }
    // A link that dangles is no place.
    let mut bundle = Bundle::new();
    symlink("/not/there", bundle.root().join("dangling")).unwrap();
    bundle.mounts().push(mount("/dangling/x", "tmpfs", "tmpfs", ""));
    bundle.refused(&["run", "a"], "/dangling/x");
}

#[test]
fn masks_and_parameters_do_not_follow_links_out() {
    if !can_run("masks_and_parameters_do_not_follow_links_out") {
        return;
    }
    let mut bundle = Bundle::new();
    symlink("/proc/1/root/etc", bundle.root().join("link")).unwrap();
    bundle.config["linux"]["maskedPaths"] = json!(["/link/passwd"]);
    // The kernel's own links are refused, whatever they would lead to.
    bundle.refused(&["run", "a"], "could not mask /link/passwd");
    // A root whose /proc/sys is a plain directory cannot be written to in the place of the kernel's.
    let mut bundle = Bundle::new();
    bundle.mounts().retain(|mount| mount["destination"] != "/proc");
    fs::create_dir_all(bundle.root().join("proc/sys/net/ipv4")).unwrap();
    fs::write(bundle.root().join("proc/sys/net/ipv4/ip_forward"), "").unwrap();
    bundle.config["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
    bundle.refused(&["run", "a"], "not on the kernel's own file system");
}

#[test]
fn the_runtimes_program_cannot_be_reached_from_inside() {
    if !can_run("the_runtimes_program_cannot_be_reached_from_inside") {
        return;
    }
    let mut bundle = Bundle::new();
    let program = fs::metadata(env!("CARGO_BIN_EXE_dyno")).unwrap();
    // A script run by "/proc/self/exe" is run by whoever runs it: the runtime itself.
    fs::write(bundle.root().join("bin/evil"), "#!/proc/self/exe --help\n").unwrap();
    fs::set_permissions(bundle.root().join("bin/evil"), fs::Permissions::from_mode(0o755)).unwrap();
    bundle.config["process"]["args"] = json!(["/bin/evil"]);
    let _ = bundle.call(&["run", &bundle.id("a")]);
    bundle.config["process"]["args"] = json!(["/proc/self/exe"]);
    bundle.refused(&["run", "b"], "permission denied");
    // While it waits for its start, the program of process 1 is the runtime: it must lie where nobody can write.
    bundle.script("true");
    let id = bundle.id("waiting");
    bundle.must(&["create", &id]);
    let pid = bundle.state(&id)["pid"].to_string();
    let program_inside = rustix::fs::statvfs(format!("/proc/{pid}/exe")).unwrap();
    assert!(program_inside.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY));
    let after = fs::metadata(env!("CARGO_BIN_EXE_dyno")).unwrap();
    assert_eq!((program.len(), program.modified().unwrap()), (after.len(), after.modified().unwrap()));
}

#[test]
fn what_is_no_configuration_is_refused_by_name() {
    if !can_run("what_is_no_configuration_is_refused_by_name") {
        return;
    }
    let bundle = Bundle::new();
    let with = |text: &str| {
        let call = bundle.command(&["run", "a"]);
        fs::write(bundle.path("config.json"), text).unwrap();
        bundle.finish(call)
    };
    for text in ["", "{", "[]", "null", "{\"ociVersion\": 1}", "\u{0}", &"[".repeat(100_000)] {
        let said = with(text);
        assert!(
            said.code == 1 && (said.err.contains("config.json") || said.err.contains("ociVersion")),
            "{said:?}"
        );
    }
    for (pointer, value, expected) in [
        ("/root/path", json!("nowhere"), "nowhere"),
        ("/root/path", json!("config.json"), "config.json"),
        ("/process/args", json!(["a\u{0}b"]), "a\\0b"),
        ("/linux/cgroupsPath", json!("/../../x"), "without '..'"),
        ("/linux/cgroupsPath", json!("/"), "below the root"),
        ("/mounts/0/options", json!(["nonsense=1"]), "nonsense"),
        ("/mounts/0/type", json!("nonsense"), "mount nonsense at /proc"),
        ("/mounts/0/destination", json!("/../../etc"), "without '..'"),
        ("/hostname", json!("x".repeat(100)), "host name"),
        ("/linux/namespaces", json!([]), "type mount"),
    ] {
        let mut bundle = Bundle::new();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = bundle.config.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        parent.insert(name.to_owned(), value);
        let said = bundle.call(&["run", &bundle.id("a")]);
        assert!(said.code == 1 && said.err.contains(expected), "{pointer}: {said:?}");
        assert_eq!(bundle.must(&["list", "-q"]).out, "", "{pointer}");
    }
}

#[test]
fn a_creation_that_was_cut_off_leaves_nothing_that_cannot_be_deleted() {
    if !can_run("a_creation_that_was_cut_off_leaves_nothing_that_cannot_be_deleted") {
        return;
    }
    let mut bundle = Bundle::new();
    bundle.config["hooks"] = json!({"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "1000"]}]});
    let id = bundle.id("a");
    let mut creating = bundle.command(&["create", &id]).spawn().unwrap();
    bundle.until(&["state", &id]);
    assert_eq!(bundle.status(&id), "creating");
    bundle.refused(&["kill", &id], "it is creating");
    creating.kill().unwrap();
    creating.wait().unwrap();
    bundle.await_status(&id, "stopped");
    bundle.must(&["delete", &id]);
    bundle.refused(&["state", &id], "does not exist");
}
