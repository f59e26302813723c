//! Mounts and roots of a configuration, each seen from inside a real container.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Command;

use serde_json::json;

use crate::bundle::{Bundle, mount};
use crate::support::container::can_run;

#[test]
fn mounts_have_the_options_they_were_given() {
    if !can_run("mounts_have_the_options_they_were_given") {
        return;
    }
    for mut bundle in [Bundle::new(), Bundle::with_users()] {
        bundle.mounts().push(mount(
            "/m/one",
            "tmpfs",
            "tmpfs",
            "nosuid,nodev,noexec,noatime,size=64k,mode=1770",
        ));
        bundle.mounts().push(mount("/m/two", "tmpfs", "tmpfs", "ro"));
        bundle.mounts().push(mount("/m/two/in", "tmpfs", "tmpfs", ""));
        let said = bundle.run(
            "grep ' /m/' /proc/self/mounts; stat -c %a /m/one; touch /m/two/x 2>/dev/null || echo read-only; touch /m/two/in/x && \
             echo writable; dd if=/dev/zero of=/m/one/f bs=1k count=100 2>/dev/null || echo full",
        );
        let lines: Vec<_> = said.out.lines().collect();
        assert!(
            lines[0].starts_with("tmpfs /m/one tmpfs rw,nosuid,nodev,noexec,noatime,size=64k"),
            "{said:?}"
        );
        assert!(lines[1].starts_with("tmpfs /m/two tmpfs ro,"), "{said:?}");
        assert_eq!(lines[3..], ["1770", "read-only", "writable", "full"], "{said:?}");
    }
}

#[test]
fn binds_show_files_and_directories_and_hold_their_options() {
    if !can_run("binds_show_files_and_directories_and_hold_their_options") {
        return;
    }
    let mut bundle = Bundle::new();
    fs::create_dir(bundle.path("shared")).unwrap();
    fs::write(bundle.path("shared/file"), "contents\n").unwrap();
    let (dir, file) = (bundle.path("shared"), bundle.path("shared/file"));
    bundle.mounts().extend([
        mount("/b/relative", "bind", "shared", "bind"),
        mount("/b/ro", "bind", dir.to_str().unwrap(), "rbind,ro,nosuid,noexec"),
        mount("/b/file", "none", file.to_str().unwrap(), "bind,ro"),
    ]);
    let said = bundle.say(
        "cat /b/relative/file /b/file; echo new > /b/relative/new; touch /b/ro/x 2>/dev/null || echo no; \
         echo x 2>/dev/null > /b/file || echo no; grep ' /b/ro ' /proc/self/mounts",
    );
    assert!(said.starts_with("contents\ncontents\nno\nno\n"), "{said}");
    assert!(said.contains("ro,nosuid,noexec"), "{said}");
    assert_eq!(fs::read_to_string(bundle.path("shared/new")).unwrap(), "new\n");
    bundle.mounts().push(mount("/b/absent", "bind", "/nowhere/at/all", "bind"));
    bundle
        .refused(&["run", "a"], "could not open the mount source /nowhere/at/all: no such file or directory");
}

