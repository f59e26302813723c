//! A node of another machine: logged in at over TCP, plain on loopback and under TLS, and brought near by the stock ssh.

use std::process::{Output, Stdio};
use std::sync::Arc;

use dyno::flows;
use russh::keys::PrivateKey;
use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Session};
use russh::{Channel, MethodKind, MethodSet};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use crate::{Stage, err, out};

const FRIEND: &str = "friend@example.com";
const PASSWORD: &str = "correct horse battery staple";

/// A user of the node, who is somebody else on a machine of their own.
async fn friend() -> Stage {
    let stage = Stage::open().await;
    flows::create_user(&stage.node, FRIEND, PASSWORD.to_owned()).await.unwrap();
    stage
}

/// This program with nothing of the node's machine but its address.
async fn dyno(stage: &Stage, host: &str, args: &[&str], input: &str) -> Output {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_dyno"));
    command.current_dir(stage.dir.path()).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command.env("HOME", stage.dir.path()).env("DYNO_HOST", host).args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // One that does not read it ends first.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    child.wait_with_output().await.unwrap()
}

async fn log_in(stage: &Stage, host: &str) {
    let args = ["login", "--email", FRIEND, "--password-stdin"];
    let logged_in = dyno(stage, host, &args, PASSWORD).await;
    assert!(logged_in.status.success(), "{}", err(&logged_in));
    assert_eq!(out(&logged_in), format!("Logged in as {FRIEND}\n"));
}

fn netrc(stage: &Stage) -> String {
    std::fs::read_to_string(stage.dir.path().join(".netrc")).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_logs_in_pushes_and_logs_out() {
    let stage = friend().await;
    let host = format!("http://localhost:{}", stage.git.port());
    let strange = dyno(&stage, &host, &["apps"], "").await;
    assert!(err(&strange).contains(&format!("You are not logged in at {host}")), "{}", err(&strange));
    let wrong = dyno(&stage, &host, &["login", "--email", FRIEND, "--password-stdin"], "wrong").await;
    assert_eq!(wrong.status.code(), Some(1));
    assert_eq!(netrc(&stage), "", "nothing is kept of a login that failed");

    std::fs::write(stage.dir.path().join(".netrc"), "machine api.example.com login me password kept\n")
        .unwrap();
    log_in(&stage, &host).await;
    assert_eq!(out(&dyno(&stage, &host, &["auth:whoami"], "").await), format!("{FRIEND}\n"));
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(stage.dir.path().join(".netrc")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600, "it holds a token");

    let at = stage.source("src", &[("Procfile", "web: serve\n")]).await;
    let created = dyno(&stage, &host, &["create", "theirs", "--no-remote"], "").await;
    assert!(created.status.success(), "{}", err(&created));
    let mut remote = tokio::process::Command::new(env!("CARGO_BIN_EXE_dyno"));
    remote.current_dir(&at).env("HOME", stage.dir.path()).env_remove("DYNO_ROOT").env_remove("DYNO_SOCKET");
    let remote = remote.args(["--host", &host, "git:remote", "-a", "theirs"]).output().await.unwrap();
    assert!(remote.status.success(), "{}", err(&remote));
    let pushed = stage.git(&at, &["push", "heroku", "main"]).await;
    assert!(pushed.status.success(), "{}", err(&pushed));
    let ran = dyno(&stage, &host, &["ps", "-a", "theirs"], "").await;
    assert!(out(&ran).contains("web.1"), "{}", out(&ran));

    let token = out(&dyno(&stage, &host, &["auth:token"], "").await);
    let logged_out = dyno(&stage, &host, &["logout"], "").await;
    assert!(logged_out.status.success(), "{}", err(&logged_out));
    assert_eq!(netrc(&stage), "machine api.example.com login me password kept\n");
    // The token itself is worth nothing any more, whoever has it yet.
    std::fs::write(
        stage.dir.path().join(".netrc"),
        format!("machine localhost:{} login x password {}", stage.git.port(), token.trim()),
    )
    .unwrap();
    let late = dyno(&stage, &host, &["apps"], "").await;
    assert!(err(&late).contains("You are not logged in"), "{}", err(&late));
}

#[tokio::test(flavor = "multi_thread")]
async fn under_tls_the_nodes_certificate_must_be_vouched_for() {
    let stage = friend().await;
    let host = format!("https://localhost:{}", stage.git.port());
    let args = ["login", "--email", FRIEND, "--password-stdin"];
    let strange = dyno(&stage, &host, &args, PASSWORD).await;
    assert!(err(&strange).contains("dyno trust --print"), "{}", err(&strange));
    assert_eq!(netrc(&stage), "");
    let authority = stage.dir.path().join("lib/authority/ca.pem").to_string_lossy().into_owned();
    let logged_in = dyno(&stage, &host, &[&["--authority", &authority][..], &args].concat(), PASSWORD).await;
    assert!(logged_in.status.success(), "{}", err(&logged_in));
    let known = dyno(&stage, &host, &["--authority", &authority, "auth:whoami"], "").await;
    assert_eq!(out(&known), format!("{FRIEND}\n"));
    let plain = dyno(&stage, "http://node.example.com:5080", &["apps"], "").await;
    assert_eq!(plain.status.code(), Some(2), "a token is never sent in the clear");
    let files = dyno(&stage, &host, &["stacks:build", "cedar-13"], "").await;
    assert_eq!(files.status.code(), Some(2), "{}", err(&files));
}

/// An SSH server that lets everyone in and forwards.
struct Forwarder;

impl Handler for Forwarder {
    type Error = russh::Error;

    async fn auth_none(&mut self, _: &str) -> Result<Auth, Self::Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        let mut there = TcpStream::connect((host, u16::try_from(port).unwrap())).await?;
        reply.accept().await;
        tokio::spawn(async move {
            let mut here = channel.into_stream();
            let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
        });
        Ok(())
    }
}

