//! Who is expected, under which name and with which key.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rand::RngCore as _;

use crate::domain::AppId;
use crate::flows::Caller;
use crate::wire::api_errors::Refusal;

/// Bytes of randomness in a name.
const NAME_BYTES: usize = 32;
/// How long a name is worth something.
const NAME_TIMEOUT: Duration = Duration::from_secs(30);
/// Visitors of one app that are expected at once.
const PER_APP_MAX: usize = 20;
/// Visitors of all apps that are expected at once.
const VISITORS_MAX: usize = 500;

/// Somebody who is to come.
#[derive(Clone, Debug)]
pub(super) struct Visitor {
    pub(super) caller: Caller,
    pub(super) app: AppId,
    /// As it was named.
    pub(super) dyno: String,
    /// The key that it must show, its bytes in base64.
    pub(super) key: String,
}

/// They, by their names.
#[derive(Default)]
pub(super) struct Visitors(Mutex<HashMap<String, (Visitor, Instant)>>);

impl Visitors {
    /// Those whose time is not over.
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<String, (Visitor, Instant)>) -> T) -> T {
        // A map cannot be left half changed by a panic.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, (_, since)| since.elapsed() < NAME_TIMEOUT);
        act(&mut all)
    }

    /// Expects somebody, and tells the name.
    pub(super) fn expect(&self, visitor: Visitor) -> Result<String, Refusal> {
        let mut bytes = [0; NAME_BYTES];
        rand::rng().fill_bytes(&mut bytes);
        let name = hex::encode(bytes);
        self.with(|all| {
            if all.values().filter(|(other, _)| other.app == visitor.app).count() >= PER_APP_MAX {
                return Err(Refusal::TooManyVisits { limit: PER_APP_MAX });
            }
            if all.len() >= VISITORS_MAX {
                return Err(Refusal::TooManyVisits { limit: VISITORS_MAX });
            }
            all.insert(name.clone(), (visitor, Instant::now()));
            Ok(name)
        })
    }

    /// Whether somebody with this name and key is expected.
    pub(super) fn knows(&self, name: &str, key: &str) -> bool {
        self.with(|all| all.get(name).is_some_and(|(visitor, _)| visitor.key == key))
    }

    /// The same, and nobody is expected under that name from then on.
    pub(super) fn take(&self, name: &str, key: &str) -> Option<Visitor> {
        self.with(|all| {
            all.get(name).filter(|(visitor, _)| visitor.key == key)?;
            all.remove(name).map(|(visitor, _)| visitor)
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.with(|all| all.is_empty())
    }
}
