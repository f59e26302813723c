//! `kill -9` in the middle of writing: what was acknowledged is there afterwards, and nothing torn.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime};

use dyno::logs::{Filter, HISTORY_LINES, LogService, Tail, Trust};
use dyno::wire::logline::LogLine;
use futures_util::StreamExt as _;

use crate::{app, drain, open};

/// How often the writing process is killed.
const KILLS: u32 = 12;
/// Bytes of a line: files are sealed and compressed every few hundred lines, so that some kills fall there.
const LINE_BYTES: usize = 8000;
/// Lines between two acknowledgements.
const LINES_A_FLUSH: u64 = 16;
/// Acknowledgements of one life of the writing process, on average.
const FLUSHES_A_LIFE: usize = 12;
/// Names the folder to the process that writes, and the number it begins with.
const DIR: &str = "DYNO_TEST_LOGS";
const FIRST: &str = "DYNO_TEST_FIRST";
/// Where the process that writes also sends its lines, if anywhere.
const DRAIN: &str = "DYNO_TEST_DRAIN";
/// Lines of one batch: some 100 KB of them.
const BATCH_LINES_MAX: usize = 14;

fn message(n: u64) -> Vec<u8> {
    let mut text = format!("{n} ").into_bytes();
    // Not all the same, or compression would be over before it can be cut off.
    text.extend((text.len()..LINE_BYTES).map(|at| b'a' + u8::try_from((at as u64 * n) % 23).unwrap()));
    text
}

#[tokio::test]
#[ignore = "plays the process that the next test kills"]
async fn writes_until_it_is_killed() {
    let service = open(Path::new(&std::env::var_os(DIR).unwrap()), Trust::Host);
    if let Ok(url) = std::env::var(DRAIN) {
        service.set_drains(app(), vec![drain(&url)]).await.unwrap();
    }
    let mut n: u64 = std::env::var(FIRST).unwrap().parse().unwrap();
    loop {
        for _ in 0..LINES_A_FLUSH {
            service.push(app(), LogLine::output(SystemTime::now(), "web.1", message(n)));
            n += 1;
        }
        service.flush().await;
        println!("written {}", n - 1);
    }
}

/// Runs the writer from line `first` on, kills it after some acknowledgements, and tells the last line acknowledged.
fn write_and_kill(dir: &Path, first: u64, drain: Option<&str>) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::writes_until_it_is_killed", "--ignored", "--nocapture"])
        .env(DIR, dir)
        .env(FIRST, first.to_string())
        .envs(drain.map(|url| (DRAIN, url)))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let lines = output.lines().map_while(Result::ok);
    let mut written = lines.filter_map(|line| Some(line.split_once("written ")?.1.parse::<u64>().unwrap()));
    // Counted in acknowledgements, so that every life writes something however slow the machine is; the pause after the
    // last one brings the kill to any place in the next write.
    let before = usize::from(rand::random::<u8>()) % (2 * FLUSHES_A_LIFE);
    let last = written.by_ref().take(before + 1).last().unwrap();
    std::thread::sleep(Duration::from_micros(rand::random::<u16>().into()));
    child.kill().unwrap();
    child.wait().unwrap();
    // What it had told before it died was told.
    written.last().unwrap_or(last)
}

fn number(line: &LogLine) -> u64 {
    let text = String::from_utf8(line.message.clone()).unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// What the log holds. Waits until its files are left alone: a process has a log to itself, and the next one comes soon.
async fn history(dir: &Path) -> Vec<LogLine> {
    let service = LogService::open(dir.to_owned()).unwrap();
    let lines = service.session(app(), Filter::default(), HISTORY_LINES, Tail::End).collect().await;
    while names(dir).iter().filter(|name| !name.ends_with(".zst")).count() > 1 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    lines
}

/// The names of the app's files, without positions of drains.
fn names(dir: &Path) -> Vec<String> {
    let files = std::fs::read_dir(dir.join(app().to_string())).into_iter().flatten();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.ends_with(".position")).collect()
}

#[tokio::test]
async fn no_acknowledged_line_is_lost_to_a_kill_and_none_is_torn() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = 1;
    for kill in 0..KILLS {
        let acknowledged = write_and_kill(dir.path(), first, None);
        let lines = history(dir.path()).await;
        let Some(last) = lines.last().map(number) else {
            assert_eq!(acknowledged, 0, "kill {kill}: everything is gone");
            continue;
        };
        assert!(
            last >= acknowledged,
            "kill {kill}: line {acknowledged} was acknowledged, {last} is the last"
        );
        let oldest = (last + 1).saturating_sub(HISTORY_LINES as u64).max(1);
        let expected: Vec<_> = (oldest..=last).collect();
        assert_eq!(lines.iter().map(number).collect::<Vec<_>>(), expected, "kill {kill}");
        assert!(lines.iter().all(|line| line.message == message(number(line))), "kill {kill}: a torn line");
        first = last + 1;
    }
    let names = names(dir.path());
    assert!(names.iter().any(|name| name.ends_with(".zst")), "nothing was ever sealed: {names:?}");
}

/// Takes every connection, and tells the number of every whole message as it comes.
fn receive(listener: TcpListener) -> Receiver<u64> {
    let (numbers, received) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            // A connection of a process that was killed ends anywhere.
            while let Some(message) = message_of(&mut stream) {
                let text = String::from_utf8(message).unwrap();
                let said = text.split(" - - ").nth(1).unwrap();
                if numbers.send(said.split(' ').next().unwrap().parse().unwrap()).is_err() {
                    return;
                }
            }
        }
    });
    received
}

fn message_of(stream: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut length = Vec::new();
    stream.read_until(b' ', &mut length).ok().filter(|_| length.ends_with(b" "))?;
    let length = std::str::from_utf8(&length).unwrap().trim().parse().unwrap();
    let mut message = vec![0; length];
    stream.read_exact(&mut message).ok().map(|()| message)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_misses_no_line_however_often_the_process_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("syslog://{}", listener.local_addr().unwrap());
    let received = receive(listener);
    let mut last = 0;
    for _ in 0..KILLS {
        write_and_kill(dir.path(), last + 1, Some(&url));
        last = history(dir.path()).await.last().map_or(last, number);
    }
    let service = open(dir.path(), Trust::Host);
    service.set_drains(app(), vec![drain(&url)]).await.unwrap();
    let (mut highest, mut repeated) = (0, 0);
    while highest < last {
        let number = tokio::task::block_in_place(|| received.recv_timeout(Duration::from_secs(60))).unwrap();
        assert!(number <= highest + 1, "after line {highest} came {number}");
        if number <= highest {
            repeated += 1;
        } else {
            highest = number;
        }
    }
    assert!(last > 0, "nothing was ever written");
    let allowed = KILLS as usize * BATCH_LINES_MAX;
    assert!(repeated <= allowed, "{repeated} lines came again: more than the batches under way");
}
