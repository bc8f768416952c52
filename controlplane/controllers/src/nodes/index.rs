//! Pods by node, and the ended ones by age. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;

use crate::meta;
use crate::replicaset::pods;

/// Namespace and name.
pub(crate) type Key = (String, String);

/// The order in which ended pods are given up: evicted ones first, then the oldest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Age {
    kept_longer: bool,
    created: Timestamp,
    key: Key,
}

#[derive(Debug, Clone)]
struct Entry {
    node: Option<String>,
    ended: Option<Age>,
}

/// Where pods are and which have ended.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pods: BTreeMap<Key, Entry>,
    by_node: BTreeMap<String, BTreeSet<Key>>,
    ended: BTreeSet<Age>,
}

impl Index {
    /// Adds or renews a pod.
    pub(crate) fn set(&mut self, pod: &Pod) {
        let key = key(pod);
        self.forget(&key);
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        let entry = Entry {
            node: node.filter(|name| !name.is_empty()),
            ended: pods::is_finished(pod).then(|| age(pod)),
        };
        if let Some(node) = &entry.node {
            self.by_node.entry(node.clone()).or_default().insert(key.clone());
        }
        self.ended.extend(entry.ended.clone());
        self.pods.insert(key, entry);
    }

    /// Forgets a pod.
    pub(crate) fn forget(&mut self, key: &Key) {
        let Some(entry) = self.pods.remove(key) else {
            return;
        };
        if let Some(node) = entry.node
            && let Some(pods) = self.by_node.get_mut(&node)
        {
            pods.remove(key);
            if pods.is_empty() {
                self.by_node.remove(&node);
            }
        }
        if let Some(age) = entry.ended {
            self.ended.remove(&age);
        }
    }

    /// Forgets all pods but those named.
    pub(crate) fn retain(&mut self, seen: &BTreeSet<Key>) {
        let gone: Vec<Key> = self
            .pods
            .keys()
            .filter(|key| !seen.contains(*key))
            .cloned()
            .collect();
        for key in gone {
            self.forget(&key);
        }
    }

    /// All pods.
    pub(crate) fn pods(&self) -> impl Iterator<Item = &Key> {
        self.pods.keys()
    }

    /// The pods on a node.
    pub(crate) fn on(&self, node: &str) -> impl Iterator<Item = &Key> {
        self.by_node.get(node).into_iter().flatten()
    }

    /// The ended pods beyond `threshold`, those to be given up first in front.
    pub(crate) fn excess(&self, threshold: usize) -> impl Iterator<Item = &Key> {
        let count = match threshold {
            0 => 0,
            threshold => self.ended.len().saturating_sub(threshold),
        };
        self.ended.iter().take(count).map(|age| &age.key)
    }
}

fn age(pod: &Pod) -> Age {
    let evicted = pod.status.as_ref().and_then(|status| status.reason.as_deref()) == Some("Evicted");
    let created = pod.metadata.creation_timestamp.as_ref();
    Age {
        kept_longer: !evicted,
        created: created.map_or(Timestamp::UNIX_EPOCH, |time| time.0),
        key: key(pod),
    }
}

/// Namespace and name of a pod.
pub(crate) fn key(pod: &Pod) -> Key {
    (
        meta::namespace(&pod.metadata).to_owned(),
        meta::name(&pod.metadata).to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, created: &str, phase: &str, reason: Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": { "name": name, "namespace": "n", "creationTimestamp": created },
            "spec": { "nodeName": "n1", "containers": [] },
            "status": { "phase": phase, "reason": reason },
        }))
        .unwrap()
    }

    #[test]
    fn evicted_pods_are_given_up_first_and_then_the_oldest() {
        let mut index = Index::default();
        for pod in [
            pod("new", "2026-01-03T00:00:00Z", "Failed", Value::Null),
            pod("old", "2026-01-01T00:00:00Z", "Succeeded", Value::Null),
            pod("evicted", "2026-01-02T00:00:00Z", "Failed", json!("Evicted")),
            pod("running", "2026-01-01T00:00:00Z", "Running", Value::Null),
        ] {
            index.set(&pod);
        }
        let names =
            |threshold: usize| -> Vec<String> { index.excess(threshold).map(|key| key.1.clone()).collect() };
        assert_eq!(names(1), ["evicted", "old"]);
        assert_eq!(names(3), [""; 0]);
        assert_eq!(names(0), [""; 0]);
    }

    #[test]
    fn a_pod_is_found_on_its_node_until_it_goes() {
        let mut index = Index::default();
        let one = pod("a", "2026-01-01T00:00:00Z", "Running", Value::Null);
        index.set(&one);
        index.set(&one);
        assert_eq!(index.on("n1").count(), 1);
        index.retain(&BTreeSet::new());
        assert_eq!(index.on("n1").count(), 0);
    }
}
