//! The API's client: HTTP/1 over the node's unix socket, or over TCP with a token; one connection a request.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::body::{Body, Incoming};
use hyper::header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, RANGE, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::cli::failure::Failure;
use crate::cli::host::{Host, Wire};
use crate::cli::node::NodeArgs;
use crate::wire::api_errors::ErrorBody;
use crate::wire::attach;

/// The media type that asks for version 3.
const ACCEPTED: &str = "application/vnd.heroku+json; version=3";
/// Tells where the rest of a list begins (platform reference 7.1).
const NEXT_RANGE: &str = "next-range";
/// More of an answer than this is no answer of the node, bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A request's body: whole, or streamed.
pub(super) type RequestBody = BoxBody<Bytes, io::Error>;

/// Speaks to one node.
#[derive(Clone, Debug)]
pub(super) struct Client {
    way: Way,
    identity: Identity,
}

/// How a node is reached.
#[derive(Clone, Debug)]
enum Way {
    Socket(PathBuf),
    Host { host: Host, authority: Option<PathBuf> },
}

/// As whom its user comes.
#[derive(Clone, Debug)]
enum Identity {
    /// As whom the kernel knows on a socket, elsewhere as whoever the kept token is of.
    Known,
    /// With a name and a password, which one door takes.
    Password(http::HeaderValue),
}

impl Client {
    /// The client of the node that the flags name.
    pub(super) fn new(node: &NodeArgs) -> Self {
        let way = match &node.host {
            Some(host) => Way::Host { host: host.clone(), authority: node.authority.clone() },
            None => Way::Socket(node.socket()),
        };
        Self { way, identity: Identity::Known }
    }

