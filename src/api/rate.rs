//! How many requests an account may send (platform reference 7.1): a bucket that fills again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use http::HeaderName;
use serde_json::{Value, json};

use crate::api::auth::Door;
use crate::api::state::Api;
use crate::domain::Email;
use crate::flows::{Caller, Role};
use crate::wire::api_errors::Refusal;

/// Requests left, in answers.
pub(super) const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");

/// Requests at once at most.
const CAPACITY: f64 = 4500.0;
/// Requests that come back in a second.
const REFILL_PER_S: f64 = 4500.0 / 3600.0;

/// What each account has left. There are no more accounts than users.
#[derive(Default)]
pub(super) struct Buckets(Mutex<HashMap<Email, Bucket>>);

#[derive(Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn full(now: Instant) -> Self {
        Self { left: CAPACITY, at: now }
    }

    fn refilled(self, now: Instant) -> Self {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        Self { left: REFILL_PER_S.mul_add(seconds, self.left).min(CAPACITY), at: now }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is 0 to 4500")]
    fn whole(self) -> u32 {
        self.left.max(0.0) as u32
    }
}

impl Buckets {
    fn with(&self, user: &Email, now: Instant, act: impl FnOnce(&mut Bucket)) -> u32 {
        // A map cannot be left half changed by a panic.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = all.entry(user.clone()).or_insert_with(|| Bucket::full(now));
        *bucket = bucket.refilled(now);
        act(bucket);
        bucket.whole()
    }
}

/// Takes one request of the caller's, and tells how many are left; nothing is counted on the socket. The administrator's
/// are counted, and never refused: who repairs a node must not wait.
pub(super) fn take(api: &Api, door: &Door, caller: &Caller) -> Result<Option<u32>, Refusal> {
    match door {
        Door::Socket { .. } => return Ok(None),
        Door::Tcp(_) => {}
    }
    let mut is_empty = false;
    let left = api.buckets.with(caller.user(), Instant::now(), |bucket| {
        is_empty = bucket.left < 1.0;
        bucket.left = (bucket.left - 1.0).max(0.0);
    });
    match caller.role() {
        Role::Member if is_empty => Err(Refusal::RateLimit),
        Role::Member | Role::Administrator => Ok(Some(left)),
    }
}

/// `GET /account/rate-limits`.
pub(super) async fn show(State(api): State<Api>, caller: Caller) -> Json<Value> {
    Json(json!({ "remaining": api.buckets.with(caller.user(), Instant::now(), |_| {}) }))
}

#[cfg(test)]
mod test {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bucket_empties_and_fills_again() {
        let (buckets, start) = (Buckets::default(), Instant::now());
        let user = "me@example.com".parse().unwrap();
        assert_eq!(buckets.with(&user, start, |bucket| bucket.left = 0.0), 0);
        assert_eq!(buckets.with(&user, start + Duration::from_secs(60), |_| {}), 75);
        assert_eq!(buckets.with(&user, start + Duration::from_secs(86_400), |_| {}), 4500);
        let other = "you@example.com".parse().unwrap();
        assert_eq!(buckets.with(&other, start, |_| {}), 4500);
    }
}
