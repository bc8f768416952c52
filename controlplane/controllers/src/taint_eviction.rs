//! Deletes the pods that a node's `NoExecute` taints drive away, each when its tolerations end.
//!
//! Reasons and messages are those of kube-controller-manager's `taint-eviction-controller`. Unlike
//! there, the time a toleration begins is read from the taint, so that a restart grants no extension.

mod plan;
mod run;

pub(crate) use run::run;
