//! Which certificate the router shows for which name of which app.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::domain::{App, AppId, Certificate, Certificates, ChallengeAnswer, HostPattern, Hostname};
use crate::flows::authority::Authority;

/// The certificates of all apps, and who hears of them.
pub(super) struct Showcase {
    authority: Authority,
    own: Option<Arc<Certificate>>,
    apps: Mutex<BTreeMap<AppId, Shown>>,
    answers: Mutex<HashMap<Hostname, ChallengeAnswer>>,
    published: watch::Sender<Arc<Certificates>>,
}

/// The names of one app that have a certificate.
pub(super) type Shown = Vec<(HostPattern, Arc<Certificate>)>;

impl Showcase {
    /// Shows the node's own certificate, and no app's yet.
    pub(super) fn new(authority: Authority) -> Self {
        let own = issued(&authority, &authority.own_names());
        let published =
            watch::channel(Arc::new(Certificates { own: own.clone(), ..Certificates::default() })).0;
        Self { authority, own, apps: Mutex::default(), answers: Mutex::default(), published }
    }

    /// The authority.
    pub(super) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// What is shown, from now on.
    pub(super) fn subscribe(&self) -> watch::Receiver<Arc<Certificates>> {
        self.published.subscribe()
    }

    /// Notes what is shown for an app: for its given name a certificate of the authority's, for its own names `brought`.
    /// [`Self::publish`] makes it known.
    pub(super) fn note(&self, app: &App, brought: Shown) {
        let Ok(given) = app.name.default_domain().parse::<HostPattern>() else { return };
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        let before = apps.get(&app.id).and_then(|shown| shown.iter().find(|(name, _)| *name == given));
        let certificate = match before {
            Some((_, certificate)) => Some(Arc::clone(certificate)),
            None => issued(&self.authority, &[given.to_string()]),
        };
        let given = certificate.map(|certificate| (given, certificate));
        apps.insert(app.id, given.into_iter().chain(brought).collect());
    }

    /// Notes what an authority is answered that asks about a name. [`Self::publish`] makes it known.
    pub(super) fn answer(&self, name: Hostname, answer: ChallengeAnswer) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).insert(name, answer);
    }

    /// Notes that an authority is not answered that any more; another answer for the name, of an order that came after, stays.
    /// [`Self::publish`] makes it known.
    pub(super) fn take_back(&self, name: &Hostname, answer: &ChallengeAnswer) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.get(name) == Some(answer) {
            answers.remove(name);
        }
    }

    /// Makes known what has been noted, where it differs from what is known.
    pub(super) fn publish(&self) {
        let mut all = Certificates { own: self.own.clone(), ..Certificates::default() };
        for (name, certificate) in self.apps.lock().unwrap_or_else(PoisonError::into_inner).values().flatten()
        {
            all.insert(name, Arc::clone(certificate));
        }
        all.answers.clone_from(&self.answers.lock().unwrap_or_else(PoisonError::into_inner));
        self.published.send_if_modified(|published| {
            let changed = **published != all;
            if changed {
                *published = Arc::new(all);
            }
            changed
        });
    }

    /// Notes that an app is no more.
    pub(super) fn forget(&self, app: AppId) {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner).remove(&app);
    }
}

/// A certificate of the authority's; without one the names are not encrypted, which is no reason to serve nothing.
fn issued(authority: &Authority, names: &[String]) -> Option<Arc<Certificate>> {
    match authority.issue(names) {
        Ok(certificate) => Some(Arc::new(certificate)),
        Err(error) => {
            tracing::error!(?names, error = &error as &dyn std::error::Error, "a certificate cannot be made");
            None
        }
    }
}
