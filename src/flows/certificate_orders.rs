//! Getting certificates by itself: each order is pursued until its certificate is in force, and taken up again when that is to be
//! renewed.
//!
//! ```text
//! due ─▶ admitted (pure) ─▶ placed ─▶ answers published ─▶ authority looks ─▶ request ─▶ certificate in force
//!                            │ kept, with the key                                            │ kept, and shown
//!                            └── a process that comes after goes on from here                └── due again for its renewal
//! ```
//!
//! What becomes of an order is a rule (`domain::CertificateOrder`), and on disk before anything follows from it. A domain that is
//! removed takes its order along: whoever pursues it sees so at the next step, and lets go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
};
use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use crate::domain::{
    Action, AppId, Certificate, CertificateOrder, ChallengeAnswer, FaultKind, HostPattern, Hostname,
    OrderEvent, OrderFault, OrderStage, PlacedOrder, SecretKey, admitted,
};
use crate::flows::acme::{Acme, AcmeOrder, Challenge, ChallengeKind};
use crate::flows::announce::{Subject, announce};
use crate::flows::certificate_text::{self, standing};
use crate::flows::error::FlowError;
use crate::flows::sni_endpoints::sni_endpoint;
use crate::flows::{Node, haiku};
use crate::store::{Issued, IssuedCertificate, Started, StoreError};
use crate::sys::clock;

/// Between two looks at what is due when nothing else rings, seconds; also after a failure of the database.
const LOOK_EVERY_S: u64 = 60;
/// How long an order is pursued before it has failed, seconds.
const PURSUIT_MAX_S: u64 = 600;
/// Between the publication of answers and the word that they are there, milliseconds: routers have a snapshot within a few.
const ANSWERS_PAUSE_MS: u64 = 1000;
/// Between two looks at an order, at first and at most, milliseconds.
const POLL_PAUSES_MS: (u64, u64) = (500, 10_000);

/// Why an order is pursued no further.
enum Halt {
    /// It came to nothing.
    Failed(OrderFault),
    /// Nobody wants it any more.
    Unwanted,
    /// The node fails.
    Node(FlowError),
}

impl From<OrderFault> for Halt {
    fn from(fault: OrderFault) -> Self {
        Self::Failed(fault)
    }
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Node(error.into())
    }
}

