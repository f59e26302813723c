//! Deaths by hand, and what they are called.

use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::*;
use crate::wire::diagnosis::Diagnosis;

/// A web dyno that failed with status 1 after a minute, and said nothing.
pub(crate) fn death() -> Death {
    let launched = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_415_284);
    Death {
        id: Uuid::nil(),
        name: "web.1".to_owned(),
        kind: Kind::Web,
        release: 3,
        command: "serve".to_owned(),
        size: "Standard-1X".to_owned(),
        port: 12345,
        launched,
        at: launched + Duration::from_secs(60),
        ending: Ending::Code(1),
        passage: Passage::Running,
        memory: MemoryFacts { quota: 512 << 20, limit: 1 << 30, ..MemoryFacts::default() },
        tasks: TaskFacts { limit: 256, refused: 0 },
        refused_calls: vec![],
        pressure: PressureFacts::default(),
        listened: Some(vec![]),
        last_lines: Some(vec![]),
    }
}

fn name(death: &Death) -> &'static str {
    diagnose(death).told().name
}

fn saying(lines: &[&str]) -> Death {
    Death { last_lines: Some(lines.iter().map(|line| (*line).to_owned()).collect()), ..death() }
}

fn with_status(status: u8) -> Death {
    Death { ending: Ending::Code(status), ..death() }
}

/// The words of real programs, and what they are called.
#[test]
fn classic_failures_are_called_by_name() {
    for (line, expected) in [
        ("ModuleNotFoundError: No module named 'flask'", "missing_module"),
        ("Error: Cannot find module 'express'", "missing_module"),
        (
            "Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'koa' imported from /app/index.js",
            "missing_module",
        ),
        (
            "<internal:/usr/lib/ruby/rubygems>:86:in 'require': cannot load such file -- sinatra (LoadError)",
            "missing_module",
        ),
        ("Could not find rack-3.0.0 in locally installed gems (Bundler::GemNotFound)", "missing_module"),
        ("Error: Could not find or load main class com.example.Main", "missing_module"),
        (
            "./server: error while loading shared libraries: libfoo.so.1: cannot open shared object file",
            "missing_module",
        ),
        ("KeyError: 'DATABASE_URL'", "missing_config_var"),
        ("config.rb:3:in 'fetch': key not found: \"SECRET_KEY_BASE\" (KeyError)", "missing_config_var"),
        ("Error: STRIPE_API_KEY is not set", "missing_config_var"),
        ("Missing required environment variable: REDIS_URL", "missing_config_var"),
        ("SyntaxError: invalid syntax", "syntax_error"),
        ("IndentationError: unexpected indent", "syntax_error"),
        ("app.rb:3: syntax error, unexpected end-of-input", "syntax_error"),
        ("/bin/bash: -c: line 1: syntax error near unexpected token `)'", "syntax_error"),
        ("OSError: [Errno 98] Address already in use", "port_in_use"),
        ("Error: listen EADDRINUSE: address already in use 0.0.0.0:5000", "port_in_use"),
        ("OSError: [Errno 28] No space left on device", "disk_full"),
        ("OSError: [Errno 30] Read-only file system: '/etc/x'", "read_only"),
        ("OSError: [Errno 24] Too many open files", "too_many_files"),
        (
            "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
            "heap_exhausted",
        ),
        ("Error: getaddrinfo ENOTFOUND db.example.com", "unknown_host"),
        ("psycopg2.OperationalError: could not translate host name \"db\" to address", "unknown_host"),
        ("Error: connect ECONNREFUSED 10.0.0.1:5432", "unreachable"),
        ("ConnectionRefusedError: [Errno 111] Connection refused", "unreachable"),
        ("/bin/bash: line 1: gunicorn: command not found", "command_not_found"),
        ("/bin/bash: line 1: ./run: No such file or directory", "command_not_found"),
        ("/bin/bash: line 1: ./run.sh: Permission denied", "not_executable"),
        ("/bin/bash: line 1: /app/server: cannot execute binary file: Exec format error", "not_executable"),
        ("PermissionError: [Errno 1] Operation not permitted", "not_permitted"),
        ("ValueError: that will not do", "failed"),
    ] {
        assert_eq!(name(&saying(&["starting", line, "at somewhere"])), expected, "{line}");
    }
}

