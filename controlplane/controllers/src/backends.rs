//! What stands behind Services: the pods they select, kept ready for looking up.
//!
//! One set of watches of Services, Pods and Nodes feeds one index, which tells at each change whose
//! Services it concerns; the controllers of `EndpointSlices` and of Endpoints both live on it.

mod feed;
mod index;
mod pod;
mod run;

pub(crate) use feed::WakeStream;
pub(crate) use index::{Index, Key, Place};
pub(crate) use pod::Backend;
pub(crate) use run::{Shared, run};
