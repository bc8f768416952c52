//! A client of typed kinds: server-side apply of a Deployment, and a condition in its status that others' conditions survive.
//!
//! `cargo run -p controlplane-apimachinery --features k8s-openapi --example typed` asks the server of the current kubeconfig.
#![expect(clippy::print_stdout, reason = "printing is what the example is for")]

use controlplane_apimachinery::condition;
use controlplane_apimachinery::managed::{Managed, Operation};
use controlplane_apimachinery::patch::JsonPatch;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition};
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::json;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const MANAGER: &str = "typed-example";

#[tokio::main]
async fn main() -> Result<(), Failure> {
    for line in run(kube::Client::try_default().await?).await? {
        println!("{line}");
    }
    Ok(())
}

/// Applies a Deployment, says something about it, and takes it away again; says what it has seen.
///
/// # Errors
///
/// What the server answers with.
pub async fn run(client: kube::Client) -> Result<Vec<String>, Failure> {
    let api: Api<Deployment> = Api::default_namespaced(client);
    let name = "typed-example";
    let wanted: Deployment = serde_json::from_value(json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "busybox"}]}}},
    }))?;
    let applied = api
        .patch(name, &PatchParams::apply(MANAGER), &Patch::Apply(&wanted))
        .await?;
    let mut said = vec![format!("{MANAGER} owns {}", owned(&applied)?.join(" "))];

    let reviewed = |reason: &str| DeploymentCondition {
        type_: "Reviewed".to_owned(),
        status: "True".to_owned(),
        reason: Some(reason.to_owned()),
        ..DeploymentCondition::default()
    };
    for (reason, seconds) in [("AtFirst", 1_000), ("Again", 2_000)] {
        let before = api.get_status(name).await?;
        let mut after = before.clone();
        let list = after
            .status
            .get_or_insert_default()
            .conditions
            .get_or_insert_default();
        condition::set(list, reviewed(reason), Timestamp::from_second(seconds)?);
        let patch = JsonPatch::between(&serde_json::to_value(&before)?, &serde_json::to_value(&after)?);
        let patch: kube::core::params::Patch<()> = Patch::Json(serde_json::from_value(patch.to_json())?);
        api.patch_status(name, &PatchParams::default(), &patch).await?;
    }
    let status = api.get_status(name).await?.status.unwrap_or_default();
    let found = condition::find(status.conditions.as_deref().unwrap_or_default(), "Reviewed").cloned();
    let found = found.ok_or("the condition is gone")?;
    let since = found.last_transition_time.ok_or("the condition has no time")?.0;
    said.push(format!(
        "Reviewed {} since {since}",
        found.reason.unwrap_or_default()
    ));

    api.delete(name, &DeleteParams::default()).await?;
    Ok(said)
}

/// The fields of the example's own manager.
fn owned(deployment: &Deployment) -> Result<Vec<String>, Failure> {
    let list = serde_json::to_value(&deployment.metadata.managed_fields)?;
    let managed = Managed::decode(&list)?;
    let mut entries = managed.entries().iter();
    let own = entries.find(|entry| entry.manager == MANAGER && entry.operation == Operation::Apply);
    Ok(own.map(|own| own.fields.paths()).unwrap_or_default())
}
