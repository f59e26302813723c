//! Certificates that the node gets by itself: the life of the order for one domain, as rules.
//!
//! ```text
//!            place                 issue
//! Waiting ───────────▶ Placed ───────────▶ InForce ──▶ Placed, when a third of its life is left
//!    ▲  ▲                │                    ▲
//!    │  └──── failure ───┤                    └── after a failure the old certificate stays, and the
//!    │   refresh         ▼                        order waits for its next attempt
//!    └──────────────  GivenUp: nothing is in force, and it failed too often or for good
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use uuid::Uuid;

use crate::domain::{AppId, HostPattern, SecretKey};

/// The waits after the first failures in a row, seconds; after more of them it is [`PAUSE_MAX_S`]. Authorities take few failures
/// an hour for one name.
const PAUSES_S: [i64; 6] = [60, 300, 900, 3600, 4 * 3600, 12 * 3600];
/// The longest wait after a failure, seconds: a day.
const PAUSE_MAX_S: i64 = 24 * 3600;
/// The least wait where an authority has said that it was asked too often, seconds.
const RATE_LIMIT_PAUSE_S: i64 = 3600;
/// The longest wait that an authority can ask for, seconds: a week.
const ASKED_PAUSE_MAX_S: i64 = 7 * 24 * 3600;
/// Failures in a row after which an order is given up that has nothing in force.
const FAILURES_MAX: u32 = 10;
/// How far failures count that are not for the owner to mend: the authority's, or of the way to it. They end by themselves, so they lead
/// to long waits, but to no end.
const PASSING_FAILURES_MAX: u32 = 6;
/// The longest time before its end at which a certificate is renewed, seconds: thirty days.
const RENEWAL_MAX_S: i64 = 30 * 24 * 3600;
/// What is left of a certificate's life when it is renewed, as a part of it.
const RENEWAL_PART: i64 = 3;
/// Orders under way at once, of all apps.
const AT_ONCE_MAX: usize = 4;
/// Orders under way at once of one app, so that one with many names does not hold up the others.
const AT_ONCE_PER_APP_MAX: usize = 2;
/// Orders placed within an hour, of all apps: what authorities take of one account.
const PER_HOUR_MAX: usize = 100;
/// Orders placed within an hour for one app.
const PER_APP_HOUR_MAX: usize = 20;
/// The most characters that are kept of what an authority says.
const DETAIL_CHARACTERS_MAX: usize = 300;

/// The order for one domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateOrder {
    /// The domain's identity.
    pub domain: Uuid,
    /// Its app.
    pub app: AppId,
    /// Its name.
    pub hostname: HostPattern,
    /// How far it is.
    pub stage: OrderStage,
    /// Failures in a row.
    pub failures: u32,
    /// The last of them.
    pub fault: Option<OrderFault>,
    /// Unix time until which the certificate in force holds, seconds; `None` where there was none yet.
    pub expires_at_s: Option<i64>,
    /// Unix time of what is to be done next, seconds.
    pub due_at_s: i64,
    /// Unix time of the last change, seconds.
    pub updated_at_s: i64,
}

/// How far an order is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderStage {
    /// To be placed when it is due.
    Waiting,
    /// The authority has it.
    Placed(PlacedOrder),
    /// Its certificate is shown; due when that is to be renewed.
    InForce,
    /// Nothing more is done until somebody asks.
    GivenUp,
}

/// An order that an authority has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedOrder {
    /// Where it is asked about.
    pub url: String,
    /// The key of the certificate to be.
    pub key: SecretKey,
}

/// What has become of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderEvent {
    /// The authority has taken it.
    Placed(PlacedOrder),
    /// Its certificate has come, and is shown.
    Issued {
        /// Unix time from which on it holds, seconds.
        starts_at_s: i64,
        /// Unix time until which it holds, seconds.
        expires_at_s: i64,
    },
    /// It came to nothing.
    Failed(OrderFault),
    /// A user wants it to be tried again.
    Refreshed,
}

