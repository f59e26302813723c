//! Networks of containers: a namespace with one link each, out through the host by NAT, and no way in.
//!
//! ```text
//!   container            host
//!   eth0 172.16.0.2/30 ─ dy0-0 172.16.0.1/30 ─ forward (table inet dyno0) ─ masquerade ─ uplink
//! ```
//!
//! Containers reach the public internet and the configured resolvers. They do not reach each other but through a [`Passage`], nor the host, private networks, or a
//! cloud's metadata service, and cannot send with an address that is not theirs. One that is sealed answers over passages alone. There is no IPv6 but `::1`.
//!
//! What changes on the host: one nftables table, one link per container, and `forwarding` of the uplinks, which is
//! recorded and restored. Links of containers that live are left alone by `setup`, so a restarted node finds them as they were;
//! `allot` removes a link of the same name first, and the kernel removes a link with the last holder of its namespace.

mod links;
mod passages;
mod range;
pub mod resolvers;
mod rules;
mod settings;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::sys::netns;
use links::{INNER, Link, Links};
use range::SlotAddresses;
use rules::Rules;
use settings::Record;

pub use passages::{PASSAGES_MAX, Passage};
pub use range::{Ipv4Net, NODES, RangeError, SLOTS};

/// Largest packet of a container's link where the host has no uplink, in bytes.
const MTU_DEFAULT: u32 = 1500;

/// Settings of the host's end of a link. The filter checks sources too, but this wall stands even if somebody flushes the tables;
/// `arp_ignore` keeps the host from telling which addresses it has elsewhere.
const LINK_SETTINGS: &[(&str, &str)] = &[
    ("rp_filter", "1"),
    ("arp_ignore", "1"),
    ("accept_redirects", "0"),
    ("send_redirects", "0"),
    ("forwarding", "1"),
];

/// What a node's network is made from.
#[derive(Debug, Clone)]
pub struct NetworkConfig {
    /// Index of the node on this host, 0 to 31: names of links and table carry it.
    pub index: u32,
    /// The node's addresses; `Ipv4Net::default_of(index)` unless configured.
    pub base: Ipv4Net,
    /// Name servers containers may ask, private or not; see `resolvers::of_host`. IPv6 ones are ignored.
    pub resolvers: Vec<IpAddr>,
    /// Further TCP destinations containers may reach although they lie in a refused range (a registry in the same building).
    pub egress: Vec<SocketAddrV4>,
    /// Where changed settings of the host are recorded while they are changed.
    pub state_file: PathBuf,
}

/// Why a network could not be had.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The program is not installed.
    #[error("the program 'nft' is missing; install the package nftables ('apt-get install nftables')")]
    NftMissing,
    /// `nft` refused.
    #[error("the packet filter's rules could not be changed: {text}")]
    Nft {
        /// Its words.
        text: String,
        /// Where it could not even be run.
        source: Option<io::Error>,
    },
    /// The range is in use on this host.
    #[error(
        "the addresses {base} overlap the route to {route} over {link}; configure another range for this node"
    )]
    Overlap {
        /// Ours.
        base: Ipv4Net,
        /// Theirs.
        route: Ipv4Net,
        /// Over which link.
        link: String,
    },
    /// The configuration cannot work.
    #[error("{text}")]
    Config {
        /// What is wrong with it.
        text: String,
    },
    /// The kernel refused a link, an address or a route.
    #[error("could not {attempt} {object}")]
    Netlink {
        /// What was tried.
        attempt: String,
        /// With what.
        object: String,
        /// The kernel's answer.
        source: Box<rtnetlink::Error>,
    },
    /// A link was removed by somebody else while it was set up.
    #[error("the link {link} vanished while it was set up")]
    Vanished {
        /// Which.
        link: String,
    },
    /// The kernel refused a file or descriptor operation.
    #[error("could not {attempt} {}", path.display())]
    Io {
        /// What was tried.
        attempt: String,
        /// With what.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The record cannot be understood.
    #[error(
        "the record of changed network settings {} is damaged; set net.ipv4.conf.<uplink>.forwarding by hand as you \
         want it, and remove the file",
        path.display()
    )]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Another node holds the lock.
    #[error("another node has been changing network settings for {waited_s} s; end it, or try again later")]
    Locked {
        /// How long it was waited for, in seconds.
        waited_s: u64,
    },
}

