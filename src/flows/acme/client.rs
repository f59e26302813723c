//! The client of an authority, and the node's account with it.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeStatus, ChallengeType, Error, Identifier,
    NewAccount, NewOrder, Order, OrderStatus, Problem,
};
use tokio::sync::Mutex;

use crate::domain::{FaultKind, Hostname, OrderFault};
use crate::flows::acme::https::Https;
use crate::flows::acme::{Acme, AcmeOrder, AcmeSettings, Challenge, ChallengeKind};
use crate::logs::{Tls, Trust};
use crate::store::{AcmeAccount, Store, StoreError};

/// What kinds of problems begin with (RFC 8555, section 6.7).
const PROBLEM: &str = "urn:ietf:params:acme:error:";

/// An authority that speaks RFC 8555. The account is made when it is first needed, and kept in the node's database.
pub struct AcmeClient {
    settings: AcmeSettings,
    store: Store,
    https: Https,
    /// Once it is known; whoever makes it holds the others up.
    account: Mutex<Option<Account>>,
}

/// What the authority was doing when it refused.
#[derive(Clone, Copy, PartialEq, Eq)]
enum While {
    /// It was asked for something.
    Asked,
    /// It looked at a name.
    Looking,
}

impl AcmeClient {
    /// A client; nothing is connected to yet.
    #[must_use]
    pub fn new(settings: AcmeSettings, store: Store) -> Self {
        let trust = settings.root.clone().map_or(Trust::Host, Trust::File);
        let https = Https::new(Arc::new(Tls::new(trust)));
        Self { settings, store, https, account: Mutex::default() }
    }

    async fn account(&self) -> Result<Account, OrderFault> {
        let mut known = self.account.lock().await;
        if let Some(account) = &*known {
            return Ok(account.clone());
        }
        let directory = self.settings.directory.clone();
        let builder = Account::builder_with_http(Box::new(self.https.clone()));
        let kept = self.store.acme_account(directory.clone()).await.map_err(database)?;
        let contact = self.settings.contact.as_ref().map(|contact| format!("mailto:{contact}"));
        let contacts: Vec<&str> = contact.iter().map(String::as_str).collect();
        let (account, credentials) = match kept {
            Some(AcmeAccount { contact: before, credentials: text }) => {
                let credentials: AccountCredentials = serde_json::from_str(&text)
                    .map_err(|_| OrderFault::new(FaultKind::Account, "the account cannot be read"))?;
                let account = builder.from_credentials(credentials).await;
                let account = account.map_err(|error| self.fault(&error))?;
                if before != self.settings.contact {
                    let changed = account.update_contacts(&contacts).await;
                    changed.map_err(|error| self.fault(&error))?;
                }
                (account, text)
            }
            None => {
                let new = NewAccount {
                    contact: &contacts,
                    // There is no client without the administrator's word.
                    terms_of_service_agreed: true,
                    only_return_existing: false,
                };
                let made = builder.create(&new, directory.clone(), None).await;
                let (account, credentials) = made.map_err(|error| self.fault(&error))?;
                let text = serde_json::to_string(&credentials)
                    .map_err(|_| OrderFault::new(FaultKind::Account, "the account cannot be kept"))?;
                tracing::info!(directory, account = account.id(), "has an account with an authority");
                (account, text)
            }
        };
        let kept = AcmeAccount { contact: self.settings.contact.clone(), credentials };
        self.store.keep_acme_account(directory, Some(kept)).await.map_err(database)?;
        Ok(known.insert(account).clone())
    }

    async fn order(&self, url: String) -> Result<Order, OrderFault> {
        let opened = self.account().await?.order(url).await;
        self.heard(opened).await
    }

    /// What a request came to. An account that the authority does not know any more is forgotten, and made anew next time.
    async fn heard<T>(&self, outcome: Result<T, Error>) -> Result<T, OrderFault> {
        let error = match outcome {
            Ok(heard) => return Ok(heard),
            Err(error) => error,
        };
        if let Error::Api(problem) = &error
            && word(problem) == Some("accountDoesNotExist")
        {
            *self.account.lock().await = None;
            let directory = self.settings.directory.clone();
            self.store.keep_acme_account(directory, None).await.map_err(database)?;
        }
        Err(self.fault(&error))
    }

    fn fault(&self, error: &Error) -> OrderFault {
        let fault = if let Error::Api(problem) = error {
            of_problem(problem, (While::Asked, self.settings.challenge))
        } else {
            OrderFault::new(FaultKind::Authority, &chain(error))
        };
        OrderFault { not_before_s: self.https.wanted_at_s(), ..fault }
    }

