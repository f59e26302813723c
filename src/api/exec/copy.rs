//! Reading files of a dyno by SFTP (draft-ietf-secsh-filexfer-02): opening, looking at the size, reading and closing, and
//! nothing else.
//!
//! The dyno's own processes do it: a further command in it, as the app's user and under all that confines the dyno, says the
//! file's size and digest and then the file. So a file is read once, from begin to end, one at a time. The last part is given out
//! only if all of it has come as it was.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use russh_sftp::protocol::{
    Attrs, Close, Data, FileAttributes, FileMode, Fstat, Handle, Open, OpenFlags, Packet, Read, StatusCode,
    Version,
};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::api::exec::run::enter;
use crate::api::exec::visitors::Visitor;
use crate::api::state::Api;
use crate::domain::command_line;
use crate::flows::ports::Streams;
use crate::wire::exec::{CHANGED, FAILED, NO_FILE, NO_HANDLE, NOT_IN_ORDER, ONE_FILE, READ_ONLY};

/// Bytes of a request; the longest names a file.
const REQUEST_BYTES_MAX: u32 = 16 * 1024;
/// Bytes of a file's name (`PATH_MAX`, limits.h).
const NAME_BYTES_MAX: usize = 4096;
/// Bytes read at once, whatever is asked for.
const READ_BYTES_MAX: u32 = 256 * 1024;
/// Bytes that a client may ask for behind or before what it was given last: the stock one has 64 parts of 32 KiB on their way, and
/// asks for the ends of parts later.
const HELD_BYTES_MAX: u64 = 4 << 20;
/// How long a client may ask for nothing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the dyno may take until the file begins: its profile scripts run first, and a digest is made.
const HEAD_TIMEOUT: Duration = Duration::from_secs(300);
/// Most that profile scripts may say before the file comes, in bytes.
const HEAD_BYTES_MAX: usize = 1 << 20;
/// How long the dyno may take to say the next part.
const PART_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes read at once while the begin is looked for.
const CHUNK_BYTES: usize = 16 * 1024;
/// The one handle.
const HANDLE: &str = "file";
/// Tells that the file begins behind the end of this line, after all that profile scripts may say.
const MARK: &[u8] = b"\ndyno-file ";
/// Runs in the dyno, and is given the file's name. A file that grows meanwhile is read as far as it went.
const SCRIPT: &str = r#"[ -f "$1" ] && [ -r "$1" ] && size=$(stat -L -c %s -- "$1") &&
sum=$(head -c "$size" < "$1" | sha256sum) || { printf '\n%s\n' 'dyno-file none'; exit 1; }
printf '\n%s %s %s\n' dyno-file "$size" "${sum%% *}" && exec head -c "$size" < "$1" 2> /dev/null"#;

/// A file on its way.
struct File {
    streams: Streams,
    size: u64,
    /// Of all of it, in hexadecimal digits.
    digest: String,
    /// What came with the begin and was not read yet.
    early: Vec<u8>,
    /// The last of what has come, of which clients ask for parts once more, or late.
    held: VecDeque<u8>,
    /// How far the file has come.
    position: u64,
    hash: Sha256,
    /// Whether it has not come as it was.
    is_damaged: bool,
}

/// Why a request is not done.
type Refused = (StatusCode, String);

fn refused(code: StatusCode, text: &str) -> Refused {
    (code, text.to_owned())
}

/// Answers requests until the client has asked for all.
pub(super) async fn serve(
    api: &Api,
    visitor: &Visitor,
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
) {
    let mut file = None;
    while let Some(request) = next(&mut reader).await {
        let id = request.get_request_id();
        let answer = answer(api, visitor, &mut file, request).await;
        let answer = answer.unwrap_or_else(|(code, text)| Packet::status(id, code, &text, "en"));
        let Ok(answer) = Bytes::try_from(answer) else { return };
        if writer.write_all(&answer).await.is_err() || writer.flush().await.is_err() {
            return;
        }
    }
}

