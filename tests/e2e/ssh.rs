//! A deploy over SSH: stock git and OpenSSH, a real build, and a served request.

use std::process::Command;

use crate::support::node::{TestNode, eventually, free_port};
use crate::{example, is_possible};

#[test]
fn a_push_over_ssh_is_built_released_and_served() {
    if !is_possible("a_push_over_ssh_is_built_released_and_served") {
        return;
    }
    let port = free_port();
    let mut node = TestNode::configured("ssh", 6, &format!("[ssh]\nlisten = \"127.0.0.1:{port}\"\n"));
    let key = node.root.join("key");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
    assert!(made.unwrap().success());
    node.ok(&["keys:add", "key.pub"]);
    let source = node.app("python", &example("python"));
    let remote =
        node.command().args(["git:remote", "-a", "python", "--ssh-git"]).current_dir(&source).output();
    let said = String::from_utf8(remote.unwrap().stderr).unwrap();
    assert_eq!(said, format!("set git remote heroku to ssh://git@127.0.0.1:{port}/python.git\n"));
    assert!(node.ok(&["info", "-a", "python"]).contains(&format!("ssh://git@127.0.0.1:{port}/python.git")));
    // Whoever has met the node once knows it again after a restart, by the key that it keeps.
    let known = node.root.join("known_hosts");
    let ssh = |strict: &str| {
        let options = ["IdentitiesOnly=yes", "IdentityAgent=none", "BatchMode=yes"]
            .map(|o| format!(" -o {o}"))
            .concat();
        format!(
            "ssh -F /dev/null -i {}{options} -o UserKnownHostsFile={} -o StrictHostKeyChecking={strict}",
            key.display(),
            known.display()
        )
    };
    let git = |args: &[&str], strict: &str| {
        let mut command = Command::new("git");
        command.args(args).env("GIT_SSH_COMMAND", ssh(strict)).current_dir(&source);
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (taken, said) = git(&["push", "heroku", "main"], "accept-new");
    assert!(taken, "{said}\n{}", node.log());
    for line in ["remote: -----> Building on the Cedar-13 stack", "Released v3", "Verifying deploy... done."]
    {
        assert!(said.contains(line), "{line} in {said}");
    }
    eventually("the app answers", || node.get("python", "/").1.contains("from Python"));
    node.stop();
    node.serve();
    let (taken, said) = git(&["push", "heroku", "main"], "yes");
    assert!(taken && said.contains("Everything up-to-date"), "{said}");
}