#[test]
fn what_is_missing_is_named() {
    let missing = |line: &str| diagnose(&saying(&[line]));
    assert_eq!(
        missing("ModuleNotFoundError: No module named 'flask'"),
        Diagnosis::MissingModule { module: "flask".to_owned(), declared_in: "requirements.txt" }
    );
    assert_eq!(
        missing("KeyError: 'DATABASE_URL'"),
        Diagnosis::MissingConfigVar { name: "DATABASE_URL".to_owned() }
    );
    assert_eq!(
        missing("/bin/bash: line 1: gunicorn: command not found"),
        Diagnosis::CommandNotFound { program: Some("gunicorn".to_owned()) }
    );
    assert_eq!(name(&saying(&["KeyError: 'name'"])), "failed", "a key in lower case is no config var");
}

#[test]
fn statuses_and_signals_have_names_without_words() {
    for (ending, expected) in [
        (Ending::Code(127), "command_not_found"),
        (Ending::Code(126), "not_executable"),
        (Ending::Code(139), "segfault"),
        (Ending::Signal(11), "segfault"),
        (Ending::Code(134), "aborted"),
        (Ending::Signal(31), "foreign_call"),
        (Ending::Signal(9), "signalled"),
        (Ending::Code(255), "failed"),
        (Ending::Code(0), "ended_by_itself"),
        (Ending::Lost, "lost"),
        (Ending::NotStarted("no slug".to_owned()), "not_started"),
    ] {
        assert_eq!(name(&Death { ending: ending.clone(), ..death() }), expected, "{ending:?}");
    }
    let at_once = Death { at: death().launched + Duration::from_secs(1), ..with_status(0) };
    assert_eq!(name(&at_once), "ended_at_once");
    let one_off = Death { kind: Kind::OneOff, ..at_once };
    assert_eq!(name(&one_off), "completed");
    assert!(one_off.is_orderly() && !death().is_orderly());
}

#[test]
fn a_port_that_is_not_the_one_is_told() {
    let late = Death { passage: Passage::BootTimeout, ending: Ending::Signal(9), ..death() };
    assert_eq!(diagnose(&late), Diagnosis::NoPort { port: 12345 });
    let sockets = ["0.0.0.0:3000", "127.0.0.1:8080"].map(|socket| socket.parse().unwrap());
    let other = Death { listened: Some(sockets.to_vec()), ..late };
    let listened = vec!["port 3000".to_owned(), "127.0.0.1:8080".to_owned()];
    assert_eq!(diagnose(&other), Diagnosis::WrongPort { listened, port: 12345 });
}

#[test]
fn what_the_platform_did_comes_before_what_was_said() {
    let said = saying(&["ModuleNotFoundError: No module named 'flask'"]);
    assert_eq!(name(&Death { passage: Passage::Asked, ..said.clone() }), "stopped");
    assert_eq!(
        name(&Death { passage: Passage::Forced, ending: Ending::Signal(9), ..said.clone() }),
        "exit_timeout"
    );
    let memory = MemoryFacts { kills: 1, ..death().memory };
    assert_eq!(name(&Death { memory, ..said }), "memory_killed");
}

#[test]
fn refused_tasks_are_the_reason_only_where_the_program_complains() {
    let tasks = TaskFacts { limit: 256, refused: 3 };
    let silent = Death { tasks, ..saying(&["Exception: bad weather"]) };
    assert_eq!(name(&silent), "failed");
    assert_eq!(remarks(&silent).len(), 1, "{:?}", remarks(&silent));
    let told = Death { tasks, ..saying(&["RuntimeError: can't start new thread"]) };
    assert_eq!(diagnose(&told), Diagnosis::TooManyTasks { limit: 256 });
    assert_eq!(remarks(&told), []);
}

#[test]
fn refused_calls_are_named_in_the_diagnosis_or_beside_it() {
    let calls = || vec![("unshare".to_owned(), 3), ("clone".to_owned(), 1), ("ptrace".to_owned(), 2)];
    let words = saying(&["unshare: unshare failed: Operation not permitted"]);
    let complained = Death { refused_calls: calls(), ..words.clone() };
    let told = diagnose(&complained).told();
    assert_eq!(told.name, "not_permitted");
    insta::assert_snapshot!(
        told.what,
        @"It made a system call that no dyno may (`unshare` 3 times, `clone` with a new namespace once, `ptrace` twice): unshare: unshare failed: Operation not permitted"
    );
    assert_eq!(remarks(&complained), []);
    assert_ne!(diagnose(&words).told().advice, told.advice, "without refused calls it was another right");
    let silent = Death { refused_calls: calls(), ..death() };
    assert_eq!(name(&silent), "failed");
    let told: Vec<_> = remarks(&silent).iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(
        told.join("; "),
        @"System calls of it were refused: `unshare` 3 times, `clone` with a new namespace once, `ptrace` twice."
    );
}

