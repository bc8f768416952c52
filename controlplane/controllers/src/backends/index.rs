//! Which Services select which pods, both ways, without ever looking at all of them. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;

use super::pod::Backend;
use crate::meta;

/// Namespace and name.
pub(crate) type Key = (String, String);

/// A label in a namespace.
type Label = (String, String, String);

/// Where a pod runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// On no node yet.
    Nowhere,
    /// On a node that the server does not know.
    Missing,
    /// On a node, perhaps in a zone.
    Node(Option<String>),
}

/// Services and pods by the labels that join them.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pods: BTreeMap<Key, Arc<Backend>>,
    pods_by_label: BTreeMap<Label, BTreeSet<String>>,
    pods_by_node: BTreeMap<String, BTreeSet<Key>>,
    selectors: BTreeMap<Key, BTreeMap<String, String>>,
    /// Services under the first label they ask for; those a pod matches are all found under its own.
    services_by_label: BTreeMap<Label, BTreeSet<String>>,
    zones: BTreeMap<String, Option<String>>,
}

impl Index {
    /// Adds or renews a Service.
    pub(crate) fn set_service(&mut self, service: &Service) {
        let key = key(&service.metadata);
        self.drop_service(&key);
        let selector = service.spec.as_ref().and_then(|spec| spec.selector.clone());
        let Some(selector) = selector.filter(|selector| !selector.is_empty()) else {
            return;
        };
        if let Some(label) = first_label(&key.0, &selector) {
            let services = self.services_by_label.entry(label).or_default();
            services.insert(key.1.clone());
        }
        self.selectors.insert(key, selector);
    }

    /// Forgets a Service.
    pub(crate) fn drop_service(&mut self, key: &Key) {
        let Some(selector) = self.selectors.remove(key) else {
            return;
        };
        if let Some(label) = first_label(&key.0, &selector) {
            take_out(&mut self.services_by_label, &label, &key.1);
        }
    }

    /// Forgets all Services but those named.
    pub(crate) fn retain_services(&mut self, seen: &BTreeSet<Key>) {
        for key in absent(&self.selectors, seen) {
            self.drop_service(&key);
        }
    }

    /// Adds or renews a pod; returns the Services that see a difference.
    pub(crate) fn set_pod(&mut self, pod: Backend) -> BTreeSet<Key> {
        let key = (pod.namespace.clone(), pod.name.clone());
        if self.pods.get(&key).is_some_and(|known| **known == pod) {
            return BTreeSet::new();
        }
        let mut concerned = self.drop_pod(&key);
        concerned.extend(self.selecting(&pod));
        for label in labels(&pod) {
            self.pods_by_label
                .entry(label)
                .or_default()
                .insert(pod.name.clone());
        }
        if let Some(node) = &pod.node {
            let pods = self.pods_by_node.entry(node.clone()).or_default();
            pods.insert(key.clone());
        }
        self.pods.insert(key, Arc::new(pod));
        concerned
    }

    /// Forgets a pod; returns the Services that selected it.
    pub(crate) fn drop_pod(&mut self, key: &Key) -> BTreeSet<Key> {
        let Some(pod) = self.pods.remove(key) else {
            return BTreeSet::new();
        };
        for label in labels(&pod) {
            take_out(&mut self.pods_by_label, &label, &pod.name);
        }
        if let Some(node) = &pod.node {
            take_out(&mut self.pods_by_node, node, key);
        }
        self.selecting(&pod)
    }

    /// Forgets all pods but those named.
    pub(crate) fn retain_pods(&mut self, seen: &BTreeSet<Key>) -> BTreeSet<Key> {
        let gone = absent(&self.pods, seen);
        gone.iter().flat_map(|key| self.drop_pod(key)).collect()
    }

    /// Adds a node, or moves it to another zone; returns the Services with pods on it.
    pub(crate) fn set_node(&mut self, name: &str, zone: Option<String>) -> BTreeSet<Key> {
        if self.zones.get(name) == Some(&zone) {
            return BTreeSet::new();
        }
        self.zones.insert(name.to_owned(), zone);
        self.with_pods_on(name)
    }

