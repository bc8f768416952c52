//! OCI bundles, container records, log reading and processes entered into containers.
//!
//! [`bundle()`] is pure: a pod's container in, an OCI configuration, a [`Launch`](agent_run::Launch)
//! and a unit out. Everything else reads what `floe-run` and the journal left, or enters namespaces.

mod adopt;
pub mod attach;
pub mod bundle;
pub mod exec;
pub mod logs;
pub mod mounts;
mod names;
mod paths;
mod processes;

pub use adopt::{AdoptError, Adopted, adopt, read_records, read_state};
pub use agent_core::{QosClass, Role};
pub use agent_run::{Ended, Phase, Record, Records, State};
pub use bundle::{
    Bundle, BundleError, ContainerInput, ImageFacts, Mount, Sandbox, WriteError, bundle, pod_processes,
    pod_slice, resized_units,
};
pub use names::{slice_name, unit_name};
pub use paths::NodePaths;
pub use processes::{memory_in_use, process_namespace};
