//! Addresses of links.

use std::net::IpAddr;

use futures::TryStreamExt;
use ipnet::IpNet;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};

use crate::error::NetlinkError;
use crate::socket::Netlink;

impl Netlink {
    /// Gives a link an address; succeeds where it has it already.
    ///
    /// IPv6 addresses are used at once, without duplicate address detection: they were reserved.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub async fn add_address(&self, index: u32, address: IpNet) -> Result<(), NetlinkError> {
        let mut request = self
            .handle
            .address()
            .add(index, address.addr(), address.prefix_len());
        if address.addr().is_ipv6() {
            request
                .message_mut()
                .attributes
                .push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        match request
            .execute()
            .await
            .map_err(|e| NetlinkError::request(format!("add address {address}"), e))
        {
            Err(e) if !e.is_exists() => Err(e),
            _ => Ok(()),
        }
    }

    /// The addresses of a link.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to tell.
    pub async fn addresses(&self, index: u32) -> Result<Vec<IpNet>, NetlinkError> {
        let listed = self.handle.address().get().set_link_index_filter(index).execute();
        let all: Vec<AddressMessage> = listed
            .try_collect()
            .await
            .map_err(|e| NetlinkError::request("list addresses", e))?;
        Ok(all
            .iter()
            .filter(|m| m.header.index == index)
            .filter_map(read)
            .collect())
    }
}

/// `IFA_LOCAL` is the own address, `IFA_ADDRESS` that of the peer where there is one.
pub(crate) fn read(message: &AddressMessage) -> Option<IpNet> {
    let local = |a: &AddressAttribute| {
        if let AddressAttribute::Local(ip) = a {
            Some(*ip)
        } else {
            None
        }
    };
    let address = |a: &AddressAttribute| {
        if let AddressAttribute::Address(ip) = a {
            Some(*ip)
        } else {
            None
        }
    };
    let ip: IpAddr = message
        .attributes
        .iter()
        .find_map(local)
        .or_else(|| message.attributes.iter().find_map(address))?;
    IpNet::new(ip, message.header.prefix_len).ok()
}

/// A message that names an address of a link.
pub(crate) fn message(index: u32, address: IpNet) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = if address.addr().is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    message.header.index = index;
    message.header.prefix_len = address.prefix_len();
    message.attributes = vec![AddressAttribute::Local(address.addr())];
    message
}
