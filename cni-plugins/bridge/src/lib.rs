//! `bridge`: a pod's link to the node's bridge.
//!
//! ADD makes (in this order) the bridge, the addresses (by delegation), the veth pair with the far
//! end already in the container's namespace, then addresses, link up, routes, the bridge's own
//! address and the masquerade rule. A failure undoes the container's part.

mod add;
mod check;
mod delegate;
mod names;
mod plugin;
mod remover;
mod settings;
mod sysctl;

pub use names::{alias, host_name};
pub use plugin::Bridge;
pub use remover::{DELETE_LINK, delete_link};
pub use settings::Settings;
