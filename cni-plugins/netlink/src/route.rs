//! Routes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures::TryStreamExt;
use ipnet::IpNet;
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteMetric, RouteScope};
use rtnetlink::RouteMessageBuilder;

use crate::error::NetlinkError;
use crate::link::Link;
use crate::socket::Netlink;

/// A route through one link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSpec {
    /// Where to.
    pub dst: IpNet,
    /// Through which gateway; on the link itself where absent.
    pub gateway: Option<IpAddr>,
    /// MTU on the way.
    pub mtu: Option<u32>,
    /// Maximal segment size to announce.
    pub advmss: Option<u32>,
    /// Metric.
    pub priority: Option<u32>,
    /// Routing table; the main one where absent.
    pub table: Option<u32>,
}

impl RouteSpec {
    fn message(&self, index: u32) -> Result<RouteMessage, NetlinkError> {
        let mut message = match (self.dst, self.gateway) {
            (IpNet::V4(dst), gateway) => {
                let route = RouteMessageBuilder::<Ipv4Addr>::new()
                    .destination_prefix(dst.network(), dst.prefix_len());
                match gateway {
                    Some(IpAddr::V4(gateway)) => route.gateway(gateway).output_interface(index).build(),
                    Some(IpAddr::V6(gateway)) => route.via(gateway).output_interface(index).build(),
                    None => route.scope(RouteScope::Link).output_interface(index).build(),
                }
            }
            (IpNet::V6(dst), Some(IpAddr::V6(gateway))) => RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(dst.network(), dst.prefix_len())
                .gateway(gateway)
                .output_interface(index)
                .build(),
            (IpNet::V6(dst), None) => RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(dst.network(), dst.prefix_len())
                .output_interface(index)
                .build(),
            (IpNet::V6(_), Some(IpAddr::V4(gateway))) => {
                let problem = std::io::Error::other(format!("its gateway {gateway} is of IPv4"));
                return Err(NetlinkError::io(format!("make a route to {}", self.dst), problem));
            }
        };
        self.add_options(&mut message);
        Ok(message)
    }

    fn add_options(&self, message: &mut RouteMessage) {
        let metrics: Vec<RouteMetric> = self
            .mtu
            .map(RouteMetric::Mtu)
            .into_iter()
            .chain(self.advmss.map(RouteMetric::Advmss))
            .collect();
        if !metrics.is_empty() {
            message.attributes.push(RouteAttribute::Metrics(metrics));
        }
        message
            .attributes
            .extend(self.priority.map(RouteAttribute::Priority));
        message.attributes.extend(self.table.map(RouteAttribute::Table));
    }
}

impl Netlink {
    /// Adds a route through link `index`; succeeds where it is there already.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub async fn add_route(&self, index: u32, route: &RouteSpec) -> Result<(), NetlinkError> {
        let added = self.handle.route().add(route.message(index)?).execute().await;
        match added.map_err(|e| NetlinkError::request(format!("add route to {}", route.dst), e)) {
            Err(e) if !e.is_exists() => Err(e),
            _ => Ok(()),
        }
    }

    /// Destinations and gateways of the routes through link `index`.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to tell.
    pub async fn routes(&self, index: u32) -> Result<Vec<(IpNet, Option<IpAddr>)>, NetlinkError> {
        let mut found = Vec::new();
        let all = [
            RouteMessageBuilder::<Ipv4Addr>::new().build(),
            RouteMessageBuilder::<Ipv6Addr>::new().build(),
        ];
        for family in all {
            let listed = self.handle.route().get(family).execute();
            let messages: Vec<RouteMessage> = listed
                .try_collect()
                .await
                .map_err(|e| NetlinkError::request("list routes", e))?;
            found.extend(messages.iter().filter(|m| leaves_by(m, index)).filter_map(read));
        }
        Ok(found)
    }

    /// The name of the link by which packets to `address` leave; none where there is no way to it.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to tell.
    pub async fn link_towards(&self, address: Ipv4Addr) -> Result<Option<String>, NetlinkError> {
        let asked = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(address, 32)
            .build();
        let mut answers = Box::pin(self.handle.route().get(asked).execute());
        // The kernel says that there is no way as an error of several kinds.
        let Some(index) = answers.try_next().await.ok().flatten().as_ref().and_then(link_of) else {
            return Ok(None);
        };
        let links = self.handle.link().get().match_index(index).execute();
        let found = Box::pin(links).try_next().await;
        let found = found.map_err(|e| NetlinkError::request(format!("look up link {index}"), e))?;
        Ok(found.as_ref().map(|message| Link::read(message).name))
    }
}

fn leaves_by(message: &RouteMessage, index: u32) -> bool {
    message.attributes.contains(&RouteAttribute::Oif(index))
}

/// The link that a route leaves by, where it is only one.
pub(crate) fn link_of(message: &RouteMessage) -> Option<u32> {
    message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    })
}

pub(crate) fn read(message: &RouteMessage) -> Option<(IpNet, Option<IpAddr>)> {
    let ip = |address: &RouteAddress| match address {
        RouteAddress::Inet(ip) => Some(IpAddr::V4(*ip)),
        RouteAddress::Inet6(ip) => Some(IpAddr::V6(*ip)),
        _ => None,
    };
    let dst = message.attributes.iter().find_map(|a| {
        if let RouteAttribute::Destination(d) = a {
            ip(d)
        } else {
            None
        }
    });
    let gateway = message.attributes.iter().find_map(|a| {
        if let RouteAttribute::Gateway(g) = a {
            ip(g)
        } else {
            None
        }
    });
    let any = match message.header.address_family {
        netlink_packet_route::AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        netlink_packet_route::AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    let dst = IpNet::new(dst.unwrap_or(any), message.header.destination_prefix_length).ok()?;
    Some((dst, gateway))
}
