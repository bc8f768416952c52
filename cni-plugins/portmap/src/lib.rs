//! `portmap`: ports of the node that lead to ports of a container (capability `portMappings`).
//!
//! A mapping is an element of a map in a table of the network's own; what a call changes is a pure
//! [`plan`]. [`restore`] puts back what others took away.

mod plan;
mod plugin;
mod restore;
mod settings;
mod stale;
mod structure;
mod table;

pub use plugin::PortmapPlugin;
pub use restore::{Held, restore};
pub use structure::table_name;
