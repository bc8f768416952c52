//! Nodes and the pods on them, for the controllers that look after both.
//!
//! One set of watches feeds the caches of `node-lifecycle`, `taint-eviction` and `pod-gc`, and an
//! index of pods by node, so that none of them ever looks through all pods.

mod feed;
mod index;
mod run;
mod taints;

pub(crate) use feed::WakeStream;
pub(crate) use index::key;
pub(crate) use run::{Shared, run};
pub(crate) use taints::{NOT_READY, OUT_OF_SERVICE, UNREACHABLE, has_no_execute, no_execute, taints};
