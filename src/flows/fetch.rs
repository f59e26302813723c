//! Fetching an archive of source code from elsewhere, by HTTP: bounded in time, length and redirects, each of which is
//! judged like the first address.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HOST, LOCATION, USER_AGENT};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use tokio::io::AsyncWriteExt as _;

use crate::domain::{Checksum, Reach, SourceUrl};
use crate::flows::outbound::{ConnectError, connect, host};
use crate::flows::sources::{DiskRoom, RECEIVE_TIMEOUT_S, SOURCE_BYTES_MAX};
use crate::logs::Tls;
use crate::wire::api::SOURCE_USER_AGENT;

/// Redirects that are followed.
const REDIRECTS_MAX: usize = 5;
/// Bytes of a file read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Why an archive is not here. Told to whoever asked for the build: it names no address and no secret.
#[derive(Debug, Error)]
pub(super) enum FetchError {
    #[error("{0}")]
    Connect(#[from] ConnectError),
    #[error("its server answers {}", .0.as_u16())]
    Status(StatusCode),
    #[error("its server answers what is no HTTP, or breaks off")]
    Broken,
    #[error("its server leads on to a place that cannot be fetched from")]
    Redirect,
    #[error("its server leads on more than {REDIRECTS_MAX} times")]
    Redirects,
    #[error("it is larger than {} MiB", SOURCE_BYTES_MAX >> 20)]
    TooLarge,
    #[error("it took longer than {RECEIVE_TIMEOUT_S} s")]
    Late,
    #[error("the node's disk has no room left for it: its administrator can make some")]
    NoRoom,
    #[error("the node cannot keep it")]
    Disk(#[source] io::Error),
    #[error("it does not have the checksum that was named")]
    Checksum,
}

/// Fetches what is at `url` into a new file.
pub(super) async fn fetch(url: &SourceUrl, way: (&Arc<Tls>, Reach), to: &Path) -> Result<(), FetchError> {
    let limit = Duration::from_secs(RECEIVE_TIMEOUT_S);
    let whole = async {
        let answer = answer(url.clone(), way).await?;
        keep(answer.into_body(), to).await
    };
    tokio::time::timeout(limit, whole).await.unwrap_or(Err(FetchError::Late))
}

/// The answer that holds the archive.
async fn answer(mut url: SourceUrl, way: (&Arc<Tls>, Reach)) -> Result<Response<Incoming>, FetchError> {
    for _ in 0..=REDIRECTS_MAX {
        let answer = ask(&url, way).await?;
        let status = answer.status();
        if status == StatusCode::OK {
            return Ok(answer);
        }
        if !status.is_redirection() {
            return Err(FetchError::Status(status));
        }
        let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let next = location.and_then(|location| url.redirected(location).ok());
        url = next.ok_or(FetchError::Redirect)?;
    }
    Err(FetchError::Redirects)
}

async fn ask(url: &SourceUrl, (tls, reach): (&Arc<Tls>, Reach)) -> Result<Response<Incoming>, FetchError> {
    let url = url.parts();
    let mut request = Request::get(&url.path)
        .header(HOST, host(url))
        .header(ACCEPT, "*/*")
        .header(USER_AGENT, SOURCE_USER_AGENT);
    if let Some(userinfo) = &url.userinfo {
        let plain: Vec<u8> = percent_decode_str(userinfo).collect();
        request = request.header(AUTHORIZATION, format!("Basic {}", STANDARD.encode(plain)));
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|_| FetchError::Broken)?;
    let stream = connect(url, tls, reach).await?;
    let (mut requests, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|_| FetchError::Broken)?;
    // Ends with the answer; its errors reach that.
    tokio::spawn(connection);
    requests.send_request(request).await.map_err(|_| FetchError::Broken)
}

async fn keep(mut body: Incoming, to: &Path) -> Result<(), FetchError> {
    let mut file = tokio::fs::File::create_new(to).await.map_err(FetchError::Disk)?;
    let (mut bytes, mut room) = (0, DiskRoom::beside(to));
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| FetchError::Broken)?.into_data() else { continue };
        bytes += data.len() as u64;
        if !room.is_left(bytes) {
            return Err(FetchError::NoRoom);
        }
        if bytes > SOURCE_BYTES_MAX {
            return Err(FetchError::TooLarge);
        }
        file.write_all(&data).await.map_err(FetchError::Disk)?;
    }
    file.flush().await.map_err(FetchError::Disk)
}

