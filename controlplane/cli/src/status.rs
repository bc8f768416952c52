//! `floe status`: a cluster's machines, daemons and pods.

use std::process::ExitCode;

use anyhow::Context;
use controlplane_machine::Place;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::ListParams;
use kube::{Api, Client};

use crate::client;
use crate::cluster::Cluster;
use crate::progress::Progress;
use crate::verbs::sentence;

const DAEMONS: [&str; 2] = ["floe-controlplane.service", "floe-agent.service"];

/// What the exit code says, in the numbers of `systemctl status` (LSB).
const NOT_RUNNING: u8 = 3;
const NO_SUCH_CLUSTER: u8 = 4;

/// Prints how `cluster` is; the exit code says whether it runs, and whether it is there at all.
pub(crate) async fn run(cluster: &Cluster) -> anyhow::Result<ExitCode> {
    let progress = Progress::new();
    let name = cluster.name();
    if !cluster.is_there() {
        progress.line(&format!(
            "There is no cluster {name} on this host. Start one with `floe up --name {name}`."
        ));
        return Ok(ExitCode::from(NO_SUCH_CLUSTER));
    }
    if !cluster.is_running() {
        progress.line(&format!(
            "Cluster {name} is not running. Start it with `floe up --name {name}`."
        ));
        return Ok(ExitCode::from(NOT_RUNNING));
    }
    for place in cluster.nodes() {
        progress.line(&place_line(&place));
    }
    let client = client::admin(cluster).await?;
    for line in nodes(&client).await?.into_iter().chain(pods(&client).await?) {
        progress.line(&line);
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether the node runs, whether it is cut off, and how the daemons are that it is to run.
fn place_line(place: &Place) -> String {
    let (name, kind) = match place {
        Place::Machine(machine) => (machine.name(), "machine"),
        Place::Host { name, .. } => (name.as_str(), "this host"),
    };
    if !place.is_running() {
        return format!("{kind} {name}: stopped");
    }
    let is = |verb, unit| place.run(&["systemctl", verb, unit]).is_ok();
    let daemons = DAEMONS.into_iter().filter(|unit| is("cat", unit));
    let mut words: Vec<_> = daemons
        .map(|unit| {
            format!(
                "{unit} {}",
                if is("is-active", unit) { "active" } else { "failed" }
            )
        })
        .collect();
    if matches!(place, Place::Machine(machine) if machine.is_isolated()) {
        words.push("cut off from the network".to_owned());
    }
    format!("{kind} {name}: {}", words.join(", "))
}

/// A line for each node: its name, whether it is ready, its address.
pub(crate) async fn nodes(client: &Client) -> anyhow::Result<Vec<String>> {
    let listed = Api::<Node>::all(client.clone())
        .list(&ListParams::default())
        .await;
    let nodes = listed.map_err(sentence).context("list the nodes")?;
    Ok(nodes.items.iter().map(node_line).collect())
}

fn node_line(node: &Node) -> String {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let status = node.status.as_ref();
    let ready = if is_ready(node) { "Ready" } else { "NotReady" };
    let info = status.and_then(|status| status.node_info.as_ref());
    let runtime = info
        .map(|info| info.container_runtime_version.as_str())
        .unwrap_or_default();
    let addresses = status
        .and_then(|status| status.addresses.as_ref())
        .into_iter()
        .flatten();
    let address = addresses
        .filter(|address| address.type_ == "InternalIP")
        .map(|address| &address.address);
    let address = address.map(String::as_str).next().unwrap_or("no address");
    format!("node {name:<24} {ready:<9} {address:<15} {runtime}")
}

/// Whether the node's `Ready` condition is true.
pub(crate) fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|found| found.type_ == "Ready" && found.status == "True")
}

/// A line for each pod: its namespace and name, phase, readiness and address.
pub(crate) async fn pods(client: &Client) -> anyhow::Result<Vec<String>> {
    let listed = Api::<Pod>::all(client.clone()).list(&ListParams::default()).await;
    let pods = listed.map_err(sentence).context("list the pods")?;
    Ok(pods.items.iter().map(pod_line).collect())
}

fn pod_line(pod: &Pod) -> String {
    let meta = &pod.metadata;
    let name = format!(
        "{}/{}",
        meta.namespace.as_deref().unwrap_or_default(),
        meta.name.as_deref().unwrap_or_default()
    );
    let status = pod.status.as_ref();
    let phase = status
        .and_then(|status| status.phase.as_deref())
        .unwrap_or("Unknown");
    let containers = status
        .and_then(|status| status.container_statuses.as_deref())
        .unwrap_or_default();
    let ready = containers.iter().filter(|container| container.ready).count();
    let address = status
        .and_then(|status| status.pod_ip.as_deref())
        .unwrap_or("no address");
    format!(
        "pod  {name:<36} {phase:<9} {ready}/{} ready  {address}",
        containers.len()
    )
}
