//! Lines on their way to the logs of their apps, one after another in one buffer: written once, and sent as they stand.
//!
//! Before each text stand the app (16 bytes), microseconds since 1970 (8 bytes) and the text's length (4 bytes), both numbers with their
//! lowest byte first.

use std::io;
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use crate::domain::AppId;

/// Bytes before a text.
const HEAD_BYTES: usize = 28;

/// A line as it is read back.
pub(super) type Line = (AppId, SystemTime, String);

/// Appends a line to `lines`.
pub(super) fn append(lines: &mut Vec<u8>, app: &AppId, at: SystemTime, text: &str) {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let at_us = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
    // What is longer by far than any line is left out.
    let length = u32::try_from(text.len()).unwrap_or(0);
    let text = if length == 0 { "" } else { text };
    lines.extend_from_slice(app.0.as_bytes());
    lines.extend_from_slice(&at_us.to_le_bytes());
    lines.extend_from_slice(&length.to_le_bytes());
    lines.extend_from_slice(text.as_bytes());
}

/// Bytes of the first `count` of `lines`.
pub(super) fn extent(lines: &[u8], count: usize) -> usize {
    let mut rest = lines;
    for _ in 0..count {
        let Some((_, after)) = first(rest) else { break };
        rest = after;
    }
    lines.len() - rest.len()
}

/// Reads what [`append`] wrote.
///
/// # Errors
/// It is not whole, or a text is none.
pub(super) fn read(lines: &[u8]) -> io::Result<Vec<Line>> {
    let (mut all, mut rest) = (Vec::new(), lines);
    while !rest.is_empty() {
        let (line, after) = first(rest).ok_or(io::ErrorKind::InvalidData)?;
        let text =
            str::from_utf8(line.text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let at = SystemTime::UNIX_EPOCH + Duration::from_micros(line.at_us);
        all.push((AppId(line.app), at, text.to_owned()));
        rest = after;
    }
    Ok(all)
}

struct Raw<'a> {
    app: Uuid,
    at_us: u64,
    text: &'a [u8],
}

/// The first line, and what follows it; `None` where there is no whole one.
fn first(lines: &[u8]) -> Option<(Raw<'_>, &[u8])> {
    let (head, rest) = lines.split_at_checked(HEAD_BYTES)?;
    let (app, numbers) = head.split_first_chunk::<16>()?;
    let (at_us, length) = numbers.split_first_chunk::<8>()?;
    let length = u32::from_le_bytes(length.try_into().ok()?);
    let (text, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((Raw { app: Uuid::from_bytes(*app), at_us: u64::from_le_bytes(*at_us), text }, after))
}

#[cfg(test)]
mod test {
    use super::*;

    fn lines() -> (Vec<u8>, Vec<Line>) {
        let at = |us| SystemTime::UNIX_EPOCH + Duration::from_micros(us);
        let all = vec![
            (AppId(Uuid::from_u128(1)), at(1_795_415_284_170_873), "at=info path=\"/ä\"".to_owned()),
            (AppId(Uuid::max()), at(0), String::new()),
            (AppId(Uuid::nil()), at(7), "x".repeat(5000)),
        ];
        let mut bytes = Vec::new();
        for (app, at, text) in &all {
            append(&mut bytes, app, *at, text);
        }
        (bytes, all)
    }

    #[test]
    fn lines_come_back_as_they_were_appended() {
        let (bytes, all) = lines();
        assert_eq!(read(&bytes).unwrap(), all);
        assert_eq!(read(&bytes[extent(&bytes, 1)..]).unwrap(), all[1..]);
        assert_eq!((extent(&bytes, 0), extent(&bytes, 3), extent(&bytes, 9)), (0, bytes.len(), bytes.len()));
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        let (bytes, _) = lines();
        for length in [1, HEAD_BYTES - 1, HEAD_BYTES + 3, bytes.len() - 1] {
            assert!(read(&bytes[..length]).is_err(), "{length}");
        }
        let mut broken = bytes;
        broken[HEAD_BYTES] = 0xff;
        assert!(read(&broken).is_err(), "no text");
    }
}
