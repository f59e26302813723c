//! Every public code as it stands in a log, held by one golden file. A code without a line here does not compile; one that the
//! file lacks fails.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use crate::domain::DynoName;
use crate::wire::codes::{Code, DynoError, TABLE};
use crate::wire::logline::{CertificateLine, DroppedLine, LogLine};
use crate::wire::router_line::{Encryption, Protocol, RouterLine, Trouble};

/// 2026-11-23T06:28:04.170873Z
fn instant() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_415_284_170_873)
}

fn web() -> DynoName {
    "web.1".parse().unwrap()
}

fn request(code: Code) -> LogLine {
    let line = RouterLine {
        trouble: Some(Trouble::from(code)),
        method: "GET",
        path: "/",
        host: "example.localhost".into(),
        request_id: "0d31bcbc-5bd1-4c21-a8fc-4c6a1e4f8a4c".into(),
        fwd: "127.0.0.1".into(),
        dyno: None,
        connect_ms: None,
        service_ms: None,
        status: code.status(),
        bytes: None,
        protocol: Protocol::Http11,
        encryption: Encryption::Plain,
        agent: None,
    };
    LogLine::router(instant(), line)
}

fn dyno(error: DynoError) -> LogLine {
    LogLine::dyno(instant(), web(), error)
}

/// The line that tells of the code.
fn line(code: Code) -> LogLine {
    let (count, since) = (7, instant());
    let dropped = |line: DroppedLine| LogLine::dropped(instant(), &line);
    match code {
        Code::H10
        | Code::H11
        | Code::H12
        | Code::H13
        | Code::H14
        | Code::H15
        | Code::H17
        | Code::H18
        | Code::H19
        | Code::H20
        | Code::H21
        | Code::H22
        | Code::H24
        | Code::H25
        | Code::H26
        | Code::H27
        | Code::H28
        | Code::H31
        | Code::H32
        | Code::H80
        | Code::H81
        | Code::H82
        | Code::H99 => request(code),
        Code::L10 => dropped(DroppedLine::Buffer { count, since }),
        Code::L11 => dropped(DroppedLine::Tail { count, since }),
        Code::L12 => dropped(DroppedLine::Dyno { count, since }),
        Code::L13 => dropped(DroppedLine::Delivery { count, since }),
        Code::L14 => {
            let (error, uri) = ("unknown ca".to_owned(), "syslog+tls://logs.example.com:6514".to_owned());
            LogLine::certificate(instant(), &CertificateLine { error, uri })
        }
        Code::L15 => LogLine::unavailable(instant()),
        Code::R10 => dyno(DynoError::boot_timeout(60)),
        Code::R12 => dyno(DynoError::exit_timeout(30)),
        Code::R13 => dyno(DynoError::ATTACH_ERROR),
        Code::R14 => dyno(DynoError::MEMORY_QUOTA_EXCEEDED),
        Code::R15 => dyno(DynoError::MEMORY_QUOTA_VASTLY_EXCEEDED),
        Code::R16 => dyno(DynoError::DETACHED),
        Code::R17 => dyno(DynoError::checksum("0a1b", "2c3d")),
        Code::R99 => dyno(DynoError::not_started("no address is free")),
    }
}

#[test]
fn every_code_has_its_golden_line() {
    let mut text = String::new();
    for row in TABLE {
        let line = line(row.code);
        let told = String::from_utf8_lossy(&line.message).into_owned();
        let names =
            told.contains(&format!("code={} ", row.name)) || told.contains(&format!("Error {}", row.name));
        assert!(names, "{} is not in its own line: {told}", row.name);
        writeln!(text, "<{}>{line}", line.priority()).unwrap();
    }
    insta::assert_snapshot!(text);
}
