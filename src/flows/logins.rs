//! Guards against guessing passwords: for each name and for each address that failed of late, how often.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::domain::Email;

/// Passwords looked at at once: each look takes 19 MiB and tens of milliseconds.
const LOOKS_MAX: usize = 2;
/// Wrong passwords in a row after which a name is not listened to for a while.
const NAME_FAILURES_MAX: u32 = 10;
/// Wrong passwords, whatever the names, after which an address is not listened to for a while. Many users may share one, and a
/// right password in between is no excuse: whoever guesses may have a name of their own.
const ADDRESS_FAILURES_MAX: u32 = 50;
/// How long after the last failure nobody is listened to.
pub(super) const PAUSE: Duration = Duration::from_secs(300);
/// Names, and addresses, whose failures are remembered; when there are more, the oldest is forgotten.
const REMEMBERED_MAX: usize = 10_000;
/// Bits of an IPv6 address that tell networks apart: within one, its owner chooses.
const NETWORK_BITS: u32 = 64;

/// What is remembered of logging in.
pub(super) struct Logins {
    pub(super) looks: Semaphore,
    names: Failures<Email>,
    addresses: Failures<IpAddr>,
}

impl Default for Logins {
    fn default() -> Self {
        Self {
            looks: Semaphore::new(LOOKS_MAX),
            names: Failures::at_most(NAME_FAILURES_MAX),
            addresses: Failures::at_most(ADDRESS_FAILURES_MAX),
        }
    }
}

impl Logins {
    /// Whether a name, or an address where one is known, has failed too often of late.
    pub(super) fn is_paused(&self, user: &Email, from: Option<IpAddr>) -> bool {
        self.names.is_paused(user) || from.is_some_and(|from| self.addresses.is_paused(&network_of(from)))
    }

    /// A wrong password.
    pub(super) fn failed(&self, user: &Email, from: Option<IpAddr>) {
        self.names.failed(user);
        if let Some(from) = from {
            self.addresses.failed(&network_of(from));
        }
    }

    /// A right one.
    pub(super) fn succeeded(&self, user: &Email) {
        self.names.forget(user);
    }
}

fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (Ipv6Addr::BITS - NETWORK_BITS))).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// Failures by key.
struct Failures<K> {
    max: u32,
    all: Mutex<HashMap<K, Failed>>,
}

struct Failed {
    number: u32,
    last: Instant,
}

impl<K: Clone + Eq + Hash> Failures<K> {
    fn at_most(max: u32) -> Self {
        Self { max, all: Mutex::default() }
    }

    fn with<T>(&self, act: impl FnOnce(&mut HashMap<K, Failed>) -> T) -> T {
        // A map cannot be left half changed by a panic.
        act(&mut self.all.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_paused(&self, key: &K) -> bool {
        self.with(|all| all.get(key).is_some_and(|f| f.number >= self.max && f.last.elapsed() < PAUSE))
    }

    fn failed(&self, key: &K) {
        self.with(|all| {
            all.retain(|_, failed| failed.last.elapsed() < PAUSE);
            if all.len() >= REMEMBERED_MAX
                && let Some(oldest) = all.iter().min_by_key(|(_, f)| f.last).map(|(key, _)| key.clone())
            {
                all.remove(&oldest);
            }
            let failed = all.entry(key.clone()).or_insert_with(|| Failed { number: 0, last: Instant::now() });
            failed.number += 1;
            failed.last = Instant::now();
        });
    }

    fn forget(&self, key: &K) {
        self.with(|all| all.remove(key));
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn user(number: u32) -> Email {
        format!("user{number}@example.com").parse().unwrap()
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_name_is_listened_to_again_only_after_a_right_password_or_a_pause() {
        let logins = Logins::default();
        for _ in 1..NAME_FAILURES_MAX {
            logins.failed(&user(1), None);
        }
        assert!(!logins.is_paused(&user(1), None));
        logins.failed(&user(1), None);
        assert!(logins.is_paused(&user(1), None), "from wherever it comes");
        assert!(!logins.is_paused(&user(2), None));
        logins.succeeded(&user(1));
        assert!(!logins.is_paused(&user(1), None));
    }

    #[test]
    fn who_tries_many_names_from_one_address_is_not_listened_to() {
        let logins = Logins::default();
        for number in 0..ADDRESS_FAILURES_MAX {
            assert!(!logins.is_paused(&user(number), address("192.0.2.1")));
            logins.failed(&user(number), address("192.0.2.1"));
            // A right password in between changes nothing.
            logins.succeeded(&user(number));
        }
        assert!(logins.is_paused(&user(1000), address("192.0.2.1")));
        assert!(logins.is_paused(&user(1000), address("::ffff:192.0.2.1")));
        assert!(!logins.is_paused(&user(1000), address("192.0.2.2")));
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let logins = Logins::default();
        for number in 0..ADDRESS_FAILURES_MAX {
            logins.failed(&user(number), address(&format!("2001:db8::{number:x}")));
        }
        assert!(logins.is_paused(&user(1000), address("2001:db8::ffff:1")));
        assert!(!logins.is_paused(&user(1000), address("2001:db8:0:1::1")));
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        let failures = Failures::at_most(1);
        for key in 0..=REMEMBERED_MAX {
            failures.failed(&key);
        }
        assert_eq!(failures.with(|all| all.len()), REMEMBERED_MAX);
        assert!(!failures.is_paused(&0) && failures.is_paused(&REMEMBERED_MAX));
    }
}
