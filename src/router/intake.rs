//! The bytes a client sends, looked at before they are parsed. Pure.
//!
//! The parser is lenient where the platform is not (platform reference 4.2): a lone line feed ends a line for it, and two
//! readers that disagree about where a line ends disagree about where a request ends. Here a head has lines that end with
//! CR and LF, none that begins with a blank, and no NUL, or it goes no further. To know where the next head begins,
//! the body's framing is followed too; where it is contradictory, the parser or `validate` refuses the request and the
//! connection ends with it.

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use memchr::{memchr, memchr2};

/// A line longer than this is not kept: it is over the limit of a header line, so the request is refused.
const LINE_BYTES_MAX: usize = 16 * 1024;
/// CR and LF.
const LINE_END_BYTES: u64 = 2;

/// How a request for another protocol is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Switch {
    /// The bytes that follow are the other protocol's.
    Made,
    /// The connection goes on as it was.
    Declined,
}

/// Follows one connection's requests.
#[derive(Debug)]
pub(super) struct Intake {
    state: State,
    /// The line of the head that is being read.
    line: Vec<u8>,
    /// The last byte of the head so far.
    previous: u8,
    head: Head,
}

/// Where in a request the next byte belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the head.
    Head,
    /// In a body of known length; as many bytes are to come.
    Sized(u64),
    /// In a body of chunks.
    Chunks(Chunk),
    /// After a request for another protocol, which is not answered yet.
    Undecided,
    /// Nothing is looked at any more: a tunnel, or a request that ends its connection.
    Over,
}

/// Where in a body of chunks (RFC 9112 section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    /// In the size of a chunk.
    Size(u64),
    /// After the size, up to the line's end.
    Extension(u64),
    /// In a chunk's bytes and the CR and LF after them; as many are to come.
    Data(u64),
    /// At the beginning of a line of the trailer.
    TrailerStart,
    /// In a line of the trailer.
    Trailer,
    /// After the CR of a line of the trailer.
    TrailerEnd,
    /// After the CR of the empty line that ends the body.
    End,
}

/// What the lines of a head have said so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Head {
    line_count: usize,
    version: Version,
    body: Body,
    upgrade: Upgrade,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Version {
    #[default]
    Other,
    Http11,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Body {
    #[default]
    None,
    Sized(u64),
    Chunked,
    /// Contradictory.
    Unclear,
}

/// A request for another protocol says so in two places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Upgrade {
    #[default]
    Unnamed,
    Asked,
    Named,
    AskedAndNamed,
}

/// Where the first byte is that may not go further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// Bytes before it.
    pub(super) at: usize,
}

impl Intake {
    /// At the beginning of a connection.
    pub(super) fn new() -> Self {
        Self { state: State::Head, line: Vec::new(), previous: b'\n', head: Head::default() }
    }

    /// Whether the last request asked for another protocol, and nothing may go on before that is settled.
    pub(super) fn is_undecided(&self) -> bool {
        self.state == State::Undecided
    }

    /// The request for another protocol is answered.
    pub(super) fn settle(&mut self, answer: Switch) {
        if self.is_undecided() {
            self.state = match answer {
                Switch::Made => State::Over,
                Switch::Declined => State::Head,
            };
        }
    }

