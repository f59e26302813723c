//! A drain into an HTTPS receiver that is written here.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dyno::logs::{Filter, HISTORY_LINES, LogService, Tail, Trust};
use futures_util::StreamExt as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::{TOKEN, app, certificate, drain, open, push};

fn acceptor(dir: &Path) -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_file(dir.join("cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(dir.join("key.pem")).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = builder.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// The first line of the app's log that has `text` in it.
pub(crate) async fn told_in_the_log(service: &LogService, text: &str) -> String {
    let lines = service.session(app(), Filter::default(), HISTORY_LINES, Tail::Follow);
    let found = lines.map(|line| line.to_string()).filter(|line| std::future::ready(line.contains(text)));
    let mut found = std::pin::pin!(found);
    tokio::time::timeout(Duration::from_secs(60), found.next()).await.expect("it is told").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_posted_over_one_tls_connection() {
    let dir = tempfile::tempdir().unwrap();
    certificate(dir.path(), "receiver");
    let acceptor = acceptor(dir.path());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let trust = Trust::File(dir.path().join("cert.pem"));
    let service = open(&dir.path().join("logs"), trust);
    service.set_drains(app(), vec![drain(&format!("https://me:secret@{address}/in"))]).await.unwrap();
    push(&service, "web.1", b"one");
    let (stream, _) = listener.accept().await.unwrap();
    let mut stream = BufReader::new(acceptor.accept(stream).await.unwrap());
    for message in ["one", "two", "three"] {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            stream.read_line(&mut head).await.unwrap();
        }
        assert!(head.starts_with("POST /in HTTP/1.1\r\n"), "{head}");
        for line in [
            "Content-Type: application/logplex-1",
            "Logplex-Msg-Count: 1",
            "User-Agent: Logplex/v72",
            "Authorization: Basic bWU6c2VjcmV0",
        ] {
            assert!(head.contains(&format!("\r\n{line}\r\n")), "{line} is not in {head}");
        }
        assert!(head.contains(&format!("\r\nLogplex-Drain-Token: {TOKEN}\r\n")), "{head}");
        let length = head.split("Content-Length: ").nth(1).unwrap().split("\r\n").next().unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        assert!(body.ends_with(format!("{message}\n").as_bytes()), "{}", String::from_utf8_lossy(&body));
        let answer = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok";
        stream.get_mut().write_all(answer).await.unwrap();
        stream.get_mut().flush().await.unwrap();
        match message {
            "one" => push(&service, "web.1", b"two"),
            "two" => push(&service, "web.1", b"three"),
            _ => {}
        }
    }
}
