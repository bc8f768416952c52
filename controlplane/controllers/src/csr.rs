//! Certificate requests of nodes: approved, signed and cleaned away.
//!
//! Upstream has three controllers (`csrapproving`, `csrsigning`, `csrcleaner`) over one kind;
//! here one reconcile plans all three, a step at a time.

mod plan;
mod rules;
mod run;

pub(crate) use run::run;
