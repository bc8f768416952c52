//! Performs the steps of a plan.

use controlplane_events::Recorder;
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tracing::{info, warn};

use super::plan::Step;
use crate::error::{Attempt, ReconcileError, is_gone};
use crate::meta;

/// Performs `step` for `node`; repeating it is harmless, for a Node keeps its first network.
pub(super) async fn perform(
    client: &Client,
    recorder: &Recorder,
    node: &Node,
    step: Step,
) -> Result<(), ReconcileError> {
    let name = meta::name(&node.metadata);
    match step {
        Step::Nothing => Ok(()),
        Step::TellExhausted => {
            let message = format!("Node {name} status is now: CIDRNotAvailable");
            recorder.normal(&meta::reference(node), "CIDRNotAvailable", message);
            warn!(
                node = name,
                "no pod network left, enlarge pod_cidr or remove a node"
            );
            Ok(())
        }
        Step::Assign(network) => {
            let network = network.to_string();
            let patch = json!({
                "metadata": { "uid": meta::uid(&node.metadata) },
                "spec": { "podCIDR": network, "podCIDRs": [network] },
            });
            let nodes: Api<Node> = Api::all(client.clone());
            let outcome = nodes
                .patch(name, &PatchParams::default(), &Patch::Strategic(patch))
                .await;
            match outcome {
                Err(error) if is_gone(&error) => Ok(()),
                other => {
                    other.attempt("give pod network to node", name)?;
                    info!(node = name, network, "pod network given to node");
                    Ok(())
                }
            }
        }
    }
}