/// A node's network, set up.
#[derive(Debug)]
pub struct NodeNetwork {
    index: u32,
    base: Ipv4Net,
    mtu: u32,
}

/// A network namespace with its link, ready for a container. Once a process lives in the namespace the lease may be
/// dropped; dropped before, everything is gone.
#[derive(Debug)]
pub struct NetworkLease {
    /// Where this process has it open: `/proc/<pid>/fd/<n>`, good for as long as the lease.
    pub netns: PathBuf,
    /// The container's address.
    pub address: Ipv4Addr,
    /// The host's end, the container's default route.
    pub gateway: Ipv4Addr,
    /// The slot it was allotted for.
    pub slot: u32,
    namespace: OwnedFd,
}

impl AsFd for NetworkLease {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }
}

impl NodeNetwork {
    /// Puts the table in place and switches forwarding on. May be repeated while containers run.
    ///
    /// # Errors
    /// See `NetworkError`. What was changed before a failure is recorded, and `teardown` takes it back.
    pub async fn setup(config: NetworkConfig) -> Result<NodeNetwork, NetworkError> {
        check(&config)?;
        let links = Links::here()?;
        let uplinks = survey(&links, &config).await?;
        let lock = settings::lock().await?;
        let record = record_settings(&config, &uplinks).await?;
        let rules = Rules {
            index: config.index,
            range: config.base,
            resolvers: &config.resolvers,
            egress: &config.egress,
            former: &record.former,
        };
        // The table first: from the moment forwarding is on, it says what may pass.
        rules.install().await?;
        for uplink in &uplinks {
            settings::write(4, &uplink.name, "forwarding", "1")?;
        }
        drop(lock);
        let mtu = uplinks.iter().map(|uplink| uplink.mtu).min().unwrap_or(MTU_DEFAULT);
        Ok(NodeNetwork { index: config.index, base: config.base, mtu })
    }

    /// The address that the container of a slot has.
    #[must_use]
    pub fn address(&self, slot: u32) -> Ipv4Addr {
        self.base.slot(slot).container
    }

    /// Makes a network namespace with a link for the slot. A link left over from the slot's former holder is removed first.
    ///
    /// # Errors
    /// See `NetworkError`; nothing is left behind.
    pub async fn allot(&self, slot: u32) -> Result<NetworkLease, NetworkError> {
        if slot >= SLOTS {
            return Err(NetworkError::Config { text: format!("slot {slot} is not below {SLOTS}") });
        }
        let name = link_name(self.index, slot);
        let links = Links::here()?;
        if let Some(stale) = links.named(&name).await? {
            links.remove(&stale).await?;
        }
        let made = tokio::task::spawn_blocking(netns::create)
            .await
            .unwrap_or_else(|_| Err(io::Error::other("the task making it was cancelled")));
        let namespace = made.map_err(io_error("make", Path::new("a network namespace")))?;
        let addresses = self.base.slot(slot);
        // On failure the namespace goes with its descriptor, and the link with the namespace.
        self.connect(&links, &name, &namespace, addresses).await?;
        let netns = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), namespace.as_raw_fd()));
        Ok(NetworkLease { netns, address: addresses.container, gateway: addresses.gateway, slot, namespace })
    }

    async fn connect(
        &self,
        links: &Links,
        name: &str,
        namespace: &OwnedFd,
        addresses: SlotAddresses,
    ) -> Result<(), NetworkError> {
        let outer = links.add_pair(name, namespace, self.mtu).await?;
        settings::refuse_ipv6(name)?;
        for (setting, value) in LINK_SETTINGS {
            settings::write(4, name, setting, value)?;
        }
        links.address(&outer, addresses.gateway).await?;
        links.up(&outer).await?;
        let entered = netns::in_netns(namespace, || settings::refuse_ipv6(INNER));
        entered.map_err(io_error("enter", Path::new("the network namespace")))??;
        Links::inside(namespace)?.configure_inside(addresses).await?;
        links.until_running(&outer).await
    }

    /// Removes the node's links and table, and restores what was changed. Works without a live node, and when repeated.
    ///
    /// # Errors
    /// See `NetworkError`; the record stays until everything is restored.
    pub async fn teardown(config: NetworkConfig) -> Result<(), NetworkError> {
        let links = Links::here()?;
        for link in links.all().await?.iter().filter(|link| is_ours(config.index, &link.name)) {
            links.remove(link).await?;
        }
        let lock = settings::lock().await?;
        let record = Record::load(&config.state_file)?;
        // While another node lives the settings are its as well; the last one restores them.
        if let Some(record) = &record
            && rules::settings_of_others(config.index).await?.is_none()
        {
            record.restore()?;
        }
        rules::remove(config.index).await?;
        Record::remove(&config.state_file)?;
        drop(lock);
        Ok(())
    }
}

