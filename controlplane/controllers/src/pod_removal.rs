//! The end of a pod that a controller takes away because of its node.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};

use crate::meta;

/// Tells `status` of the pod, where there is something to tell, then deletes it: this very pod, and no
/// other that has its name by now.
///
/// # Errors
///
/// What the server answers; that the pod is gone is among it.
pub(crate) async fn remove(
    client: &Client,
    pod: &Pod,
    status: Option<Value>,
    params: DeleteParams,
) -> Result<(), kube::Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), meta::namespace(&pod.metadata));
    let name = meta::name(&pod.metadata);
    if let Some(status) = status {
        let patch = json!({ "metadata": { "uid": meta::uid(&pod.metadata) }, "status": status });
        api.patch_status(name, &PatchParams::default(), &Patch::Strategic(patch))
            .await?;
    }
    let params = params.preconditions(Preconditions {
        uid: pod.metadata.uid.clone(),
        resource_version: None,
    });
    api.delete(name, &params).await?;
    Ok(())
}

/// The condition that tells why: whoever counts pods, such as a Job, must not take it for a failure of
/// the pod's own.
pub(crate) fn disrupted(pod: &Pod, reason: &str, message: &str) -> Value {
    json!([{
        "type": "DisruptionTarget", "status": "True", "reason": reason, "message": message,
        "lastTransitionTime": Time(Timestamp::now()), "observedGeneration": pod.metadata.generation,
    }])
}