    /// Looks at the next bytes, and says how many of them may go on now: all, or those up to the end of a request for
    /// another protocol.
    ///
    /// # Errors
    /// A byte makes the head one that readers could understand differently.
    pub(super) fn inspect(&mut self, bytes: &[u8]) -> Result<usize, Refused> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            at += match self.state {
                State::Over => return Ok(bytes.len()),
                State::Undecided => return Ok(at),
                State::Head => self.line(rest).map_err(|refused| Refused { at: at + refused.at })?,
                State::Sized(left) => self.sized(left, rest),
                State::Chunks(chunk) => self.chunk(chunk, rest),
            };
        }
        Ok(bytes.len())
    }

    /// The rest of a line of the head, or as much of it as there is.
    fn line(&mut self, rest: &[u8]) -> Result<usize, Refused> {
        match whole_line(rest) {
            Some(line) if self.previous == b'\n' => {
                self.ends_line(line);
                Ok(line.len())
            }
            _ => self.part_of_line(rest),
        }
    }

    /// As [`Self::line`], byte by byte: a line that comes in parts, is refused, or says nothing that can be known.
    fn part_of_line(&mut self, rest: &[u8]) -> Result<usize, Refused> {
        let mut length = rest.len();
        for (at, byte) in rest.iter().enumerate() {
            let is_refused = match byte {
                b'\0' => true,
                b'\n' => self.previous != b'\r',
                b' ' | b'\t' => {
                    self.previous == b'\r' || (self.previous == b'\n' && self.head.line_count > 0)
                }
                _ => self.previous == b'\r',
            };
            if is_refused {
                return Err(Refused { at });
            }
            self.previous = *byte;
            if *byte == b'\n' {
                length = at + 1;
                break;
            }
        }
        let kept = length.min(LINE_BYTES_MAX - self.line.len());
        self.line.extend_from_slice(&rest[..kept]);
        if kept < length {
            // What it would say cannot be known any more.
            self.head.body = Body::Unclear;
        }
        if self.previous == b'\n' {
            let mut line = std::mem::take(&mut self.line);
            self.ends_line(&line);
            line.clear();
            self.line = line;
        }
        Ok(length)
    }

    fn ends_line(&mut self, line: &[u8]) {
        let line = line.trim_ascii();
        if !line.is_empty() {
            self.head.read(line);
        } else if self.head.line_count > 0 {
            self.state = std::mem::take(&mut self.head).body_state();
        }
    }

    fn sized(&mut self, left: u64, rest: &[u8]) -> usize {
        let here = within(left, rest);
        let left = left - widened(here);
        self.state = if left == 0 { State::Head } else { State::Sized(left) };
        here
    }

    /// As lenient as the parser: what it refuses ends the connection, what it takes must be understood here alike.
    fn chunk(&mut self, chunk: Chunk, rest: &[u8]) -> usize {
        let byte = rest[0];
        let next = match chunk {
            Chunk::Data(left) => {
                let here = within(left, rest);
                let left = left - widened(here);
                let next = if left == 0 { Chunk::Size(0) } else { Chunk::Data(left) };
                self.state = State::Chunks(next);
                return here;
            }
            Chunk::Size(size) => match (char::from(byte).to_digit(16), byte) {
                (Some(digit), _) => size
                    .checked_mul(16)
                    .and_then(|size| size.checked_add(digit.into()))
                    .map_or(State::Over, |size| State::Chunks(Chunk::Size(size))),
                (None, b'\n') => State::Over,
                (None, _) => State::Chunks(Chunk::Extension(size)),
            },
            Chunk::Extension(size) if byte == b'\n' => match size.checked_add(LINE_END_BYTES) {
                Some(LINE_END_BYTES) => State::Chunks(Chunk::TrailerStart),
                Some(data) => State::Chunks(Chunk::Data(data)),
                None => State::Over,
            },
            Chunk::Extension(size) => State::Chunks(Chunk::Extension(size)),
            Chunk::TrailerStart if byte == b'\r' => State::Chunks(Chunk::End),
            Chunk::TrailerStart => State::Chunks(Chunk::Trailer),
            Chunk::Trailer if byte == b'\r' => State::Chunks(Chunk::TrailerEnd),
            Chunk::Trailer => State::Chunks(Chunk::Trailer),
            Chunk::TrailerEnd if byte == b'\n' => State::Chunks(Chunk::TrailerStart),
            Chunk::TrailerEnd => State::Over,
            Chunk::End if byte == b'\n' => State::Head,
            Chunk::End => State::Over,
        };
        self.state = next;
        1
    }
}

impl Head {
    /// Takes in one line, without its end.
    fn read(&mut self, line: &[u8]) {
        self.line_count += 1;
        if self.line_count == 1 {
            if line.ends_with(b" HTTP/1.1") {
                self.version = Version::Http11;
            }
            return;
        }
        let Some(colon) = memchr(b':', line) else { return };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let is = |header: &http::HeaderName| name.eq_ignore_ascii_case(header.as_str().as_bytes());
        if is(&CONTENT_LENGTH) {
            self.body = self.body.and_length(value);
        } else if is(&TRANSFER_ENCODING) {
            self.body = self.body.and_coding(value);
        } else if is(&CONNECTION) {
            let mut tokens = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            if tokens.any(|token| token.eq_ignore_ascii_case(UPGRADE.as_str().as_bytes())) {
                self.upgrade = self.upgrade.and_asked();
            }
        } else if is(&UPGRADE) {
            self.upgrade = self.upgrade.and_named();
        }
    }

