//! The frames of an attached one-off dyno, spoken after `Upgrade: dyno-attach/1` on the node's own socket.
//!
//! A frame is one kind byte, a big-endian `u32` length and so many bytes of payload. Both sides send [`Frame::Data`]; the
//! client alone sends sizes, signals and the end of its input; the server's last frame is [`Frame::Exit`].

use thiserror::Error;

/// The protocol's name in the `Upgrade` header.
pub const PROTOCOL: &str = "dyno-attach/1";

/// The most bytes of a frame's payload: larger ones are a protocol error.
pub const PAYLOAD_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a frame before its payload.
pub const HEADER_BYTES: usize = 5;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Bytes of the terminal or the pipes.
    Data(Vec<u8>),
    /// The client's window.
    Resize {
        /// Lines.
        rows: u16,
        /// Characters in a line.
        cols: u16,
    },
    /// The client's input has ended.
    Eof,
    /// The process has ended with this status, as a shell reports it (128 + signal for a signal).
    Exit(i32),
    /// A signal for the processes, by its Linux number.
    Signal(u8),
}

/// The bytes are no frame.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// An unknown kind byte.
    #[error("unknown frame kind {0}")]
    Kind(u8),
    /// A payload over [`PAYLOAD_BYTES_MAX`].
    #[error("frame of {0} bytes is over the limit")]
    TooLong(usize),
    /// A payload of the wrong length for its kind.
    #[error("frame of kind {kind} with {length} bytes")]
    Length {
        /// The kind byte.
        kind: u8,
        /// Its payload's length.
        length: usize,
    },
}

impl Frame {
    const DATA: u8 = 0;
    const RESIZE: u8 = 1;
    const EOF: u8 = 2;
    const EXIT: u8 = 3;
    const SIGNAL: u8 = 4;

    /// The frame as bytes. Data longer than [`PAYLOAD_BYTES_MAX`] becomes several frames; a frame without data says only
    /// that its sender is there.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Data(bytes) if bytes.is_empty() => bytes_of(Self::DATA, bytes),
            Self::Data(bytes) => {
                bytes.chunks(PAYLOAD_BYTES_MAX).flat_map(|part| bytes_of(Self::DATA, part)).collect()
            }
            Self::Resize { rows, cols } => {
                let payload = [rows.to_be_bytes(), cols.to_be_bytes()].concat();
                bytes_of(Self::RESIZE, &payload)
            }
            Self::Eof => bytes_of(Self::EOF, &[]),
            Self::Exit(status) => bytes_of(Self::EXIT, &status.to_be_bytes()),
            Self::Signal(number) => bytes_of(Self::SIGNAL, &[*number]),
        }
    }

    /// Takes one whole frame from the front of `buffer`; none when more bytes are needed.
    ///
    /// # Errors
    /// The bytes are no frame; nothing after them can be read.
    pub fn take(buffer: &mut Vec<u8>) -> Result<Option<Self>, FrameError> {
        let Some((&[kind, a, b, c, d], rest)) = buffer.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > PAYLOAD_BYTES_MAX {
            return Err(FrameError::TooLong(length));
        }
        let Some(payload) = rest.get(..length) else {
            return Ok(None);
        };
        let frame = match (kind, payload) {
            (Self::DATA, bytes) => Self::Data(bytes.to_vec()),
            (Self::RESIZE, &[r1, r2, c1, c2]) => {
                Self::Resize { rows: u16::from_be_bytes([r1, r2]), cols: u16::from_be_bytes([c1, c2]) }
            }
            (Self::EOF, &[]) => Self::Eof,
            (Self::EXIT, &[a, b, c, d]) => Self::Exit(i32::from_be_bytes([a, b, c, d])),
            (Self::SIGNAL, &[number]) => Self::Signal(number),
            (Self::RESIZE..=Self::SIGNAL, _) => return Err(FrameError::Length { kind, length }),
            _ => return Err(FrameError::Kind(kind)),
        };
        buffer.drain(..HEADER_BYTES + length);
        Ok(Some(frame))
    }
}

fn bytes_of(kind: u8, payload: &[u8]) -> Vec<u8> {
    // Callers keep to `PAYLOAD_BYTES_MAX`, which a `u32` holds many times over.
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.push(kind);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn frames_read_back_from_any_split() {
        let frames = [
            Frame::Data(b"hello".to_vec()),
            Frame::Data(Vec::new()),
            Frame::Resize { rows: 24, cols: 300 },
            Frame::Signal(2),
            Frame::Eof,
            Frame::Exit(-1),
        ];
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
        let (mut buffer, mut read) = (Vec::new(), Vec::new());
        for byte in bytes {
            buffer.push(byte);
            while let Some(frame) = Frame::take(&mut buffer).unwrap() {
                read.push(frame);
            }
        }
        assert_eq!(read, frames);
        assert!(buffer.is_empty());
    }

    #[test]
    fn long_data_becomes_several_frames() {
        let mut bytes = Frame::Data(vec![7; PAYLOAD_BYTES_MAX + 1]).encode();
        assert_eq!(Frame::take(&mut bytes), Ok(Some(Frame::Data(vec![7; PAYLOAD_BYTES_MAX]))));
        assert_eq!(Frame::take(&mut bytes), Ok(Some(Frame::Data(vec![7]))));
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        assert_eq!(Frame::take(&mut vec![9, 0, 0, 0, 0]), Err(FrameError::Kind(9)));
        assert_eq!(Frame::take(&mut vec![0, 0xff, 0, 0, 0]), Err(FrameError::TooLong(0xff00_0000)));
        assert_eq!(Frame::take(&mut vec![1, 0, 0, 0, 1, 0]), Err(FrameError::Length { kind: 1, length: 1 }));
    }
}
