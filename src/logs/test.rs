//! The service as a whole: real files, real rings.

use std::path::Path;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use uuid::Uuid;

use super::*;
use crate::sys::ring::{self, Writer};

fn app() -> AppId {
    AppId(Uuid::from_u128(7))
}

fn line(n: u64, text: &str) -> LogLine {
    let at = SystemTime::UNIX_EPOCH + Duration::from_micros(n);
    LogLine::output(at, "web.1", text.as_bytes().to_vec())
}

async fn history(service: &LogService) -> Vec<String> {
    let text = |line: LogLine| String::from_utf8_lossy(&line.message).into_owned();
    service.session(app(), Filter::default(), HISTORY_LINES, Tail::End).map(text).collect().await
}

fn open(dir: &Path) -> LogService {
    LogService::open(dir.join("logs")).unwrap()
}

#[tokio::test]
async fn the_last_lines_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let total = HISTORY_LINES as u64 + 10;
    let service = open(dir.path());
    for n in 0..total {
        service.push(app(), line(n, &format!("line {n}")));
    }
    service.flush().await;
    let expected: Vec<_> = (10..total).map(|n| format!("line {n}")).collect();
    assert_eq!(history(&service).await, expected);
    drop(service);
    assert_eq!(history(&open(dir.path())).await, expected);
}

#[tokio::test]
async fn long_messages_are_cut_and_empty_lines_kept() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    service.push(app(), line(1, &"x".repeat(MESSAGE_BYTES_MAX * 2 + 5)));
    service.push(app(), line(2, ""));
    service.push(app(), line(3, "a\n\nb"));
    service.flush().await;
    let lengths: Vec<_> = history(&service).await.iter().map(String::len).collect();
    assert_eq!(lengths, [MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX, 5, 0, 1, 0, 1]);
}

#[tokio::test]
async fn a_tail_begins_where_history_ends() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    service.push(app(), line(1, "before"));
    service.flush().await;
    let session = service.session(app(), Filter::default(), 1, Tail::Follow);
    service.push(app(), line(2, "after"));
    let seen: Vec<_> = session.take(2).collect().await;
    assert_eq!(seen, [line(1, "before"), line(2, "after")]);
}

#[tokio::test]
async fn a_slow_tail_is_told_what_it_lost() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    let mut session = service.session(app(), Filter::default(), 0, Tail::Follow);
    for n in 0..TAIL_QUEUE_LINES as u64 + 7 {
        service.push(app(), line(n, "x"));
    }
    service.flush().await;
    let first = session.next().await.unwrap().to_string();
    assert!(first.contains("heroku[logplex]") && first.contains("dropped 7 messages"), "{first}");
    assert_eq!(session.next().await.unwrap(), line(7, "x"));
    assert_eq!(service.counted(Counter::TailLost), 7);
}

#[tokio::test]
async fn a_search_finds_lines_that_are_no_longer_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    let total = HISTORY_LINES as u64 + 500;
    for n in 1..=total {
        service.push(app(), line(n, &format!("line {n}.")));
    }
    service.flush().await;
    let find =
        |filter: Filter, count, tail| service.numbered_session(app(), filter, Begin::Newest(count), tail);
    let at = |n| Some(SystemTime::UNIX_EPOCH + Duration::from_micros(n));
    let pattern = Some(regex::bytes::Regex::new("^line 1?7\\.$").unwrap());
    let found: Vec<_> = find(Filter { pattern, ..Filter::default() }, 10, Tail::End).collect().await;
    assert_eq!(found.iter().map(|found| found.number).collect::<Vec<_>>(), [Some(7), Some(17)]);
    let window = Filter { since: at(100), until: at(200), ..Filter::default() };
    let found: Vec<_> = find(window, 30, Tail::End).collect().await;
    assert_eq!(
        found.iter().map(|found| found.number).collect::<Vec<_>>(),
        (170..200).map(Some).collect::<Vec<_>>()
    );
    let since = Filter { since: at(total), ..Filter::default() };
    let tail = find(since, 30, Tail::Follow);
    service.push(app(), line(5, "too old"));
    service.push(app(), line(total + 1, "new"));
    let seen: Vec<_> = tail.take(2).map(|shown| shown.number).collect().await;
    assert_eq!(seen, [Some(total), Some(total + 2)]);
}

