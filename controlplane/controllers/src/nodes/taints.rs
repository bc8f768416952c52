//! Questions asked of a node's taints.

use k8s_openapi::api::core::v1::{Node, Taint};

/// Taint of a node that says of itself that it is not ready.
pub(crate) const NOT_READY: &str = "node.kubernetes.io/not-ready";
/// Taint of a node of which nothing is heard.
pub(crate) const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// Taint by which an operator says that a node is off for good.
pub(crate) const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// The taints of a node.
pub(crate) fn taints(node: &Node) -> &[Taint] {
    let spec = node.spec.as_ref();
    spec.and_then(|spec| spec.taints.as_deref()).unwrap_or_default()
}

/// The taints that drive pods away.
pub(crate) fn no_execute(node: &Node) -> impl Iterator<Item = &Taint> {
    taints(node).iter().filter(|taint| taint.effect == "NoExecute")
}

/// Whether any taint drives pods away.
pub(crate) fn has_no_execute(node: &Node) -> bool {
    no_execute(node).next().is_some()
}
