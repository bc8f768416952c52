//! `vxlan`: the node's end of the overlay between nodes, chained after the plugin that gives a
//! container its link and addresses.
//!
//! ADD sees to it that the device is there, up and as it should be, and hands on the result it was
//! given. The other nodes are not its business: whoever knows them (`floe-agent`, or an operator with
//! `bridge fdb`, `ip neigh` and `ip route`) programs them on the device, by [`cni_plugins_netlink::Site`].

mod device;
mod plugin;
mod settings;

pub use plugin::VxlanPlugin;
pub use settings::Settings;
