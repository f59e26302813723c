//! TLS at the router's door: which certificate is shown, what is agreed on, and what slow or strange clients cost.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dyno::domain::{Certificate, Certificates, SecretKey, WebState};
use dyno::router::RouterConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    AlertDescription, ClientConfig, ClientConnection, Error, HandshakeKind, RootCertStore,
    SupportedProtocolVersion,
};

use crate::bench::Act::{Again, Echo, Hold, Read, Send, SendBytes};
use crate::bench::{Bench, Dyno, field, quick, status};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET /a HTTP/1.1\r\nHost: example.localhost\r\nConnection: close\r\n\r\n";
const HOST: &str = "example.localhost";

/// A certificate that signs itself, good for these names.
pub(crate) fn certificate(names: &[&str]) -> Arc<Certificate> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let key = SecretKey::new(made.signing_key.serialize_der());
    Arc::new(Certificate { chain: vec![made.cert.der().to_vec()], key })
}

fn secure() -> RouterConfig {
    RouterConfig { secure: vec!["127.0.0.1:0".parse().unwrap()], ..quick() }
}

/// A bench whose router shows a certificate for its one app.
async fn bench(config: RouterConfig, web: WebState) -> (Bench, Arc<Certificate>) {
    let bench = Bench::with(config, web).await;
    let shown = certificate(&[HOST]);
    let mut all = Certificates::default();
    all.insert(&HOST.parse().unwrap(), Arc::clone(&shown));
    bench.certificates.send_replace(Arc::new(all));
    (bench, shown)
}

fn up(dyno: &Dyno) -> WebState {
    WebState::Up(vec![dyno.backend.clone()])
}

/// A client that trusts these certificates alone.
pub(crate) fn trusting(
    certificates: &[&Certificate],
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(CertificateDer::from(certificate.chain[0].clone())).unwrap();
    }
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

async fn shake(
    address: Option<SocketAddr>,
    config: &Arc<ClientConfig>,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address.unwrap()).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::clone(config)).connect(name, stream).await
}

/// A handshake and a request on a port of loopback; the status of the answer.
pub(crate) async fn visit(port: u16, shown: &Certificates) -> std::io::Result<u16> {
    let all: Vec<&Certificate> = shown.names.values().map(|certificate| &**certificate).collect();
    let client = Arc::new(trusting(&all, &[&TLS13]));
    let mut stream = shake(Some(([127, 0, 0, 1], port).into()), &client, HOST).await?;
    stream.write_all(GET.as_bytes()).await?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await?;
    Ok(status(&String::from_utf8_lossy(&all)))
}

/// What came until the other side said that it is over.
async fn rest(mut stream: impl AsyncRead + Unpin) -> String {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    String::from_utf8_lossy(&all).into_owned()
}

async fn ask(mut stream: TlsStream<TcpStream>, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    rest(stream).await
}

/// Why a handshake failed, in the words of the library.
fn reason<T>(failed: std::io::Result<T>) -> Error {
    let failed = failed.err().expect("no handshake");
    failed
        .get_ref()
        .and_then(|error| error.downcast_ref::<Error>())
        .unwrap_or_else(|| panic!("{failed}"))
        .clone()
}

#[tokio::test]
async fn a_request_under_tls_reaches_its_dyno_and_says_so() {
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Send(OK), Again]).await;
    let (bench, shown) = bench(secure(), up(&dyno)).await;
    for (version, told) in [(&TLS12, "tls1.2"), (&TLS13, "tls1.3")] {
        let client = Arc::new(trusting(&[&shown], &[version]));
        let answer = ask(shake(bench.secure, &client, HOST).await.unwrap(), GET).await;
        assert_eq!(status(&answer), 200, "{answer}");
        let line = bench.raw_lines().pop().unwrap();
        assert_eq!((field(&line, "tls"), field(&line, "tls_version")), ("true", told), "{line}");
    }
    let (seen, port) = (dyno.seen(), bench.secure.unwrap().port());
    assert_eq!(seen.matches("X-Forwarded-Proto: https\r\n").count(), 2, "{seen}");
    assert_eq!(seen.matches(&format!("X-Forwarded-Port: {port}\r\n")).count(), 2, "{seen}");
    bench.get("/b").await;
    let line = bench.raw_lines().pop().unwrap();
    assert!(line.ends_with(" tls=false"), "the other port is as it was: {line}");
    assert_eq!(dyno.seen().matches("X-Forwarded-Proto: http\r\n").count(), 1);
}