    /// The challenges of an order that is not proven yet. A name that was looked at in vain is a fault.
    async fn challenges(&self, order: &mut Order) -> Result<Vec<Challenge>, OrderFault> {
        let mut challenges = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = self.heard(authorization).await?;
            let failed = authorization.challenges.iter().find_map(|challenge| challenge.error.as_ref());
            match authorization.status {
                AuthorizationStatus::Pending => {}
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Invalid
                | AuthorizationStatus::Revoked
                | AuthorizationStatus::Expired
                | AuthorizationStatus::Deactivated => {
                    let kind = (While::Looking, self.settings.challenge);
                    let unsaid = || OrderFault::new(FaultKind::WrongAnswer, "the authority does not say why");
                    return Err(failed.map_or_else(unsaid, |problem| of_problem(problem, kind)));
                }
            }
            let found = authorization.challenge(self.kind()).ok_or_else(|| self.not_offered())?;
            let token = found.token.clone();
            let Identifier::Dns(name) = found.identifier().identifier else {
                return Err(OrderFault::new(
                    FaultKind::Authority,
                    "the authority asks about what is no name",
                ));
            };
            let name = name.parse().map_err(|_| OrderFault::new(FaultKind::Authority, "no host name"))?;
            let authorization = found.key_authorization().as_str().to_owned();
            challenges.push(Challenge { name, token, authorization });
        }
        Ok(challenges)
    }

    fn not_offered(&self) -> OrderFault {
        let detail = match self.settings.challenge {
            ChallengeKind::Http => "the authority does not offer http-01",
            ChallengeKind::Tls => "the authority does not offer tls-alpn-01",
        };
        OrderFault::new(FaultKind::Authority, detail)
    }

    fn kind(&self) -> ChallengeType {
        match self.settings.challenge {
            ChallengeKind::Http => ChallengeType::Http01,
            ChallengeKind::Tls => ChallengeType::TlsAlpn01,
        }
    }
}

impl Acme for AcmeClient {
    fn challenge(&self) -> ChallengeKind {
        self.settings.challenge
    }

    fn place(&self, name: Hostname) -> BoxFuture<'_, Result<String, OrderFault>> {
        Box::pin(async move {
            let names = [Identifier::Dns(name.to_string())];
            let placed = self.account().await?.new_order(&NewOrder::new(&names)).await;
            Ok(self.heard(placed).await?.url().to_owned())
        })
    }

    fn look(&self, url: String) -> BoxFuture<'_, Result<AcmeOrder, OrderFault>> {
        Box::pin(async move {
            let mut order = self.order(url).await?;
            let (status, failed) = (order.state().status, order.state().error.clone());
            Ok(match status {
                OrderStatus::Pending => AcmeOrder::Challenged(self.challenges(&mut order).await?),
                OrderStatus::Ready => AcmeOrder::Ready,
                OrderStatus::Processing => AcmeOrder::Processing,
                OrderStatus::Valid => AcmeOrder::Issued,
                OrderStatus::Invalid => {
                    // What a name was looked at for says more than the order does.
                    self.challenges(&mut order).await?;
                    let unsaid = || OrderFault::new(FaultKind::Authority, "the authority does not say why");
                    let kind = (While::Asked, self.settings.challenge);
                    return Err(failed.as_ref().map_or_else(unsaid, |problem| of_problem(problem, kind)));
                }
            })
        })
    }

    fn begin(&self, url: String) -> BoxFuture<'_, Result<(), OrderFault>> {
        Box::pin(async move {
            let mut order = self.order(url).await?;
            let mut authorizations = order.authorizations();
            while let Some(authorization) = authorizations.next().await {
                let mut authorization = self.heard(authorization).await?;
                let Some(mut found) = authorization.challenge(self.kind()) else { continue };
                // One that is being looked at already is not to be told again.
                if found.status == ChallengeStatus::Pending {
                    let told = found.set_ready().await;
                    self.heard(told).await?;
                }
            }
            Ok(())
        })
    }

    fn finalize(&self, url: String, request: Vec<u8>) -> BoxFuture<'_, Result<(), OrderFault>> {
        Box::pin(async move {
            let mut order = self.order(url).await?;
            let asked = order.finalize_csr(&request).await;
            self.heard(asked).await
        })
    }

    fn certificate(&self, url: String) -> BoxFuture<'_, Result<String, OrderFault>> {
        Box::pin(async move {
            let mut order = self.order(url).await?;
            let given = order.certificate().await;
            let none = || OrderFault::new(FaultKind::Authority, "the authority gives no certificate");
            self.heard(given).await?.ok_or_else(none)
        })
    }
}