fn check(config: &NetworkConfig) -> Result<(), NetworkError> {
    let refuse = |text: String| Err(NetworkError::Config { text });
    if config.index >= NODES {
        return refuse(format!("the node index {} is not below {NODES}", config.index));
    }
    if !config.base.is_large_enough() {
        return refuse(format!(
            "the addresses {} are too few for {SLOTS} containers; give a /20 or more",
            config.base
        ));
    }
    Ok(())
}

/// The links with a default route, having made sure that our addresses are nobody else's.
async fn survey(links: &Links, config: &NetworkConfig) -> Result<Vec<Link>, NetworkError> {
    let all = links.all().await?;
    let mut uplinks: Vec<Link> = Vec::new();
    for route in links.routes().await? {
        let Some(link) = all.iter().find(|link| link.index == route.link) else { continue };
        if route.to.is_default() {
            if !uplinks.contains(link) {
                uplinks.push(link.clone());
            }
        } else if !is_ours(config.index, &link.name) && route.to.overlaps(&config.base) {
            return Err(NetworkError::Overlap {
                base: config.base,
                route: route.to,
                link: link.name.clone(),
            });
        }
    }
    Ok(uplinks)
}

/// Notes what forwarding was before any node changed it: what an earlier run recorded, else what other nodes tell, else what is.
async fn record_settings(config: &NetworkConfig, uplinks: &[Link]) -> Result<Record, NetworkError> {
    let mut former = rules::settings_of_others(config.index).await?.unwrap_or_default();
    former.extend(Record::load(&config.state_file)?.unwrap_or_default().former);
    let mut present = BTreeMap::new();
    for uplink in uplinks {
        present.insert(uplink.name.clone(), settings::read(4, &uplink.name, "forwarding")?);
    }
    for (link, value) in present {
        former.entry(link).or_insert(value);
    }
    let record = Record { former };
    record.save(&config.state_file)?;
    Ok(record)
}

/// Name of the host's end of a slot's link; the kernel allows 15 bytes, `dy31-1023` takes 9.
fn link_name(index: u32, slot: u32) -> String {
    format!("dy{index}-{slot}")
}

fn is_ours(index: u32, name: &str) -> bool {
    let slot = name.strip_prefix("dy").and_then(|rest| rest.strip_prefix(&format!("{index}-")));
    slot.is_some_and(|slot| !slot.is_empty() && slot.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Turns the kernel's answer into an error that names the attempt and its object.
fn io_error(attempt: &str, path: &Path) -> impl FnOnce(io::Error) -> NetworkError + use<> {
    let (attempt, path) = (attempt.to_owned(), path.to_owned());
    move |source| NetworkError::Io { attempt, path, source }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn links_of_other_nodes_and_owners_are_not_ours() {
        assert!(is_ours(1, &link_name(1, 1023)));
        for name in ["dy1-", "dy10-1", "dy1-x", "dyn1-1", "eth0", "dummy0"] {
            assert!(!is_ours(1, name), "{name}");
        }
    }

    #[test]
    fn a_range_without_room_for_every_slot_is_refused() {
        let config = |base: &str, index| NetworkConfig {
            index,
            base: base.parse().unwrap(),
            resolvers: Vec::new(),
            egress: Vec::new(),
            state_file: PathBuf::new(),
        };
        assert!(check(&config("10.0.0.0/20", 0)).is_ok());
        assert!(check(&config("10.0.0.0/21", 0)).is_err());
        assert!(check(&config("10.0.0.0/20", NODES)).is_err());
    }
}
