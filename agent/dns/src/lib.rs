//! The node's DNS server: names of the cluster from the API's objects, all others forwarded.
//!
//! [`Server::new`] reads what the node knows, [`Server::run`] answers at the cluster's DNS address on
//! port 53, UDP and TCP. [`zone`] is the pure part.

mod address;
mod config;
mod counts;
mod forward;
mod names;
mod packet;
mod resolve;
mod run;
mod serve;
mod snapshot;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod upstream_files;
mod watch;
pub mod zone;

pub use config::Config;
pub use counts::{Counts, Totals};
pub use run::{BadDomain, Server};