#[tokio::test]
async fn a_session_goes_on_after_the_line_its_reader_saw_last() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    for n in 1..=10 {
        service.push(app(), line(n, "x"));
    }
    service.flush().await;
    let session = service.numbered_session(app(), Filter::default(), Begin::After(7), Tail::End);
    let numbers: Vec<_> = session.map(|shown| shown.number.unwrap()).collect().await;
    assert_eq!(numbers, [8, 9, 10]);
}

#[tokio::test]
async fn a_full_queue_drops_and_says_so_in_the_log() {
    let shared = Arc::new(Shared::default());
    let (queue, messages) = mpsc::channel(1);
    let doorbells = follow::Doorbells::start().unwrap();
    let drains = Arc::new(Drains::new(PathBuf::new(), Receivers::default()));
    let service = LogService {
        shared: Arc::clone(&shared),
        queue,
        dir: PathBuf::new(),
        opened: clock::now(),
        doorbells,
        drains,
        kept: Arc::default(),
    };
    for n in 0..4 {
        service.push(app(), line(n, "x"));
    }
    assert_eq!(service.counted(Counter::QueueLost), 3);
    let dir = tempfile::tempdir().unwrap();
    writer::start(dir.path().to_owned(), shared, messages).unwrap();
    service.flush().await;
    let lines = history(&service).await;
    assert_eq!(lines[0], "x");
    assert!(lines[1].contains("3 messages dropped since"), "{lines:?}");
    assert_eq!(lines.len(), 2);
}

#[tokio::test]
async fn a_forgotten_log_is_gone_and_its_tails_end() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    service.push(app(), line(1, "x"));
    service.flush().await;
    let session = service.session(app(), Filter::default(), 0, Tail::Follow);
    service.forget(app());
    assert_eq!(session.count().await, 0);
    service.flush().await;
    assert!(history(&service).await.is_empty());
    assert_eq!(std::fs::read_dir(dir.path().join("logs")).unwrap().count(), 0);
}

fn ring(dir: &Path) -> (PathBuf, Writer) {
    let path = dir.join("log.ring");
    ring::create(&path, 4096).unwrap();
    let writer = Writer::open(&path).unwrap();
    (path, writer)
}

fn write(writer: &mut Writer, lines: &[&str]) {
    for (n, text) in (1..).zip(lines) {
        writer.push(SystemTime::UNIX_EPOCH + Duration::from_micros(n), text.as_bytes());
    }
    writer.flush().unwrap();
}

#[tokio::test]
async fn a_ring_is_drained_as_it_is_written_and_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    let (path, mut writer) = ring(dir.path());
    let mut tail = service.session(app(), Filter::default(), 0, Tail::Follow);
    let follow = service.follow_ring(app(), "web.1".to_owned(), path);
    write(&mut writer, &["one"]);
    let woken = tokio::time::timeout(Duration::from_millis(500), tail.next()).await;
    assert_eq!(woken.expect("woken by the write, not by the poll").unwrap().message, b"one");
    write(&mut writer, &["two", "", "three"]);
    follow.finish().await;
    assert_eq!(history(&service).await, ["one", "two", "", "three"]);
}

