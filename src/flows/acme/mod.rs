//! Authorities that give certificates to programs (RFC 8555), as the stories ask for them.
//!
//! An order is spoken of by its address alone, so that whoever has that can go on with it after the end of the process that
//! placed it. What goes wrong is told as the fault that the order has then.

mod client;
mod https;

use std::path::PathBuf;

use futures_util::future::BoxFuture;

use crate::domain::{Hostname, OrderFault};

pub use client::AcmeClient;

/// How certificates are got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeSettings {
    /// Where the authority says what it offers.
    pub directory: String,
    /// Whom it may write to, an e-mail address.
    pub contact: Option<String>,
    /// File of the authority that vouches for its server, PEM; without one, those that this machine trusts.
    pub root: Option<PathBuf>,
    /// How names are proven.
    pub challenge: ChallengeKind,
}

/// How a node proves that a name leads to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChallengeKind {
    /// In plain HTTP, at port 80 (RFC 8555, section 8.3).
    #[default]
    Http,
    /// With a certificate of its own, at port 443 (RFC 8737).
    Tls,
}

/// How far an order is with its authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AcmeOrder {
    /// Names are to be proven, or are being looked at.
    Challenged(Vec<Challenge>),
    /// All are; the request for the certificate is awaited.
    Ready,
    /// The certificate is being made.
    Processing,
    /// It can be had.
    Issued,
}

/// What proves a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The name.
    pub name: Hostname,
    /// What the authority asks for.
    pub token: String,
    /// What it expects: the token, and a print of the account's key.
    pub authorization: String,
}

/// An authority.
pub trait Acme: Send + Sync {
    /// How names are proven to it.
    fn challenge(&self) -> ChallengeKind;
    /// Orders a certificate for a name; tells the order's address.
    fn place(&self, name: Hostname) -> BoxFuture<'_, Result<String, OrderFault>>;
    /// How far an order is. One that came to nothing is a fault.
    fn look(&self, url: String) -> BoxFuture<'_, Result<AcmeOrder, OrderFault>>;
    /// Says that the answers to its challenges are in place.
    fn begin(&self, url: String) -> BoxFuture<'_, Result<(), OrderFault>>;
    /// Asks for the certificate with a request in DER (RFC 2986).
    fn finalize(&self, url: String, request: Vec<u8>) -> BoxFuture<'_, Result<(), OrderFault>>;
    /// The certificate and those that vouch for it, PEM.
    fn certificate(&self, url: String) -> BoxFuture<'_, Result<String, OrderFault>>;
}
