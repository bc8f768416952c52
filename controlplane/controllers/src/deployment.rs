//! Rolls a Deployment's template out through ReplicaSets.
//!
//! Behaviour, annotations, reasons and messages are those of kube-controller-manager's
//! `deployment` controller, so that `kubectl rollout` works on both alike.

mod apply;
mod budget;
mod plan;
mod revision;
mod run;
mod status;
mod template;

pub(crate) use run::run;
