//! The rules of single parts of objects, which the kinds' strategies put together.

pub(crate) mod address;
pub(crate) mod admission;
pub(crate) mod change;
pub(crate) mod data;
pub(crate) mod device;
pub(crate) mod endpoints;
pub(crate) mod event;
pub(crate) mod flow;
pub(crate) mod ingress;
pub mod metadata;
pub(crate) mod naming;
pub(crate) mod network_policy;
pub(crate) mod node;
pub(crate) mod number;
pub mod pod;
pub(crate) mod rbac;
pub(crate) mod resources;
pub(crate) mod runtime;
pub(crate) mod scheduling;
pub(crate) mod service;
pub(crate) mod service_range;
pub(crate) mod signing;
pub(crate) mod storage;
pub(crate) mod workload;

#[cfg(test)]
mod tests;
