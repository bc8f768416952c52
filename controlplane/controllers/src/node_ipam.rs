//! Gives every node a part of the cluster's pod range.
//!
//! Upstream's `node-ipam` with its `RangeAllocator`: `spec.podCIDR` and `spec.podCIDRs` of a Node are
//! written once, held as long as the Node exists, and given to another after that.

mod apply;
mod plan;
mod range;
mod run;

pub use range::{PodRange, PodRangeError};
pub(crate) use run::run;
