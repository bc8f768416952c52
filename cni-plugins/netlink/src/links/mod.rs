//! The seam of the overlay: one VXLAN device and what leads through it.

#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod diff;
mod entry;
mod kernel;
mod memory;
mod site;
mod tables;

use std::future::Future;

pub use diff::{Change, NameTaken, apply, changes};
pub use entry::{Entry, Key, Mac};
pub use memory::MemoryLinks;
pub use site::{OVERHEAD, Site};
pub use tables::{Tables, overlap};

use crate::error::NetlinkError;
use crate::vxlan::Vxlan;

/// The calls that the overlay makes on the kernel.
///
/// [`crate::Netlink`] makes them, [`MemoryLinks`] stands in for it in tests; `contract` is the suite
/// that both pass.
pub trait Links: Send + Sync {
    /// Everything that is there.
    fn tables(&self) -> impl Future<Output = Result<Tables, NetlinkError>> + Send;
    /// Makes a device, up, and returns its index; fails where a link of that name exists.
    fn make(&self, device: &Vxlan) -> impl Future<Output = Result<u32, NetlinkError>> + Send;
    /// Gives a device its MTU and brings it up.
    fn raise(&self, index: u32, mtu: u32) -> impl Future<Output = Result<(), NetlinkError>> + Send;
    /// Deletes a link and all that leads through it; does nothing where there is none.
    fn delete(&self, index: u32) -> impl Future<Output = Result<(), NetlinkError>> + Send;
    /// Adds an entry to a link, or puts it in the place of that with the same key.
    fn set(&self, index: u32, entry: &Entry) -> impl Future<Output = Result<(), NetlinkError>> + Send;
    /// Takes an entry away; does nothing where it is not there.
    fn unset(&self, index: u32, entry: &Entry) -> impl Future<Output = Result<(), NetlinkError>> + Send;
}

#[cfg(test)]
mod tests;
