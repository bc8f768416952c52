//! Small builders for tests.

use serde_json::{Value, json};

use crate::facts::{NodeFacts, PodFacts, Usage};
use crate::resources::{CPU, MEMORY, PODS, Resources};

/// A usage of so many thousandths of a core.
pub(crate) fn usage(cpu: i64) -> Usage {
    let mut usage = Usage::default();
    usage.demand.requests.set(CPU, cpu);
    usage.demand.likely.set(CPU, cpu);
    usage
}

/// A node with so many thousandths of a core, 8 GiB and room for 10 pods.
pub(crate) fn node(name: &str, cpu: i64) -> NodeFacts {
    let mut allocatable = Resources::default();
    allocatable.set(CPU, cpu);
    allocatable.set(MEMORY, 8 << 30);
    allocatable.set(PODS, 10);
    NodeFacts {
        name: name.to_owned(),
        allocatable,
        ..NodeFacts::default()
    }
}

/// A pod that asks for so many thousandths of a core.
pub(crate) fn pod(uid: &str, cpu: i64) -> PodFacts {
    PodFacts {
        uid: uid.to_owned(),
        name: uid.to_owned(),
        namespace: "default".to_owned(),
        usage: usage(cpu),
        ..PodFacts::default()
    }
}

/// A roomy node with labels.
pub(crate) fn labelled_node(name: &str, labels: &[(&str, &str)]) -> NodeFacts {
    let labels = labels
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let mut node = node(name, 4000);
    node.allocatable.set(PODS, 1000);
    node.labels = labels.collect();
    node
}

/// Reads a pod.
pub(crate) fn read(pod: Value) -> PodFacts {
    PodFacts::read(&serde_json::from_value(pod).unwrap())
}

/// A pod of an app with an affinity.
pub(crate) fn social_pod(uid: &str, app: &str, affinity: Value) -> PodFacts {
    read(json!({
        "metadata": { "name": uid, "uid": uid, "namespace": "default", "labels": { "app": app } },
        "spec": { "containers": [], "affinity": affinity },
    }))
}
