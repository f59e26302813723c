//! System calls that are passed on to an agent (`SCMP_ACT_NOTIFY`): a real one answers them for the container.
#![allow(unsafe_code, reason = "the library has no agent: this is the test's own")]

use std::fs;
use std::io::{IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread::JoinHandle;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use serde_json::{Value, json};

use crate::bundle::Bundle;
use crate::support::container::can_run;

/// What the agent gives as the container's process id, which no container has.
const ANSWER: i64 = 4242;

/// Takes one process state and its descriptor.
fn take(listener: &UnixListener) -> (Value, OwnedFd) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut bytes = vec![0; 1 << 16];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let got = rustix::net::recvmsg(&stream, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let given = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut list) => list.next(),
        _ => None,
    });
    bytes.truncate(got.bytes);
    // One state a connection: it ends here.
    stream.read_to_end(&mut bytes).unwrap();
    (serde_json::from_slice(&bytes).unwrap(), given.expect("a descriptor"))
}

/// Answers `count` calls.
fn serve(notices: &OwnedFd, count: usize) {
    for _ in 0..count {
        // SAFETY: numbers all, for which zero is a value; the kernel wants them so.
        let mut notice: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        // SAFETY: the descriptor is open, and the kernel fills a structure of this size and layout.
        let taken =
            unsafe { libc::ioctl(notices.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut notice) };
        assert_eq!(taken, 0, "{}", std::io::Error::last_os_error());
        let mut given = libc::seccomp_notif_resp { id: notice.id, val: ANSWER, error: 0, flags: 0 };
        // SAFETY: as above; the kernel reads.
        let answered =
            unsafe { libc::ioctl(notices.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut given) };
        assert_eq!(answered, 0, "{}", std::io::Error::last_os_error());
    }
}

/// Takes a state for each of the counts, and answers so many calls with it.
fn agent(path: PathBuf, counts: &'static [usize]) -> JoinHandle<Vec<Value>> {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        let one = |count: &usize| {
            let (state, notices) = take(&listener);
            serve(&notices, *count);
            state
        };
        counts.iter().map(one).collect()
    })
}

fn notifying(bundle: &mut Bundle, names: &[&str]) {
    bundle.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": bundle.path("agent"),
        "listenerMetadata": "a word for the agent",
        "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
        "syscalls": [
            {"names": names, "action": "SCMP_ACT_NOTIFY"},
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
        ],
    });
}

#[test]
fn an_agent_answers_for_the_container_and_for_processes_that_join() {
    if !can_run("an_agent_answers_for_the_container_and_for_processes_that_join") {
        return;
    }
    for (mut bundle, nnp) in [(Bundle::new(), true), (Bundle::new(), false), (Bundle::with_users(), true)] {
        bundle.config["process"]["noNewPrivileges"] = json!(nnp);
        // A shell asks once for its parent's id, where it keeps it for PPID.
        notifying(&mut bundle, &["getppid"]);
        let look = "echo $PPID; mkdir /tmp/x 2>&1 | grep -o 'No space left on device'";
        bundle.script(&format!("{look}; exec sleep 1000"));
        let id = bundle.id("a");
        let served = agent(bundle.path("agent"), &[1, 1]);
        bundle.must(&["create", &id]);
        let pid = bundle.state(&id)["pid"].clone();
        bundle.must(&["start", &id]);
        let expected = format!("{ANSWER}\nNo space left on device\n");
        assert_eq!(bundle.must(&["exec", &id, "sh", "-c", look]).out, expected);
        let states = served.join().unwrap();
        let first = &states[0];
        assert_eq!((&first["fds"], &first["pid"]), (&json!(["seccompFd"]), &pid), "{first}");
        assert_eq!(first["metadata"], "a word for the agent");
        assert_eq!((&first["state"]["id"], &first["state"]["pid"]), (&json!(id), &pid), "{first}");
        assert_eq!(first["state"]["status"], "creating");
        let second = &states[1];
        assert_ne!(second["pid"], pid, "the process that joins is another");
        assert_eq!((&second["state"]["pid"], &second["state"]["status"]), (&pid, &json!("running")));
    }
}

#[test]
fn an_agent_that_cannot_be_asked_is_missed_at_the_creation() {
    if !can_run("an_agent_that_cannot_be_asked_is_missed_at_the_creation") {
        return;
    }
    let mut bundle = Bundle::new();
    notifying(&mut bundle, &["getppid"]);
    let absent =
        format!("reach the agent for system calls at {}: no such file", bundle.path("agent").display());
    bundle.refused(&["create", "a"], &absent);
    fs::write(bundle.path("agent"), "").unwrap();
    bundle.refused(&["create", "a"], "connection refused");
    notifying(&mut bundle, &["sendmsg"]);
    bundle.refused(&["create", "a"], "the runtime itself makes it");
    bundle.config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_NOTIFY"});
    bundle.refused(&["create", "a"], "linux.seccomp.listenerPath");
    assert_eq!(bundle.must(&["list", "-q"]).out, "");
    // Nobody to be asked, nobody to be missed.
    bundle.config["linux"]["seccomp"] =
        json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": bundle.path("nowhere")});
    assert_eq!(bundle.say("echo fine"), "fine\n");
}
