//! Certificates that the node gets by itself, with an authority that only pretends: it signs what it is asked for, as soon as a
//! test lets it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use dyno::domain::{ChallengeAnswer, FaultKind, Hostname, OrderFault};
use dyno::flows::{Acme, AcmeOrder, Challenge, ChallengeKind, Node, keep_certificates, resume};
use futures_util::future::BoxFuture;
use rcgen::{CertificateParams, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};
use serde_json::Value;
use tokio::task::JoinHandle;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

use crate::{Stage, err, out};

const NAME: &str = "www.example.com";

/// What the authority knows.
#[derive(Default)]
struct Known {
    /// Names, by the addresses of their orders.
    placed: HashMap<String, Hostname>,
    /// Orders whose proofs are in place.
    begun: Vec<String>,
    requests: HashMap<String, Vec<u8>>,
    looks: usize,
    /// It does not decide.
    holds: bool,
    /// As many looks as it fails at.
    failing: usize,
    fault: Option<OrderFault>,
}

struct PretendedAuthority(Mutex<Known>);

impl PretendedAuthority {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::default()))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap()
    }
}

/// The key that a request is for.
struct Asked(Vec<u8>);

impl PublicKeyData for Asked {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

fn answered<T: Send + 'static>(answer: Result<T, OrderFault>) -> BoxFuture<'static, Result<T, OrderFault>> {
    Box::pin(async { answer })
}

impl Acme for PretendedAuthority {
    fn challenge(&self) -> ChallengeKind {
        ChallengeKind::Http
    }

    fn place(&self, name: Hostname) -> BoxFuture<'_, Result<String, OrderFault>> {
        let mut known = self.known();
        if let Some(fault) = known.fault.clone() {
            return answered(Err(fault));
        }
        let url = format!("https://authority.example/order/{}", known.placed.len() + 1);
        known.placed.insert(url.clone(), name);
        answered(Ok(url))
    }

    fn look(&self, url: String) -> BoxFuture<'_, Result<AcmeOrder, OrderFault>> {
        let mut known = self.known();
        known.looks += 1;
        if known.failing > 0 {
            known.failing -= 1;
            return answered(Err(OrderFault::new(FaultKind::Authority, "out of order")));
        }
        let challenge = Challenge {
            name: known.placed[&url].clone(),
            token: "token".to_owned(),
            authorization: "token.print".to_owned(),
        };
        answered(Ok(if known.holds || !known.begun.contains(&url) {
            AcmeOrder::Challenged(vec![challenge])
        } else if known.requests.contains_key(&url) {
            AcmeOrder::Issued
        } else {
            AcmeOrder::Ready
        }))
    }

    fn begin(&self, url: String) -> BoxFuture<'_, Result<(), OrderFault>> {
        self.known().begun.push(url);
        answered(Ok(()))
    }

    fn finalize(&self, url: String, request: Vec<u8>) -> BoxFuture<'_, Result<(), OrderFault>> {
        self.known().requests.insert(url, request);
        answered(Ok(()))
    }

    fn certificate(&self, url: String) -> BoxFuture<'_, Result<String, OrderFault>> {
        let known = self.known();
        let (_, request) = X509CertificationRequest::from_der(&known.requests[&url]).unwrap();
        let asked = &request.certification_request_info.subject_pki.subject_public_key;
        let issuer = Issuer::new(CertificateParams::default(), KeyPair::generate().unwrap());
        let mut params = CertificateParams::new(vec![known.placed[&url].to_string()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2090, 1, 1);
        answered(Ok(params.signed_by(&Asked(asked.data.to_vec()), &issuer).unwrap().pem()))
    }
}

/// A node that gets certificates of this authority, for an app with one domain.
async fn stage(authority: &Arc<PretendedAuthority>) -> (Stage, JoinHandle<()>) {
    let stage = Stage::open().await;
    let keeper = keep(&stage.node, authority);
    for args in [&["create", "example"][..], &["domains:add", NAME, "-a", "example"]] {
        let done = stage.dyno(args).await;
        assert!(done.status.success(), "{}", err(&done));
    }
    (stage, keeper)
}

fn keep(node: &Node, authority: &Arc<PretendedAuthority>) -> JoinHandle<()> {
    node.certify_with(Arc::clone(authority) as Arc<dyn Acme>);
    tokio::spawn(keep_certificates(node.clone()))
}

async fn ok(stage: &Stage, args: &[&str]) -> String {
    let done = stage.dyno(&[args, &["-a", "example"]].concat()).await;
    assert!(done.status.success(), "{args:?}: {}", err(&done));
    out(&done)
}

/// The domain of the app, as the API has it.
async fn domain(stage: &Stage) -> Value {
    let all: Value = serde_json::from_str(&ok(stage, &["domains", "--json"]).await).unwrap();
    all[1].clone()
}

