//! Links, addresses and routes, through the kernel's route netlink.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use futures_util::TryStreamExt;
use rtnetlink::packet_core::ErrorMessage;
use rtnetlink::packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkMessage, State};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage};
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};

use super::range::{Ipv4Net, SLOT_PREFIX, SlotAddresses};
use super::{NetworkError, io_error};
use crate::sys::netns::in_netns;

/// The container's end of its link.
pub(super) const INNER: &str = "eth0";
/// Largest packet where the uplink's is not known, in bytes.
const MTU_DEFAULT: u32 = 1500;
/// How long, and how often, a new link is asked whether packets pass, in milliseconds.
const RUNNING_WAIT_MS: u64 = 1_000;
const RUNNING_PAUSE_MS: u64 = 2;
/// Kernel errnos that mean "no such link".
const ENODEV: i32 = 19;

/// A netlink conversation in one network namespace; ends when dropped.
pub(super) struct Links {
    handle: Handle,
    conversation: tokio::task::JoinHandle<()>,
}

/// A link as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) mtu: u32,
    /// Whether packets pass: switched on at both ends, and the kernel has noticed.
    pub(super) is_running: bool,
}

/// An IPv4 route as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) to: Ipv4Net,
    pub(super) link: u32,
}

impl Drop for Links {
    fn drop(&mut self) {
        self.conversation.abort();
    }
}

impl Links {
    /// Speaks to the calling thread's own network namespace.
    pub(super) fn here() -> Result<Links, NetworkError> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(io_error("open", Path::new("route netlink")))?;
        Ok(Links { handle, conversation: tokio::spawn(connection) })
    }

    /// Speaks to another: a netlink socket belongs to the namespace it was made in.
    pub(super) fn inside(namespace: &OwnedFd) -> Result<Links, NetworkError> {
        in_netns(namespace, Links::here).map_err(io_error("enter", Path::new("the network namespace")))?
    }

    /// Every link.
    pub(super) async fn all(&self) -> Result<Vec<Link>, NetworkError> {
        let messages: Vec<LinkMessage> =
            self.handle.link().get().execute().try_collect().await.map_err(error("list", "the links"))?;
        Ok(messages.iter().filter_map(link).collect())
    }

    /// The link of this name.
    pub(super) async fn named(&self, name: &str) -> Result<Option<Link>, NetworkError> {
        let mut found = self.handle.link().get().match_name(name.to_owned()).execute();
        match found.try_next().await {
            Ok(message) => Ok(message.as_ref().and_then(link)),
            Err(rtnetlink::Error::NetlinkError(answer)) if errno(&answer) == ENODEV => Ok(None),
            Err(source) => Err(error("look for the link", name)(source)),
        }
    }

    /// Every IPv4 route of the main table.
    pub(super) async fn routes(&self) -> Result<Vec<Route>, NetworkError> {
        let request = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let messages: Vec<RouteMessage> = self
            .handle
            .route()
            .get(request)
            .execute()
            .try_collect()
            .await
            .map_err(error("list", "the routes"))?;
        Ok(messages.iter().filter_map(route).collect())
    }

    /// Removes a link, and with it its other end; that there is none is success.
    pub(super) async fn remove(&self, link: &Link) -> Result<(), NetworkError> {
        match self.handle.link().del(link.index).execute().await {
            Err(rtnetlink::Error::NetlinkError(answer)) if errno(&answer) == ENODEV => Ok(()),
            result => result.map_err(error("remove the link", &link.name)),
        }
    }

    /// Makes a pair: `name` here, `INNER` in the other namespace, in one message so that the inner end is never here.
    pub(super) async fn add_pair(
        &self,
        name: &str,
        namespace: &OwnedFd,
        mtu: u32,
    ) -> Result<Link, NetworkError> {
        let inner = LinkMessageBuilder::<LinkUnspec>::new()
            .name(INNER)
            .mtu(mtu)
            .setns_by_fd(namespace.as_raw_fd())
            .build();
        let pair = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
            .name(name)
            .mtu(mtu)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(inner)))
            .build();
        self.handle.link().add(pair).execute().await.map_err(error("make the link", name))?;
        let missing = || NetworkError::Vanished { link: name.to_owned() };
        self.named(name).await?.ok_or_else(missing)
    }

    /// Gives a link its address within a slot.
    pub(super) async fn address(&self, link: &Link, address: Ipv4Addr) -> Result<(), NetworkError> {
        let request = self.handle.address().add(link.index, address.into(), SLOT_PREFIX);
        request.execute().await.map_err(error(&format!("give the address {address} to the link"), &link.name))
    }

    /// Switches a link on.
    pub(super) async fn up(&self, link: &Link) -> Result<(), NetworkError> {
        let message = LinkUnspec::new_with_index(link.index).up().build();
        self.handle.link().set(message).execute().await.map_err(error("switch on the link", &link.name))
    }

    /// Waits until packets pass: the end that was switched on first learns of the other's coming from a worker of the kernel,
    /// and loses what is sent before, at the price of a second for the container's first packet. When the
    /// time is up nothing worse than that happens, so it is no error.
    pub(super) async fn until_running(&self, link: &Link) -> Result<(), NetworkError> {
        for _ in 0..RUNNING_WAIT_MS / RUNNING_PAUSE_MS {
            if self.named(&link.name).await?.is_none_or(|link| link.is_running) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(RUNNING_PAUSE_MS)).await;
        }
        Ok(())
    }

    /// Inside a container's namespace: loopback, address, default route.
    pub(super) async fn configure_inside(&self, addresses: SlotAddresses) -> Result<(), NetworkError> {
        let vanished = |name: &str| NetworkError::Vanished { link: name.to_owned() };
        let loopback = self.named("lo").await?.ok_or_else(|| vanished("lo"))?;
        self.up(&loopback).await?;
        let inner = self.named(INNER).await?.ok_or_else(|| vanished(INNER))?;
        self.address(&inner, addresses.container).await?;
        self.up(&inner).await?;
        let default = RouteMessageBuilder::<Ipv4Addr>::new().gateway(addresses.gateway).build();
        self.handle
            .route()
            .add(default)
            .execute()
            .await
            .map_err(error("set the default route through", INNER))
    }
}