/// Pursues what is due, for as long as the node serves; nothing where it has no authority.
pub async fn keep_certificates(node: Node) {
    let Some(acme) = node.acme() else { return };
    let mut pursuits = JoinSet::new();
    let mut under_way: BTreeMap<Uuid, AppId> = BTreeMap::new();
    loop {
        let pause = match begin_due(&node, &acme, (&mut pursuits, &mut under_way)).await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "no certificates are got");
                Duration::from_secs(LOOK_EVERY_S)
            }
        };
        tokio::select! {
            Some(ended) = pursuits.join_next() => {
                if let Ok(domain) = ended {
                    under_way.remove(&domain);
                } else if pursuits.is_empty() {
                    // Whose it was is not known any more; with nothing pursued, nothing is under way.
                    under_way.clear();
                }
            }
            () = node.orders_changed().notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Begins with what is due, as far as there is room for it, and tells how long nothing else is.
async fn begin_due(
    node: &Node,
    acme: &Arc<dyn Acme>,
    (pursuits, under_way): (&mut JoinSet<Uuid>, &mut BTreeMap<Uuid, AppId>),
) -> Result<Duration, FlowError> {
    let now_s = clock::unix_s();
    let due = node.store().due_certificate_orders(now_s).await?;
    let started = node.store().certificate_order_starts().await?;
    for order in admitted(due, under_way, &started) {
        under_way.insert(order.domain, order.app);
        pursuits.spawn(pursue(node.clone(), Arc::clone(acme), order));
    }
    // What is due already waits for an end of what is under way, or for the hour.
    let next_s = node.store().next_certificate_order_s(now_s).await?;
    let pause = next_s.and_then(|next_s| u64::try_from(next_s.saturating_sub(now_s)).ok());
    Ok(Duration::from_secs(pause.map_or(LOOK_EVERY_S, |pause| pause.clamp(1, LOOK_EVERY_S))))
}

/// Pursues an order until its certificate is in force or it has failed; tells for which domain.
async fn pursue(node: Node, acme: Arc<dyn Acme>, order: CertificateOrder) -> Uuid {
    let (domain, name) = (order.domain, order.hostname.clone());
    let mut answers = Answers { node: node.clone(), given: Vec::new() };
    let pursued = obtain(&node, &*acme, order, &mut answers).await;
    drop(answers);
    let failed = match pursued {
        Ok(()) => return domain,
        Err(Halt::Unwanted) => {
            tracing::info!(%name, "an order for a certificate is not wanted any more");
            return domain;
        }
        Err(Halt::Failed(fault)) => {
            tracing::warn!(%name, kind = %fault.kind, detail = fault.detail, "an order for a certificate has failed");
            fail(&node, domain, fault).await
        }
        Err(Halt::Node(error)) => Err(error),
    };
    if let Err(error) = failed {
        tracing::error!(%name, error = &error as &dyn std::error::Error, "an order for a certificate waits");
        tokio::time::sleep(Duration::from_secs(LOOK_EVERY_S)).await;
    }
    domain
}

async fn fail(node: &Node, domain: Uuid, fault: OrderFault) -> Result<(), FlowError> {
    let Some(order) = node.store().certificate_order(domain).await? else { return Ok(()) };
    let failed = order.after(OrderEvent::Failed(fault), clock::unix_s());
    node.store().keep_certificate_order(failed, Started::Before).await?;
    Ok(())
}

async fn obtain(
    node: &Node,
    acme: &dyn Acme,
    order: CertificateOrder,
    answers: &mut Answers,
) -> Result<(), Halt> {
    let HostPattern::Exact(name) = &order.hostname else {
        return Err(OrderFault::new(FaultKind::Wildcard, "").into());
    };
    let name = name.clone();
    let placed = match &order.stage {
        OrderStage::Placed(placed) => placed.clone(),
        OrderStage::Waiting | OrderStage::InForce | OrderStage::GivenUp => {
            // Authorities give few certificates for a name: none is ordered that could not be kept.
            if !node.store().has_room_for_certificate(order.domain).await? {
                return Err(OrderFault::new(FaultKind::Full, "").into());
            }
            place(node, acme, &order, &name).await?
        }
    };
    let key = KeyPair::try_from(placed.key.reveal()).map_err(|error| unmade(&error))?;
    let chain = follow(node, acme, (&order, &placed.url), (&name, &key), answers).await?;
    put_in_force(node, &order, &chain, &key).await
}

/// Places an order, which is on disk with its key before anything else is done about it.
async fn place(
    node: &Node,
    acme: &dyn Acme,
    order: &CertificateOrder,
    name: &Hostname,
) -> Result<PlacedOrder, Halt> {
    let key = KeyPair::generate().map_err(|error| unmade(&error))?;
    let url = acme.place(name.clone()).await?;
    let placed = PlacedOrder { url, key: SecretKey::new(key.serialize_der()) };
    let now = order.clone().after(OrderEvent::Placed(placed.clone()), clock::unix_s());
    if !node.store().keep_certificate_order(now, Started::Anew).await? {
        return Err(Halt::Unwanted);
    }
    tracing::info!(%name, order = placed.url, "a certificate is ordered");
    Ok(placed)
}

/// Does what the authority waits for, until it gives the certificate.
async fn follow(
    node: &Node,
    acme: &dyn Acme,
    (order, url): (&CertificateOrder, &str),
    (name, key): (&Hostname, &KeyPair),
    answers: &mut Answers,
) -> Result<String, Halt> {
    let deadline = Instant::now() + Duration::from_secs(PURSUIT_MAX_S);
    let (mut pause_ms, longest_ms) = POLL_PAUSES_MS;
    let mut has_asked = false;
    let mut last_fault = None;
    while Instant::now() < deadline {
        match step(acme, url, (name, key), (answers, &mut has_asked)).await {
            Ok(Step::Issued(chain)) => return Ok(chain),
            Ok(Step::Asked) => continue,
            Ok(Step::Waits) => last_fault = None,
            // The authority still has the order: another would be one more of the few that it takes.
            Err(fault) if fault.kind.is_passing() => {
                tracing::debug!(%name, kind = %fault.kind, detail = fault.detail, "an order is looked at again");
                last_fault = Some(fault);
            }
            Err(fault) => return Err(fault.into()),
        }
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        pause_ms = (pause_ms * 3 / 2).min(longest_ms);
        if node.store().certificate_order(order.domain).await?.is_none() {
            return Err(Halt::Unwanted);
        }
    }
    let undecided = || {
        let detail = format!("the authority has not decided within {PURSUIT_MAX_S} s");
        OrderFault::new(FaultKind::Authority, &detail)
    };
    Err(last_fault.unwrap_or_else(undecided).into())
}

/// What one look at an order has come to.
enum Step {
    /// The authority has something to do.
    Waits,
    /// The certificate was asked for.
    Asked,
    /// It is here.
    Issued(String),
}

/// Looks at an order, and does what the authority waits for.
async fn step(
    acme: &dyn Acme,
    url: &str,
    (name, key): (&Hostname, &KeyPair),
    (answers, has_asked): (&mut Answers, &mut bool),
) -> Result<Step, OrderFault> {
    match acme.look(url.to_owned()).await? {
        AcmeOrder::Challenged(challenges) => {
            if answers.give(&challenges, acme.challenge())? {
                tokio::time::sleep(Duration::from_millis(ANSWERS_PAUSE_MS)).await;
                acme.begin(url.to_owned()).await?;
            }
        }
        AcmeOrder::Ready if !*has_asked => {
            acme.finalize(url.to_owned(), request(name, key)?).await?;
            *has_asked = true;
            return Ok(Step::Asked);
        }
        AcmeOrder::Ready | AcmeOrder::Processing => {}
        AcmeOrder::Issued => return acme.certificate(url.to_owned()).await.map(Step::Issued),
    }
    Ok(Step::Waits)
}

/// Keeps a certificate that was given, and has it shown.
async fn put_in_force(node: &Node, order: &CertificateOrder, chain: &str, key: &KeyPair) -> Result<(), Halt> {
    let useless = |reason: &str| OrderFault::new(FaultKind::Authority, reason);
    let read = certificate_text::read(chain, &key.serialize_pem(), clock::unix_s());
    let certificate = read.map_err(|error| useless(&error.to_string()))?;
    let facts =
        certificate_text::facts(&certificate).ok_or_else(|| useless("what it gave cannot be read"))?;
    if !facts.covers(&order.hostname) {
        return Err(useless("what it gave is for other names").into());
    }
    let judged = tokio::task::spawn_blocking(move || (standing(&certificate), certificate)).await;
    let (standing, certificate) =
        judged.map_err(|error| Halt::Node(FlowError::fault("look at a certificate")(error)))?;
    let issued = OrderEvent::Issued { starts_at_s: facts.starts_at_s, expires_at_s: facts.expires_at_s };
    let order = order.clone().after(issued, clock::unix_s());
    let (app, hostname) = (order.app, order.hostname.clone());
    let _changing = node.locks().change(app).await;
    let name = haiku::name().to_string();
    let kept = node.store().issue_certificate(IssuedCertificate { order, certificate, standing, name }).await;
    let (endpoint, action) = match kept {
        Ok(Issued::Added(id)) => (id, Action::Create),
        Ok(Issued::Renewed(id)) => (id, Action::Update),
        Ok(Issued::Unwanted) => return Err(Halt::Unwanted),
        Err(StoreError::TooManySniEndpoints) => return Err(OrderFault::new(FaultKind::Full, "").into()),
        Err(error) => return Err(error.into()),
    };
    let Some(app) = node.store().app_by_id(app).await? else { return Err(Halt::Unwanted) };
    node.apply(&app).await.map_err(Halt::Node)?;
    tracing::info!(app = %app.name, name = %hostname, expires_at_s = facts.expires_at_s, "a certificate is in force");
    let shown = sni_endpoint(node, &app, &endpoint.to_string()).await.map_err(Halt::Node)?;
    let owner = node.settings().owner.as_str();
    announce(node, Subject::SniEndpoint(&app, &shown), action, owner).await;
    Ok(())
}

/// A request for a certificate (RFC 2986), in DER.
fn request(name: &Hostname, key: &KeyPair) -> Result<Vec<u8>, OrderFault> {
    let made = CertificateParams::new(vec![name.to_string()]).and_then(|mut params| {
        params.distinguished_name = DistinguishedName::new();
        params.serialize_request(key)
    });
    Ok(made.map_err(|error| unmade(&error))?.der().to_vec())
}

/// What proves a name under TLS: a certificate for it with a digest of what the authority expects (RFC 8737, section 3).
fn proof(challenge: &Challenge) -> Result<Certificate, OrderFault> {
    let digest = Sha256::digest(&challenge.authorization);
    let key = KeyPair::generate().map_err(|error| unmade(&error))?;
    let made = CertificateParams::new(vec![challenge.name.to_string()]).and_then(|mut params| {
        params.distinguished_name = DistinguishedName::new();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(&digest)];
        params.self_signed(&key)
    });
    let made = made.map_err(|error| unmade(&error))?;
    Ok(Certificate { chain: vec![made.der().to_vec()], key: SecretKey::new(key.serialize_der()) })
}

