//! A disk that is really full, below the data of a service: writes are refused before, the app is told, and what was acknowledged is there
//! afterwards. The node goes on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::is_possible;
use crate::support::node::{TestNode, eventually};

/// How large the disk is, MiB: twice what must be free of it for services to take writes.
const DISK_MIB: u32 = 1100;

#[test]
fn a_full_disk_of_the_node_costs_no_row_and_not_the_node() {
    if !is_possible("a_full_disk_of_the_node_costs_no_row_and_not_the_node") {
        return;
    }
    let node = TestNode::start("addons-disk", 7);
    let disk = Disk::below(&node.root.join("lib/services"), &node.root.join("disk"));
    let ledger = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/apps/ledger");
    node.deploy(&node.app("ledger", &ledger));
    node.ok(&["addons:create", "postgresql", "--name", "books", "--wait", "-a", "ledger"]);
    let adds = |number: u32| {
        eventually("a number is kept", || {
            let (status, text) = node.get("ledger", &format!("/add/{number}"));
            (status, text.as_str()) == (200, "kept\n") || text.contains("duplicate key")
        });
    };
    adds(1);
    disk.leave(300);
    eventually("writes are refused while there is room for the server itself", || {
        let (status, text) = node.get("ledger", "/add/2");
        status == 500 && text.contains("read-only transaction")
    });
    let log = || node.ok(&["logs", "-n", "200", "-a", "ledger"]);
    assert!(log().contains("of the node's disk are free"), "{}", log());
    disk.leave(0);
    assert_eq!(node.get("ledger", "/all"), (200, "1\n".to_owned()), "what is there is read");
    // Nothing can be written in the place of what it has lost.
    kill(&node);
    assert_eq!(node.get("ledger", "/").0, 200, "the app serves");
    node.ok(&["config:set", "GREETING=hi", "-a", "ledger"]);
    assert!(node.ok(&["addons", "-a", "ledger"]).contains("books"));
    disk.free();
    adds(3);
    assert_eq!(node.get("ledger", "/all"), (200, "1 3\n".to_owned()));
    assert!(log().contains("writes are taken"), "{}", log());
}

fn kill(node: &TestNode) {
    let all: Value = serde_json::from_str(&node.ok(&["addons", "--json", "-a", "ledger"])).unwrap();
    let container = format!("service-{}", all[0]["id"].as_str().unwrap());
    let record = fs::read(node.root.join("run/containers").join(container).join("record.json")).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    run("kill", &["-9", &record["pid"].to_string()]);
}

/// A file system of a file of its own, and what fills it.
struct Disk {
    at: PathBuf,
    ballast: PathBuf,
}

impl Disk {
    fn below(at: &Path, file: &Path) -> Self {
        fs::create_dir_all(at).unwrap();
        fs::File::create(file).unwrap().set_len(u64::from(DISK_MIB) << 20).unwrap();
        run("mkfs.ext4", &["-q", "-m", "0", file.to_str().unwrap()]);
        run("mount", &["-o", "loop", file.to_str().unwrap(), at.to_str().unwrap()]);
        Self { at: at.to_owned(), ballast: at.join("ballast") }
    }

    /// Fills it but for so many MiB.
    fn leave(&self, mib: u64) {
        self.free();
        let left = rustix::fs::statvfs(&self.at).unwrap();
        let size = (left.f_bfree * left.f_frsize).saturating_sub(mib << 20);
        // It may say that there is no room for its own records; then it is full.
        let _full = Command::new("fallocate").args(["-l", &size.to_string()]).arg(&self.ballast).status();
        if mib == 0 {
            let rest = format!("of={}", self.at.join("ballast.rest").display());
            let _full = Command::new("dd").args(["if=/dev/zero", "bs=4096", "status=none", &rest]).output();
        }
    }

    fn free(&self) {
        for path in [self.ballast.clone(), self.at.join("ballast.rest")] {
            let _none = fs::remove_file(path);
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The server is still in it, and has its own view of it until the node is brought down.
        run("umount", &["--lazy", self.at.to_str().unwrap()]);
    }
}

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}
