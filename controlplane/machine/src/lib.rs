//! Systemd machines: root file systems, networks, booting, entering and stopping.
//!
//! A machine is a container with a real systemd as its PID 1 (systemd-nspawn), its own network
//! namespace on a private bridge, and a writable layer over a cached root file system. The `floe`
//! command runs clusters in them and the test harness runs tests in them.
//!
//! Whatever is made is found again by name (processes by their arguments, mounts by their target,
//! links by their name), never by a remembered number: so a half-failed start is cleaned up by the
//! same code as a whole one.

mod boot;
mod cgroup;
mod cni_state;
mod command;
mod disk;
mod error;
mod host;
mod link;
mod network;
mod place;
mod process;
mod rootfs;
mod uplink;

pub use boot::{Contents, Machine, MachineSpec, SeedFile};
pub use command::{Tool, run, succeeds};
pub use error::MachineError;
pub use host::HostSpec;
pub use network::{Bridge, Subnet, free_subnet};
pub use place::{Keep, Place, host_file, install_on_host, is_on_host, refuse_on_host};
pub use rootfs::{RootFs, RootSpec};
pub use uplink::{close_uplink, open_uplink};
