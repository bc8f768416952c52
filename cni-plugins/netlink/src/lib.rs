//! Links, addresses and routes over rtnetlink.
//!
//! A [`Netlink`] belongs to the network namespace in which its socket was made, for as long as it
//! lives; [`Netlink::open_in`] makes one for another namespace without moving any thread of the caller.

mod address;
mod error;
mod link;
mod links;
mod monitor;
mod netns;
mod route;
mod socket;
mod sysctl;
mod vxlan;

pub use error::NetlinkError;
pub use link::{Link, Veth};
#[cfg(any(test, feature = "contract"))]
pub use links::contract;
pub use links::{
    Change, Entry, Key, Links, Mac, MemoryLinks, NameTaken, OVERHEAD, Site, Tables, apply, changes, overlap,
};
pub use monitor::{Monitor, Notice, Watched};
pub use netns::inside;
pub use route::RouteSpec;
pub use socket::Netlink;
pub use sysctl::set_sysctl;
pub use vxlan::{Vxlan, VxlanInfo};
