//! The node's heartbeat.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tracing::warn;

const NAMESPACE: &str = "kube-node-lease";
const DURATION_SECONDS: i32 = 40;
const RENEWAL: Duration = Duration::from_secs(10);

/// Renews the lease of `node` for ever.
pub(super) async fn keep(client: &Client, node: &Node) {
    let api: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE);
    loop {
        let renewed = tokio::time::timeout(RENEWAL, renew(&api, node)).await;
        match renewed {
            Ok(Ok(())) => tokio::time::sleep(RENEWAL.mul_f64(rand::random_range(0.96..1.0))).await,
            Ok(Err(error)) => {
                warn!(error = %error, "lease not renewed");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Err(_) => warn!("lease not renewed: the API server did not answer in time"),
        }
    }
}

async fn renew(api: &Api<Lease>, node: &Node) -> kube::Result<()> {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let now = MicroTime(crate::clock::now());
    let patch = json!({"spec": {"renewTime": now, "holderIdentity": name}});
    match api
        .patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
    {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => api
            .create(&PostParams::default(), &lease(node, name, now))
            .await
            .map(drop),
        Err(error) => Err(error),
    }
}

fn lease(node: &Node, name: &str, now: MicroTime) -> Lease {
    let owner = OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: name.to_owned(),
        uid: node.metadata.uid.clone().unwrap_or_default(),
        ..OwnerReference::default()
    };
    Lease {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(NAMESPACE.to_owned()),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(name.to_owned()),
            lease_duration_seconds: Some(DURATION_SECONDS),
            renew_time: Some(now),
            ..LeaseSpec::default()
        }),
    }
}