/// Waits until a domain's status is this one.
async fn becomes(stage: &Stage, status: &str) -> Value {
    for _ in 0..600 {
        let now = domain(stage).await;
        if now["acm_status"] == status {
            return now;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{status}: {}", domain(stage).await);
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("not within patience: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_gets_a_certificate_which_goes_when_nobody_wants_it() {
    let authority = PretendedAuthority::new();
    authority.known().holds = true;
    let (stage, _keeper) = stage(&authority).await;
    assert_eq!(domain(&stage).await["acm_status"], Value::Null, "nobody has asked for one");
    ok(&stage, &["certs:auto:enable"]).await;
    becomes(&stage, "verified").await;
    let (shown, name) = (stage.node.certificates(), NAME.parse::<Hostname>().unwrap());
    let answer = ChallengeAnswer::Http { token: "token".to_owned(), text: "token.print".to_owned() };
    until("the answer is published", || shown.borrow().answers.get(&name) == Some(&answer)).await;
    assert!(!shown.borrow().names.contains_key(&name));
    authority.known().holds = false;
    let issued = becomes(&stage, "cert issued").await;
    assert_eq!(issued["acm_status_reason"], Value::Null);
    until("the answer is taken back", || shown.borrow().answers.is_empty()).await;
    assert!(shown.borrow().names.contains_key(&name), "it is shown to clients");
    let listed = ok(&stage, &["certs"]).await;
    assert!(listed.contains("ACM") && listed.contains(NAME), "{listed}");
    let endpoint = issued["sni_endpoint"]["name"].as_str().unwrap();
    for args in [
        &["certs:remove", "-a", "example"][..],
        &["certs:update", "x.crt", "x.key", "--name", endpoint, "-a", "example"],
    ] {
        assert!(!stage.dyno(args).await.status.success(), "{args:?}: it is the node's");
    }
    ok(&stage, &["certs:auto:disable", "--confirm", "example"]).await;
    assert!(!shown.borrow().names.contains_key(&name));
    assert!(ok(&stage, &["certs"]).await.contains("no SSL certificates"));
    assert_eq!(domain(&stage).await["acm_status"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_fails_for_a_moment_is_asked_about_the_same_order() {
    let authority = PretendedAuthority::new();
    authority.known().failing = 2;
    let (stage, _keeper) = stage(&authority).await;
    ok(&stage, &["certs:auto:enable"]).await;
    becomes(&stage, "cert issued").await;
    let known = authority.known();
    assert_eq!((known.failing, known.placed.len()), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_says_why_and_is_tried_again_when_somebody_asks() {
    let authority = PretendedAuthority::new();
    let fault = OrderFault::new(FaultKind::Caa, "CAA record forbids issuance");
    authority.known().fault = Some(fault);
    let (stage, _keeper) = stage(&authority).await;
    ok(&stage, &["certs:auto:enable"]).await;
    let failing = becomes(&stage, "failing").await;
    let reason = failing["acm_status_reason"].as_str().unwrap();
    assert!(reason.contains("A CAA record") && reason.ends_with("CAA record forbids issuance"), "{reason}");
    let shown = ok(&stage, &["certs:auto"]).await;
    assert!(shown.contains("Failing") && shown.contains("add one that names the authority"), "{shown}");
    authority.known().fault = None;
    ok(&stage, &["certs:auto:refresh"]).await;
    becomes(&stage, "cert issued").await;
    ok(&stage, &["domains:add", "*.example.com"]).await;
    until("a wildcard is refused", || {
        let shown = std::process::Command::new(env!("CARGO_BIN_EXE_dyno"))
            .env_clear()
            .env("DYNO_SOCKET", stage.dir.path().join("api.sock"))
            .args(["certs:auto", "-a", "example"])
            .output()
            .unwrap();
        let shown = out(&shown);
        shown.contains("Failed") && shown.contains("Wildcards take a proof by DNS")
    })
    .await;
    assert_eq!(authority.known().placed.len(), 1, "none is ordered for a wildcard");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_process_goes_on_with_the_order_that_it_finds() {
    let authority = PretendedAuthority::new();
    authority.known().holds = true;
    let (stage, keeper) = stage(&authority).await;
    ok(&stage, &["certs:auto:enable"]).await;
    becomes(&stage, "verified").await;
    keeper.abort();
    let _ended = keeper.await;
    let next = stage.restarted();
    resume(&next).await.unwrap();
    authority.known().holds = false;
    let _keeper = keep(&next, &authority);
    let (shown, name) = (next.certificates(), NAME.parse::<Hostname>().unwrap());
    until("its certificate is shown", || shown.borrow().names.contains_key(&name)).await;
    assert_eq!(authority.known().placed.len(), 1, "nothing is ordered twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_ends_with_its_domain_and_a_node_without_an_authority_says_so() {
    let authority = PretendedAuthority::new();
    authority.known().holds = true;
    let (stage, _keeper) = stage(&authority).await;
    ok(&stage, &["certs:auto:enable"]).await;
    becomes(&stage, "verified").await;
    let shown = stage.node.certificates();
    until("the answer is published", || !shown.borrow().answers.is_empty()).await;
    ok(&stage, &["domains:remove", NAME]).await;
    until("the answer is taken back", || shown.borrow().answers.is_empty()).await;
    let looks = authority.known().looks;
    authority.known().holds = false;
    ok(&stage, &["domains:add", "other.example.com"]).await;
    becomes(&stage, "cert issued").await;
    assert!(authority.known().looks > looks, "what comes later is pursued");
    assert_eq!(authority.known().placed.len(), 2);

    let bare = Stage::open().await;
    assert!(bare.dyno(&["create", "example"]).await.status.success());
    let refused = bare.dyno(&["certs:auto:enable", "-a", "example"]).await;
    assert!(err(&refused).contains("[acme] of the configuration"), "{}", err(&refused));
}
