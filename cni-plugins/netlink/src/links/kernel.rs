//! The kernel's tables over netlink.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use futures::TryStreamExt;
use ipnet::{IpNet, Ipv4Net};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType};
use rtnetlink::{LinkUnspec, RouteMessageBuilder};

use super::entry::{Entry, Mac};
use super::{Links, Tables};
use crate::error::NetlinkError;
use crate::link::Link;
use crate::socket::Netlink;
use crate::vxlan::Vxlan;
use crate::{address, route};

impl Links for Netlink {
    async fn tables(&self) -> Result<Tables, NetlinkError> {
        let links: Vec<LinkMessage> = self
            .handle
            .link()
            .get()
            .execute()
            .try_collect()
            .await
            .map_err(|e| NetlinkError::request("list links", e))?;
        let mut entries = self.address_entries().await?;
        entries.extend(self.neighbour_entries(AddressFamily::Inet).await?);
        entries.extend(self.neighbour_entries(AddressFamily::Bridge).await?);
        entries.extend(self.route_entries().await?);
        Ok(Tables {
            links: links.iter().map(Link::read).collect(),
            entries,
        })
    }

    async fn make(&self, device: &Vxlan) -> Result<u32, NetlinkError> {
        self.add_vxlan(device).await?;
        let vanished = || NetlinkError::absent(format!("find {}, just made", device.name));
        let index = self.link(&device.name).await?.ok_or_else(vanished)?.index;
        self.raise(index, device.mtu).await?;
        Ok(index)
    }

    async fn raise(&self, index: u32, mtu: u32) -> Result<(), NetlinkError> {
        let message = LinkUnspec::new_with_index(index).mtu(mtu).up().build();
        let raised = self.handle.link().set(message).execute().await;
        raised.map_err(|e| NetlinkError::request(format!("bring link {index} up with MTU {mtu}"), e))
    }

    async fn delete(&self, index: u32) -> Result<(), NetlinkError> {
        Netlink::delete(self, index).await
    }

    async fn set(&self, index: u32, entry: &Entry) -> Result<(), NetlinkError> {
        let set = match *entry {
            Entry::Address(address) => return self.add_address(index, address.into()).await,
            Entry::Forward { mac, node } => {
                let request = self.handle.neighbours().add_bridge(index, &mac.0);
                let request = request.destination(node.into()).flags(NeighbourFlags::Own);
                request.replace().execute().await
            }
            Entry::Neighbour { address, mac } => {
                let request = self.handle.neighbours().add(index, address.into());
                request.link_layer_address(&mac.0).replace().execute().await
            }
            Entry::Route { subnet, via } => {
                let message = route_message(index, subnet, via);
                self.handle.route().add(message).replace().execute().await
            }
        };
        set.map_err(|e| NetlinkError::request(format!("set {entry}"), e))
    }

    async fn unset(&self, index: u32, entry: &Entry) -> Result<(), NetlinkError> {
        let unset = match *entry {
            Entry::Address(address) => {
                let message = address::message(index, address.into());
                self.handle.address().del(message).execute().await
            }
            Entry::Forward { mac, node } => {
                let mut message = neighbour(AddressFamily::Bridge, index, node, mac);
                message.header.flags = NeighbourFlags::Own;
                self.handle.neighbours().del(message).execute().await
            }
            Entry::Neighbour { address, mac } => {
                let message = neighbour(AddressFamily::Inet, index, address, mac);
                self.handle.neighbours().del(message).execute().await
            }
            Entry::Route { subnet, via } => {
                let mut message = route_message(index, subnet, via);
                // Whoever made it, and however: only what says nothing matches everything.
                message.header.protocol = RouteProtocol::Unspec;
                message.header.scope = RouteScope::NoWhere;
                message.header.kind = RouteType::Unspec;
                self.handle.route().del(message).execute().await
            }
        };
        match unset.map_err(|e| NetlinkError::request(format!("take away {entry}"), e)) {
            Err(e) if !e.is_absent() => Err(e),
            _ => Ok(()),
        }
    }
}