#[tokio::test]
async fn what_a_dyno_has_said_last_is_not_mixed_with_what_another_of_its_name_says() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let service = open(dirs[0].path());
    let [(old, mut old_writer), (new, mut new_writer)] = [ring(dirs[0].path()), ring(dirs[1].path())];
    let follow = |path: &std::path::Path| service.follow_ring(app(), "web.1".to_owned(), path.to_owned());
    let (follow_old, follow_new) = (follow(&old), follow(&new));
    write(&mut old_writer, &["old 1", "old 2"]);
    write(&mut new_writer, &["new 1"]);
    let said = |followed: Followed| {
        let text = |line: LogLine| String::from_utf8(line.message).unwrap();
        (followed.last.into_iter().map(text).collect::<Vec<_>>(), followed.from)
    };
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    assert_eq!(said(follow_old.finish().await), (words(&["old 1", "old 2"]), FollowedFrom::First));
    let many: Vec<String> = (0..LAST_LINES_MAX + 1).map(|n| n.to_string()).collect();
    write(&mut new_writer, &many.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(said(follow_new.finish().await), (many[1..].to_vec(), FollowedFrom::First));
    write(&mut old_writer, &["x".repeat(LAST_LINE_BYTES_MAX + 1).as_str()]);
    let cut = (vec!["x".repeat(LAST_LINE_BYTES_MAX)], FollowedFrom::Later);
    assert_eq!(said(follow(&old).finish().await), cut, "others have seen what was before");
}

#[tokio::test]
async fn a_ring_goes_on_after_a_restart_without_loss_or_repetition() {
    let dir = tempfile::tempdir().unwrap();
    let (path, mut writer) = ring(dir.path());
    {
        let service = open(dir.path());
        let follow = service.follow_ring(app(), "web.1".to_owned(), path.clone());
        write(&mut writer, &["one"]);
        follow.finish().await;
    }
    // As if killed after the lines were written and before the ring was told.
    let at = |n| SystemTime::UNIX_EPOCH + Duration::from_micros(n);
    writer.push(at(10), b"two");
    writer.push(at(11), b"three");
    writer.push(at(12), b"two");
    writer.flush().unwrap();
    {
        let service = open(dir.path());
        service.push(app(), line(10, "two"));
        service.push(app(), line(11, "three"));
        service.flush().await;
    }
    let service = open(dir.path());
    service.follow_ring(app(), "web.1".to_owned(), path).finish().await;
    assert_eq!(history(&service).await, ["one", "two", "three", "two"]);
}

#[tokio::test]
async fn a_restart_repeats_nothing_of_a_batch_that_memory_does_not_hold() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.ring");
    ring::create(&path, ring::RING_BYTES).unwrap();
    let mut writer = Writer::open(&path).unwrap();
    // Two lines a microsecond, each pair the same: said in one breath.
    let said = 2 * HISTORY_LINES as u64;
    let (at, text) =
        (|n: u64| SystemTime::UNIX_EPOCH + Duration::from_micros(n / 2), |n: u64| format!("{}", n / 2));
    for n in 0..said {
        writer.push(at(n), text(n).as_bytes());
    }
    writer.flush().unwrap();
    // As if killed in the middle of the write, between two lines that are the same.
    let written = said - 101;
    {
        let service = open(dir.path());
        let lines = (0..written).map(|n| LogLine::output(at(n), "web.1", text(n).into_bytes())).collect();
        service.write(app(), lines).await.unwrap();
    }
    let service = open(dir.path());
    service.follow_ring(app(), "web.1".to_owned(), path).finish().await;
    let newest = service.shared.with_app(app(), |log| log.next);
    assert_eq!(newest - segments::FIRST_LINE, said, "lines were lost, or told twice");
    assert_eq!(history(&service).await[0], text(said - HISTORY_LINES as u64));
}

#[tokio::test]
async fn what_a_ring_could_not_hold_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (path, mut writer) = ring(dir.path());
    write(&mut writer, &["x".repeat(4000).as_str(), "y".repeat(4000).as_str()]);
    let service = open(dir.path());
    let again = path.clone();
    service.follow_ring(app(), "web.1".to_owned(), path).finish().await;
    let lines = history(&service).await;
    assert_eq!(lines[0].len(), 4000);
    assert!(lines[1].contains("1 messages dropped since"), "{:?}", lines[1]);
    service.follow_ring(app(), "web.1".to_owned(), again).finish().await;
    assert_eq!(history(&service).await.len(), 2, "a later follower does not tell it again");
}
