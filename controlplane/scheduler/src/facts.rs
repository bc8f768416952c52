//! What the scheduler keeps of pods and nodes: less than the objects, and ready to compute with.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, NodeAffinity, ObjectReference, Pod, PodCondition, Taint, Toleration};
use k8s_openapi::jiff::Timestamp;
use kube::Resource;

use crate::peers::Peer;
use crate::resources::{Demand, Resources};
use crate::spread::Spread;
use crate::{images, spread};

/// A node as filters and scores see it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct NodeFacts {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) taints: Vec<Taint>,
    pub(crate) unschedulable: bool,
    pub(crate) allocatable: Resources,
    /// Sizes of the images it has.
    pub(crate) images: BTreeMap<String, i64>,
}

impl NodeFacts {
    /// Reads a Node.
    pub(crate) fn read(node: &Node) -> Self {
        let spec = node.spec.as_ref();
        let status = node.status.as_ref();
        let allocatable = status.and_then(|status| status.allocatable.as_ref().or(status.capacity.as_ref()));
        Self {
            name: node.metadata.name.clone().unwrap_or_default(),
            labels: node.metadata.labels.clone().unwrap_or_default(),
            taints: spec.and_then(|spec| spec.taints.clone()).unwrap_or_default(),
            unschedulable: spec.and_then(|spec| spec.unschedulable).unwrap_or(false),
            allocatable: Resources::read(allocatable),
            images: status.map(images::held).unwrap_or_default(),
        }
    }
}

/// A port of the node that a pod takes for itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HostPort {
    pub(crate) protocol: String,
    pub(crate) port: i32,
    /// Empty for all addresses.
    pub(crate) address: String,
}

impl HostPort {
    /// Whether two pods with these ports cannot share a node.
    pub(crate) fn conflicts(&self, other: &Self) -> bool {
        self.port == other.port
            && self.protocol == other.protocol
            && (self.address.is_empty() || other.address.is_empty() || self.address == other.address)
    }
}

/// What a pod takes from the node it is on.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Usage {
    pub(crate) demand: Demand,
    pub(crate) ports: Vec<HostPort>,
    /// What other pods see of it.
    pub(crate) peer: Arc<Peer>,
}

/// Where a pod stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// On this node.
    Placed(String),
    /// Waiting for a node.
    Waiting,
    /// Ended, being deleted without a node, or another scheduler's.
    NotOurs,
}

/// A pod as filters and scores see it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct PodFacts {
    pub(crate) reference: ObjectReference,
    pub(crate) uid: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) priority: i32,
    pub(crate) created: Timestamp,
    pub(crate) usage: Usage,
    pub(crate) tolerations: Vec<Toleration>,
    pub(crate) node_selector: BTreeMap<String, String>,
    pub(crate) node_affinity: Option<NodeAffinity>,
    pub(crate) spreads: Vec<Spread>,
    pub(crate) images: Vec<String>,
    /// `spec.nodeName` wanted before scheduling; only tests and other schedulers set it.
    pub(crate) node_name: Option<String>,
    pub(crate) gated: bool,
    /// The generation of its spec, which conclusions name.
    pub(crate) generation: Option<i64>,
    /// The `PodScheduled` condition as last seen.
    pub(crate) condition: Option<PodCondition>,
}

/// Name under which pods ask for this scheduler.
const SCHEDULER_NAME: &str = "default-scheduler";

/// Where `pod` stands.
pub(crate) fn standing(pod: &Pod) -> Standing {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return Standing::NotOurs;
    }
    let spec = pod.spec.as_ref();
    let node = spec.and_then(|spec| spec.node_name.clone()).unwrap_or_default();
    if !node.is_empty() {
        return Standing::Placed(node);
    }
    let scheduler = spec.and_then(|spec| spec.scheduler_name.as_deref());
    let ours = scheduler.is_none_or(|name| name.is_empty() || name == SCHEDULER_NAME);
    if ours && pod.metadata.deletion_timestamp.is_none() {
        Standing::Waiting
    } else {
        Standing::NotOurs
    }
}

/// What a placed pod takes from its node.
pub(crate) fn usage(pod: &Pod) -> Usage {
    let Some(spec) = pod.spec.as_ref() else {
        return Usage::default();
    };
    let containers = spec.containers.iter().chain(
        spec.init_containers
            .iter()
            .flatten()
            .filter(|container| container.restart_policy.as_deref() == Some("Always")),
    );
    let ports = containers
        .flat_map(|container| container.ports.iter().flatten())
        .filter_map(|port| {
            let number = port.host_port.filter(|number| *number > 0)?;
            let address = port.host_ip.clone().unwrap_or_default();
            Some(HostPort {
                protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
                port: number,
                address: if matches!(address.as_str(), "0.0.0.0" | "::") {
                    String::new()
                } else {
                    address
                },
            })
        });
    Usage {
        demand: Demand::of(pod),
        ports: ports.collect(),
        peer: Arc::new(Peer::read(pod)),
    }
}

impl PodFacts {
    /// Whether other pods decide where it can go.
    pub(crate) fn minds_company(&self) -> bool {
        !self.usage.peer.wishes.is_empty() || self.spreads.iter().any(|spread| spread.hard)
    }

    /// Reads a waiting pod.
    pub(crate) fn read(pod: &Pod) -> Self {
        let spec = pod.spec.clone().unwrap_or_default();
        let images = images::wanted(&spec);
        let usage = usage(pod);
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
        Self {
            reference: pod.object_ref(&()),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            name: pod.metadata.name.clone().unwrap_or_default(),
            priority: spec.priority.unwrap_or_default(),
            created: pod
                .metadata
                .creation_timestamp
                .as_ref()
                .map_or(Timestamp::UNIX_EPOCH, |time| time.0),
            spreads: spread::constraints(pod, &usage.peer),
            images,
            usage,
            tolerations: spec.tolerations.unwrap_or_default(),
            node_selector: spec.node_selector.unwrap_or_default(),
            node_affinity: spec.affinity.and_then(|affinity| affinity.node_affinity),
            node_name: None,
            generation: pod.metadata.generation,
            gated: spec.scheduling_gates.is_some_and(|gates| !gates.is_empty()),
            condition: conditions
                .into_iter()
                .flatten()
                .find(|condition| condition.type_ == "PodScheduled")
                .cloned(),
        }
    }
}
