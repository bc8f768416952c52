//! Links: bridges and veth pairs.

use std::os::fd::{AsRawFd, BorrowedFd};

use futures::TryStreamExt;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use rtnetlink::{LinkBridge, LinkBridgePort, LinkMessageBuilder, LinkUnspec, LinkVeth};

use crate::error::NetlinkError;
use crate::socket::Netlink;
use crate::vxlan::VxlanInfo;

/// A link as the kernel describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// Its index in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its kind, such as `bridge` or `veth`; empty for a physical one.
    pub kind: String,
    /// Its hardware address.
    pub mac: Vec<u8>,
    /// Its MTU.
    pub mtu: u32,
    /// Whether it is up.
    pub up: bool,
    /// The bridge it is a port of.
    pub controller: Option<u32>,
    /// Its alias: what it serves.
    pub alias: String,
    /// What makes it a VXLAN device, where it is one.
    pub vxlan: Option<VxlanInfo>,
}

impl Link {
    /// The hardware address as text, such as `02:11:22:33:44:55`.
    #[must_use]
    pub fn mac_text(&self) -> String {
        self.mac
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect::<Vec<_>>()
            .join(":")
    }

    /// Its kind in words.
    #[must_use]
    pub fn kind_or_physical(&self) -> &str {
        if self.kind.is_empty() {
            "physical link"
        } else {
            &self.kind
        }
    }

    pub(crate) fn read(message: &LinkMessage) -> Self {
        let up = message.header.flags.contains(LinkFlags::Up);
        let mut link = Self {
            index: message.header.index,
            up,
            ..Self::default()
        };
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Address(mac) => link.mac.clone_from(mac),
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::Controller(index) => link.controller = Some(*index),
                LinkAttribute::IfAlias(alias) => link.alias.clone_from(alias),
                LinkAttribute::LinkInfo(infos) => {
                    link.kind = kind(infos);
                    link.vxlan = infos.iter().find_map(vxlan);
                }
                _ => {}
            }
        }
        link
    }
}

fn kind(infos: &[LinkInfo]) -> String {
    let kind = |info: &LinkInfo| match info {
        LinkInfo::Kind(InfoKind::Bridge) => Some("bridge".to_owned()),
        LinkInfo::Kind(InfoKind::Veth) => Some("veth".to_owned()),
        LinkInfo::Kind(other) => Some(format!("{other:?}").to_lowercase()),
        _ => None,
    };
    infos.iter().find_map(kind).unwrap_or_default()
}

fn vxlan(info: &LinkInfo) -> Option<VxlanInfo> {
    match info {
        LinkInfo::Data(InfoData::Vxlan(attributes)) => Some(VxlanInfo::read(attributes)),
        _ => None,
    }
}

/// A veth pair to be made in one go.
#[derive(Debug, Clone)]
pub struct Veth<'a> {
    /// Name of the end here.
    pub name: &'a str,
    /// The bridge that the end here becomes a port of.
    pub controller: u32,
    /// Name of the other end.
    pub peer: &'a str,
    /// Namespace of the other end.
    pub peer_netns: BorrowedFd<'a>,
    /// MTU of both ends.
    pub mtu: Option<u32>,
}

