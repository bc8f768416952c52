//! The pods of this node: one worker each, woken by what changes.

mod action;
mod admission;
mod allocations;
mod apply;
mod checkpoint;
mod grpc;
mod last_words;
mod manager;
mod mounting;
mod observe;
mod operations;
mod probing;
mod publish;
mod registry;
mod resize;
mod sandbox;
mod start;
mod sweep;
mod worker;

pub(crate) use allocations::Allocations;
pub(crate) use manager::{Context, run};
pub(crate) use registry::Registry;
