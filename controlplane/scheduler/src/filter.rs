//! The filter plugins: may this pod run on this node at all?

use k8s_openapi::api::core::v1::Taint;

use crate::affinity;
use crate::company::Company;
use crate::facts::{NodeFacts, PodFacts};
use crate::resources::PODS;
use crate::snapshot::{NodeState, Snapshot};
use crate::spread::Spreading;
use crate::tolerations::tolerates;

/// Why a node was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// In kube-scheduler's words.
    pub(crate) reasons: Vec<String>,
    /// Whether other pods' leaving would help.
    pub(crate) room_would_help: bool,
}

impl Refusal {
    pub(crate) fn fixed(reason: impl Into<String>) -> Self {
        Self {
            reasons: vec![reason.into()],
            room_would_help: false,
        }
    }

    pub(crate) fn room(reasons: Vec<String>) -> Self {
        Self {
            reasons,
            room_would_help: true,
        }
    }
}

/// A node under examination.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pub(crate) facts: &'a NodeFacts,
    pub(crate) state: &'a NodeState,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) others: &'a Others,
}

/// What a decision needs to know of all pods placed so far, worked out once for all nodes.
#[derive(Debug, Default)]
pub(crate) struct Others {
    pub(crate) spreading: Spreading,
    pub(crate) company: Company,
}

impl Others {
    /// Looks around for `pod`.
    pub(crate) fn of(pod: &PodFacts, snapshot: &Snapshot) -> Self {
        Self {
            spreading: Spreading::of(pod, snapshot),
            company: Company::of(pod, snapshot),
        }
    }
}

