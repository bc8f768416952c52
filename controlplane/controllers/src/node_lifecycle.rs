//! Notices nodes that have fallen silent, taints nodes by their conditions, and says of pods on
//! silent nodes that they are not ready.
//!
//! Taints, reasons, messages, rates and thresholds are those of kube-controller-manager's
//! `node-lifecycle-controller`. A node is heard of when it renews its Lease or writes its status.

mod apply;
mod health;
mod hearing;
mod plan;
mod run;
mod zones;

pub(crate) use run::run;
