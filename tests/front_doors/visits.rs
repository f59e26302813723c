//! Visits of the stock command: its exec manager, and the SSH behind that, as stock OpenSSH and its library for files speak it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use dyno::flows;
use dyno::flows::ports::{Connection, Control, Streams, Visit};
use russh::keys::{PrivateKeyWithHashAlg, load_secret_key};
use russh::{ChannelMsg, client};
use russh_sftp::client::RawSftpSession;
use russh_sftp::protocol::{FileAttributes, OpenFlags, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::sync::{Notify, mpsc};

use crate::{Stage, TOKEN, err, out};

/// The exit status of a terminal here.
const TERMINAL_STATUS: u8 = 5;

/// An address of loopback that nobody has at the moment.
pub(crate) fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// What stands for a dyno: pipes lead to a process of this machine, a terminal says its size and what it is sent.
pub(crate) fn streams(visit: Visit, hung_up: Arc<Notify>) -> Streams {
    let (control, controls) = mpsc::channel(4);
    match visit.connection {
        Connection::Terminal { rows, cols } => {
            let term = visit.env.get("TERM").cloned().unwrap_or_default();
            let (near, far) = tokio::io::duplex(1024);
            let (output, input) = tokio::io::split(near);
            let ended = tokio::spawn(terminal(far, controls, format!("{term} {rows} {cols}\r\n"), hung_up));
            let exit = Box::pin(async move { ended.await.unwrap() });
            Streams { input: Box::new(input), output: Box::new(output), control, exit }
        }
        Connection::Pipes | Connection::Log => {
            let mut bash = Command::new("bash");
            bash.args(["-c", &visit.command]).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = bash.stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
            let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
            let ended = tokio::spawn(process(child, controls, hung_up));
            let exit = Box::pin(async move { ended.await.unwrap() });
            Streams { input: Box::new(input), output: Box::new(output), control, exit }
        }
    }
}

async fn process(
    mut child: tokio::process::Child,
    mut controls: mpsc::Receiver<Control>,
    hung_up: Arc<Notify>,
) -> u8 {
    let hang_up = async { while controls.recv().await.is_some_and(|control| control != Control::HangUp) {} };
    tokio::select! {
        ended = child.wait() => return ended.unwrap().code().unwrap_or(128).try_into().unwrap(),
        () = hang_up => hung_up.notify_one(),
    }
    child.kill().await.unwrap();
    129
}

async fn terminal(
    mut screen: tokio::io::DuplexStream,
    mut controls: mpsc::Receiver<Control>,
    begin: String,
    hung_up: Arc<Notify>,
) -> u8 {
    screen.write_all(begin.as_bytes()).await.unwrap();
    let mut typed = [0; 64];
    loop {
        let said = tokio::select! {
            control = controls.recv() => match control {
                Some(Control::Resize { rows, cols }) => format!("now {rows} {cols}\r\n"),
                Some(Control::Signal(_)) => continue,
                Some(Control::HangUp) | None => {
                    hung_up.notify_one();
                    return TERMINAL_STATUS;
                }
            },
            length = screen.read(&mut typed) => match length.unwrap() {
                0 => return TERMINAL_STATUS,
                length if typed[..length].contains(&4) => return TERMINAL_STATUS,
                length => String::from_utf8_lossy(&typed[..length]).into_owned(),
            },
        };
        screen.write_all(said.as_bytes()).await.unwrap();
    }
}

/// A way into a dyno.
struct Way {
    user: String,
    host_key: String,
}

/// A stage with an app that runs, and a fresh key in `key` as the stock command makes one.
async fn stage() -> Stage {
    let stage = Stage::open().await;
    assert!(stage.dyno(&["create", "example"]).await.status.success());
    let at = stage.source("src", &[("Procfile", "web: serve\n")]).await;
    assert!(stage.push(&at, "example", "main").await.status.success());
    make_key(&stage, "key").await;
    stage
}

async fn make_key(stage: &Stage, name: &str) {
    let mut keygen = Command::new("ssh-keygen");
    keygen
        .args(["-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "", "-f"])
        .arg(stage.dir.path().join(name));
    assert!(keygen.status().await.unwrap().success());
}

/// A request to the exec manager: status and body.
async fn ask(stage: &Stage, method: &str, path: &str, who: &str, body: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(stage.git).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\nAuthorization: Basic {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        BASE64_STANDARD.encode(who),
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
}

fn client_key(stage: &Stage, key: &str) -> String {
    let public = std::fs::read_to_string(stage.dir.path().join(format!("{key}.pub"))).unwrap();
    json!({ "client_key": public.trim() }).to_string()
}

async fn way(stage: &Stage, key: &str) -> Way {
    let who = format!("example:{TOKEN}");
    let (status, body) = ask(stage, "PUT", "/api/v2/web.1", &who, &client_key(stage, key)).await;
    assert_eq!((status, &body["tunnel_host"]), (200, &json!("127.0.0.1")), "{body}");
    let text = |field: &str| body[field].as_str().unwrap().to_owned();
    let way = Way { user: text("client_user"), host_key: text("proxy_public_key") };
    assert_eq!(way.user.len(), 64, "256 random bits in hexadecimal digits");
    way
}

/// Stock `ssh` on its way, with this key alone, which believes in nothing but the host key that was told.
fn ssh(stage: &Stage, way: &Way, key: &str) -> Command {
    let home = stage.dir.path();
    let known: PathBuf = home.join("known_hosts");
    std::fs::write(&known, format!("[127.0.0.1]:{} {}\n", stage.exec.port(), way.host_key)).unwrap();
    let mut command = Command::new("ssh");
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).args(["-F", "/dev/null"]);
    for option in [
        format!("IdentityFile={}", home.join(key).display()),
        "IdentitiesOnly=yes".to_owned(),
        "IdentityAgent=none".to_owned(),
        format!("UserKnownHostsFile={}", known.display()),
        "StrictHostKeyChecking=yes".to_owned(),
        "BatchMode=yes".to_owned(),
        format!("Port={}", stage.exec.port()),
        format!("User={}", way.user),
    ] {
        command.args(["-o", &option]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

async fn run(stage: &Stage, way: &Way, args: &[&str]) -> Output {
    ssh(stage, way, "key").args(args).output().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_in_a_dyno_for_who_may_operate_its_app() {
    let stage = stage().await;
    let command = "read word; echo $word; exit 7";
    let way = way(&stage, "key").await;
    let mut ssh = ssh(&stage, &way, "key");
    let mut ssh = ssh.args(["127.0.0.1", command]).stdin(Stdio::piped()).spawn().unwrap();
    ssh.stdin.take().unwrap().write_all(b"hello\n").await.unwrap();
    let said = ssh.wait_with_output().await.unwrap();
    assert_eq!((said.status.code(), out(&said).as_str()), (Some(7), "hello\n"), "{}", err(&said));
    let logs = out(&stage.dyno(&["logs", "-a", "example", "-n", "100"]).await);
    let told = format!("Starting process with command `{command}` in web.1 by user me@example.com");
    assert!(logs.contains(&told), "{logs}");
    let (status, listed) = ask(&stage, "GET", "/api/v2", &format!("example:{TOKEN}"), "").await;
    assert_eq!((status, listed), (200, json!([{ "dyno_name": "web.1" }])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_good_once_and_with_its_key() {
    let stage = stage().await;
    make_key(&stage, "other").await;
    let (first, second) = (way(&stage, "key").await, way(&stage, "other").await);
    let denied = |said: &Output| {
        assert!(err(said).contains("Permission denied (publickey)"), "{}", err(said));
    };
    // Each with the other's key.
    denied(&run(&stage, &second, &["127.0.0.1", "true"]).await);
    denied(&ssh(&stage, &first, "other").args(["127.0.0.1", "true"]).output().await.unwrap());
    let guessed = Way { user: "0".repeat(64), host_key: first.host_key.clone() };
    denied(&run(&stage, &guessed, &["127.0.0.1", "true"]).await);
    // A signature over SHA-1 can be forged, as far as anybody knows by now.
    denied(&run(&stage, &first, &["-o", "PubkeyAcceptedAlgorithms=ssh-rsa", "127.0.0.1", "true"]).await);
    // Nothing of that has used it up.
    let said = run(&stage, &first, &["127.0.0.1", "true"]).await;
    assert!(said.status.success(), "{}", err(&said));
    denied(&run(&stage, &first, &["127.0.0.1", "true"]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_operate_the_app_is_not_let_in() {
    let stage = stage().await;
    flows::create_user(&stage.node, "ann@example.com", "a long password".to_owned()).await.unwrap();
    let shown = ("ann@example.com", "a long password".to_owned());
    let ann = flows::log_in(&stage.node, shown, None).await.unwrap().unwrap();
    let request = flows::AuthorizationRequest::default();
    let (_, token) = flows::authorize(&stage.node, &ann, request).await.unwrap();
    let who = format!("example:{token}");
    let asked = async || ask(&stage, "PUT", "/api/v2/web.1", &who, &client_key(&stage, "key")).await;
    assert_eq!(asked().await.0, 403);
    let app = flows::find(&stage.node, "example").await.unwrap();
    flows::add_collaborator(&stage.node, &app, "ann@example.com", &["deploy".to_owned()]).await.unwrap();
    assert_eq!(asked().await.0, 403);
    let operate = ["operate".to_owned()];
    flows::change_collaborator(&stage.node, &app, "ann@example.com", &operate).await.unwrap();
    let (status, body) = asked().await;
    assert_eq!(status, 200, "{body}");
    let text = |field: &str| body[field].as_str().unwrap().to_owned();
    let way = Way { user: text("client_user"), host_key: text("proxy_public_key") };
    // What was a right then may be none a moment later.
    flows::change_collaborator(&stage.node, &app, "ann@example.com", &["view".to_owned()]).await.unwrap();
    let said = run(&stage, &way, &["127.0.0.1", "echo hello"]).await;
    assert_eq!((said.status.code(), out(&said).as_str()), (Some(255), ""));
    assert!(err(&said).contains("You do not have access to the app example"), "{}", err(&said));

    let mine = format!("example:{TOKEN}");
    // Nor is anybody, where the app has switched it off.
    let switched = ["features:disable", "runtime-heroku-exec", "-a", "example"];
    assert!(stage.dyno(&switched).await.status.success());
    let (status, body) = ask(&stage, "PUT", "/api/v2/web.1", &mine, &client_key(&stage, "key")).await;
    assert_eq!(status, 422, "{body}");
    let inside = stage.dyno(&["ps:exec", "-a", "example", "true"]).await;
    assert!(err(&inside).contains("has commands in its dynos switched off"), "{}", err(&inside));
    assert!(stage.dyno(&["features:enable", "runtime-heroku-exec", "-a", "example"]).await.status.success());
    for (path, who, body, wanted) in [
        ("/api/v2/web.1", "example:wrong", client_key(&stage, "key"), 401),
        ("/api/v2/web.9", mine.as_str(), client_key(&stage, "key"), 404),
        ("/api/v2/web.1", &format!("nobodys:{TOKEN}"), client_key(&stage, "key"), 404),
        ("/api/v2/web.1", &format!(":{TOKEN}"), client_key(&stage, "key"), 404),
        ("/api/v2/web.1", &mine, json!({ "client_key": "none" }).to_string(), 422),
        ("/api/v2/web.1", &mine, String::new(), 400),
    ] {
        assert_eq!(ask(&stage, "PUT", path, who, &body).await.0, wanted, "{path} {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_visits_and_nothing_else() {
    let stage = stage().await;
    let to = format!("127.0.0.1:{}", stage.git.port());
    let forward = run(&stage, &way(&stage, "key").await, &["-W", &to, "127.0.0.1"]).await;
    assert!(err(&forward).contains("administratively prohibited"), "{}", err(&forward));
    let back = ["-o", "ExitOnForwardFailure=yes", "-N", "-R", "0:127.0.0.1:1", "127.0.0.1"];
    let back = run(&stage, &way(&stage, "key").await, &back).await;
    assert!(err(&back).contains("remote port forwarding failed"), "{}", err(&back));
    let other = run(&stage, &way(&stage, "key").await, &["-s", "127.0.0.1", "netconf"]).await;
    assert!(err(&other).contains("subsystem request failed"), "{}", err(&other));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_listens_while_somebody_is_expected() {
    let stage = stage().await;
    assert!(TcpStream::connect(stage.exec).await.is_err());
    let held = TcpListener::bind(stage.exec).await.unwrap();
    let who = format!("example:{TOKEN}");
    let (status, body) = ask(&stage, "PUT", "/api/v2/web.1", &who, &client_key(&stage, "key")).await;
    assert_eq!(status, 503);
    assert!(body["message"].as_str().unwrap().contains("dyno ps:exec"), "{body}");
    drop(held);
    let way = way(&stage, "key").await;
    assert!(run(&stage, &way, &["127.0.0.1", "true"]).await.status.success());
    let mut is_free = false;
    for _ in 0..100 {
        is_free = TcpListener::bind(stage.exec).await.is_ok();
        if is_free {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(is_free, "nobody is expected any more");
}

/// A client that minds no host key: that is tried with the stock one.
struct Trusting;

impl client::Handler for Trusting {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        _: &russh::keys::PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_has_the_clients_size_and_ends_with_it() {
    let stage = stage().await;
    for ends_itself in [true, false] {
        let way = way(&stage, "key").await;
        let key = Arc::new(load_secret_key(stage.dir.path().join("key"), None).unwrap());
        let mut session = client::connect(Arc::default(), stage.exec, Trusting).await.unwrap();
        let key = PrivateKeyWithHashAlg::new(key, Some(russh::keys::HashAlg::Sha256));
        assert!(session.authenticate_publickey(way.user.as_str(), key).await.unwrap().success());
        let mut channel = session.channel_open_session().await.unwrap();
        assert!(session.channel_open_session().await.is_err(), "one channel, and no more");
        channel.request_pty(true, "vt100", 97, 31, 0, 0, &[]).await.unwrap();
        channel.request_shell(true).await.unwrap();
        until(&mut channel, "vt100 31 97\r\n").await;
        channel.window_change(100, 40, 0, 0).await.unwrap();
        until(&mut channel, "now 40 100\r\n").await;
        channel.data(&b"typed"[..]).await.unwrap();
        until(&mut channel, "typed").await;
        if ends_itself {
            channel.data(&b"\x04"[..]).await.unwrap();
            loop {
                if let ChannelMsg::ExitStatus { exit_status } = channel.wait().await.unwrap() {
                    assert_eq!(exit_status, u32::from(TERMINAL_STATUS));
                    break;
                }
            }
        } else {
            drop((channel, session));
            stage.dynos.hung_up.notified().await;
        }
    }
}

async fn until(channel: &mut russh::Channel<client::Msg>, wanted: &str) {
    let mut said = String::new();
    while !said.contains(wanted) {
        match channel.wait().await {
            Some(ChannelMsg::Data { data }) => said.push_str(std::str::from_utf8(&data).unwrap()),
            Some(_) => {}
            None => panic!("{wanted} in {said}"),
        }
    }
}

/// What is said no to.
fn refusal<T: std::fmt::Debug>(answer: Result<T, russh_sftp::client::error::Error>) -> StatusCode {
    match answer.unwrap_err() {
        russh_sftp::client::error::Error::Status(status) => status.status_code,
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_read_in_the_dyno_and_nothing_else_is_done_to_them() {
    let stage = stage().await;
    let file = stage.dir.path().join("it's a file");
    let content: Vec<u8> = (0..700_001_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    std::fs::write(&file, &content).unwrap();
    let name = file.to_str().unwrap();
    let way = way(&stage, "key").await;
    let mut ssh = ssh(&stage, &way, "key");
    let mut ssh = ssh.args(["-s", "127.0.0.1", "sftp"]).stdin(Stdio::piped()).spawn().unwrap();
    let stream = tokio::io::join(ssh.stdout.take().unwrap(), ssh.stdin.take().unwrap());
    let sftp = RawSftpSession::new(stream);
    assert_eq!(sftp.init().await.unwrap().version, 3);
    let open = async |name: &str, flags| sftp.open(name, flags, FileAttributes::empty()).await;
    assert_eq!(refusal(open("/no/such/file", OpenFlags::READ).await), StatusCode::NoSuchFile);
    assert_eq!(refusal(open("/", OpenFlags::READ).await), StatusCode::NoSuchFile);
    let both = OpenFlags::READ | OpenFlags::WRITE;
    assert_eq!(refusal(open(name, both).await), StatusCode::PermissionDenied);
    let handle = open(name, OpenFlags::READ).await.unwrap().handle;
    assert_eq!(refusal(open(name, OpenFlags::READ).await), StatusCode::Failure, "one at a time");
    let attrs = sftp.fstat(handle.as_str()).await.unwrap().attrs;
    assert_eq!((attrs.size, attrs.is_regular()), (Some(700_001), true));
    let late = sftp.read(handle.as_str(), 300_000, 10).await.unwrap().data;
    assert_eq!(late, content[300_000..300_010], "somewhat out of order");
    let mut read = Vec::new();
    while read.len() < content.len() {
        let at = u64::try_from(read.len()).unwrap();
        read.extend(sftp.read(handle.as_str(), at, 32 * 1024).await.unwrap().data);
    }
    assert!(read == content, "it came as it is");
    assert_eq!(refusal(sftp.read(handle.as_str(), 700_001, 10).await), StatusCode::Eof);
    assert_eq!(refusal(sftp.write(handle.as_str(), 0, b"x".to_vec()).await), StatusCode::OpUnsupported);
    assert_eq!(refusal(sftp.remove(name).await), StatusCode::OpUnsupported);
    assert_eq!(refusal(sftp.stat(name).await), StatusCode::OpUnsupported);
    assert_eq!(sftp.close(handle.as_str()).await.unwrap().status_code, StatusCode::Ok);
    assert_eq!(refusal(sftp.close(handle.as_str()).await), StatusCode::Failure);
    assert!(open(name, OpenFlags::READ).await.is_ok(), "another one");
    assert_eq!(std::fs::read(&file).unwrap(), content);
}
