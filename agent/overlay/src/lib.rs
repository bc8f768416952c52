//! The overlay network between nodes, programmed from the Node objects.
//!
//! [`goal`] says what should be there, purely: from this node's own place, what is known of all nodes
//! and the kernel's tables. [`Engine`] compares it with what is there and changes that; [`run`] does so
//! whenever a Node changes, or somebody else changes what was programmed.

mod engine;
mod facts;
mod goal;
mod memory;
mod nodes;
mod run;

pub use engine::{Cause, Engine, Outcome, Place};
pub use facts::NodeFacts;
pub use goal::{DEVICE, Goal, Own, Reason, Skipped, goal};
pub use memory::Memory;
pub use run::{Options, State, run};
