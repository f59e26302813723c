//! Git over SSH, as stock OpenSSH and git speak it.

use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use dyno::flows::{self, Actor, Caller, NewAppRequest, Token};
use dyno::git::{GitState, HostKey, Repositories, SshDoor};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::{Stage, TOKEN, err, out};

/// A key of its own for each person of a test, in `name` and `name.pub`.
async fn make_key(stage: &Stage, name: &str, kind: &[&str]) {
    let made = tokio::process::Command::new("ssh-keygen")
        .args(["-q", "-N", "", "-C", name, "-f"])
        .arg(stage.dir.path().join(name))
        .arg("-t")
        .args(kind)
        .output()
        .await
        .unwrap();
    assert!(made.status.success(), "{}", err(&made));
}

/// What git is to call: `ssh` with this key alone, which believes in nothing but the host key that the node keeps.
fn ssh_with(stage: &Stage, key: &str) -> Vec<String> {
    let home = stage.dir.path();
    let known = home.join("known_hosts");
    let host_key = std::fs::read_to_string(home.join("lib/ssh_host_ed25519_key.pub")).unwrap();
    std::fs::write(&known, format!("[127.0.0.1]:{} {host_key}", stage.ssh.port())).unwrap();
    let mut words = vec!["ssh".to_owned(), "-F".to_owned(), "/dev/null".to_owned()];
    for option in [
        format!("IdentityFile={}", home.join(key).display()),
        "IdentitiesOnly=yes".to_owned(),
        "IdentityAgent=none".to_owned(),
        format!("UserKnownHostsFile={}", known.display()),
        "StrictHostKeyChecking=yes".to_owned(),
        "BatchMode=yes".to_owned(),
    ] {
        words.extend(["-o".to_owned(), option]);
    }
    // A URL that names a port wins over it.
    words.extend(["-p".to_owned(), stage.ssh.port().to_string()]);
    words
}

async fn git(stage: &Stage, at: &Path, key: &str, args: &[&str]) -> Output {
    let ssh = format!("core.sshCommand={}", ssh_with(stage, key).join(" "));
    let all: Vec<&str> = ["-c", &ssh].into_iter().chain(args.iter().copied()).collect();
    stage.git(at, &all).await
}

async fn ssh(stage: &Stage, key: &str, args: &[&str]) -> Output {
    let words = ssh_with(stage, key);
    let mut command = tokio::process::Command::new(&words[0]);
    command.args(&words[1..]).args(args).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command.stdin(std::process::Stdio::null()).output().await.unwrap()
}

fn url(stage: &Stage, app: &str) -> String {
    format!("ssh://git@{}/{app}.git", stage.ssh)
}

/// A stage with an app, and a key of the administrator's in `mine`.
async fn stage() -> Stage {
    let stage = Stage::open().await;
    assert!(stage.dyno(&["create", "example"]).await.status.success());
    make_key(&stage, "mine", &["ed25519"]).await;
    assert!(stage.dyno(&["keys:add", "mine.pub"]).await.status.success());
    stage
}

