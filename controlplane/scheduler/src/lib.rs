//! The scheduler: filters and scores as pure functions, and a thin binder.
//!
//! [`run`] keeps a snapshot of nodes and of what is placed on them from two watches, takes pods from
//! a queue, decides, assumes the decision so that the next one counts with it, and binds. The
//! plugins have the names, weights, reasons and messages of kube-scheduler.
//!
//! Filters are `NodeUnschedulable NodeName TaintToleration NodeAffinity NodePorts NodeResourcesFit`; scores are least
//! allocated 1, balanced 1, `TaintToleration` 3, `NodeAffinity` 2. The snapshot keeps sums, not objects. A parked pod waits
//! for a node's labels, taints, size or cordon, for a pod that leaves or shrinks, or for its own wish; pauses of 1 s to
//! 10 s apply only to pods just tried, and a change during a try is not missed. `PodScheduled` is written only when its
//! words change. A restart reads both lists before it decides; at a stop, bindings under way are finished.

mod affinity;
mod bind;
mod company;
mod decide;
mod facts;
mod filter;
mod images;
mod peers;
mod queue;
mod resources;
mod run;
mod score;
mod snapshot;
mod spread;
mod tolerations;

pub use run::run;

#[cfg(test)]
mod testing;
