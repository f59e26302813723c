//! A bounded queue of lines in a file: one writer, one reader, either may die and come back without the other noticing.
//!
//! ```text
//! 0      magic "LINERNG1"
//! 8      capacity of the data part, in bytes
//! 64     head: bytes ever written          (writer)
//! 128    tail: bytes ever read             (reader)
//! 192    lines dropped because it was full (writer)
//! 256    doorbell: one byte, rewritten after head moved where the reader waits, so that inotify's IN_MODIFY wakes it
//! 320    of these drops, how many were told      (reader)
//! 384    1: the reader is about to wait           (set by the reader, taken back by the writer, which then rings)
//! 4096   data: records, wrapping around:  u32 length, u64 nanoseconds since 1970 (both little endian), the line
//! ```
//!
//! The counters are read and written as atomics through a shared mapping, so neither side sees half a number; data goes
//! through pwrite(2), so the writer's memory stays small. The writer never waits: what does not fit is dropped and counted.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::SystemTime;

use crate::sys::clock;

/// Data a ring holds unless its maker says otherwise, in bytes.
pub const RING_BYTES: u64 = 1 << 20;
/// Longest line, in bytes; the writer's caller splits what is longer.
pub const LINE_BYTES_MAX: usize = 10_000;
/// Most data one `Reader::read` returns, in bytes (headers included).
const BATCH_BYTES_MAX: u64 = 256 << 10;

const MAGIC: [u8; 8] = *b"LINERNG1";
const HEADER_BYTES: usize = 4096;
const DATA_AT: u64 = HEADER_BYTES as u64;
const CAPACITY_AT: u64 = 8;
const HEAD_AT: usize = 64;
const TAIL_AT: usize = 128;
const DROPPED_AT: usize = 192;
const DOORBELL_AT: u64 = 256;
const DROPPED_TOLD_AT: usize = 320;
const WAITING_AT: usize = 384;
const RECORD_HEADER_BYTES: usize = 12;

/// The writing end.
#[derive(Debug)]
pub struct Writer {
    ring: Ring,
    head: u64,
    pending: Vec<u8>,
}

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It will be readable after the next `flush`.
    Stored,
    /// The ring is full (or the line too long): the line is gone, and counted.
    Dropped,
}

/// The reading end.
#[derive(Debug)]
pub struct Reader {
    ring: Ring,
    /// Read, not yet committed.
    position: u64,
    dropped_seen: u64,
}

/// Lines read at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// In the order in which they were written. Empty if there is nothing new.
    pub records: Vec<Record>,
    /// Lines dropped since the batch before (for a reader's first batch: since the last commit).
    pub dropped: u64,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When it was written.
    pub at: SystemTime,
    /// Its bytes, without the line feed.
    pub line: Vec<u8>,
}

/// Makes the file of an empty ring with `capacity` bytes of data, readable by its owner alone. Space is taken as it is used.
///
/// # Errors
/// The kernel's errno; `AlreadyExists` if the file is there.
pub fn create(path: &Path, capacity: u64) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    file.set_len(DATA_AT + capacity)?;
    file.write_all_at(&capacity.to_le_bytes(), CAPACITY_AT)?;
    // Last, so that a half-made ring is not taken for one.
    file.write_all_at(&MAGIC, 0)
}

// === impl Writer ===

impl Writer {
    /// Opens the writing end.
    ///
    /// # Errors
    /// The kernel's errno, or `InvalidData` if the file is no ring.
    pub fn open(path: &Path) -> io::Result<Writer> {
        Writer::from_file(OpenOptions::new().read(true).write(true).open(path)?)
    }

    /// Takes over an open file (for a process that can no longer reach the path).
    ///
    /// # Errors
    /// As `open`.
    pub fn from_fd(file: OwnedFd) -> io::Result<Writer> {
        Writer::from_file(File::from(file))
    }

    fn from_file(file: File) -> io::Result<Writer> {
        let ring = Ring::over(file)?;
        let head = ring.counter(HEAD_AT).load(Ordering::Relaxed);
        Ok(Writer { ring, head, pending: Vec::new() })
    }