/// Its port.
async fn forwarder(stage: &Stage) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let key = std::fs::read_to_string(stage.dir.path().join("lib/ssh_host_ed25519_key")).unwrap();
    let config = Arc::new(Config {
        keys: vec![PrivateKey::from_openssh(key).unwrap()],
        methods: MethodSet::from(&[MethodKind::None][..]),
        ..Config::default()
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let session = russh::server::run_stream(Arc::clone(&config), stream, Forwarder).await.unwrap();
            tokio::spawn(session);
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_brings_a_node_near() {
    let stage = friend().await;
    let ssh = forwarder(&stage).await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let tunnel = |command: Vec<String>| {
        let mut all: Vec<String> = vec!["tunnel".to_owned(), "me@127.0.0.1".to_owned()];
        for option in [
            format!("Port={ssh}"),
            "StrictHostKeyChecking=no".to_owned(),
            "UserKnownHostsFile=/dev/null".to_owned(),
            "LogLevel=ERROR".to_owned(),
        ] {
            all.extend(["-o".to_owned(), option]);
        }
        all.extend(["--port".to_owned(), free.to_string()]);
        all.extend(["--remote-port".to_owned(), stage.git.port().to_string(), "--".to_owned()]);
        all.extend(command);
        all
    };
    let run = async |command: &[&str], input: &str| {
        let args = tunnel(command.iter().map(|word| (*word).to_owned()).collect());
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        // A variable of before is of no matter.
        dyno(&stage, "http://localhost:1", &args, input).await
    };
    let program = env!("CARGO_BIN_EXE_dyno");
    let logged_in = run(&[program, "login", "--email", FRIEND, "--password-stdin"], PASSWORD).await;
    assert!(logged_in.status.success(), "{}", err(&logged_in));
    assert!(netrc(&stage).contains(&format!("machine localhost:{free}\n")), "{}", netrc(&stage));
    let known = run(&[program, "auth:whoami"], "").await;
    assert_eq!(out(&known), format!("{FRIEND}\n"), "{}", err(&known));
    assert_eq!(run(&["false"], "").await.status.code(), Some(1), "the command's status is the tunnel's");
    for address in ["127.0.0.1", "::1"] {
        let taken = std::net::TcpListener::bind((address, free)).unwrap();
        let refused = run(&["true"], "").await;
        assert!(err(&refused).contains("--port names another"), "{address}: {}", err(&refused));
        drop(taken);
    }
    let nowhere = dyno(&stage, "http://localhost:1", &["tunnel", "-oProxyCommand=false"], "").await;
    assert_eq!(nowhere.status.code(), Some(2), "{}", err(&nowhere));
}
