//! The server's own address on the node.

use std::net::IpAddr;

use cni_plugins_netlink::{Netlink, NetlinkError};
use ipnet::IpNet;

/// Gives `lo` the address; does nothing where it has it. It stays when the agent ends: pods' questions
/// must not go to another host meanwhile.
pub(crate) async fn ensure(address: IpAddr) -> Result<(), NetlinkError> {
    let netlink = Netlink::open()?;
    if let Some(lo) = netlink.link("lo").await? {
        netlink.add_address(lo.index, IpNet::from(address)).await?;
    }
    Ok(())
}
