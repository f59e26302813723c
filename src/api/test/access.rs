//! Who may do what: every route of the table as everybody, and the ways in over TCP.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderMap, HeaderValue};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::*;
use crate::api::auth::{Door, Gate, Link, admit};
use crate::api::{Front, Need, router, serve_tcp, table};
use crate::domain::AppRight;
use crate::flows::{self, AuthorizationRequest, Caller, Token};
use crate::wire::rendezvous::{GREETING, SENTINEL, status_line};

pub(super) const TOKEN: &str = "the-nodes-own-token";
const VERSION_3: &str = "application/vnd.heroku+json; version=3";

/// What a request travels in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    Plain,
    Tls,
}

/// The same stage, over TCP as well.
pub(super) struct Tcp {
    pub(super) stage: Stage,
    address: SocketAddr,
    api: Api,
    connector: TlsConnector,
}

impl Tcp {
    pub(super) async fn open() -> Self {
        let stage = Stage::with_release().await;
        let authority = stage.node.authority();
        let api = Api::new(stage.node.clone(), watch::channel(false).0).with_authority(authority.pem());
        let routes = router(api.clone(), Door::Tcp(Token::new(TOKEN)));
        let front = Front::new(routes, api.clone(), Some(authority.acceptor(&[]).unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve_tcp(listener, front, std::future::pending()));
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { stage, address, api, connector: TlsConnector::from(Arc::new(config)) }
    }

    /// One request with these headers, as text: status, head and body.
    async fn raw(&self, over: Over, request: &str) -> (u16, String, Value) {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let mut answer = Vec::new();
        if over == Over::Tls {
            let name = ServerName::try_from("localhost").unwrap();
            let mut stream = self.connector.connect(name, stream).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            stream.read_to_end(&mut answer).await.unwrap();
        } else {
            let mut stream = stream;
            stream.write_all(request.as_bytes()).await.unwrap();
            stream.read_to_end(&mut answer).await.unwrap();
        }
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{request}: {answer}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_owned(), serde_json::from_str(body).unwrap_or(Value::Null))
    }

    pub(super) async fn call(
        &self,
        method: &str,
        path: &str,
        authorization: &str,
        body: &str,
    ) -> (u16, Value) {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost:{}\r\nConnection: close\r\nAccept: {VERSION_3}\r\n\
             Authorization: {authorization}\r\nContent-Length: {}\r\n\r\n{body}",
            self.address.port(),
            body.len()
        );
        let (status, _, value) = self.raw(Over::Plain, &request).await;
        (status, value)
    }

    /// A user with a token of these scopes.
    pub(super) async fn user(&self, email: &str, scopes: &[&str]) -> String {
        if flows::create_user(&self.stage.node, email, "a good password".to_owned()).await.is_err() {
            assert!(flows::users(&self.stage.node).await.unwrap().iter().any(|u| u.email.as_str() == email));
        }
        let request = AuthorizationRequest {
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            ..AuthorizationRequest::default()
        };
        let caller = self.caller(email).await;
        flows::authorize(&self.stage.node, &caller, request).await.unwrap().1
    }

    async fn caller(&self, email: &str) -> Caller {
        let password = "a good password".to_owned();
        flows::log_in(&self.stage.node, (email, password), None).await.unwrap().unwrap()
    }
}

/// Somebody with a token, and what the table says that it is good for.
struct Somebody {
    name: &'static str,
    token: String,
    right: Option<AppRight>,
    scopes: &'static [&'static str],
    is_administrator: bool,
}

/// What should come of it, told once more and otherwise than the code does.
fn expected(who: &Somebody, method: &Method, need: Need) -> u16 {
    let has = |scope: &str| who.scopes.contains(&scope);
    let reads = *method == Method::GET;
    let covers_read = ["global", "read", "write", "read-protected", "write-protected"].iter().any(|s| has(s));
    let covers_write = ["global", "write", "write-protected"].iter().any(|s| has(s));
    let covers = |is_protected: bool| match (reads, is_protected) {
        (true, false) => covers_read,
        (false, false) => covers_write,
        (true, true) => ["global", "read-protected", "write-protected"].iter().any(|s| has(s)),
        (false, true) => ["global", "write-protected"].iter().any(|s| has(s)),
    };
    let allowed = match need {
        Need::Nothing | Need::Login | Need::Account => true,
        Need::Common => covers(false),
        Need::App(right) => covers(false) && who.right >= Some(right),
        Need::Config(right) | Need::Exec(right) => covers(true) && who.right >= Some(right),
        Need::Node => who.is_administrator && has("global"),
    };
    if allowed { 200 } else { 403 }
}

