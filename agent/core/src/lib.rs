//! The pod state machine: desired and observed state in, steps and status out. No I/O.
//!
//! [`plan`](plan()) decides what to do for a pod, [`status`](status()) what to tell the API about
//! it; both take the pod as the API has it, an [`Observation`] of the node, and the time.

pub mod admission;
pub mod backoff;
pub mod dns;
pub mod env;
mod ephemeral;
mod events;
mod hash;
pub mod node;
mod observation;
mod plan;
mod policy;
pub mod probe;
mod qos;
pub mod quantity;
mod requests;
pub mod resize;
mod status;
mod step;

pub use ephemeral::{container_statuses, every_container, target_of};
pub use events::{EventDraft, EventType, transitions};
pub use hash::spec_hash;
pub use observation::{
    ContainerFacts, Exit, Failure, ImageState, ObjectState, Observation, Outcome, PostStart, Rejection, Runs,
    Sandbox, StopProgress, Unit, Volumes,
};
pub use plan::plan;
pub use policy::{RestartPolicy, Role, back_off_until, containers, is_terminating, lasting, pod_grace};
pub use qos::{QosClass, qos_class};
pub use requests::{Amounts, requests};
pub use status::{RESIZE_IN_PROGRESS, RESIZE_PENDING, status, status_patch};
pub use step::{Step, StopCause, StopMode};