/// What an authority's problem means for the order (RFC 8555, section 6.7).
fn of_problem(problem: &Problem, (during, challenge): (While, ChallengeKind)) -> OrderFault {
    let of_several = problem.subproblems.first();
    let detail = of_several.and_then(|one| one.detail.as_ref()).or(problem.detail.as_ref());
    let inner = of_several.and_then(|one| one.r#type.as_deref()?.strip_prefix(PROBLEM));
    let unreached = match challenge {
        ChallengeKind::Http => FaultKind::NoHttp,
        ChallengeKind::Tls => FaultKind::NoTls,
    };
    let kind = match inner.or(word(problem)) {
        Some("dns") => FaultKind::Name,
        Some("connection") => unreached,
        Some("tls") => FaultKind::NoTls,
        Some("incorrectResponse") => FaultKind::WrongAnswer,
        Some("unauthorized") if during == While::Looking => FaultKind::WrongAnswer,
        Some("caa") => FaultKind::Caa,
        Some("rateLimited") => FaultKind::RateLimited,
        Some("rejectedIdentifier" | "unsupportedIdentifier") => FaultKind::Rejected,
        Some(
            "unauthorized"
            | "accountDoesNotExist"
            | "externalAccountRequired"
            | "userActionRequired"
            | "invalidContact"
            | "unsupportedContact",
        ) => FaultKind::Account,
        Some(_) | None => FaultKind::Authority,
    };
    OrderFault::new(kind, detail.map_or("", String::as_str))
}

/// What kind of problem it is, in the protocol's word.
fn word(problem: &Problem) -> Option<&str> {
    problem.r#type.as_deref()?.strip_prefix(PROBLEM)
}

fn database(error: StoreError) -> OrderFault {
    tracing::error!(error = &error as &dyn std::error::Error, "the account with an authority is not at hand");
    OrderFault::new(FaultKind::Account, "the node's database fails")
}

/// An error and what it was caused by, outermost first.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    std::iter::once(error).chain(causes).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod test {
    use super::*;

    fn kind(text: &str, during: While, challenge: ChallengeKind) -> FaultKind {
        let problem = serde_json::from_str(text).unwrap();
        of_problem(&problem, (during, challenge)).kind
    }

    #[test]
    fn problems_are_what_can_be_done_about_them() {
        for (word, during, challenge, expected) in [
            ("dns", While::Looking, ChallengeKind::Http, FaultKind::Name),
            ("connection", While::Looking, ChallengeKind::Http, FaultKind::NoHttp),
            ("connection", While::Looking, ChallengeKind::Tls, FaultKind::NoTls),
            ("tls", While::Looking, ChallengeKind::Tls, FaultKind::NoTls),
            ("unauthorized", While::Looking, ChallengeKind::Http, FaultKind::WrongAnswer),
            ("unauthorized", While::Asked, ChallengeKind::Http, FaultKind::Account),
            ("caa", While::Asked, ChallengeKind::Http, FaultKind::Caa),
            ("rateLimited", While::Asked, ChallengeKind::Http, FaultKind::RateLimited),
            ("rejectedIdentifier", While::Asked, ChallengeKind::Http, FaultKind::Rejected),
            ("serverInternal", While::Asked, ChallengeKind::Http, FaultKind::Authority),
        ] {
            let text = format!(r#"{{"type": "{PROBLEM}{word}", "detail": "so it is"}}"#);
            assert_eq!(kind(&text, during, challenge), expected, "{word}");
        }
        assert_eq!(kind("{}", While::Asked, ChallengeKind::Http), FaultKind::Authority);
    }

    #[test]
    fn a_problem_of_several_is_its_first_one() {
        let text = format!(
            r#"{{"type": "{PROBLEM}malformed", "detail": "see below", "subproblems":
               [{{"type": "{PROBLEM}caa", "detail": "a record forbids it"}}]}}"#
        );
        let fault = of_problem(&serde_json::from_str(&text).unwrap(), (While::Asked, ChallengeKind::Http));
        assert_eq!((fault.kind, fault.detail.as_str()), (FaultKind::Caa, "a record forbids it"));
    }
}