    /// Queues a line; nothing is visible before `flush`. Never waits.
    pub fn push(&mut self, at: SystemTime, line: &[u8]) -> Pushed {
        let room = self.room();
        let fits = u64::try_from(RECORD_HEADER_BYTES + line.len()).is_ok_and(|needed| needed <= room);
        let length = u32::try_from(line.len()).ok().filter(|_| fits && line.len() <= LINE_BYTES_MAX);
        let Some(length) = length else {
            self.ring.counter(DROPPED_AT).fetch_add(1, Ordering::Relaxed);
            return Pushed::Dropped;
        };
        self.pending.extend_from_slice(&length.to_le_bytes());
        self.pending.extend_from_slice(&clock::unix_ns(at).to_le_bytes());
        self.pending.extend_from_slice(line);
        Pushed::Stored
    }

    /// Makes the queued lines readable, and wakes the reader if it waits.
    ///
    /// # Errors
    /// The kernel's errno (the file system is full): the queued lines are then dropped and counted.
    pub fn flush(&mut self) -> io::Result<()> {
        let pending = std::mem::take(&mut self.pending);
        let written = self.ring.write_at(self.head, &pending);
        if written.is_ok() {
            self.head += pending.len() as u64;
            self.ring.counter(HEAD_AT).store(self.head, Ordering::Release);
        } else {
            self.ring.counter(DROPPED_AT).fetch_add(records_in(&pending), Ordering::Relaxed);
        }
        self.pending = pending;
        self.pending.clear();
        // Pairs with the one in `ask_for_bell`: either what was done above is seen there, or what was done there is seen here.
        fence(Ordering::SeqCst);
        if self.ring.counter(WAITING_AT).swap(0, Ordering::Relaxed) != 0 {
            // Rung for drops as well: a reader that lags learns that it does. A byte of the header page cannot lack space.
            self.ring.file.write_all_at(&[0], DOORBELL_AT)?;
        }
        written
    }

    fn room(&self) -> u64 {
        let tail = self.ring.counter(TAIL_AT).load(Ordering::Acquire);
        let used = self.head.saturating_sub(tail) + self.pending.len() as u64;
        self.ring.capacity.saturating_sub(used)
    }
}

// === impl Reader ===

impl Reader {
    /// Opens the reading end; it goes on behind the last commit, by whatever reader.
    ///
    /// # Errors
    /// The kernel's errno, or `InvalidData` if the file is no ring.
    pub fn open(path: &Path) -> io::Result<Reader> {
        let ring = Ring::over(OpenOptions::new().read(true).write(true).open(path)?)?;
        let position = ring.counter(TAIL_AT).load(Ordering::Relaxed);
        let dropped_seen = ring.counter(DROPPED_TOLD_AT).load(Ordering::Relaxed);
        Ok(Reader { ring, position, dropped_seen })
    }

    /// Whether no line has been read yet, by whatever reader that committed.
    #[must_use]
    pub fn is_at_first(&self) -> bool {
        self.position == 0
    }

    /// The next lines, without waiting; an empty batch if there are none.
    ///
    /// # Errors
    /// The kernel's errno, or `InvalidData` if the ring is damaged.
    pub fn read(&mut self) -> io::Result<Batch> {
        let head = self.ring.counter(HEAD_AT).load(Ordering::Acquire);
        let dropped_total = self.ring.counter(DROPPED_AT).load(Ordering::Relaxed);
        let available = head.checked_sub(self.position).filter(|n| *n <= self.ring.capacity);
        let wanted = available.ok_or_else(damaged)?.min(BATCH_BYTES_MAX);
        let data = self.ring.read_at(self.position, wanted)?;
        let (records, consumed) = parse(&data)?;
        self.position += consumed;
        let dropped = dropped_total.saturating_sub(self.dropped_seen);
        self.dropped_seen = dropped_total;
        Ok(Batch { records, dropped })
    }