#[tokio::test]
async fn the_name_picks_the_certificate_and_another_snapshot_another() {
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Send(OK), Again]).await;
    let bench = Bench::with(secure(), up(&dyno)).await;
    let (own, one, any) =
        (certificate(&["localhost", "other.test"]), certificate(&[HOST]), certificate(&["*.example.com"]));
    let everyone = |all: &[&Certificate]| Arc::new(trusting(all, &[&TLS13]));
    let client = everyone(&[&own, &one, &any]);
    let failed = reason(shake(bench.secure, &client, HOST).await);
    assert!(matches!(failed, Error::AlertReceived(_)), "there is none yet: {failed:?}");
    let mut all = Certificates { own: Some(Arc::clone(&own)), ..Certificates::default() };
    all.insert(&HOST.parse().unwrap(), Arc::clone(&one));
    all.insert(&"*.example.com".parse().unwrap(), Arc::clone(&any));
    bench.certificates.send_replace(Arc::new(all.clone()));
    for (name, due) in [(HOST, &one), ("www.example.com", &any), ("other.test", &own)] {
        let stream = shake(bench.secure, &client, name).await.unwrap();
        let shown = stream.get_ref().1.peer_certificates().unwrap();
        assert_eq!(shown[0].as_ref(), due.chain[0], "{name}");
    }
    let fresh = certificate(&[HOST]);
    all.insert(&HOST.parse().unwrap(), Arc::clone(&fresh));
    bench.certificates.send_replace(Arc::new(all));
    let failed = reason(shake(bench.secure, &client, HOST).await);
    assert!(matches!(failed, Error::InvalidCertificate(_)), "the old one is not shown any more: {failed:?}");
    assert_eq!(status(&ask(shake(bench.secure, &everyone(&[&fresh]), HOST).await.unwrap(), GET).await), 200);
}

#[tokio::test]
async fn a_host_of_another_certificate_is_misdirected() {
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Send(OK), Again]).await;
    let (bench, _) = bench(secure(), up(&dyno)).await;
    let (other, shown) = (certificate(&["other.localhost"]), certificate(&[HOST, "alias.localhost"]));
    let mut all = Certificates::default();
    for (name, certificate) in [(HOST, &shown), ("alias.localhost", &shown), ("other.localhost", &other)] {
        all.insert(&name.parse().unwrap(), Arc::clone(certificate));
    }
    bench.certificates.send_replace(Arc::new(all));
    let client = Arc::new(trusting(&[&other, &shown], &[&TLS13]));
    let answer = ask(shake(bench.secure, &client, "other.localhost").await.unwrap(), GET).await;
    assert_eq!(status(&answer), 495, "{answer}");
    let line = bench.line().await;
    assert_eq!((field(&line, "code"), field(&line, "status")), ("H32", "495"), "{line}");
    assert_eq!(dyno.taken(), 0);
    let answer = ask(shake(bench.secure, &client, "alias.localhost").await.unwrap(), GET).await;
    assert_eq!(status(&answer), 200, "a certificate for both: {answer}");
}

#[tokio::test]
async fn both_sides_agree_on_a_protocol_or_part() {
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Send(OK), Again]).await;
    let (bench, shown) = bench(secure(), up(&dyno)).await;
    let offering = |protocols: &[&str]| {
        let mut client = trusting(&[&shown], &[&TLS13, &TLS12]);
        client.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Arc::new(client)
    };
    for (offered, agreed) in
        [(vec![], None), (vec!["h2", "http/1.1"], Some("http/1.1")), (vec!["http/1.0"], Some("http/1.0"))]
    {
        let stream = shake(bench.secure, &offering(&offered), HOST).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed.map(str::as_bytes), "{offered:?}");
        assert_eq!(status(&ask(stream, GET).await), 200);
    }
    let failed = reason(shake(bench.secure, &offering(&["h2"]), HOST).await);
    assert_eq!(failed, Error::AlertReceived(AlertDescription::NoApplicationProtocol));
}

