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
