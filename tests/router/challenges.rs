//! What authorities are answered that ask whether a name leads here, in plain HTTP and under TLS; all else is the app's.

use std::sync::Arc;

use dyno::domain::{Certificate, Certificates, ChallengeAnswer, SecretKey, WebState};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::version::{TLS12, TLS13};

use crate::bench::Act::{Again, Read, Send};
use crate::bench::{Bench, Dyno, quick, status};
use crate::tls::{certificate, trusting};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\napp";
const HOST: &str = "example.localhost";
const PATH: &str = "/.well-known/acme-challenge/token";

#[tokio::test]
async fn a_token_is_answered_by_the_router_and_every_other_path_by_the_app() {
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Send(OK), Again]).await;
    let bench = Bench::with(quick(), WebState::Up(vec![dyno.backend.clone()])).await;
    let before = bench.get(PATH).await;
    assert!(before.ends_with("\r\n\r\napp"), "nobody asks yet: {before}");
    let mut all = Certificates::default();
    let answer = ChallengeAnswer::Http { token: "token".to_owned(), text: "token.print".to_owned() };
    all.answers.insert(HOST.parse().unwrap(), answer);
    bench.certificates.send_replace(Arc::new(all));
    let (taken, lines) = (dyno.seen().len(), bench.raw_lines().len());
    let answer = bench.get(PATH).await;
    assert_eq!(status(&answer), 200, "{answer}");
    assert!(answer.ends_with("\r\n\r\ntoken.print") && answer.contains("Content-Length: 11\r\n"), "{answer}");
    assert_eq!((dyno.seen().len(), bench.raw_lines().len()), (taken, lines), "it is nothing of the app's");
    for path in [
        "/.well-known/acme-challenge/",
        "/.well-known/acme-challenge/other",
        "/.well-known/acme-challenge/token/",
        "/.well-known/acme-challenge",
        "/x/.well-known/acme-challenge/token",
    ] {
        let answer = bench.get(path).await;
        assert!(answer.ends_with("\r\n\r\napp"), "{path}: {answer}");
    }
    let posted =
        format!("POST {PATH} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let answer = bench.ask(&posted).await;
    assert!(answer.ends_with("\r\n\r\napp"), "no authority asks so: {answer}");
    let head = format!("HEAD {PATH} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    let answer = bench.ask(&head).await;
    assert!(answer.contains("Content-Length: 11\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn an_authority_sees_its_proof_under_tls_and_nothing_else() {
    let mut config = quick();
    config.secure = vec!["127.0.0.1:0".parse().unwrap()];
    let bench = Bench::with(config, WebState::Crashed).await;
    let (usual, proof) = (certificate(&[HOST]), certificate(&[HOST]));
    let mut all = Certificates::default();
    all.insert(&HOST.parse().unwrap(), Arc::clone(&usual));
    all.answers.insert(HOST.parse().unwrap(), ChallengeAnswer::Tls(Arc::clone(&proof)));
    let http = ChallengeAnswer::Http { token: "token".to_owned(), text: "token.print".to_owned() };
    all.answers.insert("other.localhost".parse().unwrap(), http);
    bench.certificates.send_replace(Arc::new(all));
    let shake = async |name: &str, offered: &[&str]| -> std::io::Result<TlsStream<TcpStream>> {
        let mut client = trusting(&[&usual, &proof], &[&TLS13, &TLS12]);
        client.alpn_protocols = offered.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(bench.secure.unwrap()).await.unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(client)).connect(name, stream).await
    };
    // As authorities know it, with an extension that clients must not take for granted: this one says so.
    let mut params = rcgen::CertificateParams::new(vec![HOST.to_owned()]).unwrap();
    params.custom_extensions = vec![rcgen::CustomExtension::new_acme_identifier(&[7; 32])];
    let key = rcgen::KeyPair::generate().unwrap();
    let chain = vec![params.self_signed(&key).unwrap().der().to_vec()];
    let real = Arc::new(Certificate { chain, key: SecretKey::new(key.serialize_der()) });
    let answering = |answer: &Arc<Certificate>| {
        let mut all = Certificates::clone(&bench.certificates.borrow());
        all.answers.insert(HOST.parse().unwrap(), ChallengeAnswer::Tls(Arc::clone(answer)));
        bench.certificates.send_replace(Arc::new(all));
    };
    answering(&real);
    let failed = shake(HOST, &["acme-tls/1"]).await.err().unwrap().to_string();
    assert!(failed.contains("invalid peer certificate"), "it was shown, and not believed: {failed}");
    answering(&proof);
    let mut shown = shake(HOST, &["acme-tls/1"]).await.unwrap();
    let session = shown.get_ref().1;
    assert_eq!(session.alpn_protocol(), Some(&b"acme-tls/1"[..]));
    assert_eq!(session.peer_certificates().unwrap()[0].as_ref(), proof.chain[0]);
    let mut said = Vec::new();
    shown.read_to_end(&mut said).await.unwrap();
    assert!(said.is_empty(), "the connection ends with the handshake");
    for name in ["other.localhost", "unknown.localhost"] {
        assert!(shake(name, &["acme-tls/1"]).await.is_err(), "{name} has no proof under TLS");
    }
    // Who offers more is a client.
    let client = shake(HOST, &["acme-tls/1", "http/1.1"]).await.unwrap();
    assert_eq!(client.get_ref().1.peer_certificates().unwrap()[0].as_ref(), usual.chain[0]);
    bench.certificates.send_replace(Arc::default());
    assert!(shake(HOST, &["acme-tls/1"]).await.is_err(), "nobody asks any more");
}