    /// Forgets a node.
    pub(crate) fn drop_node(&mut self, name: &str) -> BTreeSet<Key> {
        if self.zones.remove(name).is_none() {
            return BTreeSet::new();
        }
        self.with_pods_on(name)
    }

    /// Forgets all nodes but those named.
    pub(crate) fn retain_nodes(&mut self, seen: &BTreeSet<String>) -> BTreeSet<Key> {
        let gone = absent(&self.zones, seen);
        gone.iter().flat_map(|name| self.drop_node(name)).collect()
    }

    /// The pods that a Service selects, in order of name.
    pub(crate) fn backends(&self, service: &Key) -> Vec<Arc<Backend>> {
        let Some(selector) = self.selectors.get(service) else {
            return Vec::new();
        };
        let none = BTreeSet::new();
        // The rarest label leaves the fewest pods to look at.
        let candidates = selector
            .iter()
            .map(|(key, value)| (service.0.clone(), key.clone(), value.clone()))
            .map(|label| self.pods_by_label.get(&label).unwrap_or(&none))
            .min_by_key(|pods| pods.len());
        candidates
            .into_iter()
            .flatten()
            .filter_map(|name| self.pods.get(&(service.0.clone(), name.clone())))
            .filter(|pod| matches(selector, pod))
            .cloned()
            .collect()
    }

    /// Where a pod runs.
    pub(crate) fn place(&self, pod: &Backend) -> Place {
        match &pod.node {
            None => Place::Nowhere,
            Some(node) => self
                .zones
                .get(node)
                .map_or(Place::Missing, |zone| Place::Node(zone.clone())),
        }
    }

    fn selecting(&self, pod: &Backend) -> BTreeSet<Key> {
        let candidates = labels(pod).filter_map(|label| self.services_by_label.get(&label));
        candidates
            .flatten()
            .map(|name| (pod.namespace.clone(), name.clone()))
            .filter(|key| {
                self.selectors
                    .get(key)
                    .is_some_and(|selector| matches(selector, pod))
            })
            .collect()
    }

    fn with_pods_on(&self, node: &str) -> BTreeSet<Key> {
        let pods = self.pods_by_node.get(node).into_iter().flatten();
        pods.filter_map(|key| self.pods.get(key))
            .flat_map(|pod| self.selecting(pod))
            .collect()
    }
}

/// Namespace and name of an object.
pub(super) fn key(meta: &kube::api::ObjectMeta) -> Key {
    (meta::namespace(meta).to_owned(), meta::name(meta).to_owned())
}

fn labels(pod: &Backend) -> impl Iterator<Item = Label> {
    pod.labels
        .iter()
        .map(|(key, value)| (pod.namespace.clone(), key.clone(), value.clone()))
}

fn first_label(namespace: &str, selector: &BTreeMap<String, String>) -> Option<Label> {
    let (key, value) = selector.first_key_value()?;
    Some((namespace.to_owned(), key.clone(), value.clone()))
}

fn matches(selector: &BTreeMap<String, String>, pod: &Backend) -> bool {
    selector
        .iter()
        .all(|(key, value)| pod.labels.get(key) == Some(value))
}

fn take_out<K: Ord, V: Ord>(map: &mut BTreeMap<K, BTreeSet<V>>, key: &K, value: &V) {
    if let Some(values) = map.get_mut(key) {
        values.remove(value);
        if values.is_empty() {
            map.remove(key);
        }
    }
}

