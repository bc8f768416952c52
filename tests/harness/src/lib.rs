//! Test nodes with the NixOS test driver's vocabulary: systemd machines and virtual machines.
//!
//! Tests are written to [`Node`]; which kind of node they get is decided where they are listed.

mod cluster;
mod command;
mod images;
mod kubectl;
mod machine;
mod node;
mod script;
mod vm;

pub use cluster::{Cluster, floe_binaries};
pub use images::{BUSYBOX, busybox_archive, debian_image, echo_archive};
pub use kubectl::{Kubectl, Namespace};
pub use machine::MachineNode;
pub use node::{Executed, Node, eventually};
pub use script::Script;
pub use vm::{VM_ROOT, Vm, VmSpec};