type Filter = fn(&PodFacts, &Candidate<'_>) -> Result<(), Refusal>;

/// The plugins by upstream's names, in its order; the first refusal counts.
const FILTERS: [(&str, Filter); 8] = [
    ("NodeUnschedulable", node_unschedulable),
    ("NodeName", node_name),
    ("TaintToleration", taint_toleration),
    ("NodeAffinity", node_affinity),
    ("NodePorts", node_ports),
    ("NodeResourcesFit", node_resources_fit),
    ("PodTopologySpread", pod_topology_spread),
    ("InterPodAffinity", inter_pod_affinity),
];

/// Whether `pod` may run on the candidate, or the first plugin's reasons why not.
pub(crate) fn admit(pod: &PodFacts, candidate: &Candidate<'_>) -> Result<(), Refusal> {
    FILTERS.iter().try_for_each(|(_, filter)| filter(pod, candidate))
}

fn node_unschedulable(pod: &PodFacts, candidate: &Candidate<'_>) -> Result<(), Refusal> {
    let cordon = Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    if candidate.facts.unschedulable && !tolerates(&pod.tolerations, &cordon) {
        return Err(Refusal::fixed("node(s) were unschedulable"));
    }
    Ok(())
}

fn node_name(pod: &PodFacts, candidate: &Candidate<'_>) -> Result<(), Refusal> {
    match &pod.node_name {
        Some(name) if *name != candidate.facts.name => {
            Err(Refusal::fixed("node(s) didn't match the requested node name"))
        }
        _ => Ok(()),
    }
}

fn taint_toleration(pod: &PodFacts, candidate: &Candidate<'_>) -> Result<(), Refusal> {
    let untolerated = candidate.facts.taints.iter().find(|taint| {
        matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute") && !tolerates(&pod.tolerations, taint)
    });
    match untolerated {
        Some(taint) => Err(Refusal::fixed(format!(
            "node(s) had untolerated taint {{{}: {}}}",
            taint.key,
            taint.value.as_deref().unwrap_or_default()
        ))),
        None => Ok(()),
    }
}

fn node_affinity(pod: &PodFacts, candidate: &Candidate<'_>) -> Result<(), Refusal> {
    if affinity::required(pod, candidate.facts) {
        Ok(())
    } else {
        Err(Refusal::fixed(
            "node(s) didn't match Pod's node affinity/selector",
        ))
    }
}

fn node_ports(pod: &PodFacts, candidate: &Candidate<'_>) -> Result<(), Refusal> {
    let wanted = &pod.usage.ports;
    let taken = candidate
        .snapshot
        .usages(candidate.state)
        .flat_map(|usage| &usage.ports)
        .any(|port| wanted.iter().any(|other| other.conflicts(port)));
    if !wanted.is_empty() && taken {
        return Err(Refusal::room(vec![
            "node(s) didn't have free ports for the requested pod ports".to_owned(),
        ]));
    }
    Ok(())
}

fn node_resources_fit(pod: &PodFacts, candidate: &Candidate<'_>) -> Result<(), Refusal> {
    let Candidate { facts, state, .. } = candidate;
    let mut reasons = Vec::new();
    let mut room_would_help = true;
    let pods = i64::try_from(state.pods.len()).unwrap_or(i64::MAX);
    if pods.saturating_add(1) > facts.allocatable.get(PODS) {
        reasons.push("Too many pods".to_owned());
    }
    for (name, amount) in pod.usage.demand.requests.iter() {
        let capacity = facts.allocatable.get(name);
        if amount > 0 && amount > capacity.saturating_sub(state.requested.get(name)) {
            reasons.push(format!("Insufficient {name}"));
            room_would_help &= amount <= capacity;
        }
    }
    if reasons.is_empty() {
        return Ok(());
    }
    Err(Refusal {
        room_would_help,
        ..Refusal::room(reasons)
    })
}

fn pod_topology_spread(pod: &PodFacts, candidate: &Candidate<'_>) -> Result<(), Refusal> {
    candidate.others.spreading.admit(pod, candidate.facts)
}

fn inter_pod_affinity(pod: &PodFacts, candidate: &Candidate<'_>) -> Result<(), Refusal> {
    candidate.others.company.admit(pod, candidate.facts)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Toleration;

    use super::*;
    use crate::facts::HostPort;
    use crate::testing::{node, pod, usage};

    /// The reasons for which `pod` is refused on the only node of `snapshot`.
    fn refusal(pod: &PodFacts, snapshot: &Snapshot) -> Vec<String> {
        let (facts, state) = snapshot.nodes().next().unwrap();
        let candidate = Candidate {
            facts,
            state,
            snapshot,
            others: &Others::of(pod, snapshot),
        };
        admit(pod, &candidate)
            .err()
            .map_or_else(Vec::new, |refusal| refusal.reasons)
    }

    fn cluster(facts: NodeFacts) -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.set_node(facts);
        snapshot
    }

    #[test]
    fn a_pod_fits_exactly_and_not_a_thousandth_more() {
        let mut snapshot = cluster(node("n", 1000));
        snapshot.place("other", "n", usage(600));
        assert!(refusal(&pod("a", 400), &snapshot).is_empty());
        assert_eq!(refusal(&pod("a", 401), &snapshot), ["Insufficient cpu"]);
    }

    #[test]
    fn the_eleventh_pod_finds_no_place_on_a_node_for_ten() {
        let mut snapshot = cluster(node("n", 1000));
        for n in 0..10 {
            snapshot.place(&n.to_string(), "n", usage(0));
        }
        assert_eq!(refusal(&pod("a", 0), &snapshot), ["Too many pods"]);
    }

    #[test]
    fn a_taint_is_named_in_the_refusal_and_a_toleration_lifts_it() {
        let mut facts = node("n", 1000);
        facts.taints = vec![Taint {
            key: "node.kubernetes.io/not-ready".into(),
            effect: "NoSchedule".into(),
            ..Taint::default()
        }];
        let snapshot = cluster(facts);
        let mut pod = pod("a", 0);
        assert_eq!(
            refusal(&pod, &snapshot),
            ["node(s) had untolerated taint {node.kubernetes.io/not-ready: }"]
        );
        pod.tolerations = vec![Toleration {
            operator: Some("Exists".into()),
            ..Toleration::default()
        }];
        assert!(refusal(&pod, &snapshot).is_empty());
    }

    #[test]
    fn a_cordoned_node_takes_no_new_pods() {
        let mut facts = node("n", 1000);
        facts.unschedulable = true;
        assert_eq!(
            refusal(&pod("a", 0), &cluster(facts)),
            ["node(s) were unschedulable"]
        );
    }

    #[test]
    fn two_pods_cannot_share_a_host_port() {
        let port = |address: &str| HostPort {
            protocol: "TCP".into(),
            port: 80,
            address: address.into(),
        };
        let mut snapshot = cluster(node("n", 1000));
        let mut taken = usage(0);
        taken.ports = vec![port("10.0.0.1")];
        snapshot.place("other", "n", taken);
        let mut asking = pod("a", 0);
        asking.usage.ports = vec![port("10.0.0.2")];
        assert!(refusal(&asking, &snapshot).is_empty());
        asking.usage.ports = vec![port("")];
        assert!(!refusal(&asking, &snapshot).is_empty());
    }
}
