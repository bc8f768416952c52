//! The service manager: transient slices and services over D-Bus.
//!
//! [`UnitManager`] is the seam; [`Systemd`] speaks to PID 1, [`MemoryUnits`] stands in for it in
//! tests, and [`contract`] is the suite that both pass.

mod bus;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod manager;
mod memory;
mod name;
mod properties;
mod spec;

pub use bus::{Options, Systemd};
pub use manager::{
    ActiveState, Change, Changes, ErrorClass, JobResult, KillWho, UnitError, UnitManager, UnitState, Verb,
};
pub use memory::MemoryUnits;
pub use name::{SliceName, UnitName, UnitNameError};
pub use spec::{Exec, KillMode, Limits, OomPolicy, Restart, ServiceSpec, ServiceType, SliceSpec};
