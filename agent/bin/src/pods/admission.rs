//! Whether pods fit, with the node as the API has it.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_core::admission::{NodeFacts, admit};
use agent_core::{Amounts, Rejection, is_terminating};
use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use kube::Api;
use tracing::warn;

use super::Context;

/// Longest wait for the API to tell the node once more before a pod is refused.
const PATIENCE: Duration = Duration::from_secs(5);

/// Decides over pods that are new to this node.
#[derive(Debug)]
pub(super) struct Gate {
    api: Api<Node>,
    name: String,
    labels: BTreeMap<String, String>,
    taints: Vec<Taint>,
    allocatable: Amounts,
    /// Whether the API has answered: a pod that is refused stays so, so nothing is refused for want of knowledge.
    open: bool,
}

impl Gate {
    pub(super) fn new<U>(context: &Context<U>) -> Self {
        let mut allocatable = context.allocatable.clone();
        allocatable.insert("pods".to_owned(), u64::from(context.config.max_pods));
        Self {
            api: Api::all(context.client.clone()),
            name: context.config.node_name.clone(),
            labels: BTreeMap::new(),
            taints: Vec::new(),
            allocatable,
            open: false,
        }
    }

    /// Whether pods can be decided over.
    pub(super) const fn is_open(&self) -> bool {
        self.open
    }

    /// Notes what the API says of the node.
    pub(super) fn saw(&mut self, node: Option<Node>) {
        self.open = true;
        let node = node.unwrap_or_default();
        self.labels = node.metadata.labels.unwrap_or_default();
        self.taints = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
    }

    /// Why `pod` cannot run here beside `others`, where it cannot. Labels and taints are asked for once
    /// more before they count against it: the pod's watch may be ahead of the node's.
    pub(super) async fn refusal(&mut self, pod: &Pod, others: &[&Pod]) -> Option<Rejection> {
        let refused = self.look(pod, others)?;
        if !matches!(refused.reason.as_str(), "NodeAffinity" | "TaintToleration") {
            return Some(refused);
        }
        match tokio::time::timeout(PATIENCE, self.api.get_opt(&self.name)).await {
            Ok(Ok(node)) => self.saw(node),
            Ok(Err(error)) => warn!(error = %error, "node not asked for again"),
            Err(_) => warn!("node not asked for again: no answer in time"),
        }
        self.look(pod, others)
    }

    fn look(&self, pod: &Pod, others: &[&Pod]) -> Option<Rejection> {
        let facts = NodeFacts {
            name: &self.name,
            labels: &self.labels,
            taints: &self.taints,
            allocatable: &self.allocatable,
        };
        admit(pod, &facts, others.iter().copied()).err()
    }
}

/// Whether `pod` has yet to be decided over: it never was on this node, and is to be.
pub(super) fn is_new(pod: &Pod) -> bool {
    let accepted = pod
        .status
        .as_ref()
        .is_some_and(|status| status.start_time.is_some());
    !accepted && !is_finished(pod) && !is_terminating(pod)
}

/// Whether `pod` has ended and holds nothing of the node.
pub(super) fn is_finished(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}
