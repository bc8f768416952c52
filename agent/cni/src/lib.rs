//! CNI as a consumer: conflists read, plugins called, results cached.
//!
//! CNI 1.1.0, §1 to §4. Any plugin works that is an executable in the plugin folder; ours are only
//! the default.

mod client;
mod error;
pub mod netns;

pub use client::{Address, Bandwidth, Cni, CniResult, PodNet, PortMapping};
pub use error::CniError;
