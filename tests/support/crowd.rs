//! Clients of the API: one, or many at once.

use std::time::{Duration, Instant};

use axum::body::Body;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::runtime::Runtime;

/// A client with one connection, which it keeps.
pub struct Client {
    asker: Asker,
    runtime: Runtime,
}

/// What a read came to.
pub struct Answer {
    pub status: StatusCode,
    pub took: Duration,
}

#[derive(Clone)]
struct Asker {
    client: legacy::Client<HttpConnector, Body>,
    base: String,
    authorization: String,
}

impl Client {
    /// One of the API on this port of loopback.
    pub fn new(port: u16, token: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { asker: Asker::new(port, token), runtime }
    }

    /// Reads a path to its end.
    pub fn get(&self, path: &str) -> StatusCode {
        self.runtime.block_on(self.asker.ask(Method::GET, path, ""))
    }

    /// Posts a body, which must be taken.
    pub fn post(&self, path: &str, body: &str) {
        let status = self.runtime.block_on(self.asker.ask(Method::POST, path, body));
        assert!(status.is_success(), "POST {path}: {status}");
    }
}

impl Asker {
    fn new(port: u16, token: &str) -> Self {
        let client = legacy::Client::builder(TokioExecutor::new()).build_http();
        Self { client, base: format!("http://127.0.0.1:{port}"), authorization: format!("Bearer {token}") }
    }

    async fn ask(&self, method: Method, path: &str, body: &str) -> StatusCode {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("Authorization", &self.authorization)
            .header("Accept", "application/vnd.heroku+json; version=3")
            .header("Content-Type", "application/json")
            .body(Body::from(body.to_owned()))
            .unwrap();
        let answer = self.client.request(request).await.unwrap();
        let status = answer.status();
        answer.into_body().collect().await.unwrap();
        status
    }
}

/// Has `clients` read at once, each on a connection of its own, `reads` times what `path` tells for the number of the
/// client and of the read.
pub fn reads(
    port: u16,
    token: &str,
    clients: u32,
    reads: u32,
    path: impl Fn(u32, u32) -> String,
) -> Vec<Answer> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let one = |client: u32| {
        let asker = Asker::new(port, token);
        let paths: Vec<String> = (0..reads).map(|read| path(client, read)).collect();
        runtime.spawn(async move {
            let mut answers = Vec::new();
            for path in paths {
                let begun = Instant::now();
                let status = asker.ask(Method::GET, &path, "").await;
                answers.push(Answer { status, took: begun.elapsed() });
            }
            answers
        })
    };
    let all: Vec<_> = (0..clients).map(one).collect();
    all.into_iter().flat_map(|one| runtime.block_on(one).unwrap()).collect()
}
