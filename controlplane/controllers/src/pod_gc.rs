//! Clears away pods that nobody else would: too many ended ones, those of nodes that have gone, and
//! those that are being deleted where no agent will finish it.
//!
//! Thresholds, order, reasons and messages are those of kube-controller-manager's
//! `pod-garbage-collector`.

mod plan;
mod run;

pub(crate) use run::run;