    /// Has the writer write to the file after its next flush, once. The caller watches for that already, and then reads once more before
    /// it waits: what was flushed before is in that read.
    pub fn ask_for_bell(&self) {
        self.ring.counter(WAITING_AT).store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Gives the room of all lines read so far back to the writer; a later reader will not see them again.
    pub fn commit(&mut self) {
        self.ring.counter(DROPPED_TOLD_AT).store(self.dropped_seen, Ordering::Relaxed);
        self.ring.counter(TAIL_AT).store(self.position, Ordering::Release);
    }
}

/// Whole records at the start of `data`, and the bytes they take.
fn parse(data: &[u8]) -> io::Result<(Vec<Record>, u64)> {
    let mut records = Vec::new();
    let mut rest = data;
    while let Some((header, after)) = rest.split_at_checked(RECORD_HEADER_BYTES) {
        let (length, at) = read_header(header);
        if length > LINE_BYTES_MAX {
            return Err(damaged());
        }
        let Some((line, next)) = after.split_at_checked(length) else { break };
        records.push(Record { at: clock::from_unix_ns(at), line: line.to_vec() });
        rest = next;
    }
    Ok((records, (data.len() - rest.len()) as u64))
}

fn read_header(header: &[u8]) -> (usize, u64) {
    let (length, at) = header.split_at(4);
    let length = u32::from_le_bytes(length.try_into().unwrap_or_default());
    (usize::try_from(length).unwrap_or(usize::MAX), u64::from_le_bytes(at.try_into().unwrap_or_default()))
}

fn records_in(data: &[u8]) -> u64 {
    parse(data).map_or(0, |(records, _)| records.len() as u64)
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the file is no ring of lines, or is damaged")
}

/// The file and its mapped header.
#[derive(Debug)]
struct Ring {
    file: File,
    header: NonNull<u8>,
    capacity: u64,
}

// SAFETY: the mapping belongs to this value alone and is touched only through atomics.
unsafe impl Send for Ring {}

impl Ring {
    fn over(file: File) -> io::Result<Ring> {
        let mut start = [0u8; 16];
        file.read_exact_at(&mut start, 0).map_err(|_| damaged())?;
        let (magic, capacity) = start.split_at(8);
        let capacity = u64::from_le_bytes(capacity.try_into().unwrap_or_default());
        // The length is checked so that no access to the mapping can fall behind the file's end (SIGBUS).
        if magic != MAGIC || capacity == 0 || file.metadata()?.len() < DATA_AT + capacity {
            return Err(damaged());
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a fresh shared mapping of the file's first page; the kernel chooses the address.
        let mapped = unsafe {
            libc::mmap(std::ptr::null_mut(), HEADER_BYTES, protection, libc::MAP_SHARED, file.as_raw_fd(), 0)
        };
        if mapped == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let header = NonNull::new(mapped.cast()).ok_or_else(damaged)?;
        Ok(Ring { file, header, capacity })
    }

    fn counter(&self, offset: usize) -> &AtomicU64 {
        debug_assert!(offset.is_multiple_of(8) && offset + 8 <= HEADER_BYTES);
        // SAFETY: callers pass the constants above, which lie inside the mapped page.
        let at = unsafe { self.header.as_ptr().add(offset) };
        // SAFETY: aligned to 8 (page start plus a multiple of 8), mapped as long as `self` lives, only used as atomic.
        unsafe { AtomicU64::from_ptr(at.cast()) }
    }

    fn write_at(&self, position: u64, data: &[u8]) -> io::Result<()> {
        let offset = position % self.capacity;
        let until_end = usize::try_from(self.capacity - offset).unwrap_or(usize::MAX);
        let (first, wrapped) = data.split_at(data.len().min(until_end));
        self.file.write_all_at(first, DATA_AT + offset)?;
        self.file.write_all_at(wrapped, DATA_AT)
    }

    fn read_at(&self, position: u64, length: u64) -> io::Result<Vec<u8>> {
        let mut data = vec![0u8; usize::try_from(length).map_err(|_| damaged())?];
        let offset = position % self.capacity;
        let until_end = usize::try_from(self.capacity - offset).unwrap_or(usize::MAX);
        let middle = data.len().min(until_end);
        let (first, wrapped) = data.split_at_mut(middle);
        self.file.read_exact_at(first, DATA_AT + offset)?;
        self.file.read_exact_at(wrapped, DATA_AT)?;
        Ok(data)
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: unmaps exactly what `over` mapped; no reference outlives `self`.
        unsafe { libc::munmap(self.header.as_ptr().cast(), HEADER_BYTES) };
    }
}

#[cfg(test)]
mod test {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    const CAPACITY: u64 = 300;