/// Why an order came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderFault {
    /// Of what kind.
    pub kind: FaultKind,
    /// What the authority, or the node, says of it; of few characters, all of them printable.
    pub detail: String,
    /// Unix time before which it is not to be tried again, seconds.
    pub not_before_s: Option<i64>,
}

/// Kinds of failures, each with something else to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// The domain is a wildcard.
    Wildcard,
    /// The name leads nowhere.
    Name,
    /// Nothing answers for the name in plain HTTP.
    NoHttp,
    /// Nothing answers for the name under TLS.
    NoTls,
    /// What answers for the name is not this node.
    WrongAnswer,
    /// A record of the name leaves its certificates to other authorities.
    Caa,
    /// The authority was asked too often.
    RateLimited,
    /// The authority gives no certificates for the name.
    Rejected,
    /// The authority does not take the node's account.
    Account,
    /// The authority is not reached, or fails.
    Authority,
    /// The app has as many certificates as it may.
    Full,
}

/// The text names no kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no kind of failure")]
pub struct UnknownFault;

/// How far an order is, as it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderProgress {
    /// It waits for its turn.
    Pending,
    /// It is under way.
    UnderWay,
    /// A certificate is in force.
    InForce,
    /// It failed, and is tried again.
    Failing,
    /// It failed, and is not tried again.
    Failed,
}

// === impl CertificateOrder ===

impl CertificateOrder {
    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> OrderProgress {
        match (&self.stage, self.failures, self.expires_at_s) {
            (OrderStage::InForce, ..) => OrderProgress::InForce,
            (OrderStage::GivenUp, ..) => OrderProgress::Failed,
            (OrderStage::Waiting | OrderStage::Placed(_), 0, Some(_)) => OrderProgress::InForce,
            (OrderStage::Waiting, 0, None) => OrderProgress::Pending,
            (OrderStage::Placed(_), 0, None) => OrderProgress::UnderWay,
            (OrderStage::Waiting | OrderStage::Placed(_), 1.., _) => OrderProgress::Failing,
        }
    }

    /// What it is after `event`, at `now_s`.
    #[must_use]
    pub fn after(self, event: OrderEvent, now_s: i64) -> Self {
        let before = Self { updated_at_s: now_s, ..self };
        let rests = matches!(before.stage, OrderStage::Waiting | OrderStage::GivenUp);
        match event {
            OrderEvent::Placed(placed) => {
                Self { stage: OrderStage::Placed(placed), due_at_s: now_s, ..before }
            }
            OrderEvent::Issued { starts_at_s, expires_at_s } => Self {
                stage: OrderStage::InForce,
                failures: 0,
                fault: None,
                expires_at_s: Some(expires_at_s),
                due_at_s: renewal_at(starts_at_s, expires_at_s),
                ..before
            },
            OrderEvent::Failed(fault) => before.failed(fault, now_s),
            OrderEvent::Refreshed if rests => {
                Self { stage: OrderStage::Waiting, failures: 0, fault: None, due_at_s: now_s, ..before }
            }
            OrderEvent::Refreshed => before,
        }
    }

    fn failed(self, fault: OrderFault, now_s: i64) -> Self {
        let counted_max =
            if fault.kind.is_passing() { self.failures.max(PASSING_FAILURES_MAX) } else { u32::MAX };
        let failures = self.failures.saturating_add(1).min(counted_max);
        let has_certificate = self.expires_at_s.is_some_and(|end| end > now_s);
        let is_often = failures >= FAILURES_MAX && !fault.kind.is_passing();
        let is_over = !has_certificate && (fault.kind.is_final() || is_often);
        let stage = if is_over { OrderStage::GivenUp } else { OrderStage::Waiting };
        let due_at_s = now_s.saturating_add(pause_s(&fault, failures, now_s));
        Self { stage, failures, due_at_s, fault: Some(fault), ..self }
    }
}

