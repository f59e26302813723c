//! A watch over the frames of HTTP/2 that a client sends (RFC 9113), where frames cost much and carry nothing: streams that are
//! opened and taken back at once (CVE-2023-44487), and floods of pings, settings, priorities and empty frames. Pure.
//!
//! It judges no syntax: that is for the library that reads the frames after it. Who is over a limit is cut off.

use std::time::{Duration, Instant};

use thiserror::Error;

/// Bytes that a client begins with (RFC 9113 section 3.4).
const PREFACE_BYTES: usize = 24;
/// Bytes of a frame before its payload (RFC 9113 section 4.1).
const HEADER_BYTES: usize = 9;
/// A frame's kind, as the table of RFC 9113 section 6 numbers them.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
/// The flag of a frame that is the last one of its stream.
const END_STREAM: u8 = 1;

/// How many frames of a kind a client may send at once, and how many a second go on after that.
#[derive(Clone, Copy, Debug)]
pub struct FrameRate {
    /// At once.
    pub burst: u32,
    /// A second.
    pub per_s: u32,
}

/// A client is over one of its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Flood {
    /// It takes back too many streams.
    #[error("too many streams were taken back")]
    Resets,
    /// It sends too many frames that carry nothing.
    #[error("too many frames that carry nothing")]
    Idle,
}

/// What one client has sent so far.
#[derive(Debug)]
pub(super) struct Frames {
    /// Bytes to come before the next frame: of the preface, or of a payload.
    skipped: usize,
    header: [u8; HEADER_BYTES],
    /// Bytes of the next frame's header that have come.
    come: usize,
    resets: Budget,
    idle: Budget,
}

#[derive(Debug)]
struct Budget {
    rate: FrameRate,
    left: u32,
    since: Instant,
}

// === impl Frames ===

impl Frames {
    /// One that has sent nothing.
    pub(super) fn new(resets: FrameRate, idle: FrameRate, now: Instant) -> Self {
        let budget = |rate: FrameRate| Budget { rate, left: rate.burst, since: now };
        let (resets, idle) = (budget(resets), budget(idle));
        Self { skipped: PREFACE_BYTES, header: [0; HEADER_BYTES], come: 0, resets, idle }
    }

    /// Looks at the next bytes.
    ///
    /// # Errors
    /// The client is over a limit.
    pub(super) fn inspect(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Flood> {
        while !bytes.is_empty() {
            if self.skipped > 0 {
                let count = self.skipped.min(bytes.len());
                self.skipped -= count;
                bytes = &bytes[count..];
                continue;
            }
            let count = (HEADER_BYTES - self.come).min(bytes.len());
            self.header[self.come..self.come + count].copy_from_slice(&bytes[..count]);
            self.come += count;
            bytes = &bytes[count..];
            if self.come == HEADER_BYTES {
                self.come = 0;
                self.frame(now)?;
            }
        }
        Ok(())
    }

    fn frame(&mut self, now: Instant) -> Result<(), Flood> {
        let [high, middle, low, kind, flags, ..] = self.header;
        self.skipped = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        match kind {
            RST_STREAM => self.resets.take(now).ok_or(Flood::Resets),
            DATA if self.skipped > 0 || flags & END_STREAM != 0 => Ok(()),
            HEADERS | WINDOW_UPDATE => Ok(()),
            _ => self.idle.take(now).ok_or(Flood::Idle),
        }
    }
}

// === impl Budget ===

impl Budget {
    fn take(&mut self, now: Instant) -> Option<()> {
        let earned =
            now.saturating_duration_since(self.since).as_millis() * u128::from(self.rate.per_s) / 1000;
        if earned > 0 {
            self.left =
                self.left.saturating_add(u32::try_from(earned).unwrap_or(u32::MAX)).min(self.rate.burst);
            // What is over is kept for the next time, so that frames that come slowly earn their share too.
            let spent = earned * 1000 / u128::from(self.rate.per_s.max(1));
            self.since += Duration::from_millis(u64::try_from(spent).unwrap_or(u64::MAX));
        }
        self.left = self.left.checked_sub(1)?;
        Some(())
    }
}

#[cfg(test)]
mod test {
    use proptest::prelude::*;

    use super::*;

    const RATE: FrameRate = FrameRate { burst: 3, per_s: 1 };

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u8::try_from(payload).unwrap();
        [&[0, 0, length, kind, flags, 0, 0, 0, 1], vec![0xff; payload].as_slice()].concat()
    }

    fn begun(now: Instant) -> Frames {
        let mut frames = Frames::new(RATE, RATE, now);
        frames.inspect(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", now).unwrap();
        frames
    }

    #[test]
    fn frames_that_carry_nothing_have_a_limit_each_and_others_have_none() {
        let now = Instant::now();
        for (kind, flags, payload, limit) in [
            (RST_STREAM, 0, 4, Some(Flood::Resets)),
            (DATA, 0, 0, Some(Flood::Idle)),
            (2, 0, 5, Some(Flood::Idle)),
            (4, 0, 0, Some(Flood::Idle)),
            (6, 0, 8, Some(Flood::Idle)),
            (9, 0, 0, Some(Flood::Idle)),
            (0xee, 0, 200, Some(Flood::Idle)),
            (DATA, 0, 1, None),
            (DATA, END_STREAM, 0, None),
            (HEADERS, 4, 10, None),
            (WINDOW_UPDATE, 0, 4, None),
        ] {
            let mut frames = begun(now);
            let judged: Vec<_> = (0..5).map(|_| frames.inspect(&frame(kind, flags, payload), now)).collect();
            assert_eq!(judged[..3], [Ok(()); 3], "{kind} {flags}");
            assert_eq!(judged[3].err(), limit, "{kind} {flags}");
        }
    }

    #[test]
    fn time_gives_back_what_was_spent_and_no_more() {
        let start = Instant::now();
        let mut budget = Budget { rate: RATE, left: RATE.burst, since: start };
        let mut after = |ms: u64| budget.take(start + Duration::from_millis(ms)).is_some();
        assert_eq!([after(0), after(0), after(0), after(999)], [true, true, true, false]);
        assert_eq!([after(1_000), after(1_500)], [true, false]);
        assert_eq!([after(2_000), after(2_000)], [true, false], "halves of a second are not lost");
        let late: Vec<_> = (0..4).map(|_| after(1_000_000)).collect();
        assert_eq!(late, [true, true, true, false], "a long rest earns no more than the burst");
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_cut_changes_nothing(
            kinds in prop::collection::vec((0..11_u8, 0..2_u8, 0..20_usize), 0..12),
            cuts in prop::collection::vec(1..30_usize, 1..8),
        ) {
            let now = Instant::now();
            let all: Vec<u8> = kinds.iter().flat_map(|(kind, flags, payload)| frame(*kind, *flags, *payload)).collect();
            let whole = begun(now).inspect(&all, now);
            let (mut frames, mut rest, mut outcome) = (begun(now), all.as_slice(), Ok(()));
            for cut in cuts.iter().cycle() {
                if rest.is_empty() || outcome.is_err() { break }
                let (part, after) = rest.split_at((*cut).min(rest.len()));
                outcome = frames.inspect(part, now);
                rest = after;
            }
            prop_assert_eq!(outcome, whole);
        }
    }
}
