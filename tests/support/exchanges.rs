//! Keeps what a client and a node's API say to each other: a proxy on loopback between both.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// One question of a client and its answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub method: Method,
    /// Without a query.
    pub path: String,
    /// Which variant of the API was asked for.
    pub accept: String,
    pub status: StatusCode,
    /// What the answer held; nothing where it is no JSON.
    pub answer: Option<Value>,
}

/// The proxy; it ends when dropped.
pub struct Recorder {
    /// Where clients find it, on loopback.
    pub port: u16,
    kept: Arc<Mutex<Vec<Exchange>>>,
    /// Runs it.
    _runtime: tokio::runtime::Runtime,
}

#[derive(Clone)]
struct Between {
    /// What the node calls itself: links in its answers must lead there, not here.
    host: String,
    client: Client<HttpConnector, Body>,
    kept: Arc<Mutex<Vec<Exchange>>>,
}

impl Recorder {
    /// A proxy before the API on this port of loopback.
    pub fn before(port: u16) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let kept = Arc::new(Mutex::new(Vec::new()));
        let client = Client::builder(TokioExecutor::new()).build_http();
        let between = Between { host: format!("localhost:{port}"), client, kept: Arc::clone(&kept) };
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = runtime.block_on(tokio::net::TcpListener::bind(any)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = axum::Router::new().fallback(pass).with_state(between);
        runtime.spawn(async move { axum::serve(listener, proxy).await });
        Self { port, kept, _runtime: runtime }
    }

    /// What was said up to now.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.kept.lock().unwrap().clone()
    }
}

async fn pass(State(between): State<Between>, mut request: Request) -> Response {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let accept =
        request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let asked = request.uri().path_and_query().map_or("/", |rest| rest.as_str());
    *request.uri_mut() = format!("http://{}{asked}", between.host).parse().unwrap();
    request.headers_mut().insert(HOST, between.host.parse().unwrap());
    let answer = match between.client.request(request).await {
        Ok(answer) => answer,
        Err(error) => return (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    };
    let (head, body) = answer.into_parts();
    let is_json = head
        .headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.to_str().is_ok_and(|kind| kind.contains("json")));
    let keep = |answer| {
        let exchange = Exchange { method, path, accept, status: head.status, answer };
        between.kept.lock().unwrap().push(exchange);
    };
    // Streams have no end to wait for, and are not JSON.
    if !is_json {
        keep(None);
        return Response::from_parts(head, Body::new(body));
    }
    match body.collect().await {
        Ok(whole) => {
            let whole = whole.to_bytes();
            keep(serde_json::from_slice(&whole).ok());
            Response::from_parts(head, Body::from(whole))
        }
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}