async fn everybody(tcp: &Tcp) -> Vec<Somebody> {
    let app = flows::find(&tcp.stage.node, "example").await.unwrap();
    let mut all = Vec::new();
    for (name, email, right) in [
        ("a stranger", "stranger@example.com", None),
        ("one who may look", "view@example.com", Some(AppRight::View)),
        ("one who may deploy", "deploy@example.com", Some(AppRight::Deploy)),
        ("one who may operate", "operate@example.com", Some(AppRight::Operate)),
        ("one who may manage", "manage@example.com", Some(AppRight::Manage)),
    ] {
        for scopes in
            [&["global"][..], &["read"], &["write"], &["read-protected"], &["write-protected"], &["identity"]]
        {
            let token = tcp.user(email, scopes).await;
            all.push(Somebody { name, token, right, scopes, is_administrator: false });
        }
        if let Some(right) = right {
            let permissions = [right.as_str().to_owned()];
            flows::add_collaborator(&tcp.stage.node, &app, email, &permissions).await.unwrap();
        }
    }
    all.push(Somebody {
        name: "the administrator",
        token: TOKEN.to_owned(),
        right: Some(AppRight::Manage),
        scopes: &["global"],
        is_administrator: true,
    });
    all
}

#[tokio::test]
async fn every_route_lets_in_whom_the_table_names() {
    let tcp = Tcp::open().await;
    let mut tried = 0;
    for who in everybody(&tcp).await {
        let headers = HeaderMap::from_iter([
            (ACCEPT, HeaderValue::from_static(VERSION_3)),
            (AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {}", who.token)).unwrap()),
        ]);
        for route in table().iter().filter(|route| route.need != Need::Nothing) {
            let gate = Gate { api: tcp.api.clone(), door: Door::Tcp(Token::new(TOKEN)), need: route.need };
            let admitted = admit(
                &gate,
                Some(Link::Plain(std::net::Ipv4Addr::LOCALHOST.into())),
                (&route.method, &headers),
                Some("example"),
            )
            .await;
            let status = admitted.map_or_else(
                |error| axum::response::IntoResponse::into_response(error).status().as_u16(),
                |_| 200,
            );
            let told = format!("{} {} as {} with {:?}", route.method, route.path, who.name, who.scopes);
            assert_eq!(status, expected(&who, &route.method, route.need), "{told}");
            tried += 1;
        }
    }
    assert!(tried > 1000, "only {tried} pairs of route and role");
}

#[tokio::test]
async fn every_route_is_behind_its_gate() {
    let tcp = Tcp::open().await;
    let token = tcp.user("stranger@example.com", &["global"]).await;
    let stranger = format!("Bearer {token}");
    let revoked = tcp.user("gone@example.com", &["global"]).await;
    flows::remove_user(&tcp.stage.node, "gone@example.com").await.unwrap();
    let revoked = format!("Bearer {revoked}");
    for route in table().iter().filter(|route| route.need != Need::Nothing) {
        let path = route.path.replace("{app}", "example");
        let path: String = path.replace(['{', '}'], "");
        let path = path.as_str();
        let method = route.method.as_str();
        for (who, authorization) in [
            ("nobody", ""),
            ("a guess", "Bearer x"),
            ("who is gone", &revoked),
            ("a password", "Basic YUBiOmM="),
        ] {
            let (status, body) = tcp.call(method, path, authorization, "").await;
            assert_eq!((status, &body["id"]), (401, &json!("unauthorized")), "{method} {path} as {who}");
        }
        if matches!(route.need, Need::App(_) | Need::Config(_) | Need::Exec(_) | Need::Node) {
            let named = format!("Basic {}", BASE64_STANDARD.encode(format!("example:{token}")));
            let stranger = if matches!(route.need, Need::Exec(_)) { &named } else { &stranger };
            let (status, body) = tcp.call(method, path, stranger, "").await;
            assert_eq!((status, &body["id"]), (403, &json!("forbidden")), "{method} {path} as a stranger");
        }
    }
}

#[tokio::test]
async fn tricks_open_no_door() {
    let tcp = Tcp::open().await;
    let stranger = format!("Bearer {}", tcp.user("stranger@example.com", &["global"]).await);
    for path in [
        "/apps/example/../example/config-vars",
        "/apps//example/config-vars",
        "/apps/example/config-vars/",
        "/apps/%65xample/config-vars",
        "/apps/example%2fconfig-vars",
        "/apps/other/..%2fexample/config-vars",
        "/apps/EXAMPLE/config-vars",
        "/logs/../apps/example/config-vars",
        "/authority.pem/../apps/example/config-vars",
    ] {
        let (status, body) = tcp.call("GET", path, &stranger, "").await;
        assert!(matches!(status, 403 | 404), "{path}: {status} {body}");
    }
    let (status, _) = tcp.call("GET", &format!("/apps?access_token={TOKEN}"), "", "").await;
    assert_eq!(status, 401, "a token in a URL counts for nothing");
    let (status, mine) = tcp.call("GET", "/apps", &stranger, "").await;
    assert_eq!((status, mine), (200, json!([])), "others' apps are not listed");
    let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(crate::api::body::JSON_BYTES_MAX));
    let (status, body) = tcp.call("POST", "/apps", &stranger, &long).await;
    assert_eq!((status, &body["id"]), (413, &json!("payload_too_large")));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_tries_one_password_for_many_names_is_not_listened_to() {
    use base64::Engine as _;
    let tcp = Tcp::open().await;
    tcp.user("me@home.example", &["global"]).await;
    let wanted = r#"{"description":"a test","expires_in":60,"scope":["global"]}"#;
    let basic = |pair: String| format!("Basic {}", BASE64_STANDARD.encode(pair));
    let guess = |number: u32| basic(format!("user{number}@home.example:a password"));
    let mut refused = 0;
    for number in 0..50 {
        let status = tcp.call("POST", "/oauth/authorizations", &guess(number), wanted).await.0;
        refused += u32::from(status == 401);
    }
    assert_eq!(refused, 50);
    let right = basic("me@home.example:a good password".to_owned());
    assert_eq!(tcp.call("POST", "/oauth/authorizations", &right, wanted).await.0, 429);
    let token = format!("Bearer {TOKEN}");
    assert_eq!(tcp.call("GET", "/account", &token, "").await.0, 200, "a token is no guess");
}

#[tokio::test]
async fn a_user_logs_in_works_and_logs_out() {
    let tcp = Tcp::open().await;
    tcp.user("me@home.example", &["global"]).await;
    let basic = |password: &str| {
        use base64::Engine as _;
        let pair = format!("me@home.example:{password}");
        format!("Basic {}", BASE64_STANDARD.encode(pair))
    };
    let wanted = r#"{"description":"a test","expires_in":60,"scope":["global"]}"#;
    let (status, _) = tcp.call("POST", "/oauth/authorizations", &basic("a bad password"), wanted).await;
    assert_eq!(status, 401);
    let right = basic("a good password");
    let (status, made) = tcp.call("POST", "/oauth/authorizations", &right, wanted).await;
    assert_eq!((status, &made["user"]["email"]), (201, &json!("me@home.example")));
    let token = made["access_token"]["token"].as_str().unwrap();
    assert_eq!(tcp.call("GET", "/account", &right, "").await.0, 401, "a password opens no other door");
    let bearer = format!("Bearer {token}");
    let (status, account) = tcp.call("GET", "/account", &bearer, "").await;
    assert_eq!((status, &account["email"]), (200, &json!("me@home.example")));
    let (_, listed) = tcp.call("GET", "/oauth/authorizations", &bearer, "").await;
    assert!(listed.to_string().contains("a test") && !listed.to_string().contains(token), "{listed}");
    let (status, app) = tcp.call("POST", "/apps", &bearer, r#"{"name":"mine"}"#).await;
    assert_eq!((status, &app["owner"]["email"]), (201, &json!("me@home.example")));
    assert_eq!(app["git_url"], json!(format!("https://localhost:{}/mine.git", tcp.address.port())));
    assert_eq!(tcp.call("DELETE", "/apps/example", &bearer, "").await.0, 403);
    let wider = r#"{"scope":["read"]}"#;
    let (_, narrow) = tcp.call("POST", "/oauth/authorizations", &bearer, wider).await;
    let narrow = format!("Bearer {}", narrow["access_token"]["token"].as_str().unwrap());
    assert_eq!(tcp.call("GET", "/apps/mine", &narrow, "").await.0, 200);
    assert_eq!(tcp.call("GET", "/apps/mine/config-vars", &narrow, "").await.0, 403);
    assert_eq!(tcp.call("POST", "/oauth/authorizations", &narrow, wanted).await.0, 403, "no wider token");
    assert_eq!(tcp.call("DELETE", "/oauth/sessions/~", &bearer, "").await.0, 200);
    assert_eq!(tcp.call("GET", "/account", &bearer, "").await.0, 401, "logged out");
    let failures = async || {
        let mut last = 0;
        for _ in 0..11 {
            last = tcp.call("POST", "/oauth/authorizations", &basic("a bad password"), wanted).await.0;
        }
        last
    };
    assert_eq!(failures().await, 429, "guessing is slowed down");
    assert_eq!(tcp.call("POST", "/oauth/authorizations", &right, wanted).await.0, 429);
}

#[tokio::test]
async fn what_expires_is_worth_nothing() {
    let tcp = Tcp::open().await;
    tcp.user("me@home.example", &["global"]).await;
    let caller = tcp.caller("me@home.example").await;
    let request = AuthorizationRequest { expires_in_s: Some(1), ..AuthorizationRequest::default() };
    let (_, token) = flows::authorize(&tcp.stage.node, &caller, request).await.unwrap();
    let bearer = format!("Bearer {token}");
    for _ in 0..200 {
        if tcp.call("GET", "/account", &bearer, "").await.0 == 401 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it is still worth something");
}

#[tokio::test]
async fn a_token_makes_and_takes_over_none_that_ends_later() {
    let tcp = Tcp::open().await;
    let lasting = tcp.user("me@home.example", &["global"]).await;
    let caller = tcp.caller("me@home.example").await;
    let request = AuthorizationRequest {
        scopes: vec!["write".to_owned()],
        expires_in_s: Some(60),
        ..AuthorizationRequest::default()
    };
    let (own, token) = flows::authorize(&tcp.stage.node, &caller, request.clone()).await.unwrap();
    let later = AuthorizationRequest { expires_in_s: Some(3600), ..request };
    let (later, _) = flows::authorize(&tcp.stage.node, &caller, later).await.unwrap();
    let bearer = format!("Bearer {token}");
    for wanted in [r#"{"scope":["write"]}"#, r#"{"scope":["write"],"expires_in":99999}"#] {
        let (status, made) = tcp.call("POST", "/oauth/authorizations", &bearer, wanted).await;
        assert_eq!(status, 201, "{made}");
        assert!(made["access_token"]["expires_in"].as_i64().is_some_and(|left| left <= 60), "{made}");
    }
    let rotate = |id| format!("/oauth/authorizations/{id}/actions/regenerate-tokens");
    assert_eq!(tcp.call("POST", &rotate(later.id), &bearer, "").await.0, 403);
    let key = r#"{"public_key":"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me"}"#;
    assert_eq!(tcp.call("POST", "/account/keys", &bearer, key).await.0, 403, "a key outlives every token");
    assert_eq!(tcp.call("POST", "/account/keys", &format!("Bearer {lasting}"), key).await.0, 201);
    assert_eq!(tcp.call("POST", &rotate(own.id), &bearer, "").await.0, 200);
}

#[tokio::test]
async fn a_rotated_token_takes_the_place_of_the_old_one_and_ends_when_that_would_have() {
    let tcp = Tcp::open().await;
    tcp.user("me@home.example", &["global"]).await;
    let caller = tcp.caller("me@home.example").await;
    let request = AuthorizationRequest {
        scopes: vec!["read".to_owned()],
        expires_in_s: Some(3600),
        ..AuthorizationRequest::default()
    };
    let (made, old) = flows::authorize(&tcp.stage.node, &caller, request).await.unwrap();
    let path = format!("/oauth/authorizations/{}/actions/regenerate-tokens", made.id);
    let identity = format!("Bearer {}", tcp.user("me@home.example", &["identity"]).await);
    let stranger = format!("Bearer {}", tcp.user("stranger@example.com", &["global"]).await);
    assert_eq!(tcp.call("POST", &path, &identity, "").await.0, 403, "no token changes a wider one");
    assert_eq!(tcp.call("POST", &path, &stranger, "").await.0, 404, "nor one of somebody else's");
    let (status, rotated) = tcp.call("POST", &path, &format!("Bearer {old}"), "").await;
    assert_eq!((status, &rotated["id"], &rotated["scope"]), (200, &json!(made.id), &json!(["read"])));
    let fresh = format!("Bearer {}", rotated["access_token"]["token"].as_str().unwrap());
    assert_eq!(tcp.call("GET", "/account", &format!("Bearer {old}"), "").await.0, 401);
    assert_eq!(tcp.call("GET", "/account", &fresh, "").await.0, 200);
    assert_eq!(tcp.call("POST", "/apps", &fresh, r#"{"name":"mine"}"#).await.0, 403, "it is no wider");
    let path = format!("/oauth/authorizations/{}", made.id);
    let (status, told) = tcp.call("PATCH", &path, &fresh, r#"{"description":"for\u001b me"}"#).await;
    assert_eq!((status, &told["description"]), (200, &json!("for me")));
    assert!(!told.to_string().contains(fresh.strip_prefix("Bearer ").unwrap()), "{told}");
    let (status, _) = tcp.call("PATCH", &path, &fresh, r#"{"client":{"id":"x"}}"#).await;
    assert_eq!(status, 422);
    let kept = flows::authorization(&tcp.stage.node, &caller, &made.id.to_string()).await.unwrap();
    assert_eq!(kept.expires_at_s, made.expires_at_s);
}

#[tokio::test]
async fn two_hundred_clients_at_once_are_all_answered() {
    let tcp = Arc::new(Tcp::open().await);
    let clients = (0..200).map(|number| {
        let tcp = Arc::clone(&tcp);
        tokio::spawn(async move {
            let bearer = format!("Bearer {TOKEN}");
            let name = format!("app-{number}");
            let made = tcp.call("POST", "/apps", &bearer, &json!({ "name": name }).to_string()).await;
            let seen = tcp.call("GET", &format!("/apps/{name}"), &bearer, "").await;
            (made.0, seen.0, seen.1["name"] == json!(name))
        })
    });
    for client in clients.collect::<Vec<_>>() {
        assert_eq!(client.await.unwrap(), (201, 200, true));
    }
    let listed = flows::apps_for(&tcp.stage.node, &Caller::administrator(&tcp.stage.node)).await.unwrap();
    assert_eq!(listed.len(), 201);
}

#[tokio::test]
async fn one_port_speaks_plain_and_tls_and_answers_are_tagged() {
    let tcp = Tcp::open().await;
    let ask = |more: &str| {
        format!(
            "GET /apps/example HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAccept: {VERSION_3}.sdk\r\n\
             Authorization: Bearer {TOKEN}\r\n{more}\r\n"
        )
    };
    let mut tags = Vec::new();
    for over in [Over::Plain, Over::Tls] {
        let (status, head, app) = tcp.raw(over, &ask("")).await;
        assert_eq!((status, &app["name"], &app["generation"]), (200, &json!("example"), &json!("cedar")));
        let line = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
        assert!(head.contains("ratelimit-remaining: "), "{head}");
        tags.push(line);
    }
    assert_eq!(tags[0], tags[1]);
    let (status, head, body) = tcp.raw(Over::Tls, &ask(&format!("If-None-Match: {}\r\n", tags[0]))).await;
    assert_eq!((status, body), (304, Value::Null), "{head}");
    let (status, _, _) =
        tcp.raw(Over::Plain, "GET /authority.pem HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_one_off_dyno_is_attached_to_as_the_stock_command_does() {
    let tcp = Tcp::open().await;
    let command = format!("cat ; echo \\\"{SENTINEL}$?\\\"");
    let body = format!(r#"{{"command":"{command}","attach":true,"env":{{"COLUMNS":100}}}}"#);
    let bearer = format!("Bearer {TOKEN}");
    let (status, dyno) = tcp.call("POST", "/apps/example/dynos", &bearer, &body).await;
    assert_eq!(status, 201, "{dyno}");
    let url = dyno["attach_url"].as_str().unwrap();
    let base = format!("rendezvous://localhost:{}/", tcp.address.port());
    let secret = url.strip_prefix(&base).unwrap_or_else(|| panic!("{url}"));
    for (line, is_first) in [(format!("{secret}\r\n"), true), (format!("{secret}\r\n"), false)] {
        let stream = TcpStream::connect(tcp.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = tcp.connector.connect(name, stream).await.unwrap();
        stream.write_all(line.as_bytes()).await.unwrap();
        let mut greeting = vec![0; GREETING.len()];
        stream.read_exact(&mut greeting).await.unwrap();
        assert_eq!(greeting, GREETING);
        assert!(stream.write_all(b"hello\n").await.is_ok() || !is_first);
        // Whoever is not expected has been told the end already.
        let told = stream.shutdown().await;
        assert!(told.is_ok() || !is_first);
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        let rest = String::from_utf8(rest).unwrap();
        if is_first {
            assert_eq!(rest, format!("hello\n{}", String::from_utf8(status_line(7)).unwrap()));
        } else {
            assert!(rest.contains("not waiting"), "a secret is good for once: {rest}");
        }
    }
}

#[tokio::test]
async fn a_link_to_a_slug_needs_no_credentials_and_opens_nothing_else() {
    let tcp = Tcp::open().await;
    let node = &tcp.stage.node;
    let app = flows::find(node, "example").await.unwrap();
    let release = flows::newest_release(node, &app).await.unwrap().unwrap();
    let digest = release.slug.unwrap();
    let dir = node.settings().slugs_dir().join(digest.as_str());
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join(crate::build::SLUG_ARCHIVE), zstd::encode_all(&b"a slug"[..], 1).unwrap())
        .unwrap();
    let token = format!("Bearer {TOKEN}");
    let id = crate::api::view::slug_id(&digest);
    let (status, slug) = tcp.call("GET", &format!("/apps/example/slugs/{id}"), &token, "").await;
    assert_eq!((status, &slug["blob"]["method"]), (200, &json!("get")), "{slug}");
    let url = slug["blob"]["url"].as_str().unwrap();
    let link = &url[url.find("/slug-blobs/").unwrap()..];
    let get = async |link: &str, headers: &str| {
        let request = format!("GET {link} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
        let mut stream = TcpStream::connect(tcp.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[9..12]).into_owned()
    };
    assert_eq!(get(link, "").await, "200");
    assert_eq!(get(link, "").await, "200", "as often as wanted");
    let (path, query) = link.split_once('?').unwrap();
    let other = format!("/slug-blobs/{}/{id}?{query}", uuid::Uuid::new_v4());
    let later = link.replace("expires=1", "expires=2");
    assert_ne!(later, link);
    for wrong in [path, &other, &later, &format!("{link}0")] {
        let with_credentials = format!("Authorization: {token}\r\nAccept: {VERSION_3}\r\n");
        assert_eq!(get(wrong, &with_credentials).await, "404", "{wrong}");
    }
    let (status, _) = tcp.call("PUT", link, "", "").await;
    assert_eq!(status, 404, "nobody puts one there");
}