fn unmade(error: &rcgen::Error) -> OrderFault {
    OrderFault::new(FaultKind::Authority, &format!("the node cannot make a key or a certificate: {error}"))
}

/// What one order has authorities answered; taken back when it is let go of.
struct Answers {
    node: Node,
    given: Vec<(Hostname, ChallengeAnswer)>,
}

impl Answers {
    /// Publishes what is not there yet; tells whether there was any.
    fn give(&mut self, challenges: &[Challenge], kind: ChallengeKind) -> Result<bool, OrderFault> {
        let mut is_new = false;
        for challenge in challenges {
            if self.given.iter().any(|(name, _)| *name == challenge.name) {
                continue;
            }
            let answer = match kind {
                ChallengeKind::Http => ChallengeAnswer::Http {
                    token: challenge.token.clone(),
                    text: challenge.authorization.clone(),
                },
                ChallengeKind::Tls => ChallengeAnswer::Tls(Arc::new(proof(challenge)?)),
            };
            self.node.showcase().answer(challenge.name.clone(), answer.clone());
            self.given.push((challenge.name.clone(), answer));
            is_new = true;
        }
        if is_new {
            self.node.showcase().publish();
        }
        Ok(is_new)
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        if self.given.is_empty() {
            return;
        }
        for (name, answer) in self.given.drain(..) {
            self.node.showcase().take_back(&name, &answer);
        }
        self.node.showcase().publish();
    }
}