    #[derive(Debug, Clone)]
    enum Act {
        Write(Vec<Vec<u8>>),
        Read,
        ReadAndCommit,
        RestartReader,
        RestartWriter,
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let line = proptest::collection::vec(any::<u8>(), 0..120);
        let act = prop_oneof![
            4 => proptest::collection::vec(line, 1..4).prop_map(Act::Write),
            1 => Just(Act::Read),
            3 => Just(Act::ReadAndCommit),
            1 => Just(Act::RestartReader),
            1 => Just(Act::RestartWriter),
        ];
        proptest::collection::vec(act, 1..60)
    }

    fn ring() -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ring");
        create(&path, CAPACITY).unwrap();
        (dir, path)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

        /// Against a plain queue: every stored line is read once, in order, and every other one is counted.
        #[test]
        fn what_is_stored_is_read_and_what_is_not_is_counted(acts in acts()) {
            let (_dir, path) = ring();
            let mut writer = Writer::open(&path).unwrap();
            let mut reader = Reader::open(&path).unwrap();
            // Lines not yet committed, and how many of them the present reader has seen.
            let mut queue = VecDeque::<Vec<u8>>::new();
            let mut seen = 0;
            let (mut dropped, mut dropped_seen, mut dropped_committed) = (0, 0, 0);
            for act in acts {
                match act {
                    Act::Write(lines) => {
                        for line in lines {
                            match writer.push(clock::now(), &line) {
                                Pushed::Stored => queue.push_back(line),
                                Pushed::Dropped => dropped += 1,
                            }
                        }
                        writer.flush().unwrap();
                    }
                    Act::Read | Act::ReadAndCommit => {
                        let batch = reader.read().unwrap();
                        let lines: Vec<_> = batch.records.into_iter().map(|record| record.line).collect();
                        let expected: Vec<_> = queue.iter().skip(seen).cloned().collect();
                        prop_assert_eq!(lines, expected);
                        seen = queue.len();
                        prop_assert_eq!(batch.dropped, dropped - dropped_seen);
                        dropped_seen = dropped;
                        if matches!(act, Act::ReadAndCommit) {
                            reader.commit();
                            dropped_committed = dropped;
                            queue.clear();
                            seen = 0;
                        }
                    }
                    Act::RestartReader => {
                        reader = Reader::open(&path).unwrap();
                        seen = 0;
                        dropped_seen = dropped_committed;
                    }
                    Act::RestartWriter => writer = Writer::open(&path).unwrap(),
                }
            }
        }
    }

    #[test]
    fn a_full_ring_drops_and_goes_on_when_there_is_room_again() {
        let (_dir, path) = ring();
        let mut writer = Writer::open(&path).unwrap();
        let mut reader = Reader::open(&path).unwrap();
        let line = [b'x'; 100];
        let pushed: Vec<_> = (0..4).map(|_| writer.push(clock::now(), &line)).collect();
        assert_eq!(pushed, [Pushed::Stored, Pushed::Stored, Pushed::Dropped, Pushed::Dropped]);
        writer.flush().unwrap();
        let batch = reader.read().unwrap();
        assert_eq!((batch.records.len(), batch.dropped), (2, 2));
        assert_eq!(writer.push(clock::now(), &line), Pushed::Dropped, "read is not yet committed");
        reader.commit();
        assert_eq!(writer.push(clock::now(), &line), Pushed::Stored);
    }

