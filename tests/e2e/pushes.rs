//! Pushes after the first one, and connections that stay open.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::node::{PATIENCE, TestNode, eventually};
use crate::{example, is_possible, lab};

#[test]
fn a_second_push_builds_on_the_first() {
    if !is_possible("a_second_push_builds_on_the_first") {
        return;
    }
    let node = TestNode::start("pushes", 5);
    for (name, file, from, to, reused) in [
        (
            "python",
            "app.py",
            "from Python",
            "from a snake",
            "Restoring the installed requirements from the build cache",
        ),
        ("nodejs", "index.js", "from Node.js", "from a hexagon", "Installing packages with npm ci"),
    ] {
        let source = node.app(name, &example(name));
        let first = node.deploy(&source);
        assert!(!first.contains("Restoring"), "{first}");
        eventually("the app answers", || node.get(name, "/").1.contains(from));
        let path = source.join(file);
        fs::write(&path, fs::read_to_string(&path).unwrap().replace(from, to)).unwrap();
        node.commit(&source);
        let second = node.deploy(&source);
        assert!(second.contains(reused) && second.contains("Released v4"), "{second}");
        eventually("the change is served", || node.get(name, "/").1.contains(to));
        assert!(node.push(&source).1.contains("Everything up-to-date"), "nothing new builds nothing");
    }
    let source = node.app("lab", &lab());
    node.deploy(&source);
    a_websocket_passes_the_router(&node);
}

#[test]
fn a_directory_is_deployed_without_git() {
    if !is_possible("a_directory_is_deployed_without_git") {
        return;
    }
    let node = TestNode::start("deploy", 6);
    node.ok(&["create", "sent"]);
    let dir = example("python");
    let said = node.ok(&["deploy", dir.to_str().unwrap(), "-a", "sent"]);
    assert!(said.contains("Python app detected") && said.contains("Released v3"), "{said}");
    eventually("the app answers", || node.get("sent", "/").0 == 200);
    let builds: serde_json::Value =
        serde_json::from_str(&node.ok(&["builds", "-a", "sent", "--json"])).unwrap();
    let phases =
        builds[0]["timings"].as_array().unwrap().iter().map(|timing| timing["phase"].as_str().unwrap());
    let all = ["source", "prepare", "detect", "compile", "pack", "release"];
    assert_eq!(phases.collect::<Vec<_>>(), all);
    assert_eq!(node.ok(&["builds:output", "-a", "sent"]), said);

    // As code hosts pack it: with gzip, all in one directory, which has one of its own name in it.
    let files = node.root.join("nested");
    fs::create_dir_all(files.join("top/top")).unwrap();
    fs::write(files.join("top/index.html"), "from a nested archive").unwrap();
    fs::write(files.join("top/top/page.html"), "deeper").unwrap();
    fs::write(files.join("top/static.json"), "{\"root\": \".\"}").unwrap();
    let archive = node.root.join("nested.tgz");
    let tar =
        std::process::Command::new("tar").arg("-czf").arg(&archive).arg("-C").arg(&files).arg("top").status();
    assert!(tar.unwrap().success());
    let (_, place) = node.api("POST /sources", "", "");
    let place = &place["source_blob"];
    let (put, get) = (place["put_url"].as_str().unwrap(), place["get_url"].as_str().unwrap());
    // Over the socket the node is named without its port.
    let (_, app) = node.api("GET /apps/sent", "", "");
    let base = app["git_url"].as_str().unwrap().strip_suffix("/sent.git").unwrap().to_owned();
    let at = |link: &str| format!("{base}{}", &link[link.find("/sources/").unwrap()..]);
    let (put, url) = (at(put), at(get));
    let sent = std::process::Command::new("curl").args(["-fsS", "-T"]).arg(&archive).arg(&put).status();
    assert!(sent.unwrap().success());
    node.ok(&["create", "nested"]);
    let said = node.ok(&["deploy", "--source-url", &url, "-a", "nested"]);
    assert!(said.contains("Released v3"), "{said}");
    eventually("its page is served", || node.get("nested", "/").1.contains("from a nested archive"));
    eventually("so is one below", || node.get("nested", "/top/page.html").1.contains("deeper"));
    host_of_the_node_is_no_source(&node);
}

/// What a user names is fetched from the Internet alone.
fn host_of_the_node_is_no_source(node: &TestNode) {
    let url = format!("http://127.0.0.1:{}/", node.router_port);
    let output = node.dyno(&["deploy", "--source-url", &url, "-a", "sent"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success() && said.contains("is not one of the public Internet"), "{said}");
}

/// RFC 6455: an upgrade, one masked text frame, and the answer of the app.
fn a_websocket_passes_the_router(node: &TestNode) {
    eventually("the app answers", || node.get("lab", "/").0 == 200);
    let mut stream = TcpStream::connect(("127.0.0.1", node.router_port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = "GET /socket HTTP/1.1\r\nHost: lab.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    assert!(head.contains("HSmrc0sMlYUkAGmm5OPpG2HaGWk="), "the app's own answer to the key: {head}");
    let (mask, text) = ([7, 11, 13, 17], b"quietly");
    let masked = text.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
    let frame: Vec<u8> = [0x81, 0x80 | 7].into_iter().chain(mask).chain(masked).collect();
    stream.write_all(&frame).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"\x81\x07QUIETLY");
    eventually("the connection has its one line", || {
        node.ok(&["logs", "-a", "lab", "-n", "50"]).contains("path=\"/socket\"")
    });
}
