//! One decision: which node, or why none. Pure.

use std::collections::BTreeMap;

use crate::facts::PodFacts;
use crate::filter::{Candidate, Others, admit};
use crate::score::scores;
use crate::snapshot::Snapshot;

/// What becomes of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It goes to this node.
    Node(String),
    /// It fits nowhere; the message says why, as kube-scheduler's does.
    Unschedulable(String),
    /// Its scheduling gates are closed.
    Gated,
}

/// Decides about `pod`. Among equally good nodes `seed` chooses, the same one each time.
pub(crate) fn decide(pod: &PodFacts, snapshot: &Snapshot, seed: u64) -> Decision {
    if pod.gated {
        return Decision::Gated;
    }
    let others = Others::of(pod, snapshot);
    let mut diagnosis = Diagnosis::default();
    let mut fitting = Vec::new();
    for (facts, state) in snapshot.nodes() {
        let candidate = Candidate {
            facts,
            state,
            snapshot,
            others: &others,
        };
        match admit(pod, &candidate) {
            Ok(()) => fitting.push(candidate),
            Err(refusal) => diagnosis.add(refusal.reasons, refusal.room_would_help),
        }
    }
    let best = scores(pod, &fitting)
        .into_iter()
        .zip(&fitting)
        .max_by_key(|(score, candidate)| (*score, lot(seed, &pod.uid, &candidate.facts.name)));
    match best {
        Some((_, candidate)) => Decision::Node(candidate.facts.name.clone()),
        None => Decision::Unschedulable(diagnosis.message()),
    }
}

/// Why every node was refused.
#[derive(Debug, Default)]
struct Diagnosis {
    nodes: usize,
    reasons: BTreeMap<String, usize>,
    room_would_help: usize,
}

impl Diagnosis {
    fn add(&mut self, reasons: Vec<String>, room_would_help: bool) {
        self.nodes += 1;
        self.room_would_help += usize::from(room_would_help);
        for reason in reasons {
            *self.reasons.entry(reason).or_default() += 1;
        }
    }

    fn message(&self) -> String {
        if self.nodes == 0 {
            return "no nodes available to schedule pods".to_owned();
        }
        let mut reasons: Vec<String> = self
            .reasons
            .iter()
            .map(|(reason, count)| format!("{count} {reason}"))
            .collect();
        reasons.sort();
        let all = format!("0/{} nodes are available", self.nodes);
        format!(
            "{all}: {}. preemption: {all}: {}.",
            reasons.join(", "),
            self.preemption()
        )
    }

    fn preemption(&self) -> String {
        let hopeless = self.nodes - self.room_would_help;
        let parts = [
            (
                self.room_would_help,
                "No preemption victims found for incoming pod",
            ),
            (hopeless, "Preemption is not helpful for scheduling"),
        ];
        let parts: Vec<String> = parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, text)| format!("{count} {text}"))
            .collect();
        parts.join(", ")
    }
}

/// A number drawn for a pod and a node (FNV-1a): even over nodes, the same at each draw.
fn lot(seed: u64, pod: &str, node: &str) -> u64 {
    let bytes = pod.bytes().chain([0]).chain(node.bytes());
    bytes.fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests;
