//! The nodes as the API tells them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt as _;
use kube::runtime::watcher::Event;

use crate::facts::NodeFacts;

/// Facts of all nodes, kept current by events of a watch; they stay as they are while it is away.
#[derive(Debug, Clone, Default)]
pub(crate) struct Nodes {
    known: BTreeMap<String, NodeFacts>,
    /// Whether that is all of them: it was remembered, or a listing has ended.
    whole: bool,
    /// A listing that has not ended.
    listing: BTreeMap<String, NodeFacts>,
}

impl Nodes {
    pub(crate) fn new(remembered: Option<BTreeMap<String, NodeFacts>>) -> Self {
        Self {
            whole: remembered.is_some(),
            known: remembered.unwrap_or_default(),
            ..Self::default()
        }
    }

    /// All nodes; nothing while it is not known which there are.
    pub(crate) fn known(&self) -> Option<&BTreeMap<String, NodeFacts>> {
        self.whole.then_some(&self.known)
    }

    /// Takes an event over; whether anything that matters is different now.
    pub(crate) fn take(&mut self, event: &Event<Node>) -> bool {
        match event {
            Event::Apply(node) => {
                let facts = NodeFacts::from(node);
                self.known.insert(node.name_any(), facts.clone()) != Some(facts)
            }
            Event::Delete(node) => self.known.remove(&node.name_any()).is_some(),
            Event::Init => {
                self.listing.clear();
                false
            }
            Event::InitApply(node) => {
                self.listing.insert(node.name_any(), NodeFacts::from(node));
                false
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listing);
                let first = !std::mem::replace(&mut self.whole, true);
                std::mem::replace(&mut self.known, listed) != self.known || first
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(name: &str, subnet: &str, heartbeat: &str) -> Node {
        serde_json::from_value(json!({
            "metadata": {"name": name, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"podCIDR": subnet, "podCIDRs": ["fd00::/64", subnet]},
            "status": {
                "addresses": [
                    {"type": "Hostname", "address": name},
                    {"type": "InternalIP", "address": "fd01::1"},
                    {"type": "InternalIP", "address": "192.0.2.1"},
                ],
                "conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": heartbeat}],
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_heartbeat_changes_nothing_and_a_subnet_does() {
        let mut nodes = Nodes::new(Some(BTreeMap::new()));
        let event = |subnet: &str, time: &str| Event::Apply(node("a", subnet, time));
        assert!(nodes.take(&event("10.42.1.0/24", "2026-01-01T00:00:00Z")));
        assert!(!nodes.take(&event("10.42.1.0/24", "2026-01-01T00:05:00Z")));
        assert!(nodes.take(&event("10.42.2.0/24", "2026-01-01T00:05:00Z")));
        let facts = &nodes.known().unwrap()["a"];
        assert_eq!(facts.site().unwrap().node.to_string(), "192.0.2.1");
    }

    #[test]
    fn nodes_that_nobody_remembers_are_known_once_they_were_listed_be_there_none() {
        let mut nodes = Nodes::new(None);
        assert!(!nodes.take(&Event::Init));
        assert_eq!(nodes.known(), None);
        assert!(nodes.take(&Event::InitDone), "it is new that there are none");
        assert_eq!(nodes.known(), Some(&BTreeMap::new()));
    }

    #[test]
    fn a_listing_counts_only_once_it_is_whole() {
        let mut nodes = Nodes::new(Some(BTreeMap::new()));
        let one = node("a", "10.42.1.0/24", "2026-01-01T00:00:00Z");
        assert!(nodes.take(&Event::Apply(one)));
        assert!(!nodes.take(&Event::Init));
        let two = node("b", "10.42.2.0/24", "2026-01-01T00:00:00Z");
        assert!(!nodes.take(&Event::InitApply(two)));
        let known = nodes.known().unwrap();
        assert!(known.contains_key("a"), "nothing is lost on the way");
        assert!(nodes.take(&Event::InitDone));
        assert_eq!(nodes.known().unwrap().keys().collect::<Vec<_>>(), ["b"]);
        assert!(!nodes.take(&Event::Delete(node("a", "", "2026-01-01T00:00:00Z"))));
    }
}
