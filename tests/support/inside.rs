//! Running something inside a stack's layers without a node.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dyno::stack::host::HostSettings;

/// What a process inside can reach.
pub enum Reach {
    /// No network.
    Nothing,
    /// The host's network, with the settings that builds get.
    Registries(HostSettings),
}

/// What `script` prints inside the layers, as their root; the layers stay as they are. `shared` are directories of the host
/// and where they are seen.
pub fn enter(layers: &[PathBuf], reach: Reach, shared: &[(&Path, &str)], script: &str) -> String {
    let lower: Vec<_> = layers.iter().rev().map(|layer| layer.to_str().unwrap()).collect();
    let laid = tempfile::tempdir().unwrap();
    let (namespaces, env) = match reach {
        Reach::Nothing => (["--mount", "--pid", "--net"].as_slice(), Vec::new()),
        Reach::Registries(mut settings) => {
            let resolvers = settings.resolvers.resolv_conf().into_bytes();
            settings.files.push((PathBuf::from("/etc/resolv.conf"), resolvers));
            for (target, contents) in settings.files {
                let path = laid.path().join(target.strip_prefix("/").unwrap());
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, contents).unwrap();
            }
            (["--mount", "--pid"].as_slice(), settings.env)
        }
    };
    let shared: String = shared
        .iter()
        .map(|(from, to)| format!("mkdir -p /mnt/root{to}; mount --bind {} /mnt/root{to}\n", from.display()))
        .collect();
    let around = format!(
        "set -eu; cd {laid}; mount -t tmpfs tmpfs /mnt; mkdir /mnt/upper /mnt/work /mnt/root
        mount -t overlay overlay -o lowerdir={lower},upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
        mount -t proc proc /mnt/root/proc; mount --bind /dev /mnt/root/dev
        find . -type f | while read -r file; do mount --bind -o ro \"$file\" \"/mnt/root/$file\"; done
        {shared}exec chroot /mnt/root bash -c \"$1\"",
        laid = laid.path().to_str().unwrap(),
        lower = lower.join(":")
    );
    let output = Command::new("unshare")
        .args(namespaces)
        .args(["--fork", "--kill-child", "--mount-proc", "sh", "-c", around.as_str(), "sh", script])
        .env_clear()
        .envs(env)
        .envs([("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("HOME", "/tmp")])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}