    #[test]
    fn lines_cross_from_thread_to_thread_whole_and_in_order() {
        let (_dir, path) = ring();
        let mut writer = Writer::open(&path).unwrap();
        let writing = std::thread::spawn(move || {
            let mut dropped = 0;
            for n in 0..20_000u32 {
                if writer.push(clock::now(), n.to_string().repeat(3).as_bytes()) == Pushed::Dropped {
                    dropped += 1;
                }
                writer.flush().unwrap();
            }
            dropped
        });
        let mut reader = Reader::open(&path).unwrap();
        let mut got = Vec::new();
        while !writing.is_finished() {
            got.extend(reader.read().unwrap().records);
            reader.commit();
        }
        let dropped: usize = writing.join().unwrap();
        got.extend(reader.read().unwrap().records);
        assert_eq!(got.len() + dropped, 20_000);
        let mut last = None;
        for record in got {
            let text = String::from_utf8(record.line).unwrap();
            let (one, rest) = text.split_at(text.len() / 3);
            assert_eq!(rest, one.repeat(2));
            let n: u32 = one.parse().unwrap();
            assert!(last < Some(n));
            last = Some(n);
        }
    }

    #[test]
    fn the_bell_is_rung_once_for_each_time_it_is_asked_for() {
        let (_dir, path) = ring();
        let mut writer = Writer::open(&path).unwrap();
        let reader = Reader::open(&path).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let rings = |writer: &mut Writer| {
            file.write_all_at(&[7], DOORBELL_AT).unwrap();
            writer.push(clock::now(), b"x");
            writer.flush().unwrap();
            let mut byte = [0];
            file.read_exact_at(&mut byte, DOORBELL_AT).unwrap();
            byte != [7]
        };
        assert!(!rings(&mut writer), "nobody waits");
        reader.ask_for_bell();
        assert!(rings(&mut writer) && !rings(&mut writer));
        reader.ask_for_bell();
        assert!(rings(&mut Writer::open(&path).unwrap()), "a writer that comes later rings, too");
    }

    #[test]
    fn who_asks_for_the_bell_and_looks_once_more_misses_nothing() {
        const LINES: usize = 20_000;
        const MINUTE_MS: u16 = 60_000;
        let (_dir, path) = ring();
        let mut writer = Writer::open(&path).unwrap();
        let writing = std::thread::spawn(move || {
            for n in 0..LINES {
                writer.push(clock::now(), b"a line");
                writer.flush().unwrap();
                // Sometimes the reader waits by then, mostly it is about to.
                (0..n % 50).for_each(|_| std::thread::yield_now());
            }
        });
        let watcher = crate::sys::watch::Watcher::new().unwrap();
        let mut reader = Reader::open(&path).unwrap();
        let (mut got, mut waits) = (0, 0);
        let mut look = |reader: &mut Reader| {
            let batch = reader.read().unwrap();
            reader.commit();
            got += batch.records.len() + usize::try_from(batch.dropped).unwrap();
            (got, batch == Batch::default())
        };
        loop {
            match look(&mut reader) {
                (LINES, _) => break,
                (_, true) => {}
                (_, false) => continue,
            }
            let watched = watcher.add(&path).unwrap();
            reader.ask_for_bell();
            if look(&mut reader).1 {
                let start = clock::monotonic();
                // A watch that was removed wakes, too, and tells nothing.
                while !watcher.wait(MINUTE_MS).unwrap().contains(&watched) {
                    assert!(start.elapsed().as_secs() < 60, "a line was written, and nobody rang");
                }
                waits += 1;
            }
            watcher.remove(watched);
        }
        assert!(waits > 10, "{waits}: it hardly ever waited");
        writing.join().unwrap();
    }

    #[test]
    fn another_file_is_not_taken_for_a_ring() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("other");
        for contents in [&b""[..], b"hello", &[0u8; 5000], b"LINERNG1\xff\xff\xff\xff\0\0\0\0"] {
            std::fs::write(&path, contents).unwrap();
            assert_eq!(Reader::open(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }
}