    /// The same client, that comes with a name and a password.
    pub(super) fn with_password(&self, user: &str, password: &str) -> Result<Self, Failure> {
        let pair = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("{user}:{password}"));
        let mut value = http::HeaderValue::try_from(format!("Basic {pair}"))
            .map_err(|failed| Failure::Usage(failed.to_string()))?;
        value.set_sensitive(true);
        Ok(Self { way: self.way.clone(), identity: Identity::Password(value) })
    }

    /// `GET path`; of a list all of it, however it is cut.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let response = accepted(self.send(self.request(Method::GET, path)?).await?).await?;
        let Some(mut range) = response.headers().get(NEXT_RANGE).cloned() else {
            return read(response).await;
        };
        let mut all = read::<Vec<serde_json::Value>>(response).await?;
        loop {
            let mut request = self.request(Method::GET, path)?;
            request.headers_mut().insert(RANGE, range);
            let response = accepted(self.send(request).await?).await?;
            let next = response.headers().get(NEXT_RANGE).cloned();
            all.extend(read::<Vec<serde_json::Value>>(response).await?);
            match next {
                Some(next) => range = next,
                None => break,
            }
        }
        serde_json::from_value(all.into()).map_err(|failed| Failure::Answer(failed.to_string()))
    }

    /// `method path` with a JSON body.
    pub(super) async fn send_json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let body = serde_json::to_vec(body).map_err(|failed| Failure::Answer(failed.to_string()))?;
        let mut request = self.request(method, path)?;
        request.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        *request.body_mut() = whole(body.into());
        read(self.send(request).await?).await
    }

    /// The same, with one header of the answer, where it is there and is text.
    pub(super) async fn send_json_with_header<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
        header: &str,
    ) -> Result<(T, Option<String>), Failure> {
        let body = serde_json::to_vec(body).map_err(|failed| Failure::Answer(failed.to_string()))?;
        let mut request = self.request(method, path)?;
        request.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        *request.body_mut() = whole(body.into());
        let response = accepted(self.send(request).await?).await?;
        let told = response.headers().get(header).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok((read(response).await?, told))
    }

    /// `method path` with a JSON body, answered by nothing.
    pub(super) async fn send_nothing(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<(), Failure> {
        let body = serde_json::to_vec(body).map_err(|failed| Failure::Answer(failed.to_string()))?;
        let mut request = self.request(method, path)?;
        request.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        *request.body_mut() = whole(body.into());
        accepted(self.send(request).await?).await.map(drop)
    }

    /// `method path` without a body.
    pub(super) async fn call<T: DeserializeOwned>(&self, method: Method, path: &str) -> Result<T, Failure> {
        read(self.send(self.request(method, path)?).await?).await
    }

    /// `GET path` of a list, with a `Range`.
    pub(super) async fn get_range<T: DeserializeOwned>(
        &self,
        path: &str,
        range: &str,
    ) -> Result<Vec<T>, Failure> {
        let mut request = self.request(Method::GET, path)?;
        let range =
            http::HeaderValue::from_str(range).map_err(|failed| Failure::Usage(failed.to_string()))?;
        request.headers_mut().insert(RANGE, range);
        read(self.send(request).await?).await
    }

    /// `GET path` as a stream of bytes; `path` may be a whole URL of the node's.
    pub(super) async fn stream(&self, path: &str) -> Result<Incoming, Failure> {
        Ok(accepted(self.send(self.request(Method::GET, path_of(path))?).await?).await?.into_body())
    }

    /// `POST path` with a streamed body, answered by a stream.
    pub(super) async fn push(&self, path: &str, body: RequestBody) -> Result<Incoming, Failure> {
        let mut request = self.request(Method::POST, path)?;
        let tar = http::HeaderValue::from_static("application/x-tar");
        request.headers_mut().insert(CONTENT_TYPE, tar);
        *request.body_mut() = body;
        Ok(accepted(self.send(request).await?).await?.into_body())
    }

    /// `PUT url` of a place of the node's for a source, with a streamed body.
    pub(super) async fn put(&self, url: &str, body: RequestBody) -> Result<(), Failure> {
        let mut request = self.request(Method::PUT, path_of(url))?;
        *request.body_mut() = body;
        accepted(self.send(request).await?).await.map(drop)
    }

    /// Attaches to a one-off dyno: the connection then speaks frames.
    pub(super) async fn attach(&self, path: &str) -> Result<TokioIo<Upgraded>, Failure> {
        self.switched(self.request(Method::GET, path_of(path))?).await
    }

    /// Has something done by a command that this is then attached to: the connection speaks frames.
    pub(super) async fn attach_to(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<TokioIo<Upgraded>, Failure> {
        let body = serde_json::to_vec(body).map_err(|failed| Failure::Answer(failed.to_string()))?;
        let mut request = self.request(Method::POST, path)?;
        request.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        *request.body_mut() = whole(body.into());
        self.switched(request).await
    }

    async fn switched(&self, mut request: Request<RequestBody>) -> Result<TokioIo<Upgraded>, Failure> {
        let headers = request.headers_mut();
        headers.insert(CONNECTION, http::HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, http::HeaderValue::from_static(attach::PROTOCOL));
        let response = self.send(request).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let response = accepted(response).await?;
            return Err(Failure::Answer(format!("status {} to an attach", response.status())));
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(Failure::connection("attaching"))?;
        Ok(TokioIo::new(upgraded))
    }

    fn request(&self, method: Method, path: &str) -> Result<Request<RequestBody>, Failure> {
        let host = match &self.way {
            Way::Socket(_) => "localhost".to_owned(),
            Way::Host { host, .. } => host.authority(),
        };
        let mut request =
            Request::builder().method(method).uri(path).header(HOST, host).header(ACCEPT, ACCEPTED);
        if let Some(authorization) = self.authorization()? {
            request = request.header(AUTHORIZATION, authorization);
        }
        request.body(whole(Bytes::new())).map_err(|failed| Failure::Usage(failed.to_string()))
    }

    /// What tells who asks, where the connection does not.
    fn authorization(&self) -> Result<Option<http::HeaderValue>, Failure> {
        match (&self.identity, &self.way) {
            (Identity::Password(value), _) => Ok(Some(value.clone())),
            (Identity::Known, Way::Socket(_)) => Ok(None),
            (Identity::Known, Way::Host { host, .. }) => {
                let Some(token) = host.known_token()? else { return Ok(None) };
                let mut value = http::HeaderValue::try_from(format!("Bearer {token}"))
                    .map_err(|_| Failure::LoggedOut(host.origin()))?;
                value.set_sensitive(true);
                Ok(Some(value))
            }
        }
    }

    async fn connect(&self) -> Result<Box<dyn Wire>, Failure> {
        match &self.way {
            Way::Socket(path) => match UnixStream::connect(path).await {
                Ok(stream) => Ok(Box::new(stream)),
                Err(source) => Err(unreachable(path, source)),
            },
            Way::Host { host, authority } => host.connect(authority.as_deref()).await,
        }
    }

    async fn send(&self, request: Request<RequestBody>) -> Result<Response<Incoming>, Failure> {
        let stream = self.connect().await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(Failure::connection("greeting it"))?;
        // Ends with the connection, at the latest with the command; its errors reach the sender.
        tokio::spawn(connection.with_upgrades());
        let response =
            sender.send_request(request).await.map_err(Failure::connection("sending a request"))?;
        match (&self.way, &self.identity) {
            (Way::Host { host, .. }, Identity::Known) if response.status() == StatusCode::UNAUTHORIZED => {
                Err(Failure::LoggedOut(host.origin()))
            }
            _ => Ok(response),
        }
    }
}

/// Why the socket of this machine's node cannot be reached.
fn unreachable(socket: &Path, source: io::Error) -> Failure {
    let kind = source.kind();
    if matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
        Failure::NodeDown(socket.to_owned())
    } else if kind == io::ErrorKind::PermissionDenied {
        Failure::NodeDenied(socket.to_owned())
    } else {
        Failure::Local { attempt: format!("reach the node at {}", socket.display()), source }
    }
}