impl Netlink {
    /// The link called `name`, if there is one.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to tell.
    pub async fn link(&self, name: &str) -> Result<Option<Link>, NetlinkError> {
        let found = self
            .handle
            .link()
            .get()
            .match_name(name.to_owned())
            .execute()
            .try_next()
            .await;
        match found.map_err(|e| NetlinkError::request(format!("look up link {name}"), e)) {
            Ok(message) => Ok(message.as_ref().map(Link::read)),
            Err(e) if e.is_absent() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The links that are ports of the bridge `controller`.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to tell.
    pub async fn ports(&self, controller: u32) -> Result<Vec<Link>, NetlinkError> {
        let all: Vec<LinkMessage> = self
            .handle
            .link()
            .get()
            .execute()
            .try_collect()
            .await
            .map_err(|e| NetlinkError::request("list links", e))?;
        Ok(all
            .iter()
            .map(Link::read)
            .filter(|link| link.controller == Some(controller))
            .collect())
    }

    /// Makes a bridge, down.
    ///
    /// # Errors
    ///
    /// When there is a link of that name, or the kernel refuses.
    pub async fn add_bridge(&self, name: &str, mtu: Option<u32>) -> Result<(), NetlinkError> {
        let bridge = LinkBridge::new(name);
        let bridge = if let Some(mtu) = mtu {
            bridge.mtu(mtu)
        } else {
            bridge
        };
        let made = self.handle.link().add(bridge.build()).execute().await;
        made.map_err(|e| NetlinkError::request(format!("make bridge {name}"), e))
    }

    /// Makes a veth pair, both ends down, the other end in its namespace from the beginning.
    ///
    /// # Errors
    ///
    /// When a link of one of the names exists, or the kernel refuses.
    pub async fn add_veth(&self, veth: &Veth<'_>) -> Result<(), NetlinkError> {
        let mut peer = LinkMessageBuilder::<LinkUnspec>::default()
            .name(veth.peer.to_owned())
            .setns_by_fd(veth.peer_netns.as_raw_fd());
        let mut message = LinkVeth::new(veth.name, veth.peer).controller(veth.controller);
        if let Some(mtu) = veth.mtu {
            peer = peer.mtu(mtu);
            message = message.mtu(mtu);
        }
        // Never up here: a peer created up is refused with ENOTCONN.
        let message = message
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer.build())))
            .build();
        let made = self.handle.link().add(message).execute().await;
        made.map_err(|e| NetlinkError::request(format!("make veth pair {} and {}", veth.name, veth.peer), e))
    }

    /// Brings a link up and says what it serves. (The kernel ignores an alias while it makes a link.)
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub async fn set_up_as(&self, index: u32, alias: &str) -> Result<(), NetlinkError> {
        let message = LinkUnspec::new_with_index(index)
            .alias(alias.to_owned())
            .up()
            .build();
        self.change(message, format!("bring link {index} up and name what it serves"))
            .await
    }

    /// Brings a link up.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub async fn set_up(&self, index: u32) -> Result<(), NetlinkError> {
        let message = LinkUnspec::new_with_index(index).up().build();
        self.change(message, format!("bring link {index} up")).await
    }

    /// Gives a link its hardware address; a bridge keeps it from then on, whatever ports it gets.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub async fn set_mac(&self, index: u32, mac: &[u8]) -> Result<(), NetlinkError> {
        let message = LinkUnspec::new_with_index(index).address(mac.to_vec()).build();
        self.change(message, format!("set the hardware address of link {index}"))
            .await
    }

    /// Lets a bridge send frames back out of the port they came from.
    ///
    /// # Errors
    ///
    /// When the link is no port of a bridge, or the kernel refuses.
    pub async fn set_hairpin(&self, index: u32) -> Result<(), NetlinkError> {
        let message = LinkBridgePort::new(index).hairpin(true).build();
        let set = self.handle.link().set_port(message).execute().await;
        set.map_err(|e| NetlinkError::request(format!("set hairpin mode of port {index}"), e))
    }

    /// Deletes a link; does nothing where there is none.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub async fn delete(&self, index: u32) -> Result<(), NetlinkError> {
        let deleted = self.handle.link().del(index).execute().await;
        match deleted.map_err(|e| NetlinkError::request(format!("delete link {index}"), e)) {
            Err(e) if !e.is_absent() => Err(e),
            _ => Ok(()),
        }
    }

    async fn change(&self, message: LinkMessage, attempted: String) -> Result<(), NetlinkError> {
        self.handle
            .link()
            .set(message)
            .execute()
            .await
            .map_err(|e| NetlinkError::request(attempted, e))
    }
}
