//! VXLAN devices.

use std::net::Ipv4Addr;

use netlink_packet_route::link::InfoVxlan;
use rtnetlink::LinkVxlan;

use crate::error::NetlinkError;
use crate::link::Link;
use crate::links::Mac;
use crate::socket::Netlink;

/// A VXLAN device as it should be. It learns nothing: its entries are all programmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vxlan {
    /// Its name.
    pub name: String,
    /// The VXLAN network identifier.
    pub vni: u32,
    /// UDP port, here and at the other nodes.
    pub port: u16,
    /// This node's address, from which it sends.
    pub local: Ipv4Addr,
    /// Its hardware address.
    pub mac: Mac,
    /// Its MTU.
    pub mtu: u32,
}

/// What makes a VXLAN device that one; none of it can be changed later.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VxlanInfo {
    /// The VXLAN network identifier.
    pub vni: u32,
    /// UDP port.
    pub port: u16,
    /// This node's address.
    pub local: Option<Ipv4Addr>,
    /// Whether it takes over the senders' addresses of what it receives.
    pub learning: bool,
}

impl VxlanInfo {
    pub(crate) fn read(attributes: &[InfoVxlan]) -> Self {
        let mut info = Self::default();
        for attribute in attributes {
            match attribute {
                InfoVxlan::Id(vni) => info.vni = *vni,
                InfoVxlan::Port(port) => info.port = *port,
                InfoVxlan::Local(local) => info.local = Some(*local),
                InfoVxlan::Learning(learning) => info.learning = *learning,
                _ => {}
            }
        }
        info
    }
}

impl Vxlan {
    /// What makes it that device.
    #[must_use]
    pub const fn info(&self) -> VxlanInfo {
        VxlanInfo {
            vni: self.vni,
            port: self.port,
            local: Some(self.local),
            learning: false,
        }
    }

    /// In what `link` differs from it beyond repair; nothing where it is the same device.
    #[must_use]
    pub fn mismatch(&self, link: &Link) -> Option<String> {
        let Some(info) = &link.vxlan else {
            return Some(format!("it is a {} and no VXLAN device", link.kind_or_physical()));
        };
        if *info != self.info() {
            let local = info.local.map_or("no address".to_owned(), |ip| ip.to_string());
            return Some(format!(
                "it has VNI {}, port {}, {local}{}",
                info.vni,
                info.port,
                if info.learning { " and learns" } else { "" }
            ));
        }
        (link.mac != self.mac.0).then(|| format!("its hardware address is {}", link.mac_text()))
    }
}

impl Netlink {
    /// Makes a VXLAN device, down, that does not listen to router advertisements: a pod can send some
    /// in VXLAN of its own making (CVE-2020-10749). That holds for devices in the namespace of the
    /// calling thread.
    ///
    /// # Errors
    ///
    /// When a link of that name exists, another device has VNI and port, or the kernel refuses.
    pub async fn add_vxlan(&self, device: &Vxlan) -> Result<(), NetlinkError> {
        let message = LinkVxlan::new(&device.name, device.vni)
            .port(device.port)
            .local(device.local)
            .learning(false)
            .address(device.mac.0.to_vec())
            .mtu(device.mtu)
            .build();
        let made = self.handle.link().add(message).execute().await;
        made.map_err(|e| {
            let Vxlan { name, vni, port, .. } = device;
            let attempted = format!("make VXLAN device {name} with VNI {vni} and UDP port {port}");
            NetlinkError::request(attempted, e)
        })?;
        refuse_router_advertisements(&device.name)
    }
}

/// What is right already is not written, since `/proc/sys` may be read-only; nor is what is not there.
fn refuse_router_advertisements(link: &str) -> Result<(), NetlinkError> {
    let path = format!("/proc/sys/net/ipv6/conf/{link}/accept_ra");
    match std::fs::read_to_string(&path) {
        Ok(now) if now.trim() == "0" => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        _ => std::fs::write(&path, "0").map_err(|e| NetlinkError::io(format!("write 0 to {path}"), e)),
    }
}
