//! The scheduler: filters and scores as pure functions, and a thin binder.
//!
//! [`run`] keeps a snapshot of nodes and of what is placed on them from two watches, takes pods from
//! a queue, decides, assumes the decision so that the next one counts with it, and binds. The
//! plugins have the names, weights, reasons and messages of kube-scheduler.

mod affinity;
mod bind;
mod decide;
mod facts;
mod filter;
mod queue;
mod resources;
mod run;
mod score;
mod snapshot;
mod tolerations;

pub use run::run;

#[cfg(test)]
mod testing;
