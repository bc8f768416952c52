//! Writes what the plan says of a node and of the pods on it.

use controlplane_events::Recorder;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::error::is_gone;
use crate::meta;

/// Writes conditions of a silent node, unless it has spoken since.
pub(super) async fn write_conditions(
    client: &Client,
    node: &Node,
    conditions: &[NodeCondition],
) -> Result<(), kube::Error> {
    let api: Api<Node> = Api::all(client.clone());
    let patch = json!({
        "metadata": { "resourceVersion": node.metadata.resource_version },
        "status": { "conditions": conditions },
    });
    let patch = Patch::Strategic(patch);
    api.patch_status(meta::name(&node.metadata), &PatchParams::default(), &patch)
        .await?;
    Ok(())
}

/// Writes a node's taints, on condition that they are the ones last seen.
pub(super) async fn write_taints(client: &Client, node: &Node, taints: &[Taint]) -> Result<(), kube::Error> {
    let api: Api<Node> = Api::all(client.clone());
    let patch = json!({
        "metadata": { "resourceVersion": node.metadata.resource_version },
        "spec": { "taints": (!taints.is_empty()).then_some(taints) },
    });
    api.patch(
        meta::name(&node.metadata),
        &PatchParams::default(),
        &Patch::Merge(patch),
    )
    .await?;
    Ok(())
}

/// Says of a pod on a silent node that it is not ready, so that no traffic is sent there.
pub(super) async fn mark_not_ready(
    client: &Client,
    recorder: &Recorder,
    pod: &Pod,
) -> Result<(), kube::Error> {
    recorder.warning(
        &meta::reference(pod),
        "NodeNotReady",
        "Node is not ready".to_owned(),
    );
    let api: Api<Pod> = Api::namespaced(client.clone(), meta::namespace(&pod.metadata));
    let patch = json!({
        "metadata": { "uid": meta::uid(&pod.metadata) },
        "status": { "conditions": [{
            "type": "Ready", "status": "False", "lastTransitionTime": Time(Timestamp::now()),
            "observedGeneration": pod.metadata.generation,
        }] },
    });
    let patch = Patch::Strategic(patch);
    match api
        .patch_status(meta::name(&pod.metadata), &PatchParams::default(), &patch)
        .await
    {
        Err(error) if is_gone(&error) => Ok(()),
        other => other.map(|_| ()),
    }
}
