//! The Node object and its Lease.

mod lease;
mod machine;
mod rival;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agent_core::EventDraft;
use agent_core::node::{Machine, conditions};
use agent_images::ImageStore;
use anyhow::Context as _;
use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeSpec,
    NodeStatus, NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub(crate) use machine::{limits_unenforced, machine};
pub(crate) use rival::wait_gone;

use crate::config::Config;
use crate::events::Events;

/// How often the status is looked at, and sent where it changed.
const LOOK: Duration = Duration::from_secs(10);
/// How long the API server may take to answer about the status.
const ANSWER: Duration = Duration::from_secs(10);
/// How often an unchanged status is sent.
const RESEND: Duration = Duration::from_mins(5);
/// Images listed in the status, as upstream.
const IMAGES: usize = 50;

/// Keeps the Node object true.
#[derive(Debug)]
pub(crate) struct Reporter {
    config: Config,
    images: ImageStore,
    events: Events,
    machine: Machine,
    info: NodeSystemInfo,
    registered: watch::Sender<bool>,
    /// Why the network cannot take pods, where it cannot.
    network: watch::Receiver<Option<String>>,
}

impl Reporter {
    /// Measures the machine.
    pub(crate) fn new(
        config: &Config,
        images: ImageStore,
        events: Events,
        systemd: u32,
        crun: &Path,
        network: watch::Receiver<Option<String>>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            config: config.clone(),
            images,
            events,
            machine: machine(&config.state_dir, config.max_pods)?,
            info: machine::info(systemd, crun),
            registered: watch::channel(false).0,
            network,
        })
    }

    /// Tells when the API first has the node with its addresses.
    pub(crate) fn registered(&self) -> watch::Receiver<bool> {
        self.registered.subscribe()
    }

    /// What pods may be promised.
    pub(crate) fn allocatable(&self) -> Machine {
        self.machine.allocatable(self.config.reserved)
    }

    /// Memory of the machine, bytes.
    pub(crate) const fn memory(&self) -> u64 {
        self.machine.memory
    }

    /// Registers the node, then renews lease and status until `stop`.
    pub(crate) async fn run(self: Arc<Self>, client: Client, stop: CancellationToken) {
        let api: Api<Node> = Api::all(client.clone());
        let node = loop {
            match self.register(&api).await {
                Ok(node) => break node,
                Err(error) => warn!(error = format!("{error:#}"), "node not registered"),
            }
            tokio::select! {
                // Cancel-safe: a token stays cancelled.
                () = stop.cancelled() => return,
                // Cancel-safe: a dropped sleep loses nothing.
                () = tokio::time::sleep(Duration::from_secs(2)) => {}
            }
        };
        info!(node = %self.config.node_name, "node registered");
        self.events
            .about_node(&node, EventDraft::normal("Starting", "Starting floe-agent."));
        let both = async {
            tokio::join!(lease::keep(&client, &node), self.keep_status(&api, &node));
        };
        tokio::select! {
            // Cancel-safe: a token stays cancelled.
            () = stop.cancelled() => {}
            // Cancel-safe: a lease or status that was not sent is sent by the next start.
            () = both => {}
        }
    }

    async fn register(&self, api: &Api<Node>) -> anyhow::Result<Node> {
        let name = &self.config.node_name;
        let labels = self.labels();
        if let Some(known) = api.get_opt(name).await.context("ask for the node")? {
            let patch = json!({"metadata": {"labels": labels}});
            api.patch(name, &PatchParams::default(), &Patch::Merge(patch))
                .await
                .context("label the node")?;
            return Ok(known);
        }
        let node = Node {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                labels: Some(labels),
                ..ObjectMeta::default()
            },
            // Where none is configured, the control plane gives one.
            spec: self.config.pod_cidr.map(|subnet| NodeSpec {
                pod_cidr: Some(subnet.to_string()),
                pod_cidrs: Some(vec![subnet.to_string()]),
                ..NodeSpec::default()
            }),
            status: None,
        };
        api.create(&PostParams::default(), &node)
            .await
            .context("create the node")
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let pairs = [
            ("kubernetes.io/hostname", self.config.node_name.as_str()),
            ("kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", self.info.architecture.as_str()),
        ];
        pairs
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    async fn keep_status(&self, api: &Api<Node>, node: &Node) {
        let mut sent: Option<(NodeStatus, tokio::time::Instant)> = None;
        let mut previous = node.status.clone();
        let mut network = self.network.clone();
        loop {
            if sent.is_some() {
                previous = self.known_status(api).await.or(previous);
            }
            let status = self.status(previous.as_ref());
            let due = sent
                .as_ref()
                .is_none_or(|(last, at)| differs(last, &status) || at.elapsed() >= RESEND)
                || previous.as_ref().is_some_and(|known| overruled(known, &status));
            if due {
                match self.send(api, &status).await {
                    Ok(()) => {
                        self.registered.send_replace(true);
                        self.tell_readiness(node, previous.as_ref(), &status);
                        previous = Some(status.clone());
                        sent = Some((status, tokio::time::Instant::now()));
                    }
                    Err(error) => warn!(error = format!("{error:#}"), "node status not sent"),
                }
            }
            let pause = if sent.is_some() {
                LOOK
            } else {
                Duration::from_secs(1)
            };
            tokio::select! {
                // Cancel-safe: a dropped sleep loses nothing.
                () = tokio::time::sleep(pause) => {}
                // Cancel-safe: a value counts as seen only once `changed` returns.
                Ok(()) = network.changed() => {}
            }
        }
    }

    async fn send(&self, api: &Api<Node>, status: &NodeStatus) -> anyhow::Result<()> {
        let patch = Patch::Strategic(json!({"status": status}));
        let params = PatchParams::default();
        let call = api.patch_status(&self.config.node_name, &params, &patch);
        tokio::time::timeout(ANSWER, call)
            .await
            .context("the API server did not answer in time")??;
        Ok(())
    }

    /// The status as the API has it; nothing while it does not answer.
    async fn known_status(&self, api: &Api<Node>) -> Option<NodeStatus> {
        let call = api.get(&self.config.node_name);
        tokio::time::timeout(ANSWER, call).await.ok()?.ok()?.status
    }

    fn tell_readiness(&self, node: &Node, old: Option<&NodeStatus>, new: &NodeStatus) {
        let was = old.and_then(ready);
        if ready(new) != was {
            let reason = if ready(new) == Some(true) {
                "NodeReady"
            } else {
                "NodeNotReady"
            };
            let message = format!("Node {} status is now: {reason}", self.config.node_name);
            self.events.about_node(node, EventDraft::normal(reason, message));
        }
    }

    fn status(&self, previous: Option<&NodeStatus>) -> NodeStatus {
        // In the kubelet's words, which tools look for.
        let unready = self.network.borrow().as_ref().map(|why| {
            format!(
                "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady \
                 message:Network plugin returns error: {why}"
            )
        });
        let health = machine::health(&self.config.state_dir, self.config.eviction_disk_percent, unready);
        let old = previous
            .and_then(|status| status.conditions.as_deref())
            .unwrap_or_default();
        let address = |type_: &str, address: String| NodeAddress {
            type_: type_.to_owned(),
            address,
        };
        NodeStatus {
            capacity: Some(self.machine.quantities()),
            allocatable: Some(self.allocatable().quantities()),
            conditions: Some(conditions(&health, old, crate::clock::now())),
            addresses: Some(vec![
                address("InternalIP", self.config.node_ip.to_string()),
                address("Hostname", self.config.node_name.clone()),
            ]),
            daemon_endpoints: Some(NodeDaemonEndpoints {
                kubelet_endpoint: Some(DaemonEndpoint {
                    port: i32::from(self.config.listen.port()),
                }),
            }),
            node_info: Some(self.info.clone()),
            images: Some(self.image_list()),
            ..NodeStatus::default()
        }
    }

    fn image_list(&self) -> Vec<ContainerImage> {
        let mut images = self.images.list().unwrap_or_default();
        // The largest are what a scheduler wants to know of.
        images.sort_by_key(|image| std::cmp::Reverse(image.size));
        let shown = images.into_iter().take(IMAGES).map(|image| ContainerImage {
            names: Some(image.repo_digests.into_iter().chain(image.repo_tags).collect()),
            size_bytes: i64::try_from(image.size).ok(),
        });
        shown.collect()
    }
}