    /// What follows the head.
    fn body_state(self) -> State {
        // With a body the wish counts for nothing: the dyno is to have all of it, and may take its time to answer.
        let has_body = !matches!(self.body, Body::None | Body::Sized(0));
        if self.version == Version::Http11 && self.upgrade == Upgrade::AskedAndNamed && !has_body {
            return State::Undecided;
        }
        match self.body {
            Body::None | Body::Sized(0) => State::Head,
            Body::Sized(length) => State::Sized(length),
            Body::Chunked => State::Chunks(Chunk::Size(0)),
            Body::Unclear => State::Over,
        }
    }
}

impl Body {
    fn and_length(self, value: &[u8]) -> Self {
        let length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
        match (self, length) {
            (Self::None, Some(length)) => Self::Sized(length),
            (Self::Sized(first), Some(length)) if first == length => self,
            // Chunks win over a length.
            (Self::Chunked, _) => self,
            (Self::None | Self::Sized(_) | Self::Unclear, _) => Self::Unclear,
        }
    }

    fn and_coding(self, value: &[u8]) -> Self {
        match self {
            Self::None | Self::Sized(_) if value.eq_ignore_ascii_case(b"chunked") => Self::Chunked,
            Self::None | Self::Sized(_) | Self::Chunked | Self::Unclear => Self::Unclear,
        }
    }
}

impl Upgrade {
    fn and_asked(self) -> Self {
        match self {
            Self::Unnamed | Self::Asked => Self::Asked,
            Self::Named | Self::AskedAndNamed => Self::AskedAndNamed,
        }
    }

    fn and_named(self) -> Self {
        match self {
            Self::Unnamed | Self::Named => Self::Named,
            Self::Asked | Self::AskedAndNamed => Self::AskedAndNamed,
        }
    }
}

/// The first line of `rest` with its end, where it is all there and nothing about it asks for a closer look. Nearly all lines are like
/// that, and are found without a step for each byte.
fn whole_line(rest: &[u8]) -> Option<&[u8]> {
    let line = &rest[..=memchr(b'\n', rest)?];
    let text = line.strip_suffix(b"\r\n")?;
    let is_plain = line.len() <= LINE_BYTES_MAX
        && !text.starts_with(b" ")
        && !text.starts_with(b"\t")
        && memchr2(b'\r', b'\0', text).is_none();
    is_plain.then_some(line)
}

/// How many of `left` bytes are here.
fn within(left: u64, rest: &[u8]) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(rest.len())
}