fn absent<K: Ord + Clone, V>(known: &BTreeMap<K, V>, seen: &BTreeSet<K>) -> Vec<K> {
    known.keys().filter(|key| !seen.contains(*key)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ServiceSpec;
    use kube::api::ObjectMeta;
    use proptest::prelude::*;

    use super::*;

    fn labelled(pairs: &[(u8, u8)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect()
    }

    fn service(name: u8, selector: &[(u8, u8)]) -> Service {
        Service {
            metadata: ObjectMeta {
                namespace: Some("n".to_owned()),
                name: Some(name.to_string()),
                ..ObjectMeta::default()
            },
            spec: Some(ServiceSpec {
                selector: Some(labelled(selector)),
                ..ServiceSpec::default()
            }),
            status: None,
        }
    }

    fn pod(name: u8, labels: &[(u8, u8)], ready: bool) -> Backend {
        Backend {
            namespace: "n".to_owned(),
            name: name.to_string(),
            labels: labelled(labels),
            node: Some((name % 2).to_string()),
            ready,
            ..Backend::default()
        }
    }

    fn key(name: u8) -> Key {
        ("n".to_owned(), name.to_string())
    }

    #[test]
    fn a_pod_that_loses_a_label_concerns_the_service_it_leaves() {
        let mut index = Index::default();
        index.set_service(&service(1, &[(1, 1)]));
        assert_eq!(index.set_pod(pod(1, &[(1, 1)], true)), [key(1)].into());
        assert_eq!(index.set_pod(pod(1, &[(1, 1)], true)), BTreeSet::new());
        assert_eq!(index.set_pod(pod(1, &[(1, 2)], true)), [key(1)].into());
        assert!(index.backends(&key(1)).is_empty());
    }

    #[test]
    fn a_node_that_comes_or_changes_its_zone_concerns_the_services_on_it() {
        let mut index = Index::default();
        index.set_service(&service(1, &[(1, 1)]));
        index.set_pod(pod(1, &[(1, 1)], true));
        assert_eq!(index.place(&pod(1, &[], true)), Place::Missing);
        assert_eq!(index.set_node("1", None), [key(1)].into());
        assert_eq!(index.set_node("1", None), BTreeSet::new());
        assert_eq!(index.set_node("1", Some("a".into())), [key(1)].into());
        assert_eq!(index.drop_node("1"), [key(1)].into());
    }

    #[derive(Debug, Clone)]
    enum Action {
        Service(u8, Vec<(u8, u8)>),
        ServiceGone(u8),
        Pod(u8, Vec<(u8, u8)>, bool),
        PodGone(u8),
    }

    fn actions() -> impl Strategy<Value = Vec<Action>> {
        let pairs = || proptest::collection::vec((0..3_u8, 0..2_u8), 0..3);
        let action = prop_oneof![
            (0..4_u8, pairs()).prop_map(|(n, p)| Action::Service(n, p)),
            (0..4_u8).prop_map(Action::ServiceGone),
            (0..5_u8, pairs(), any::<bool>()).prop_map(|(n, p, r)| Action::Pod(n, p, r)),
            (0..5_u8).prop_map(Action::PodGone),
        ];
        proptest::collection::vec(action, 0..40)
    }

    /// What the index should say, by looking at everything.
    fn scan(index: &Index, service: &Key) -> Vec<Arc<Backend>> {
        let Some(selector) = index.selectors.get(service) else {
            return Vec::new();
        };
        let all = index.pods.values();
        all.filter(|pod| matches(selector, pod)).cloned().collect()
    }

    proptest! {
        #[test]
        fn a_service_whose_pods_differ_is_always_told(actions in actions()) {
            let mut index = Index::default();
            for action in actions {
                let before: Vec<_> = (0..4).map(|n| scan(&index, &key(n))).collect();
                let told = match action {
                    Action::Service(n, pairs) => {
                        index.set_service(&service(n, &pairs));
                        [key(n)].into()
                    }
                    Action::ServiceGone(n) => {
                        index.drop_service(&key(n));
                        [key(n)].into()
                    }
                    Action::Pod(n, pairs, ready) => index.set_pod(pod(n, &pairs, ready)),
                    Action::PodGone(n) => index.drop_pod(&key(n)),
                };
                for (n, before) in (0..4).zip(before) {
                    let now = scan(&index, &key(n));
                    prop_assert!(now == before || told.contains(&key(n)));
                    prop_assert_eq!(index.backends(&key(n)), now);
                }
            }
        }
    }
}
