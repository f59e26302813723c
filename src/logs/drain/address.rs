//! Where a name that a user of an app gave leads now, as far as the node may connect there.

use std::io;
use std::net::SocketAddr;

use thiserror::Error;
use tokio::net::lookup_host;

use crate::domain::{DrainUrl, Reach};
use crate::sys;

/// Why there is no address.
#[derive(Debug, Error)]
pub enum AddressError {
    /// The name means nothing.
    #[error("its name is not found")]
    Name {
        /// What the resolver says.
        source: io::Error,
    },
    /// The name means addresses that are not allowed, and no other.
    #[error("its address is not one of the public Internet beyond this host")]
    NotAllowed,
    /// This host does not tell its own addresses, so none can be judged.
    #[error("the host's own addresses are not told")]
    Own {
        /// The kernel's errno.
        source: io::Error,
    },
}

/// Where `url` leads now, as far as `reach` goes. Connect to these and not to the name, which may mean another in a moment.
///
/// # Errors
/// The name means nothing, or nothing that is allowed.
pub async fn addresses(url: &DrainUrl, reach: Reach) -> Result<Vec<SocketAddr>, AddressError> {
    let found = lookup_host((url.host.as_str(), url.port)).await;
    let found: Vec<_> = found.map_err(|source| AddressError::Name { source })?.collect();
    if found.is_empty() {
        return Err(AddressError::Name { source: io::ErrorKind::NotFound.into() });
    }
    // At each look: interfaces come and go.
    let own = sys::addresses::own().map_err(|source| AddressError::Own { source })?;
    let allowed = reach.among(found, &own);
    if allowed.is_empty() { Err(AddressError::NotAllowed) } else { Ok(allowed) }
}
