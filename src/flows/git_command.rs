//! Git as the node runs it on the host for others: on packs that strangers have made, within bounds.

use tokio::process::Command;

/// The most address space of one git process, bytes. A pack of a few kilobytes can hold an object of many gigabytes, of which git
/// makes one piece of memory. A repository of 1 GiB stays below: git maps a file of that size at most, beside its own memory.
pub(super) const GIT_MEMORY_MAX_BYTES: u64 = 2 << 30;

/// The unit of the shell's bound of a file's length (`ulimit -f`), bytes.
const FILE_UNIT_BYTES: u64 = 512;
/// The unit of the shell's bound of address space (`ulimit -v`), bytes.
const MEMORY_UNIT_BYTES: u64 = 1024;

/// What keeps git itself below the bound (git-config(1)): large objects go through in pieces, of packs a part is mapped at a time, and
/// there is one thread of those that have memory of their own each.
const SETTINGS: [&str; 8] = [
    "core.bigFileThreshold=32m",
    "core.packedGitLimit=256m",
    "core.packedGitWindowSize=32m",
    "core.deltaBaseCacheLimit=64m",
    "pack.windowMemory=128m",
    "pack.deltaCacheSize=64m",
    "pack.threads=1",
    "index.threads=1",
];

/// Git, which takes further arguments, and whatever it starts, hooks among them: each process within
/// [`GIT_MEMORY_MAX_BYTES`], and no file that they write longer than `file_max_bytes`.
#[must_use]
pub fn git_command(file_max_bytes: Option<u64>) -> Command {
    let memory = format!("ulimit -v {}", GIT_MEMORY_MAX_BYTES / MEMORY_UNIT_BYTES);
    let file = file_max_bytes.map(|max| format!("ulimit -f {}; ", max / FILE_UNIT_BYTES)).unwrap_or_default();
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{memory}; {file}exec git \"$@\""), "git"]);
    for setting in SETTINGS {
        command.args(["-c", setting]);
    }
    command
}
