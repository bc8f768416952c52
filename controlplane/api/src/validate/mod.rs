//! The rules of single parts of objects, which the kinds' strategies put together.

pub(crate) mod address;
pub(crate) mod admission;
pub(crate) mod api_service;
pub(crate) mod autoscaler;
pub(crate) mod change;
pub(crate) mod condition;
pub(crate) mod cron_job;
pub(crate) mod daemon_set;
pub(crate) mod data;
pub(crate) mod device;
mod difference;
pub(crate) mod disruption;
pub(crate) mod endpoints;
pub(crate) mod event;
pub(crate) mod expression;
pub(crate) mod flow;
pub(crate) mod ingress;
pub(crate) mod inner_form;
pub(crate) mod job;
pub(crate) mod json;
pub(crate) mod limit_range;
pub mod metadata;
pub(crate) mod naming;
pub(crate) mod network_policy;
pub(crate) mod node;
pub(crate) mod number;
mod pem;
pub(crate) mod persistent_volume;
pub mod pod;
pub(crate) mod quota;
pub(crate) mod rbac;
pub(crate) mod replication_controller;
pub(crate) mod resource_names;
pub(crate) mod resources;
pub(crate) mod runtime;
pub(crate) mod scheduling;
pub(crate) mod service;
pub(crate) mod service_range;
pub(crate) mod signing;
pub(crate) mod stateful_set;
pub(crate) mod storage;
pub(crate) mod template;
pub(crate) mod volume_claim;
pub(crate) mod workload;

#[cfg(test)]
mod tests;