/// How long nothing is done after a failure.
fn pause_s(fault: &OrderFault, failures: u32, now_s: i64) -> i64 {
    let usual = usize::try_from(failures.saturating_sub(1)).ok().and_then(|at| PAUSES_S.get(at).copied());
    let usual = usual.unwrap_or(PAUSE_MAX_S);
    let least = if fault.kind == FaultKind::RateLimited { RATE_LIMIT_PAUSE_S } else { 0 };
    let asked = fault.not_before_s.map_or(0, |at| at.saturating_sub(now_s)).min(ASKED_PAUSE_MAX_S);
    usual.max(least).max(asked)
}

/// When a certificate is renewed: a third of its life before its end, thirty days at most.
fn renewal_at(starts_at_s: i64, expires_at_s: i64) -> i64 {
    let life_s = expires_at_s.saturating_sub(starts_at_s).max(0);
    expires_at_s.saturating_sub(RENEWAL_MAX_S.min(life_s / RENEWAL_PART))
}

/// Which of the orders that are due are taken up now, first come, first served: no more at once, of all and of one app, than
/// there is room for, and no more new ones within an hour. `under_way` names domains with their apps; `started` counts what was
/// placed for each app within the last hour. An order that was placed already counts no second time.
#[must_use]
pub fn admitted(
    due: Vec<CertificateOrder>,
    under_way: &BTreeMap<Uuid, AppId>,
    started: &BTreeMap<AppId, usize>,
) -> Vec<CertificateOrder> {
    let (mut domains, mut started) = (under_way.keys().copied().collect::<BTreeSet<_>>(), started.clone());
    let mut of_app: BTreeMap<AppId, usize> = BTreeMap::new();
    for app in under_way.values() {
        *of_app.entry(*app).or_default() += 1;
    }
    let mut total: usize = started.values().sum();
    let mut taken = Vec::new();
    for order in due {
        let (at_once, placed) = (of_app.entry(order.app).or_default(), started.entry(order.app).or_default());
        let is_new = !matches!(order.stage, OrderStage::Placed(_));
        let is_full = domains.len() >= AT_ONCE_MAX || *at_once >= AT_ONCE_PER_APP_MAX;
        let is_often = is_new && (total >= PER_HOUR_MAX || *placed >= PER_APP_HOUR_MAX);
        if is_full || is_often || order.stage == OrderStage::GivenUp || !domains.insert(order.domain) {
            continue;
        }
        *at_once += 1;
        if is_new {
            *placed += 1;
            total += 1;
        }
        taken.push(order);
    }
    taken
}

// === impl OrderFault ===

impl OrderFault {
    /// A failure; of the detail as much is kept as is shown, without what no terminal should get.
    #[must_use]
    pub fn new(kind: FaultKind, detail: &str) -> Self {
        let printable = detail.chars().map(|c| if c.is_control() { ' ' } else { c });
        let detail = printable.take(DETAIL_CHARACTERS_MAX).collect();
        Self { kind, detail, not_before_s: None }
    }
}

// === impl FaultKind ===

impl FaultKind {
    const ALL: [(Self, &'static str); 11] = [
        (Self::Wildcard, "wildcard"),
        (Self::Name, "name"),
        (Self::NoHttp, "no-http"),
        (Self::NoTls, "no-tls"),
        (Self::WrongAnswer, "wrong-answer"),
        (Self::Caa, "caa"),
        (Self::RateLimited, "rate-limited"),
        (Self::Rejected, "rejected"),
        (Self::Account, "account"),
        (Self::Authority, "authority"),
        (Self::Full, "full"),
    ];

    /// The word by which it is kept.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("authority", |(_, word)| word)
    }

    /// Whether it ends without anything that the domain's owner could do.
    #[must_use]
    pub fn is_passing(self) -> bool {
        matches!(self, Self::RateLimited | Self::Account | Self::Authority)
    }

    /// Whether trying again changes nothing.
    fn is_final(self) -> bool {
        matches!(self, Self::Wildcard | Self::Rejected)
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for FaultKind {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Self, UnknownFault> {
        Self::ALL.iter().find(|(_, word)| *word == text).map(|(kind, _)| *kind).ok_or(UnknownFault)
    }
}

#[cfg(test)]
mod test;
