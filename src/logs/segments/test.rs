//! Files, on a real file system.

use std::time::{Duration, SystemTime};

use super::keep::{AGE_MAX_S, APP_BYTES_MAX, tidy};
use super::*;

fn line(n: u64, length: usize) -> LogLine {
    let at = SystemTime::UNIX_EPOCH + Duration::from_micros(n);
    LogLine::output(at, "web.1", vec![b'x'; length])
}

fn app() -> AppId {
    AppId(uuid::Uuid::from_u128(7))
}

/// An app's log that a test writes, with a keeper that only looks when it is told to.
struct Log {
    dir: tempfile::TempDir,
    segments: Segments,
}

impl Log {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let segments = open(&dir);
        Self { dir, segments }
    }

    fn folder(&self) -> PathBuf {
        dir_of(self.dir.path(), app())
    }

    fn append(&mut self, number: u64, length: usize) {
        self.segments.append(number, &line(number, length).to_bytes(), 1).unwrap();
    }

    fn tidy(&self) {
        let _keeper_thread_rests = self.segments.keeper.pause();
        tidy(&self.folder(), SystemTime::now()).unwrap();
    }

    fn names(&self) -> Vec<String> {
        list(&self.folder()).unwrap().into_iter().map(Segment::name).collect()
    }

    /// All items from `first` on.
    fn read(&self, first: u64, end: u64) -> Vec<Item> {
        let mut reader = Reader::new(self.dir.path(), app(), first);
        let items = std::iter::from_fn(|| reader.read(end).unwrap()).collect();
        assert_eq!(reader.next(), end);
        items
    }
}

fn open(dir: &tempfile::TempDir) -> Segments {
    Segments::open(dir.path(), app(), Keeper::start(dir.path().to_owned()).unwrap()).unwrap()
}

fn lines(numbers: impl Iterator<Item = u64>, length: usize) -> Vec<Item> {
    numbers.map(|n| Item::Line(line(n, length))).collect()
}

#[test]
fn sealed_files_are_compressed_and_read_as_before() {
    let mut log = Log::new();
    let last = 2000;
    for n in 1..=last {
        log.append(n, 5000);
    }
    log.tidy();
    let names = log.names();
    assert!(names.len() == 3 && names[2].ends_with(PLAIN), "{names:?}");
    for name in &names[..2] {
        let bytes = std::fs::metadata(log.folder().join(name)).unwrap().len();
        assert!(name.ends_with(COMPRESSED) && bytes < SEGMENT_BYTES_MAX / 10, "{name}: {bytes}");
    }
    assert_eq!(log.read(1, last + 1), lines(1..=last, 5000));
    assert_eq!(log.read(1500, 1503), lines(1500..1503, 5000), "from the middle of a compressed file");
    let loaded = load_all(log.dir.path(), 1500).unwrap();
    let expected = (last - 1499..=last).map(|n| line(n, 5000)).collect();
    assert_eq!(loaded, [Loaded { app: app(), lines: expected, next: last + 1 }]);
}

#[test]
fn old_files_go_and_a_reader_is_told_how_much_it_lost() {
    let mut log = Log::new();
    for n in 1..=2000 {
        log.append(n, 5000);
    }
    log.tidy();
    let oldest = log.folder().join(&log.names()[0]);
    let second = list(&log.folder()).unwrap()[1].first;
    let old = SystemTime::now() - Duration::from_secs(AGE_MAX_S + 1);
    OpenOptions::new().append(true).open(oldest).unwrap().set_modified(old).unwrap();
    log.tidy();
    assert_eq!(log.names().len(), 2);
    let items = log.read(10, 2001);
    assert_eq!(items[0], Item::Lost(second - 10));
    assert_eq!(items[1..], lines(second..2001, 5000));
}

#[test]
fn files_take_no_more_room_than_they_may() {
    let log = Log::new();
    for first in 1..=5_u64 {
        let path = log.folder().join(Segment { first, form: Form::Compressed }.name());
        File::create(path).unwrap().set_len(APP_BYTES_MAX / 3).unwrap();
    }
    File::create(log.folder().join(Segment { first: 6, form: Form::Plain }.name())).unwrap();
    log.tidy();
    let firsts: Vec<_> = list(&log.folder()).unwrap().iter().map(|segment| segment.first).collect();
    assert_eq!(firsts, [3, 4, 5, 6]);
}

#[test]
fn a_reader_goes_on_while_its_file_is_sealed_compressed_and_continued() {
    let mut log = Log::new();
    log.append(1, 10);
    log.append(2, 10);
    let mut reader = Reader::new(log.dir.path(), app(), 1);
    assert_eq!(reader.read(3).unwrap(), Some(Item::Line(line(1, 10))));
    log.segments.begun -= Duration::from_secs(SEGMENT_AGE_MAX_S);
    log.append(3, 10);
    log.tidy();
    assert!(log.names()[0].ends_with(COMPRESSED), "sealed for its age: {:?}", log.names());
    assert_eq!(reader.read(4).unwrap(), Some(Item::Line(line(2, 10))));
    assert_eq!(reader.read(4).unwrap(), Some(Item::Line(line(3, 10))));
    assert_eq!(reader.read(4).unwrap(), None);
}

#[test]
fn lines_that_are_in_no_file_leave_a_gap_that_is_told() {
    let mut log = Log::new();
    log.append(1, 3);
    log.append(5, 3);
    assert_eq!(
        log.read(1, 9),
        [Item::Line(line(1, 3)), Item::Lost(3), Item::Line(line(5, 3)), Item::Lost(3)]
    );
    assert_eq!(load_all(log.dir.path(), 9).unwrap()[0].next, 6);
}

#[test]
fn a_torn_last_line_is_left_out_and_does_not_spoil_the_next() {
    let mut log = Log::new();
    log.append(1, 3);
    let path = log.segments.path.clone();
    let torn = &line(2, 30).to_bytes()[..40];
    OpenOptions::new().append(true).open(path).unwrap().write_all(torn).unwrap();
    assert_eq!(load_all(log.dir.path(), 10).unwrap()[0].lines, [line(1, 3)]);
    log.segments = open(&log.dir);
    log.append(2, 3);
    assert_eq!(load_all(log.dir.path(), 10).unwrap()[0].lines, [line(1, 3), line(2, 3)]);
}

#[test]
fn a_log_goes_on_after_a_file_whose_successor_was_never_begun() {
    let mut log = Log::new();
    log.append(1, 3);
    log.append(2, 3);
    // What a keeper leaves when the process ends between the sealing of a file and the next line.
    File::create(log.folder().join(Segment { first: 3, form: Form::Plain }.name())).unwrap();
    log.tidy();
    std::fs::remove_file(log.folder().join(Segment { first: 3, form: Form::Plain }.name())).unwrap();
    log.segments = open(&log.dir);
    log.append(3, 3);
    assert_eq!(log.read(1, 4), lines(1..4, 3));
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let log = Log::new();
    std::fs::create_dir(log.dir.path().join("lost+found")).unwrap();
    std::fs::write(log.folder().join("notes.log"), "x").unwrap();
    log.tidy();
    assert_eq!(load_all(log.dir.path(), 10).unwrap().len(), 1);
    assert!(log.dir.path().join("lost+found").exists() && log.folder().join("notes.log").exists());
}
