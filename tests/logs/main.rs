//! The log service as whole processes see it: killed in the middle of a write, sending to real receivers.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails may say so by a panic")]

mod https;
mod killed;
mod rsyslog;
#[path = "../support/skip.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    reason = "shared with tests that need more of it"
)]
mod skip;

use std::path::Path;
use std::time::{Duration, SystemTime};

use dyno::domain::{AppId, Drain, DrainId, Reach};
use dyno::logs::{LogService, Receivers, Trust};
use dyno::wire::logline::LogLine;
use uuid::Uuid;

/// The token of the one drain.
const TOKEN: &str = "d.fc6b856b-3332-4546-93de-7d0ee272c3bd";

fn app() -> AppId {
    AppId(Uuid::from_u128(7))
}

fn drain(url: &str) -> Drain {
    let id = DrainId(Uuid::from_u128(9));
    Drain { id, app: app(), token: TOKEN.to_owned(), url: url.parse().unwrap(), created_at_s: 0 }
}

/// The logs in `dir`, with drains that may lead to this machine.
fn open(dir: &Path, trust: Trust) -> LogService {
    LogService::open_with(dir.to_owned(), Receivers { trust, reach: Reach::Any }).unwrap()
}

fn push(service: &LogService, ps: &str, message: &[u8]) {
    let at = SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_415_284_170_873);
    service.push(app(), LogLine::output(at, ps, message.to_vec()));
}

/// A certificate of `name` for 127.0.0.1 and its key, as files: `cert.pem` and `key.pem`.
fn certificate(dir: &Path, name: &str) {
    let mut params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(dir.join("cert.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(dir.join("key.pem"), key.serialize_pem()).unwrap();
}