/// A body that is all there.
pub(super) fn whole(bytes: Bytes) -> RequestBody {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

/// The next piece of a streamed answer.
pub(super) async fn next_chunk(body: &mut Incoming) -> Result<Option<Bytes>, Failure> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(Failure::connection("reading its answer"))?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

async fn read<T: DeserializeOwned>(response: Response<Incoming>) -> Result<T, Failure> {
    let body = collect(accepted(response).await?).await?;
    serde_json::from_slice(&body).map_err(|failed| Failure::Answer(failed.to_string()))
}

/// The response, unless it is a refusal.
async fn accepted(response: Response<Incoming>) -> Result<Response<Incoming>, Failure> {
    let status = response.status();
    if status.is_success() || status.is_informational() {
        return Ok(response);
    }
    let body = collect(response).await?;
    match serde_json::from_slice::<ErrorBody>(&body) {
        Ok(body) => Err(Failure::Refused(body)),
        Err(_) => Err(Failure::Answer(format!("status {status}"))),
    }
}

async fn collect(response: Response<Incoming>) -> Result<Bytes, Failure> {
    if response.body().size_hint().lower() > ANSWER_BYTES_MAX as u64 {
        return Err(Failure::Answer("it is too long".to_owned()));
    }
    let limited = http_body_util::Limited::new(response.into_body(), ANSWER_BYTES_MAX);
    let whole = limited.collect().await.map_err(Failure::connection("reading its answer"))?;
    Ok(whole.to_bytes())
}

/// Path and query of what may be a whole URL.
fn path_of(url: &str) -> &str {
    match url.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => url,
    }
}

#[cfg(test)]
mod test {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixListener;

    use super::*;
    use crate::wire::attach::Frame;

    fn client_of(socket: PathBuf) -> Client {
        Client::new(&NodeArgs { socket: Some(socket), ..NodeArgs::default() })
    }