/// Whether the file at `path` has a checksum.
pub(super) async fn check(path: &Path, expected: &Checksum) -> Result<(), FetchError> {
    let path = path.to_owned();
    let digest = tokio::task::spawn_blocking(move || digest(&path)).await;
    let digest = digest.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(FetchError::Disk)?;
    if digest == expected.digits() { Ok(()) } else { Err(FetchError::Checksum) }
}

fn digest(path: &Path) -> io::Result<String> {
    use std::io::Read as _;
    let mut file = std::fs::File::open(path)?;
    let (mut digest, mut chunk) = (Sha256::new(), vec![0; CHUNK_BYTES]);
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hex::encode(digest.finalize())),
            count => digest.update(&chunk[..count]),
        }
    }
}

#[cfg(test)]
mod test {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;
    use crate::logs::Trust;

    /// Answers each request with the next of these, and tells what was asked.
    async fn server(answers: Vec<String>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = tokio::spawn(async move {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    assert!(stream.read_buf(&mut head).await.unwrap() > 0);
                }
                asked.push(String::from_utf8(head).unwrap());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            asked
        });
        (format!("http://me:p%40ss@{address}/a.tgz"), asked)
    }

    async fn fetched(url: &str, reach: Reach) -> Result<Vec<u8>, FetchError> {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("source");
        let tls = Arc::new(Tls::new(Trust::Host));
        fetch(&url.parse().unwrap(), (&tls, reach), &to).await?;
        Ok(std::fs::read(to).unwrap())
    }

    fn ok(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    }

    fn moved(to: &str) -> String {
        format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    }

    #[tokio::test]
    async fn an_archive_comes_from_where_its_server_leads_and_credentials_stay_behind() {
        let (url, asked) = server(vec![moved("/b.tgz"), ok("an archive")]).await;
        assert_eq!(fetched(&url, Reach::Any).await.unwrap(), b"an archive");
        let asked = asked.await.unwrap();
        assert!(
            asked[0].starts_with("GET /a.tgz ") && asked[0].contains("Basic bWU6cEBzcw=="),
            "{}",
            asked[0]
        );
        assert!(asked[1].starts_with("GET /b.tgz ") && !asked[1].contains("Basic"), "{}", asked[1]);
    }

    #[tokio::test]
    async fn what_is_not_an_archive_is_told() {
        let (url, _) = server(vec!["HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n".to_owned()]).await;
        assert!(matches!(fetched(&url, Reach::Any).await, Err(FetchError::Status(StatusCode::NOT_FOUND))));
        let (url, _) = server(vec!["hello\r\n\r\n".to_owned()]).await;
        assert!(matches!(fetched(&url, Reach::Any).await, Err(FetchError::Broken)));
        let half = "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhalf".to_owned();
        let (url, _) = server(vec![half]).await;
        assert!(matches!(fetched(&url, Reach::Any).await, Err(FetchError::Broken)));
        let (url, _) = server(vec![moved("/again"); REDIRECTS_MAX + 1]).await;
        assert!(matches!(fetched(&url, Reach::Any).await, Err(FetchError::Redirects)));
        let (url, _) = server(vec![moved("file:///etc/passwd")]).await;
        assert!(matches!(fetched(&url, Reach::Any).await, Err(FetchError::Redirect)));
    }

    #[tokio::test]
    async fn addresses_of_this_machine_are_not_fetched_from() {
        let (url, _) = server(vec![ok("metadata")]).await;
        let refused = fetched(&url, Reach::Public).await;
        assert!(matches!(refused, Err(FetchError::Connect(ConnectError::NotAllowed))), "{refused:?}");
    }

    #[tokio::test]
    async fn a_checksum_is_that_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("source");
        std::fs::write(&path, "abc").unwrap();
        let right =
            "SHA256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".parse().unwrap();
        assert!(check(&path, &right).await.is_ok());
        let wrong = format!("SHA256:{}", "0".repeat(64)).parse().unwrap();
        assert!(matches!(check(&path, &wrong).await, Err(FetchError::Checksum)));
    }
}