fn widened(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod test {
    use proptest::prelude::*;

    use super::*;

    const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const UPGRADE: &str = "GET / HTTP/1.1\r\nUpgrade: x\r\nConnection: a, upgrade\r\n\r\n";

    fn inspect(text: &str) -> Result<usize, Refused> {
        Intake::new().inspect(text.as_bytes())
    }

    #[test]
    fn plain_requests_go_on() {
        let sized = "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n\n\0\n";
        let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\nContent-Length: 1\r\n\r\n\
                       2;a=b\r\n\n\0\r\n0\r\nA: b\r\n\r\n";
        for text in [GET, sized, chunked, "\r\n\r\nGET / HTTP/1.1\r\n\r\n"] {
            let twice = format!("{text}{text}{GET}");
            assert_eq!(inspect(&twice), Ok(twice.len()), "{twice:?}");
            let bad = format!("{text}GET / HTTP/1.1\n");
            assert_eq!(inspect(&bad), Err(Refused { at: bad.len() - 1 }), "the next head is found: {bad:?}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_stops_there() {
        for (good, bad) in [
            ("GET / HTTP/1.1", "\nHost: a\r\n\r\n"),
            ("GET / HTTP/1.1\r\nHost: a", "\n\r\n"),
            ("GET / HTTP/1.1\r\nHost: a\r\n", "\n"),
            ("GET / HTTP/1.1\r\nA: b\r", "c\r\n\r\n"),
            ("GET / HTTP/1.1\r\nA: b\r", "\r\n\r\n"),
            ("GET / HTTP/1.1\r\nA: b\r\n", " c\r\n\r\n"),
            ("GET / HTTP/1.1\r\n", "\tc: d\r\n\r\n"),
            ("GET / HTTP/1.1\r\nA: ", "\0\r\n\r\n"),
            ("", "\nGET / HTTP/1.1\r\n\r\n"),
        ] {
            let text = format!("{good}{bad}");
            assert_eq!(inspect(&text), Err(Refused { at: good.len() }), "{text:?}");
        }
    }

    #[test]
    fn nothing_goes_on_before_another_protocol_is_settled() {
        for answer in [Switch::Made, Switch::Declined] {
            let mut intake = Intake::new();
            let text = format!("{UPGRADE}\n\0");
            assert_eq!(intake.inspect(text.as_bytes()), Ok(UPGRADE.len()));
            assert_eq!(intake.inspect(b"\n\0"), Ok(0));
            intake.settle(answer);
            assert_eq!(
                intake.inspect(b"\n\0"),
                if answer == Switch::Made { Ok(2) } else { Err(Refused { at: 0 }) }
            );
        }
        let old = UPGRADE.replace("1.1", "1.0");
        assert_eq!(inspect(&format!("{old}\n")), Err(Refused { at: old.len() }));
    }

    #[test]
    fn a_wish_for_another_protocol_with_a_body_holds_nothing_up() {
        let wish = "POST / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: upgrade\r\n";
        for body in
            ["Content-Length: 3\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"]
        {
            let text = format!("{wish}{body}{GET}");
            assert_eq!(inspect(&text), Ok(text.len()), "{text:?}");
        }
        let empty = format!("{wish}Content-Length: 0\r\n\r\n");
        assert_eq!(inspect(&format!("{empty}{GET}")), Ok(empty.len()));
    }

    #[test]
    fn a_line_without_end_costs_bounded_memory() {
        let mut intake = Intake::new();
        for _ in 0..100 {
            assert_eq!(intake.inspect(&[b'a'; 1000]), Ok(1000));
        }
        assert!(intake.line.capacity() <= 2 * LINE_BYTES_MAX);
        assert_eq!(intake.inspect(b"\n"), Err(Refused { at: 0 }));
    }

    /// Each byte by itself, so that no line is ever whole.
    fn inspect_byte_by_byte(text: &str) -> (Result<usize, Refused>, State) {
        let mut intake = Intake::new();
        for (at, byte) in text.bytes().enumerate() {
            match intake.inspect(&[byte]) {
                Ok(1) => {}
                Ok(_) => return (Ok(at), intake.state),
                Err(_) => return (Err(Refused { at }), intake.state),
            }
        }
        (Ok(text.len()), intake.state)
    }

    proptest! {
        #[test]
        fn a_line_that_is_all_there_is_understood_as_one_that_comes_in_parts(
            words in prop::collection::vec(prop::sample::select(vec![
                GET, UPGRADE, "POST / HTTP/1.1\r\n", "GET / HTTP/1.0\r\n", "Content-Length: 3\r\n", "Content-Length: 4\r\n",
                "content-length:3 \r\n", "Transfer-Encoding: chunked\r\n", "Transfer-Encoding: gzip\r\n",
                "Connection: a,Upgrade\r\n", "Upgrade: x\r\n", "A: \r\n", "A\r\n", "\r\n", "\r\r\n", " \r\n", "\tA: b\r\n",
                "A: \0\r\n", "A: b\n", "A: b\rc\r\n", "abc", "0\r\n\r\n",
            ]), 0..10),
            long in prop::option::of(LINE_BYTES_MAX - 20..LINE_BYTES_MAX + 20),
        ) {
            let long = long.map(|bytes| format!("GET / HTTP/1.1\r\nA: {}\r\n", "a".repeat(bytes)));
            let text = format!("{}{}", long.unwrap_or_default(), words.concat());
            let mut intake = Intake::new();
            let whole = intake.inspect(text.as_bytes());
            prop_assert_eq!((whole, intake.state), inspect_byte_by_byte(&text));
        }

        #[test]
        fn how_the_bytes_are_cut_changes_nothing(
            words in prop::collection::vec(prop::sample::select(vec![
                GET, UPGRADE, "POST / HTTP/1.1\r\n", "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n", "\r\n",
                "\r", "\n", "3\r\nabc\r\n", "0\r\n\r\n", "abc", " ", "\0", "Content-Length: x\r\n",
            ]), 0..12),
            cuts in prop::collection::vec(1..20_usize, 1..8),
        ) {
            let text = words.concat();
            let whole = inspect(&text);
            let (mut intake, mut at) = (Intake::new(), 0);
            let mut cut = None;
            for size in cuts.iter().cycle() {
                let part = &text.as_bytes()[at..(at + size).min(text.len())];
                if part.is_empty() { break }
                match intake.inspect(part) {
                    Ok(count) if count == part.len() => at += count,
                    Ok(count) => { cut = Some(Ok(at + count)); break }
                    Err(refused) => { cut = Some(Err(Refused { at: at + refused.at })); break }
                }
            }
            prop_assert_eq!(cut.unwrap_or(Ok(text.len())), whole);
        }
    }
}