    /// A node that answers one connection with `answer`, and what it was sent.
    fn node(answer: Vec<u8>) -> (tempfile::TempDir, Client, tokio::task::JoinHandle<String>) {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("api.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let sent = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut sent = vec![0; 4096];
            let count = stream.read(&mut sent).await.unwrap();
            stream.write_all(&answer).await.unwrap();
            String::from_utf8_lossy(&sent[..count]).into_owned()
        });
        (dir, client_of(socket), sent)
    }

    fn answer(status: &str, body: &str) -> Vec<u8> {
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    #[tokio::test]
    async fn answers_are_read_and_refusals_are_told() {
        let (_dir, client, sent) = node(answer("200 OK", "[1,2]"));
        assert_eq!(client.get::<Vec<u8>>("/apps").await.unwrap(), [1, 2]);
        let sent = sent.await.unwrap();
        assert!(sent.starts_with("GET /apps HTTP/1.1\r\n"), "{sent}");
        assert!(sent.contains("accept: application/vnd.heroku+json; version=3\r\n"), "{sent}");

        let body = r#"{"id":"not_found","message":"Couldn't find that app.","resource":"app"}"#;
        let (_dir, client, _sent) = node(answer("404 Not Found", body));
        let failure = client.get::<Vec<u8>>("/apps/x").await.unwrap_err();
        assert!(matches!(&failure, Failure::Refused(body) if body.id == "not_found"), "{failure:?}");

        let (_dir, client, _sent) = node(answer("502 Bad Gateway", "<html>"));
        assert!(matches!(client.get::<Vec<u8>>("/apps").await, Err(Failure::Answer(_))));
    }

    #[tokio::test]
    async fn a_list_that_is_cut_is_read_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("api.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let asked = tokio::spawn(async move {
            let mut asked = Vec::new();
            for (next, body) in
                [("next-range: id ]2..\r\n", "[1,2]"), ("next-range: id ]4..\r\n", "[3,4]"), ("", "[5]")]
            {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut sent = vec![0; 4096];
                let count = stream.read(&mut sent).await.unwrap();
                let head =
                    format!("HTTP/1.1 206 Partial Content\r\n{next}content-length: {}\r\n\r\n", body.len());
                stream.write_all((head + body).as_bytes()).await.unwrap();
                asked.push(String::from_utf8_lossy(&sent[..count]).into_owned());
            }
            asked
        });
        assert_eq!(client_of(socket).get::<Vec<u8>>("/apps").await.unwrap(), [1, 2, 3, 4, 5]);
        let asked = asked.await.unwrap();
        assert!(
            !asked[0].contains("range:")
                && asked[1].contains("range: id ]2..")
                && asked[2].contains("id ]4..")
        );
    }

    #[tokio::test]
    async fn a_node_that_is_not_there_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let client = client_of(dir.path().join("api.sock"));
        assert!(matches!(client.get::<Vec<u8>>("/apps").await, Err(Failure::NodeDown(_))));
    }

    #[tokio::test]
    async fn an_attached_connection_speaks_frames() {
        let mut bytes =
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: dyno-attach/1\r\n\r\n"
                .to_vec();
        bytes.extend(Frame::Exit(3).encode());
        let (_dir, client, sent) = node(bytes);
        let mut connection = client.attach("http://localhost/attach/x").await.unwrap();
        let mut received = Vec::new();
        connection.read_to_end(&mut received).await.unwrap();
        assert_eq!(Frame::take(&mut received), Ok(Some(Frame::Exit(3))));
        let sent = sent.await.unwrap();
        assert!(sent.starts_with("GET /attach/x HTTP/1.1\r\n"), "{sent}");
        assert!(sent.contains("upgrade: dyno-attach/1\r\n"), "{sent}");
    }

    #[test]
    fn urls_of_the_node_are_reached_over_its_socket() {
        assert_eq!(path_of("http://127.0.0.1:5080/logs/x?y=z"), "/logs/x?y=z");
        assert_eq!(path_of("/logs/x"), "/logs/x");
        assert_eq!(path_of("http://localhost"), "/");
    }
}
