//! The demo's objects, and a fetched page.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{ListParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};

use crate::cluster::Cluster;
use crate::up::PATIENCE;

const NAME: &str = "demo";
const NAMESPACE: &str = "default";
/// Also what a reader finds in the README.
const MANIFESTS: [&str; 2] = [include_str!("page.yaml"), include_str!("deployment.yaml")];

/// Creates what is missing of the demo; leaves alone what is there.
pub(crate) async fn apply(client: &Client) -> anyhow::Result<()> {
    let [page, deployment] = MANIFESTS;
    let page: ConfigMap = serde_yaml_ng::from_str(page).context("read the demo's page")?;
    let deployment: Deployment = serde_yaml_ng::from_str(deployment).context("read the demo's deployment")?;
    let pages = Api::<ConfigMap>::namespaced(client.clone(), NAMESPACE);
    unless_there(pages.create(&PostParams::default(), &page).await).context("create the demo's page")?;
    let deployments = Api::<Deployment>::namespaced(client.clone(), NAMESPACE);
    unless_there(deployments.create(&PostParams::default(), &deployment).await)
        .context("create the demo's deployment")
}

fn unless_there<T>(created: kube::Result<T>) -> kube::Result<()> {
    match created {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        other => other.map(drop),
    }
}

/// Waits until every replica of the demo is ready; returns how many there are.
pub(crate) async fn wait_ready(client: &Client) -> anyhow::Result<i32> {
    let deployments = Api::<Deployment>::namespaced(client.clone(), NAMESPACE);
    let ready = await_condition(deployments, NAME, |found: Option<&Deployment>| {
        found.is_some_and(complete)
    });
    match tokio::time::timeout(PATIENCE, ready).await {
        Ok(waited) => Ok(waited
            .context("watch the demo")?
            .map_or(0, |found| wanted(&found))),
        Err(_) => bail!(
            "the demo's pods are not ready after {} s: {}",
            PATIENCE.as_secs(),
            why(client).await
        ),
    }
}

fn wanted(deployment: &Deployment) -> i32 {
    deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1)
}

fn complete(deployment: &Deployment) -> bool {
    let ready = deployment
        .status
        .as_ref()
        .and_then(|status| status.ready_replicas);
    ready.unwrap_or_default() == wanted(deployment)
}

/// What the demo's pods wait for, in their own words.
async fn why(client: &Client) -> String {
    let Ok(pods) = demo_pods(client).await else {
        return "the API server does not answer".to_owned();
    };
    let statuses = pods.iter().filter_map(|pod| pod.status.as_ref());
    let unplaced = statuses
        .clone()
        .flat_map(|status| status.conditions.iter().flatten());
    let unplaced = unplaced
        .filter(|condition| condition.type_ == "PodScheduled" && condition.status == "False")
        .map(|condition| (&condition.reason, &condition.message));
    let containers = statuses.flat_map(|status| status.container_statuses.iter().flatten());
    let waiting = containers
        .filter_map(|container| container.state.as_ref()?.waiting.as_ref())
        .map(|waiting| (&waiting.reason, &waiting.message));
    let words = unplaced.chain(waiting).map(|(reason, message)| {
        [reason, message]
            .map(|part| part.clone().unwrap_or_default())
            .join(": ")
    });
    let words: BTreeSet<_> = words.collect();
    if words.is_empty() {
        "`kubectl describe pods` tells why".to_owned()
    } else {
        words.into_iter().collect::<Vec<_>>().join("; ")
    }
}

async fn demo_pods(client: &Client) -> kube::Result<Vec<Pod>> {
    let params = ListParams::default().labels("app=demo");
    Ok(Api::<Pod>::namespaced(client.clone(), NAMESPACE)
        .list(&params)
        .await?
        .items)
}

/// The demo's page as a pod of it serves it, fetched from the pod's node; nothing where no demo runs.
pub(crate) async fn fetch(client: &Client, cluster: &Cluster) -> anyhow::Result<Option<String>> {
    let pods = demo_pods(client).await.context("list the demo's pods")?;
    let found = pods.iter().find_map(|pod| {
        let node = pod.spec.as_ref()?.node_name.clone()?;
        Some((node, pod.status.as_ref()?.pod_ip.clone()?))
    });
    let Some((node, address)) = found else {
        return Ok(None);
    };
    let url = format!("http://{address}/");
    let fetch = ["timeout", "5", "busybox", "wget", "-q", "-O", "-", &url];
    let page = cluster.node(&node)?.run(&fetch);
    page.map(Some)
        .with_context(|| format!("fetch the demo's page from {url} on node {node}"))
}