#[tokio::test]
async fn a_ticket_makes_the_next_handshake_short() {
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Send(OK), Again]).await;
    let (bench, shown) = bench(secure(), up(&dyno)).await;
    for version in [&TLS12, &TLS13] {
        let client = Arc::new(trusting(&[&shown], &[version]));
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut stream = shake(bench.secure, &client, HOST).await.unwrap();
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(kind), "{version:?}");
            stream.write_all(GET.as_bytes()).await.unwrap();
            // A ticket comes with the answer.
            assert_eq!(status(&rest(stream).await), 200);
        }
    }
}

#[tokio::test]
async fn a_protocol_switch_goes_through_tls() {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Send(switch), Echo]).await;
    let (bench, shown) = bench(secure(), up(&dyno)).await;
    let client = Arc::new(trusting(&[&shown], &[&TLS13]));
    let mut stream = shake(bench.secure, &client, HOST).await.unwrap();
    let request = "GET / HTTP/1.1\r\nHost: example.localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut got = Vec::new();
    while !got.ends_with(b"\r\n\r\n") {
        got.push(stream.read_u8().await.unwrap());
    }
    assert_eq!(status(&String::from_utf8_lossy(&got)), 101);
    for text in [b"hello", b"again"] {
        stream.write_all(text).await.unwrap();
        let mut back = [0; 5];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, text);
    }
    stream.shutdown().await.unwrap();
    assert_eq!(rest(stream).await, "");
    assert_eq!(field(&bench.line().await, "status"), "101");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_given_up() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n";
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Send(head), SendBytes(50_000_000), Hold]).await;
    let (bench, shown) = bench(secure(), up(&dyno)).await;
    let client = Arc::new(trusting(&[&shown], &[&TLS13]));
    let mut stream = shake(bench.secure, &client, HOST).await.unwrap();
    stream.write_all(GET.as_bytes()).await.unwrap();
    let line = bench.line().await;
    assert_eq!((field(&line, "code"), field(&line, "sock")), ("H28", "client"), "{line}");
    drop(stream);
}

#[tokio::test]
async fn plain_http_gets_its_answer_though_more_of_it_is_on_the_way() {
    let (bench, _) = bench(secure(), WebState::Crashed).await;
    let mut stream = TcpStream::connect(bench.secure.unwrap()).await.unwrap();
    stream.write_all(format!("{}{}", GET, "x".repeat(40_000)).as_bytes()).await.unwrap();
    let answer = rest(stream).await;
    assert_eq!(status(&answer), 400, "{answer}");
    bench.lines(0).await;
}

#[tokio::test]
async fn slow_handshakes_end_and_are_bounded() {
    let dyno = Dyno::play(1, vec![Read("\r\n\r\n"), Send(OK), Again]).await;
    let mut config = secure();
    config.limits.handshakes = 1;
    let limit = Duration::from_secs(4);
    config.timers.handshake = limit;
    let (bench, shown) = bench(config, up(&dyno)).await;
    let client = Arc::new(trusting(&[&shown], &[&TLS13]));
    // Ones that say nothing, or begin to, are in nobody's way.
    let mut silent = Vec::new();
    for said in [&[][..], &[0x16]].into_iter().cycle().take(10) {
        let mut stream = TcpStream::connect(bench.secure.unwrap()).await.unwrap();
        stream.write_all(said).await.unwrap();
        silent.push(stream);
    }
    assert_eq!(status(&ask(shake(bench.secure, &client, HOST).await.unwrap(), GET).await), 200);
    let start = Instant::now();
    let mut slow = TcpStream::connect(bench.secure.unwrap()).await.unwrap();
    let name = ServerName::try_from(HOST).unwrap();
    let mut greeting = Vec::new();
    ClientConnection::new(Arc::clone(&client), name).unwrap().write_tls(&mut greeting).unwrap();
    slow.write_all(&greeting).await.unwrap();
    sleep(limit / 2).await;
    let waiting = shake(bench.secure, &client, HOST).await.unwrap();
    assert!(start.elapsed() >= limit, "it has waited for the slow one's end");
    assert_eq!(status(&ask(waiting, GET).await), 200);
    for mut stream in silent {
        let mut got = Vec::new();
        let _ended = stream.read_to_end(&mut got).await;
        assert!(got.is_empty(), "nothing was said to who said nothing");
    }
}