/// The next request; none at the end, after too long a silence, and after one that cannot be read.
async fn next(reader: &mut (impl AsyncRead + Unpin)) -> Option<Packet> {
    let reading = async {
        let length = reader.read_u32().await.ok().filter(|length| *length <= REQUEST_BYTES_MAX)?;
        let mut request = vec![0; usize::try_from(length).ok()?];
        reader.read_exact(&mut request).await.ok()?;
        Packet::try_from(&mut Bytes::from(request)).ok()
    };
    timeout(IDLE_TIMEOUT, reading).await.ok().flatten()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what is not named is refused, whatever it is")]
async fn answer(
    api: &Api,
    visitor: &Visitor,
    file: &mut Option<File>,
    request: Packet,
) -> Result<Packet, Refused> {
    let no_handle = || refused(StatusCode::Failure, NO_HANDLE);
    match request {
        Packet::Init(_) => Ok(Version::new().into()),
        Packet::Open(Open { id, filename, pflags, .. }) => {
            if file.is_some() {
                return Err(refused(StatusCode::Failure, ONE_FILE));
            }
            if pflags.bits() != OpenFlags::READ.bits() {
                return Err(refused(StatusCode::PermissionDenied, READ_ONLY));
            }
            *file = Some(open(api, visitor, filename).await?);
            Ok(Handle { id, handle: HANDLE.to_owned() }.into())
        }
        Packet::Fstat(Fstat { id, handle }) => {
            let file = file.as_ref().filter(|_| handle == HANDLE).ok_or_else(no_handle)?;
            let mut attrs = FileAttributes { size: Some(file.size), ..FileAttributes::empty() };
            attrs.set_type(FileMode::REG);
            Ok(Attrs { id, attrs }.into())
        }
        Packet::Read(Read { id, handle, offset, len }) => {
            let file = file.as_mut().filter(|_| handle == HANDLE).ok_or_else(no_handle)?;
            Ok(Data { id, data: file.read(offset, len).await? }.into())
        }
        Packet::Close(Close { id, handle }) => {
            // What reads it ends when its streams are let go.
            file.take().filter(|_| handle == HANDLE).ok_or_else(no_handle)?;
            Ok(Packet::error(id, StatusCode::Ok))
        }
        _ => Err(refused(StatusCode::OpUnsupported, READ_ONLY)),
    }
}

async fn open(api: &Api, visitor: &Visitor, name: String) -> Result<File, Refused> {
    if name.len() > NAME_BYTES_MAX {
        return Err(refused(StatusCode::NoSuchFile, NO_FILE));
    }
    let words = ["bash", "-c", SCRIPT, "copy", &name].map(str::to_owned);
    let streams = enter(api, visitor, command_line(&words), None).await;
    let streams = streams.map_err(|text| (StatusCode::Failure, text))?;
    let begun = timeout(HEAD_TIMEOUT, File::begin(streams)).await;
    begun.unwrap_or_else(|_| Err(refused(StatusCode::Failure, FAILED)))
}

/// What the line behind the mark tells: size and digest, and where the file begins.
fn head(said: &[u8]) -> Option<(&str, usize)> {
    let mark = said.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    let end = mark + said[mark..].iter().position(|byte| *byte == b'\n')?;
    Some((std::str::from_utf8(&said[mark..end]).unwrap_or_default(), end + 1))
}

impl File {
    async fn begin(mut streams: Streams) -> Result<Self, Refused> {
        let mut said = Vec::new();
        loop {
            if let Some((line, begin)) = head(&said) {
                let told = line.split_once(' ').and_then(|(size, digest)| Some((size.parse().ok()?, digest)));
                let (size, digest) = told.ok_or_else(|| refused(StatusCode::NoSuchFile, NO_FILE))?;
                let digest = digest.to_owned();
                let early = said.split_off(begin);
                return Ok(Self {
                    streams,
                    size,
                    digest,
                    early,
                    held: VecDeque::new(),
                    position: 0,
                    hash: Sha256::new(),
                    is_damaged: false,
                });
            }
            let mut chunk = [0; CHUNK_BYTES];
            let length = streams.output.read(&mut chunk).await.unwrap_or(0);
            if length == 0 || said.len() > HEAD_BYTES_MAX {
                return Err(refused(StatusCode::Failure, FAILED));
            }
            said.extend_from_slice(&chunk[..length]);
        }
    }

    /// All that is asked for, as far as the file goes.
    async fn read(&mut self, offset: u64, length: u32) -> Result<Vec<u8>, Refused> {
        if offset >= self.size {
            return Err(refused(StatusCode::Eof, ""));
        }
        let end = self.size.min(offset.saturating_add(u64::from(length.min(READ_BYTES_MAX))));
        let (_, begin) = self.held();
        if offset < begin || end - self.position.min(end) > HELD_BYTES_MAX {
            return Err(refused(StatusCode::Failure, NOT_IN_ORDER));
        }
        if end > self.position {
            self.advance(end).await?;
        }
        if self.is_damaged {
            return Err(refused(StatusCode::Failure, CHANGED));
        }
        let (held, begin) = self.held();
        let part = held.range(length_of(offset - begin)..length_of(end - begin)).copied().collect();
        let excess = self.held.len().saturating_sub(length_of(HELD_BYTES_MAX));
        self.held.drain(..excess);
        Ok(part)
    }

    /// What is kept of the file, and where in it that begins.
    fn held(&self) -> (&VecDeque<u8>, u64) {
        (&self.held, self.position - u64::try_from(self.held.len()).unwrap_or(0))
    }

    /// Has the file come up to `end`, and looks whether it came whole.
    async fn advance(&mut self, end: u64) -> Result<(), Refused> {
        let mut part = vec![0; length_of(end - self.position)];
        let early = self.early.len().min(part.len());
        part[..early].copy_from_slice(&self.early[..early]);
        self.early.drain(..early);
        let rest = timeout(PART_TIMEOUT, self.streams.output.read_exact(&mut part[early..])).await;
        if !matches!(rest, Ok(Ok(_))) {
            self.is_damaged = true;
            return Err(refused(StatusCode::Failure, CHANGED));
        }
        self.hash.update(&part);
        self.held.extend(part);
        self.position = end;
        let is_whole = || hex::encode(self.hash.clone().finalize()) == self.digest;
        self.is_damaged |= self.position == self.size && !is_whole();
        Ok(())
    }
}

/// A number of bytes in memory, bounded by what is held.
fn length_of(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod test {
    use super::*;

    /// What a dyno says, as the begin of a copy.
    async fn begun(said: &[u8]) -> Result<File, Refused> {
        let (output, mut dyno) = tokio::io::duplex(1 << 16);
        dyno.write_all(said).await.unwrap();
        // That was all.
        drop(dyno);
        let control = tokio::sync::mpsc::channel(1).0;
        let exit = Box::pin(async { 0 });
        let input = Box::new(tokio::io::sink());
        File::begin(Streams { input, output: Box::new(output), control, exit }).await
    }

    fn said(content: &[u8]) -> Vec<u8> {
        let digest = hex::encode(Sha256::digest(content));
        let begin = format!("a profile speaks\n\ndyno-file {} {digest}\n", content.len());
        [begin.as_bytes(), content].concat()
    }

    #[tokio::test]
    async fn only_what_follows_the_mark_is_read() {
        let mut file = begun(&said(b"a\nb")).await.unwrap();
        assert_eq!(file.size, 3);
        assert_eq!(file.read(0, 1).await.unwrap(), b"a");
        assert_eq!(file.read(1, 100).await.unwrap(), b"\nb");
        assert_eq!(file.read(0, 2).await.unwrap(), b"a\n", "once more");
        assert_eq!(file.read(3, 1).await.unwrap_err().0, StatusCode::Eof);
        let mut empty = begun(&said(b"")).await.unwrap();
        assert_eq!(empty.read(0, 1).await.unwrap_err().0, StatusCode::Eof);
        let none = begun(b"\ndyno-file none\n").await.err().unwrap();
        assert_eq!(none, refused(StatusCode::NoSuchFile, NO_FILE));
        assert_eq!(begun(b"it speaks of something else\n").await.err().unwrap().1, FAILED);
    }

    #[tokio::test]
    async fn parts_may_be_asked_for_somewhat_out_of_order() {
        let content: Vec<u8> = (0..6_u32 << 20).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let (output, mut dyno) = tokio::io::duplex(1 << 16);
        let all = said(&content);
        tokio::spawn(async move { dyno.write_all(&all).await });
        let control = tokio::sync::mpsc::channel(1).0;
        let (input, exit) = (Box::new(tokio::io::sink()), Box::pin(async { 0 }));
        let mut file = File::begin(Streams { input, output: Box::new(output), control, exit }).await.unwrap();
        for at in [2 << 20, 0, 4 << 20, 3 << 20, (6 << 20) - 10] {
            let part = file.read(at, 1000).await.unwrap();
            let at = length_of(at);
            assert!(part == content[at..content.len().min(at + 1000)], "{at}");
        }
        assert_eq!(file.read(0, 1).await.unwrap_err().1, NOT_IN_ORDER, "it is forgotten");
        let mut file = begun(&said(&[0; 8 << 10])).await.unwrap();
        file.size = 5 << 20;
        assert_eq!(file.read(HELD_BYTES_MAX, 1).await.unwrap_err().1, NOT_IN_ORDER, "it is too far ahead");
    }

    #[tokio::test]
    async fn what_came_otherwise_is_not_given_out_whole() {
        for damage in [
            |said: &mut Vec<u8>| said.truncate(said.len() - 1),
            |said: &mut Vec<u8>| {
                *said.last_mut().unwrap() ^= 1;
            },
        ] {
            let mut said = said(b"a file");
            damage(&mut said);
            let mut file = begun(&said).await.unwrap();
            assert_eq!(file.read(0, 3).await.unwrap(), b"a f");
            assert_eq!(file.read(3, 3).await.unwrap_err(), refused(StatusCode::Failure, CHANGED));
        }
    }
}