/// A user, with an app of that name and a key in a file of that name.
async fn tenant(stage: &Stage, name: &str) -> Caller {
    let email = format!("{name}@example.com");
    flows::create_user(&stage.node, &email, "a long password".to_owned()).await.unwrap();
    let shown = (email.as_str(), "a long password".to_owned());
    let caller = flows::log_in(&stage.node, shown, None).await.unwrap().unwrap();
    make_key(stage, name, &["ed25519"]).await;
    let public = std::fs::read_to_string(stage.dir.path().join(format!("{name}.pub"))).unwrap();
    flows::add_ssh_key(&stage.node, &caller, &public).await.unwrap();
    let owner = Some(email.parse().unwrap());
    let app = NewAppRequest { name: Some(name.to_owned()), stack: None, owner };
    flows::create(&stage.node, app, &Actor(email)).await.unwrap();
    caller
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_over_ssh_builds_and_releases_and_can_be_cloned() {
    let stage = stage().await;
    let at = stage.source("src", &[("Procfile", "web: serve\n")]).await;
    let pushed = git(&stage, &at, "mine", &["push", &url(&stage, "example"), "main"]).await;
    let text = err(&pushed);
    assert!(pushed.status.success(), "{text}");
    for line in ["remote: -----> It builds", "Released v3", "Verifying deploy... done.", "main -> main"] {
        assert!(text.contains(line), "{line} in {text}");
    }
    let logs = stage.dyno(&["logs", "-a", "example", "-n", "100"]).await;
    assert!(out(&logs).contains("Release v3 created by user me@example.com"), "{}", out(&logs));
    // The form without a scheme: the port is told to ssh.
    let refs = git(&stage, &at, "mine", &["ls-remote", "git@127.0.0.1:example.git"]).await;
    assert!(out(&refs).contains("refs/heads/main"), "{}", err(&refs));
    // Version 2 of the protocol is asked for in the environment, which the server must have taken.
    let clone = ["-c", "protocol.version=2", "clone", &url(&stage, "example"), "cloned"];
    let cloned = git(&stage, stage.dir.path(), "mine", &clone).await;
    assert!(cloned.status.success(), "{}", err(&cloned));
    assert!(stage.dir.path().join("cloned/Procfile").exists());
    let again = git(&stage, &at, "mine", &["push", &url(&stage, "example"), "main"]).await;
    assert!(err(&again).contains("Everything up-to-date"), "{}", err(&again));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_fails_over_ssh_moves_no_ref() {
    let stage = stage().await;
    let at = stage.source("src", &[("README", "no Procfile")]).await;
    let pushed = git(&stage, &at, "mine", &["push", &url(&stage, "example"), "main"]).await;
    assert!(!pushed.status.success());
    let text = err(&pushed);
    assert!(text.contains("No Procfile, no app.") && text.contains("pre-receive hook declined"), "{text}");
    let refs = git(&stage, &at, "mine", &["ls-remote", &url(&stage, "example")]).await;
    assert!(refs.status.success() && out(&refs).is_empty(), "{}", out(&refs));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_large_goes_both_ways() {
    let stage = stage().await;
    // More than the windows of both ends, and nothing that can be compressed.
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()
    })
    .take(1 << 20)
    .flatten()
    .collect();
    let at = stage.source("src", &[("Procfile", "web: serve\n")]).await;
    std::fs::write(at.join("noise"), &noise).unwrap();
    for args in [&["add", "-A"][..], &["commit", "-q", "-m", "2"]] {
        assert!(stage.git(&at, args).await.status.success());
    }
    let pushed = git(&stage, &at, "mine", &["push", "-q", &url(&stage, "example"), "main"]).await;
    assert!(pushed.status.success(), "{}", err(&pushed));
    let cloned =
        git(&stage, stage.dir.path(), "mine", &["clone", "-q", &url(&stage, "example"), "cloned"]).await;
    assert!(cloned.status.success(), "{}", err(&cloned));
    assert!(std::fs::read(stage.dir.path().join("cloned/noise")).unwrap() == noise, "it came back otherwise");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_each_kind_are_known_and_no_others() {
    let stage = stage().await;
    for (name, kind) in [("rsa", &["rsa", "-b", "2048"][..]), ("ecdsa", &["ecdsa"])] {
        make_key(&stage, name, kind).await;
        let stranger = git(&stage, stage.dir.path(), name, &["ls-remote", &url(&stage, "example")]).await;
        assert!(!stranger.status.success());
        assert!(err(&stranger).contains("Permission denied (publickey)"), "{}", err(&stranger));
        assert!(stage.dyno(&["keys:add", &format!("{name}.pub")]).await.status.success());
        let known = git(&stage, stage.dir.path(), name, &["ls-remote", &url(&stage, "example")]).await;
        assert!(known.status.success(), "{name}: {}", err(&known));
    }
    // A signature over SHA-1 can be forged, as far as anybody knows by now.
    let sha1 = ["-o", "PubkeyAcceptedAlgorithms=ssh-rsa", "git@127.0.0.1"];
    assert!(err(&ssh(&stage, "rsa", &sha1).await).contains("Permission denied (publickey)"));
    // Who it is the key tells; the name is always the same.
    assert!(err(&ssh(&stage, "mine", &["me@127.0.0.1"]).await).contains("Permission denied (publickey)"));
    assert!(stage.dyno(&["keys:remove", "mine"]).await.status.success());
    let removed = git(&stage, stage.dir.path(), "mine", &["ls-remote", &url(&stage, "example")]).await;
    assert!(err(&removed).contains("Permission denied (publickey)"), "{}", err(&removed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_removed_is_worth_nothing_on_an_open_connection_either() {
    let stage = stage().await;
    let socket = format!("ControlPath={}", stage.dir.path().join("mux").display());
    let refs = "git-upload-pack 'example.git'";
    let master =
        ["-o", "ControlMaster=auto", "-o", "ControlPersist=30", "-o", &socket, "git@127.0.0.1", refs];
    let first = ssh(&stage, "mine", &master).await;
    assert!(out(&first).contains("0000"), "{}", err(&first));
    assert!(stage.dyno(&["keys:remove", "mine"]).await.status.success());
    let second = ssh(&stage, "mine", &["-o", &socket, "git@127.0.0.1", refs]).await;
    assert_eq!(second.status.code(), Some(1));
    assert!(err(&second).contains("This key is not known any more"), "{}", err(&second));
    ssh(&stage, "mine", &["-o", &socket, "-O", "exit", "git@127.0.0.1"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_its_owners_and_those_with_whom_it_is_shared() {
    let stage = stage().await;
    let (_, bob) = (tenant(&stage, "ann").await, tenant(&stage, "bob").await);
    let at = stage.source("src", &[("Procfile", "web: serve\n")]).await;
    let mine = git(&stage, &at, "ann", &["push", &url(&stage, "ann"), "main"]).await;
    assert!(mine.status.success(), "{}", err(&mine));
    let none = git(&stage, &at, "bob", &["ls-remote", &url(&stage, "nobodys")]).await;
    for args in [&["ls-remote", &url(&stage, "ann")][..], &["push", &url(&stage, "ann"), "main"]] {
        let refused = git(&stage, &at, "bob", args).await;
        assert!(!refused.status.success());
        let told = err(&refused).replace("as ann.", "as nobodys.");
        assert!(told.contains("No such app as nobodys."), "{told}");
        assert_eq!(told, err(&none), "a stranger does not learn that there is one");
    }
    let app = flows::find(&stage.node, "ann").await.unwrap();
    let friend = bob.user().as_str();
    flows::add_collaborator(&stage.node, &app, friend, &["view".to_owned()]).await.unwrap();
    let looking = git(&stage, &at, "bob", &["ls-remote", &url(&stage, "ann")]).await;
    assert!(err(&looking).contains("takes the right to deploy"), "{}", err(&looking));
    flows::change_collaborator(&stage.node, &app, friend, &["deploy".to_owned()]).await.unwrap();
    let fetched = git(&stage, &at, "bob", &["ls-remote", &url(&stage, "ann")]).await;
    assert!(out(&fetched).contains("refs/heads/main"), "{}", err(&fetched));
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_git_and_nothing_else() {
    let stage = stage().await;
    let shell = ssh(&stage, "mine", &["git@127.0.0.1"]).await;
    assert_eq!((shell.status.code(), out(&shell).as_str()), (Some(1), ""));
    assert!(err(&shell).contains("there is no shell here, only git"), "{}", err(&shell));
    let terminal = ssh(&stage, "mine", &["-tt", "git@127.0.0.1"]).await;
    assert!(err(&terminal).contains("PTY allocation request failed"), "{}", err(&terminal));
    for command in ["id", "git-upload-archive 'example.git'", "sh -c id", "git-upload-pack"] {
        let refused = ssh(&stage, "mine", &["git@127.0.0.1", command]).await;
        assert_eq!((refused.status.code(), out(&refused).as_str()), (Some(1), ""), "{command}");
        assert!(err(&refused).contains("Nothing but git is served here"), "{}", err(&refused));
    }
    for command in [
        "git-upload-pack '../../../etc'",
        "git-upload-pack '/example.git/../example.git'",
        "git-upload-pack 'example.git'; id",
        "git-receive-pack '--help'",
    ] {
        let refused = ssh(&stage, "mine", &["git@127.0.0.1", command]).await;
        assert_eq!((refused.status.code(), out(&refused).as_str()), (Some(1), ""), "{command}");
        assert!(err(&refused).contains("No such app"), "{command}: {}", err(&refused));
    }
    let subsystem = ssh(&stage, "mine", &["-s", "git@127.0.0.1", "sftp"]).await;
    assert!(err(&subsystem).contains("subsystem request failed"), "{}", err(&subsystem));
    let to = format!("127.0.0.1:{}", stage.git.port());
    let forward = ssh(&stage, "mine", &["-W", &to, "git@127.0.0.1"]).await;
    assert!(err(&forward).contains("administratively prohibited"), "{}", err(&forward));
    let back = ["-o", "ExitOnForwardFailure=yes", "-N", "-R", "0:127.0.0.1:1", "git@127.0.0.1"];
    let back = ssh(&stage, "mine", &back).await;
    assert!(err(&back).contains("remote port forwarding failed"), "{}", err(&back));
}

#[tokio::test(flavor = "multi_thread")]
async fn submodules_come_along_over_ssh() {
    let stage = stage().await;
    assert!(stage.dyno(&["create", "library"]).await.status.success());
    let library = stage.source("library", &[("Procfile", "web: serve\n"), ("part.txt", "a part")]).await;
    let pushed = git(&stage, &library, "mine", &["push", &url(&stage, "library"), "main"]).await;
    assert!(pushed.status.success(), "{}", err(&pushed));
    let at = stage.source("src", &[("Procfile", "web: serve\n")]).await;
    let added = git(&stage, &at, "mine", &["submodule", "add", &url(&stage, "library"), "parts"]).await;
    assert!(added.status.success(), "{}", err(&added));
    assert!(stage.git(&at, &["commit", "-q", "-am", "parts"]).await.status.success());
    let pushed = git(&stage, &at, "mine", &["push", &url(&stage, "example"), "main"]).await;
    assert!(pushed.status.success(), "{}", err(&pushed));
    let clone = ["clone", "-q", "--recurse-submodules", &url(&stage, "example"), "whole"];
    let cloned = git(&stage, stage.dir.path(), "mine", &clone).await;
    assert!(cloned.status.success(), "{}", err(&cloned));
    assert_eq!(std::fs::read_to_string(stage.dir.path().join("whole/parts/part.txt")).unwrap(), "a part");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_speaks_no_ssh_is_no_matter() {
    let stage = stage().await;
    let mut silent = Vec::new();
    for _ in 0..32 {
        let mut stream = TcpStream::connect(stage.ssh).await.unwrap();
        let mut greeting = [0; 14];
        stream.read_exact(&mut greeting).await.unwrap();
        assert_eq!(&greeting, b"SSH-2.0-dyno\r\n");
        silent.push(stream);
    }
    // One more stranger than there may be is not listened to.
    let mut late = TcpStream::connect(stage.ssh).await.unwrap();
    assert_eq!(late.read(&mut [0; 1]).await.unwrap_or(0), 0);
    for stream in &mut silent {
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    }
    drop(silent);
    let mut works = false;
    // Those who have gone are noticed a little later.
    for _ in 0..100 {
        works = git(&stage, stage.dir.path(), "mine", &["ls-remote", &url(&stage, "example")])
            .await
            .status
            .success();
        if works {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(works, "strangers keep users out");
}

/// An address of this machine that is not loopback's; none where it has no network.
fn outward() -> Option<std::net::IpAddr> {
    // Nothing is sent: the kernel looks which address it would send from.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().unwrap().ip()).filter(|address| !address.is_loopback())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_cannot_hold_every_place_of_the_door() {
    let Some(from) = outward() else {
        return crate::skip::skip(
            "one_address_cannot_hold_every_place_of_the_door",
            "no address but loopback's",
        );
    };
    let stage = stage().await;
    let lib = stage.dir.path().join("lib");
    let door = SshDoor::new(
        GitState {
            node: stage.node.clone(),
            token: Token::new(TOKEN),
            repositories: Arc::new(Repositories::new(lib.join("repos"), env!("CARGO_BIN_EXE_dyno").into())),
            socket: stage.dir.path().join("api.sock"),
        },
        HostKey::load(&lib).unwrap(),
    );
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(dyno::git::serve_ssh(listener, door, std::future::pending()));
    // Each has gone before the next comes; the door itself, which has room for some at once, notices that a little later.
    let greeted = async |address: std::net::IpAddr| {
        for _ in 0..20 {
            let mut stream = TcpStream::connect((address, port)).await.unwrap();
            if stream.read_exact(&mut [0; 14]).await.is_ok() {
                return true;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        false
    };
    let mut held = 0;
    while greeted(from).await {
        held += 1;
        assert!(held <= 64, "one address has no bound");
    }
    assert_eq!(held, 64, "and has these");
    assert!(greeted(std::net::Ipv4Addr::LOCALHOST.into()).await, "others are let in");
}
