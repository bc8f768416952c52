//! CNI as a consumer: conflists read, plugins called, results cached.
//!
//! CNI 1.1.0, §1 to §4. Any plugin works that is an executable in the plugin folder; ours are only
//! the default.

mod cache;
mod chain;
mod client;
mod conflist;
mod error;
mod exec;
pub mod netns;
mod request;

pub use client::{Address, Cni, CniResult, Held};
pub use error::CniError;
pub use request::{Bandwidth, PodNet, PortMapping};