/// Mounts made for a test in a mount namespace of its own, in which the runtime is then called, and looked around afterwards.
fn in_own_mounts(bundle: &Bundle, prepare: &str, after: &str) -> crate::bundle::Said {
    let call = bundle.command(&["run", &bundle.id("own")]);
    let words: Vec<_> = std::iter::once(call.get_program())
        .chain(call.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c"]);
    let script = format!("{prepare}\n{} || exit\n{after}", words.join(" "));
    command.arg(script).current_dir(bundle.dir.path());
    bundle.finish(command)
}

#[test]
fn recursive_options_reach_what_is_mounted_below_and_others_do_not() {
    if !can_run("recursive_options_reach_what_is_mounted_below_and_others_do_not") {
        return;
    }
    let mut bundle = Bundle::new();
    fs::create_dir_all(bundle.path("tree/below")).unwrap();
    let tree = bundle.path("tree");
    for (target, options) in [("/t/top", "rbind,ro"), ("/t/all", "rbind,rro,rnoexec"), ("/t/alone", "bind")] {
        bundle.mounts().push(mount(target, "bind", tree.to_str().unwrap(), options));
    }
    bundle.script(
        "for d in top all; do touch /t/$d/x 2>/dev/null || echo $d ro; touch /t/$d/below/x 2>/dev/null || echo $d below ro; done; \
         grep -c ' /t/' /proc/self/mounts; grep ' /t/all/below ' /proc/self/mounts",
    );
    let said = in_own_mounts(&bundle, "mount -t tmpfs tmpfs tree/below", "");
    assert!(said.out.starts_with("top ro\nall ro\nall below ro\n5\n"), "{said:?}");
    assert!(said.out.contains("noexec"), "{said:?}");
}

#[test]
fn propagation_is_as_asked_and_nothing_comes_back_to_the_host() {
    if !can_run("propagation_is_as_asked_and_nothing_comes_back_to_the_host") {
        return;
    }
    let mut bundle = Bundle::new();
    fs::create_dir_all(bundle.path("share/in")).unwrap();
    let share = bundle.path("share");
    for (target, options) in [
        ("/p/plain", "rbind"),
        ("/p/private", "rbind,rprivate"),
        ("/p/slave", "rbind,rslave"),
        ("/p/shared", "rbind,rshared"),
    ] {
        bundle.mounts().push(mount(target, "bind", share.to_str().unwrap(), options));
    }
    bundle.config["process"]["capabilities"] = all_sets(&["CAP_SYS_ADMIN"]);
    for (places, comes_back) in [("plain private slave", "0"), ("shared", "1")] {
        bundle.script(&format!(
            "grep ' /p/' /proc/self/mountinfo | while read a b c d e f g h; do echo $e $g; done; \
             for place in {places}; do mount -t tmpfs t /p/$place/in || exit; done"
        ));
        let prepare = "mount --bind share share; mount --make-shared share";
        let said = in_own_mounts(&bundle, prepare, "grep -c share/in /proc/self/mounts");
        let lines: Vec<_> = said.out.lines().map(|line| line.split(':').next().unwrap()).collect();
        let expected = ["/p/plain -", "/p/private -", "/p/slave master", "/p/shared shared", comes_back];
        assert_eq!(lines, expected, "{said:?}");
    }
}

#[test]
fn the_root_shares_with_the_host_what_is_asked_and_the_host_shares() {
    if !can_run("the_root_shares_with_the_host_what_is_asked_and_the_host_shares") {
        return;
    }
    // Under systemd a host shares its mounts; others keep them.
    for (host, slave) in [("private", "-"), ("shared", "master")] {
        for (wanted, expected) in
            [("private", "-"), ("slave", slave), ("shared", "shared"), ("unbindable", "unbindable")]
        {
            let mut bundle = Bundle::new();
            bundle.config["linux"]["rootfsPropagation"] = json!(wanted);
            bundle.script("grep ' / / \\| / rw' /proc/self/mountinfo | head -n1");
            let said = in_own_mounts(&bundle, &format!("mount --make-r{host} /"), "");
            let word = said.out.split(' ').nth(6).unwrap_or_default();
            assert!(word.starts_with(expected), "{wanted} on a {host} host: {said:?}");
        }
    }
}

pub(crate) fn all_sets(names: &[&str]) -> serde_json::Value {
    json!({"bounding": names, "effective": names, "permitted": names})
}

#[test]
fn a_tmpfs_can_begin_with_what_lies_below() {
    if !can_run("a_tmpfs_can_begin_with_what_lies_below") {
        return;
    }
    let mut bundle = Bundle::new();
    let below = bundle.root().join("data");
    fs::create_dir(below.join("dir")).unwrap();
    fs::write(below.join("dir/file"), "below\n").unwrap();
    fs::set_permissions(below.join("dir"), fs::Permissions::from_mode(0o750)).unwrap();
    symlink("dir/file", below.join("link")).unwrap();
    bundle.mounts().push(mount("/data", "tmpfs", "tmpfs", "tmpcopyup"));
    assert_eq!(bundle.say("cat /data/link; stat -c %a /data/dir; echo x > /data/dir/file"), "below\n750\n");
    assert_eq!(fs::read_to_string(below.join("dir/file")).unwrap(), "below\n");
}

#[test]
fn masked_and_read_only_paths_are_what_they_say() {
    if !can_run("masked_and_read_only_paths_are_what_they_say") {
        return;
    }
    for mut bundle in [Bundle::new(), Bundle::with_users()] {
        bundle.config["linux"]["maskedPaths"] =
            json!(["/proc/kcore", "/sys/firmware", "/etc/passwd", "/absent/path"]);
        bundle.config["linux"]["readonlyPaths"] = json!(["/proc/sys", "/data", "/absent"]);
        let said = bundle.say(
            "wc -c < /etc/passwd; dd if=/proc/kcore bs=1 count=1 2>/dev/null | wc -c; ls /sys/firmware | wc -l; \
             touch /data/x 2>/dev/null || echo ro; echo 1 2>/dev/null > /proc/sys/kernel/sched_autogroup_enabled || echo ro; \
             touch /sys/firmware/x 2>/dev/null || echo ro",
        );
        assert_eq!(said, "0\n0\n0\nro\nro\nro\n");
    }
}

#[test]
fn a_read_only_root_holds_and_what_is_mounted_in_it_does_not_suffer() {
    if !can_run("a_read_only_root_holds_and_what_is_mounted_in_it_does_not_suffer") {
        return;
    }
    for change in [&[][..], &["--no-pivot"]] {
        let mut bundle = Bundle::new();
        bundle.config["root"]["readonly"] = json!(true);
        bundle.mounts().push(mount("/tmp", "tmpfs", "tmpfs", ""));
        bundle.script(
            "touch /x 2>/dev/null || echo ro; touch /tmp/x && echo rw; ls -d /..; ls / | grep -c rootfs",
        );
        let id = bundle.id("a");
        let said = bundle.call(&[&["run"], change, &[&id]].concat());
        assert_eq!(said.out, "ro\nrw\n/..\n0\n", "{said:?}");
    }
}

#[test]
fn a_mount_of_control_groups_shows_the_containers_own() {
    if !can_run("a_mount_of_control_groups_shows_the_containers_own") {
        return;
    }
    for mut bundle in [Bundle::new(), Bundle::with_users()] {
        bundle.mounts().push(mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,ro"));
        let said = bundle.say(
            "f=/sys/fs/cgroup; [ -d $f/unified ] && f=$f/unified; cat $f/cgroup.procs | head -n1; mkdir $f/x 2>/dev/null || echo ro; \
             cat /proc/self/cgroup",
        );
        let mut lines = said.lines();
        assert_eq!((lines.next(), lines.next()), (Some("1"), Some("ro")), "{said}");
        assert!(lines.all(|line| line.ends_with(":/")), "{said}");
    }
}

#[test]
fn ids_on_a_mount_are_mapped() {
    if !can_run("ids_on_a_mount_are_mapped") {
        return;
    }
    let mut bundle = Bundle::with_users();
    fs::create_dir(bundle.path("owned")).unwrap();
    fs::write(bundle.path("owned/file"), "").unwrap();
    let owned = bundle.path("owned");
    let mut mapped = mount("/mapped", "bind", owned.to_str().unwrap(), "rbind,idmap");
    mapped["uidMappings"] = json!([{"containerID": 0, "hostID": 0x7200_0000, "size": 65536}]);
    mapped["gidMappings"] = mapped["uidMappings"].clone();
    bundle.mounts().push(mapped);
    bundle.mounts().push(mount("/plain", "bind", owned.to_str().unwrap(), "rbind"));
    let said = bundle.run("stat -c %u /mapped/file /plain/file; touch /mapped/new");
    assert_eq!(said.out, "0\n65534\n", "{said:?}");
    assert_eq!(fs::metadata(owned.join("new")).unwrap().uid(), 0);
}

#[test]
fn names_of_host_and_domain_are_the_containers() {
    if !can_run("names_of_host_and_domain_are_the_containers") {
        return;
    }
    let mut bundle = Bundle::new();
    bundle.config["domainname"] = json!("some.domain");
    let before = fs::read_to_string("/proc/sys/kernel/domainname").unwrap();
    assert_eq!(bundle.say("hostname; cat /proc/sys/kernel/domainname"), "inside\nsome.domain\n");
    assert_eq!(fs::read_to_string("/proc/sys/kernel/domainname").unwrap(), before);
}

#[test]
fn kernel_parameters_are_set_where_they_are_the_containers_own() {
    if !can_run("kernel_parameters_are_set_where_they_are_the_containers_own") {
        return;
    }
    let mut bundle = Bundle::new();
    bundle.config["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1", "kernel.shmmax": "65536"});
    assert_eq!(bundle.say("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmax"), "1\n65536\n");
    bundle.config["linux"]["sysctl"] = json!({"vm.overcommit_memory": "1"});
    bundle.refused(&["run", "a"], "no namespace of the container's own");
    bundle.config["linux"]["sysctl"] = json!({"net.ipv4.nonsense": "1"});
    bundle.refused(&["run", "a"], "net.ipv4.nonsense");
}

#[test]
fn the_working_directory_is_made_where_it_is_missing_and_must_be_inside() {
    if !can_run("the_working_directory_is_made_where_it_is_missing_and_must_be_inside") {
        return;
    }
    let mut bundle = Bundle::new();
    bundle.config["process"]["cwd"] = json!("/made/for/it");
    assert_eq!(bundle.say("pwd"), "/made/for/it\n");
    for hostile in ["/proc/self/fd/3", "/proc/self/fd/4", "/proc/self/fd/5", "/proc/1/root/../.."] {
        bundle.config["process"]["cwd"] = json!(hostile);
        let said = bundle.run("ls -d rootfs config.json");
        assert!(!said.out.contains("config.json"), "{hostile}: {said:?}");
    }
}