impl Netlink {
    async fn address_entries(&self) -> Result<BTreeSet<(u32, Entry)>, NetlinkError> {
        let listed: Vec<AddressMessage> = self
            .handle
            .address()
            .get()
            .execute()
            .try_collect()
            .await
            .map_err(|e| NetlinkError::request("list addresses", e))?;
        let read = |message: &AddressMessage| match address::read(message)? {
            IpNet::V4(net) => Some((message.header.index, Entry::Address(net))),
            IpNet::V6(_) => None,
        };
        Ok(listed.iter().filter_map(read).collect())
    }

    async fn neighbour_entries(&self, family: AddressFamily) -> Result<BTreeSet<(u32, Entry)>, NetlinkError> {
        let request = self.handle.neighbours().get().set_address_family(family);
        let listed: Vec<NeighbourMessage> = request
            .execute()
            .try_collect()
            .await
            .map_err(|e| NetlinkError::request("list neighbours", e))?;
        Ok(listed
            .iter()
            .filter_map(|message| Some((message.header.ifindex, read_neighbour(message)?)))
            .collect())
    }

    async fn route_entries(&self) -> Result<BTreeSet<(u32, Entry)>, NetlinkError> {
        let all = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let listed: Vec<RouteMessage> = self
            .handle
            .route()
            .get(all)
            .execute()
            .try_collect()
            .await
            .map_err(|e| NetlinkError::request("list routes", e))?;
        let unicast = |message: &&RouteMessage| {
            message.header.table == RouteHeader::RT_TABLE_MAIN && message.header.kind == RouteType::Unicast
        };
        Ok(listed.iter().filter(unicast).filter_map(read_route).collect())
    }
}

fn read_route(message: &RouteMessage) -> Option<(u32, Entry)> {
    let index = route::link_of(message)?;
    match route::read(message)? {
        (IpNet::V4(subnet), via) => {
            let via = match via {
                Some(IpAddr::V4(via)) => Some(via),
                _ => None,
            };
            Some((index, Entry::Route { subnet, via }))
        }
        (IpNet::V6(_), _) => None,
    }
}

/// A permanent neighbour or forwarding entry with an address of IPv4.
fn read_neighbour(message: &NeighbourMessage) -> Option<Entry> {
    if message.header.state != NeighbourState::Permanent {
        return None;
    }
    let mut found = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => found.0 = Some(*ip),
            // Of a forwarding entry the library does not know the family.
            NeighbourAttribute::Destination(NeighbourAddress::Other(raw)) => {
                found.0 = <[u8; 4]>::try_from(raw.as_slice()).ok().map(Ipv4Addr::from);
            }
            NeighbourAttribute::LinkLayerAddress(raw) => found.1 = raw.as_slice().try_into().ok().map(Mac),
            _ => {}
        }
    }
    match (found, message.header.family) {
        ((Some(address), Some(mac)), AddressFamily::Inet) => Some(Entry::Neighbour { address, mac }),
        ((Some(node), Some(mac)), AddressFamily::Bridge) => Some(Entry::Forward { mac, node }),
        _ => None,
    }
}

fn neighbour(family: AddressFamily, index: u32, address: Ipv4Addr, mac: Mac) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family;
    message.header.ifindex = index;
    message.header.state = NeighbourState::Permanent;
    message.attributes = vec![
        NeighbourAttribute::Destination(NeighbourAddress::Inet(address)),
        NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()),
    ];
    message
}

fn route_message(index: u32, subnet: Ipv4Net, via: Option<Ipv4Addr>) -> RouteMessage {
    let route = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(subnet.network(), subnet.prefix_len())
        .output_interface(index);
    match via {
        Some(via) => route.gateway(via).onlink().build(),
        None => route.scope(RouteScope::Link).build(),
    }
}