fn link(message: &LinkMessage) -> Option<Link> {
    let mut link =
        Link { index: message.header.index, name: String::new(), mtu: MTU_DEFAULT, is_running: false };
    for attribute in &message.attributes {
        if let LinkAttribute::IfName(name) = attribute {
            link.name.clone_from(name);
        } else if let LinkAttribute::Mtu(mtu) = attribute {
            link.mtu = *mtu;
        } else if let LinkAttribute::OperState(state) = attribute {
            link.is_running = *state == State::Up;
        }
    }
    (!link.name.is_empty()).then_some(link)
}

/// `None` for routes of other tables (the table `local` among them) and those without a link.
fn route(message: &RouteMessage) -> Option<Route> {
    if message.header.table != RouteHeader::RT_TABLE_MAIN {
        return None;
    }
    let mut address = Ipv4Addr::UNSPECIFIED;
    let mut link = None;
    for attribute in &message.attributes {
        if let RouteAttribute::Destination(RouteAddress::Inet(to)) = attribute {
            address = *to;
        } else if let RouteAttribute::Oif(index) = attribute {
            link = Some(*index);
        }
    }
    let to = Ipv4Net::new(address, message.header.destination_prefix_length).ok()?;
    Some(Route { to, link: link? })
}

fn errno(answer: &ErrorMessage) -> i32 {
    answer.raw_code().saturating_neg()
}

fn error(attempt: &str, object: &str) -> impl FnOnce(rtnetlink::Error) -> NetworkError + use<> {
    let (attempt, object) = (attempt.to_owned(), object.to_owned());
    move |source| NetworkError::Netlink { attempt, object, source: Box::new(source) }
}
