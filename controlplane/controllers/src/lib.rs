//! The controllers: one module each, `plan` pure, `apply` dumb.
//!
//! Each is a plain client of the API, built on the [`kube::Client`] it is handed, so that an
//! in-process router and a socket are one line's difference.

mod backends;
mod claim;
mod config;
mod csr;
mod deployment;
mod drive;
mod endpoints;
mod endpointslice;
mod endpointslice_mirroring;
mod error;
mod garbage;
mod meta;
mod namespace;
mod node_ipam;
mod node_lifecycle;
mod nodes;
mod pod_gc;
mod pod_removal;
mod replicaset;
mod run;
mod standard;
mod supervise;
mod taint_eviction;

pub use config::Config;
pub use node_ipam::{PodRange, PodRangeError};
pub use run::run;