#[test]
fn accounts_without_refused_calls_are_read() {
    let mut text = serde_json::to_value(death()).unwrap();
    text.as_object_mut().unwrap().remove("refused_calls").unwrap();
    assert_eq!(serde_json::from_value::<Death>(text).unwrap(), death());
}

#[test]
fn over_the_quota_is_the_reason_where_no_other_is_known() {
    let memory = MemoryFacts { sampled: 600 << 20, ..death().memory };
    assert_eq!(name(&Death { memory, ..death() }), "over_quota");
    let known = Death { memory, ..saying(&["KeyError: 'DATABASE_URL'"]) };
    assert_eq!(name(&known), "missing_config_var");
    let told: Vec<_> = remarks(&known).iter().map(ToString::to_string).collect();
    assert_eq!(told, ["It used up to 600 MB of a quota of 512 MB (R14)."]);
}

#[test]
fn loopback_and_pressure_are_remarked_on() {
    let listening = |sockets: &[&str]| {
        let listened = Some(sockets.iter().map(|socket| socket.parse().unwrap()).collect());
        let pressure = PressureFacts { cpu: Some(3.0), memory: Some(55.4), io: None };
        remarks(&Death { listened, pressure, ..death() }).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let local = listening(&["127.0.0.1:12345", "0.0.0.0:9999"]);
    assert!(local[0].contains("127.0.0.1 only"), "{local:?}");
    assert_eq!(local[1], "Some process of it waited for memory in 55% of its last minute.");
    assert!(listening(&["[::1]:12345"])[0].contains("[::1] only"));
    assert_eq!(listening(&["0.0.0.0:12345", "127.0.0.1:12345"]).len(), 1, "reachable: nothing to say of it");
}

/// Every diagnosis there is, in its words.
#[test]
fn every_diagnosis_reads_as_reviewed() {
    let quota = crate::domain::Bytes::mib(512);
    let line = || "what it said".to_owned();
    let all = [
        Diagnosis::Stopped,
        Diagnosis::Completed,
        Diagnosis::ClientGone,
        Diagnosis::NotStarted { reason: "cannot find the slug of release v3".to_owned() },
        Diagnosis::MemoryKilled { quota, limit: crate::domain::Bytes::mib(1024) },
        Diagnosis::HeapExhausted { line: line() },
        Diagnosis::OverQuota { used: crate::domain::Bytes::mib(600), quota },
        Diagnosis::WrongPort {
            listened: vec!["port 3000".to_owned(), "127.0.0.1:8080".to_owned()],
            port: 12345,
        },
        Diagnosis::NoPort { port: 12345 },
        Diagnosis::ExitTimeout,
        Diagnosis::CommandNotFound { program: Some("gunicorn".to_owned()) },
        Diagnosis::CommandNotFound { program: None },
        Diagnosis::NotExecutable { line: Some(line()) },
        Diagnosis::NotExecutable { line: None },
        Diagnosis::MissingModule { module: "flask".to_owned(), declared_in: "requirements.txt" },
        Diagnosis::MissingModule { module: "express".to_owned(), declared_in: "package.json" },
        Diagnosis::MissingModule { module: "sinatra".to_owned(), declared_in: "Gemfile" },
        Diagnosis::MissingModule { module: "libfoo.so.1".to_owned(), declared_in: "" },
        Diagnosis::MissingConfigVar { name: "DATABASE_URL".to_owned() },
        Diagnosis::SyntaxError { line: line() },
        Diagnosis::PortInUse { line: line() },
        Diagnosis::DiskFull { line: line() },
        Diagnosis::ReadOnly { line: line() },
        Diagnosis::TooManyTasks { limit: 256 },
        Diagnosis::TooManyFiles { line: line() },
        Diagnosis::UnknownHost { line: line() },
        Diagnosis::Unreachable { line: line() },
        Diagnosis::NotPermitted { line: line(), calls: vec![] },
        Diagnosis::NotPermitted { line: line(), calls: vec![("mount".to_owned(), 1)] },
        Diagnosis::ForeignCall,
        Diagnosis::Segfault,
        Diagnosis::Aborted,
        Diagnosis::Signalled { signal: "SIGKILL" },
        Diagnosis::EndedAtOnce,
        Diagnosis::EndedByItself,
        Diagnosis::Failed { status: 1, line: Some(line()) },
        Diagnosis::Failed { status: 3, line: None },
        Diagnosis::Lost,
    ];
    let told: Vec<_> = all.iter().map(Diagnosis::told).collect();
    let text: Vec<_> =
        told.iter().map(|told| format!("{}\n  {}\n  {}", told.name, told.what, told.advice)).collect();
    insta::assert_snapshot!(text.join("\n"));
}
