//! The nodes and what is placed on them, kept up to date piece by piece.

use std::collections::{BTreeMap, BTreeSet};

use crate::facts::{NodeFacts, Usage};
use crate::peers::{Namespaces, Peer};
use crate::resources::Resources;

/// One node and the sums over its pods.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct NodeState {
    /// Absent while only pods on it are known.
    pub(crate) facts: Option<NodeFacts>,
    pub(crate) requested: Resources,
    pub(crate) likely: Resources,
    /// UIDs of the pods on it.
    pub(crate) pods: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq)]
struct Placed {
    node: String,
    usage: Usage,
    assumed: bool,
}

/// What was done to a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Room may have come up for a pod that waits.
    Room,
    /// Pods have come or changed, which may help those that mind their company.
    Company,
    /// Nothing that helps a pod that waits.
    None,
}

/// All nodes and all placed pods.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Snapshot {
    nodes: BTreeMap<String, NodeState>,
    pods: BTreeMap<String, Placed>,
    /// UIDs of the pods that want others near or far.
    wishing: BTreeSet<String>,
    namespaces: Namespaces,
}

/// A placed pod with its node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Resident<'a> {
    pub(crate) peer: &'a Peer,
    pub(crate) node: &'a NodeFacts,
}

impl Snapshot {
    /// The known nodes, in order of name.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (&NodeFacts, &NodeState)> {
        self.nodes
            .values()
            .filter_map(|state| state.facts.as_ref().map(|facts| (facts, state)))
    }

    /// The usages of the pods on a node.
    pub(crate) fn usages<'a>(&'a self, node: &'a NodeState) -> impl Iterator<Item = &'a Usage> {
        node.pods
            .iter()
            .filter_map(|uid| self.pods.get(uid))
            .map(|placed| &placed.usage)
    }

    /// The pods on a node, as others see them.
    pub(crate) fn peers_on<'a>(&'a self, node: &str) -> impl Iterator<Item = &'a Peer> {
        let state = self.nodes.get(node);
        let usages = state.into_iter().flat_map(|state| self.usages(state));
        usages.map(|usage| usage.peer.as_ref())
    }

    /// All placed pods.
    pub(crate) fn residents(&self) -> impl Iterator<Item = Resident<'_>> {
        self.pods.values().filter_map(|placed| self.resident(placed))
    }

    /// The placed pods that want others near or far.
    pub(crate) fn residents_with_wishes(&self) -> impl Iterator<Item = Resident<'_>> {
        let placed = self.wishing.iter().filter_map(|uid| self.pods.get(uid));
        placed.filter_map(|placed| self.resident(placed))
    }

    fn resident<'a>(&'a self, placed: &'a Placed) -> Option<Resident<'a>> {
        let node = self.nodes.get(&placed.node)?.facts.as_ref()?;
        let peer = placed.usage.peer.as_ref();
        Some(Resident { peer, node })
    }

    /// The labels of namespaces.
    pub(crate) fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// Adds or renews a namespace.
    pub(crate) fn set_namespace(&mut self, name: &str, labels: BTreeMap<String, String>) -> Change {
        if self.namespaces.get(name) == Some(&labels) {
            return Change::None;
        }
        self.namespaces.insert(name.to_owned(), labels);
        Change::Company
    }

    /// Forgets a namespace.
    pub(crate) fn remove_namespace(&mut self, name: &str) {
        self.namespaces.remove(name);
    }

    /// Adds or renews a node. New images alone help nobody who waits.
    pub(crate) fn set_node(&mut self, facts: NodeFacts) -> Change {
        let state = self.nodes.entry(facts.name.clone()).or_default();
        let before = state.facts.replace(facts);
        let bare = |facts: Option<&NodeFacts>| {
            facts.cloned().map(|facts| NodeFacts {
                images: BTreeMap::new(),
                ..facts
            })
        };
        if bare(before.as_ref()) == bare(state.facts.as_ref()) {
            Change::None
        } else {
            Change::Room
        }
    }

    /// Forgets a node; pods still on it are remembered.
    pub(crate) fn remove_node(&mut self, name: &str) {
        if let Some(state) = self.nodes.get_mut(name) {
            state.facts = None;
        }
        self.drop_if_empty(name);
    }

    /// Forgets all nodes but those named.
    pub(crate) fn retain_nodes(&mut self, seen: &BTreeSet<String>) {
        let gone: Vec<String> = self
            .nodes
            .keys()
            .filter(|name| !seen.contains(*name))
            .cloned()
            .collect();
        for name in gone {
            self.remove_node(&name);
        }
    }

    /// Counts on a pod to be on `node` before the server has said so.
    pub(crate) fn assume(&mut self, uid: &str, node: &str, usage: Usage) {
        self.put(uid, node, usage, true);
    }

    /// Takes an assumption back, unless the server has confirmed it.
    pub(crate) fn forget(&mut self, uid: &str) -> Change {
        if self.is_assumed(uid) {
            self.remove(uid)
        } else {
            Change::None
        }
    }

    /// Whether a pod is counted on without the server's word.
    pub(crate) fn is_assumed(&self, uid: &str) -> bool {
        self.pods.get(uid).is_some_and(|placed| placed.assumed)
    }

    /// Notes that the server shows a pod on `node`.
    pub(crate) fn place(&mut self, uid: &str, node: &str, usage: Usage) -> Change {
        let before = self.pods.get(uid);
        let same = before.is_some_and(|placed| placed.node == node && placed.usage == usage);
        if same {
            if let Some(placed) = self.pods.get_mut(uid) {
                placed.assumed = false;
            }
            return Change::None;
        }
        let moved = before.is_some();
        self.put(uid, node, usage, false);
        if moved { Change::Room } else { Change::Company }
    }

    /// Notes that a pod takes nothing any more.
    pub(crate) fn remove(&mut self, uid: &str) -> Change {
        let Some(placed) = self.pods.remove(uid) else {
            return Change::None;
        };
        self.wishing.remove(uid);
        if let Some(state) = self.nodes.get_mut(&placed.node) {
            state.requested.subtract(&placed.usage.demand.requests);
            state.likely.subtract(&placed.usage.demand.likely);
            state.pods.remove(uid);
        }
        self.drop_if_empty(&placed.node);
        Change::Room
    }

    /// Forgets all pods but those named and those assumed.
    pub(crate) fn retain_pods(&mut self, seen: &BTreeSet<String>) -> Change {
        let gone: Vec<String> = self
            .pods
            .iter()
            .filter(|(uid, placed)| !placed.assumed && !seen.contains(*uid))
            .map(|(uid, _)| uid.clone())
            .collect();
        for uid in &gone {
            self.remove(uid);
        }
        if gone.is_empty() {
            Change::None
        } else {
            Change::Room
        }
    }

    fn put(&mut self, uid: &str, node: &str, usage: Usage, assumed: bool) {
        self.remove(uid);
        let state = self.nodes.entry(node.to_owned()).or_default();
        state.requested.add(&usage.demand.requests);
        state.likely.add(&usage.demand.likely);
        state.pods.insert(uid.to_owned());
        if !usage.peer.wishes.is_empty() {
            self.wishing.insert(uid.to_owned());
        }
        self.pods.insert(
            uid.to_owned(),
            Placed {
                node: node.to_owned(),
                usage,
                assumed,
            },
        );
    }

    fn drop_if_empty(&mut self, name: &str) {
        let empty = self
            .nodes
            .get(name)
            .is_some_and(|state| state.facts.is_none() && state.pods.is_empty());
        if empty {
            self.nodes.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{node, usage};

    #[derive(Debug, Clone)]
    enum Action {
        Place(u8, u8, i64),
        Assume(u8, u8, i64),
        Forget(u8),
        Remove(u8),
        Node(u8),
        NodeGone(u8),
    }

    fn actions() -> impl Strategy<Value = Vec<Action>> {
        let (pod, name) = (0..6_u8, 0..3_u8);
        let action = prop_oneof![
            (pod.clone(), name.clone(), 0..1000_i64).prop_map(|(p, n, c)| Action::Place(p, n, c)),
            (pod.clone(), name.clone(), 0..1000_i64).prop_map(|(p, n, c)| Action::Assume(p, n, c)),
            pod.clone().prop_map(Action::Forget),
            pod.prop_map(Action::Remove),
            name.clone().prop_map(Action::Node),
            name.prop_map(Action::NodeGone),
        ];
        proptest::collection::vec(action, 0..40)
    }

    fn perform(snapshot: &mut Snapshot, action: &Action) {
        let name = |n: &u8| format!("n{n}");
        match action {
            Action::Place(p, n, cpu) => {
                snapshot.place(&p.to_string(), &name(n), usage(*cpu));
            }
            Action::Assume(p, n, cpu) => snapshot.assume(&p.to_string(), &name(n), usage(*cpu)),
            Action::Forget(p) => {
                snapshot.forget(&p.to_string());
            }
            Action::Remove(p) => {
                snapshot.remove(&p.to_string());
            }
            Action::Node(n) => {
                snapshot.set_node(node(&name(n), 4000));
            }
            Action::NodeGone(n) => snapshot.remove_node(&name(n)),
        }
    }

    proptest! {
        #[test]
        fn the_sums_always_equal_a_fresh_count(actions in actions()) {
            let mut snapshot = Snapshot::default();
            for action in &actions {
                perform(&mut snapshot, action);
            }
            for (name, state) in &snapshot.nodes {
                let here = snapshot.pods.iter().filter(|(_, placed)| placed.node == *name);
                let cpu: i64 = here.clone().map(|(_, p)| p.usage.demand.requests.get("cpu")).sum();
                prop_assert_eq!(state.requested.get("cpu"), cpu);
                let uids: BTreeSet<String> = here.map(|(uid, _)| uid.clone()).collect();
                prop_assert_eq!(&state.pods, &uids);
            }
        }
    }

    #[test]
    fn a_confirmed_pod_is_not_forgotten() {
        let mut snapshot = Snapshot::default();
        snapshot.assume("a", "n", usage(100));
        snapshot.place("a", "n", usage(100));
        assert_eq!(snapshot.forget("a"), Change::None);
        assert_eq!(snapshot.remove("a"), Change::Room);
    }
}
