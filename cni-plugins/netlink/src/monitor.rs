//! What the kernel tells of changes, whoever makes them.

use futures::StreamExt;
use futures::channel::mpsc::UnboundedReceiver;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::MulticastGroup;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::sys::SocketAddr;
use tokio::task::JoinSet;

use crate::error::NetlinkError;
use crate::route::link_of;

/// A change of the kernel's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// A link was made or changed.
    Link(u32),
    /// A link is gone, from this namespace at least.
    LinkGone(u32),
    /// An address of a link was added or removed.
    Address(u32),
    /// A neighbour or forwarding entry of a link was added, changed or removed.
    Neighbour(u32),
    /// A route through a link (where it is only one) was added, changed or removed.
    Route(Option<u32>),
    /// So much changed at once that notices were dropped: everything may be different.
    Lost,
}

/// What to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watched {
    /// Links alone.
    Links,
    /// Links, addresses, neighbours, forwarding entries and routes of IPv4.
    Everything,
}

/// A stream of notices of one network namespace, from the moment it was opened.
#[derive(Debug)]
pub struct Monitor {
    /// Unbounded in the library; what its reader ignores is dropped as it is read.
    messages: UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>,
    _driver: JoinSet<()>,
}

impl Monitor {
    /// Listens in the namespace of the calling thread. Must be called on a tokio runtime with I/O.
    ///
    /// # Errors
    ///
    /// When no socket can be made.
    pub fn open(watched: Watched) -> Result<Self, NetlinkError> {
        let groups: &[MulticastGroup] = match watched {
            Watched::Links => &[MulticastGroup::Link],
            Watched::Everything => &[
                MulticastGroup::Link,
                MulticastGroup::Neigh,
                MulticastGroup::Ipv4Ifaddr,
                MulticastGroup::Ipv4Route,
            ],
        };
        let (connection, _, messages) = rtnetlink::new_multicast_connection(groups)
            .map_err(|e| NetlinkError::io("listen for changes of links", e))?;
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        Ok(Self {
            messages,
            _driver: driver,
        })
    }

    /// The next notice; `None` once the socket broke. Cancel-safe: a notice is taken or left.
    pub async fn next(&mut self) -> Option<Notice> {
        loop {
            let (message, _) = self.messages.next().await?;
            if let Some(notice) = read(&message.payload) {
                return Some(notice);
            }
        }
    }
}

fn read(payload: &NetlinkPayload<RouteNetlinkMessage>) -> Option<Notice> {
    use RouteNetlinkMessage as Message;
    let message = match payload {
        NetlinkPayload::InnerMessage(message) => message,
        NetlinkPayload::Overrun(_) | NetlinkPayload::Error(_) => return Some(Notice::Lost),
        _ => return None,
    };
    Some(match message {
        Message::NewLink(link) => Notice::Link(link.header.index),
        // A port that leaves its bridge is told of in the same words, but for the family.
        Message::DelLink(link) if link.header.interface_family == AddressFamily::Unspec => {
            Notice::LinkGone(link.header.index)
        }
        Message::DelLink(link) => Notice::Link(link.header.index),
        Message::NewAddress(address) | Message::DelAddress(address) => Notice::Address(address.header.index),
        Message::NewNeighbour(entry) | Message::DelNeighbour(entry) => {
            Notice::Neighbour(entry.header.ifindex)
        }
        Message::NewRoute(route) | Message::DelRoute(route) => Notice::Route(link_of(route)),
        _ => return None,
    })
}