fn ready(status: &NodeStatus) -> Option<bool> {
    let condition = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "Ready")?;
    Some(condition.status == "True")
}

/// Whether somebody else has changed what the node says of itself, as the control plane does with
/// a node of which it hears nothing.
fn overruled(known: &NodeStatus, own: &NodeStatus) -> bool {
    let same = |condition: &NodeCondition| {
        let mut all = known.conditions.iter().flatten();
        all.any(|found| found.type_ == condition.type_ && found.status == condition.status)
    };
    !own.conditions.iter().flatten().all(same)
}

/// Whether more than times differ.
fn differs(old: &NodeStatus, new: &NodeStatus) -> bool {
    let timeless = |status: &NodeStatus| {
        let mut status = status.clone();
        for condition in status.conditions.iter_mut().flatten() {
            condition.last_heartbeat_time = None;
            condition.last_transition_time = None;
        }
        status
    };
    timeless(old) != timeless(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(ready: &str, more: &[&str]) -> NodeStatus {
        let mut all = vec![json!({ "type": "Ready", "status": ready })];
        all.extend(
            more.iter()
                .map(|type_| json!({ "type": type_, "status": "False" })),
        );
        serde_json::from_value(json!({ "conditions": all })).unwrap()
    }

    #[test]
    fn a_node_that_was_called_silent_speaks_up_and_leaves_others_conditions_alone() {
        let own = status("True", &["DiskPressure"]);
        assert!(overruled(&status("Unknown", &["DiskPressure"]), &own));
        assert!(overruled(&status("True", &[]), &own));
        assert!(!overruled(
            &status("True", &["DiskPressure", "NetworkUnavailable"]),
            &own
        ));
    }

    #[test]
    fn times_alone_are_no_news() {
        let mut later = status("True", &[]);
        let time = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        later.conditions.as_mut().unwrap()[0].last_transition_time = time;
        assert!(!differs(&status("True", &[]), &later));
        assert!(differs(&status("False", &[]), &later));
    }
}
