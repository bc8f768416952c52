//! The score plugins: which of the possible nodes is best?

use crate::affinity;
use crate::facts::PodFacts;
use crate::filter::Candidate;
use crate::resources::{CPU, MEMORY};
use crate::tolerations::tolerates;
use crate::{images, spread};

/// The best score of a plugin.
const MAX: i64 = 100;

/// How raw scores become scores from 0 to 100.
#[derive(Debug, Clone, Copy)]
enum Scale {
    /// They are already.
    AsIs,
    /// The greatest becomes 100.
    Greatest,
    /// The greatest becomes 0.
    GreatestIsWorst,
}

type Score = fn(&PodFacts, &Candidate<'_>) -> i64;

/// The plugins by upstream's names with its default weights.
const SCORES: [(&str, i64, Scale, Score); 4] = [
    ("NodeResourcesFit", 1, Scale::AsIs, least_allocated),
    (
        "NodeResourcesBalancedAllocation",
        1,
        Scale::AsIs,
        balanced_allocation,
    ),
    (
        "TaintToleration",
        3,
        Scale::GreatestIsWorst,
        untolerated_preferences,
    ),
    ("NodeAffinity", 2, Scale::Greatest, affinity_weight),
];

type Comparison = fn(&PodFacts, &[Candidate<'_>]) -> Vec<i64>;

/// The plugins that can only judge all candidates together; their scores are from 0 to 100.
const COMPARISONS: [(&str, i64, Comparison); 3] = [
    ("PodTopologySpread", 2, spread::scores),
    ("InterPodAffinity", 2, inter_pod_affinity),
    ("ImageLocality", 1, images::scores),
];

/// The weighted score of each candidate, in their order.
pub(crate) fn scores(pod: &PodFacts, candidates: &[Candidate<'_>]) -> Vec<i64> {
    let mut totals = vec![0_i64; candidates.len()];
    for (_, weight, compare) in COMPARISONS {
        for (total, score) in totals.iter_mut().zip(compare(pod, candidates)) {
            *total += weight * score;
        }
    }
    for (_, weight, scale, score) in SCORES {
        let raw: Vec<i64> = candidates.iter().map(|candidate| score(pod, candidate)).collect();
        for (total, score) in totals.iter_mut().zip(normalise(scale, &raw)) {
            *total += weight * score;
        }
    }
    totals
}

fn normalise(scale: Scale, raw: &[i64]) -> Vec<i64> {
    let greatest = raw.iter().copied().max().unwrap_or_default();
    let share = |score: i64| if greatest == 0 { 0 } else { score * MAX / greatest };
    raw.iter()
        .map(|score| match scale {
            Scale::AsIs => *score,
            Scale::Greatest => share(*score),
            Scale::GreatestIsWorst => MAX - share(*score),
        })
        .collect()
}

/// `NodeResourcesFit` with the strategy `LeastAllocated`: the emptier the better.
fn least_allocated(pod: &PodFacts, candidate: &Candidate<'_>) -> i64 {
    let shares = [CPU, MEMORY].map(|name| {
        let capacity = candidate.facts.allocatable.get(name);
        let used = used(pod, candidate, name);
        if capacity <= 0 || used > capacity {
            0
        } else {
            (capacity - used).saturating_mul(MAX) / capacity
        }
    });
    shares.iter().sum::<i64>() / 2
}

/// `NodeResourcesBalancedAllocation`: CPU and memory used in like measure.
fn balanced_allocation(pod: &PodFacts, candidate: &Candidate<'_>) -> i64 {
    let [cpu, memory] = [CPU, MEMORY].map(|name| {
        let capacity = candidate.facts.allocatable.get(name);
        let used = used(pod, candidate, name);
        if capacity <= 0 {
            MAX
        } else {
            (used.saturating_mul(MAX) / capacity).clamp(0, MAX)
        }
    });
    // The standard deviation of two values is half their distance.
    MAX - (cpu - memory).abs() / 2
}

fn used(pod: &PodFacts, candidate: &Candidate<'_>, name: &str) -> i64 {
    let placed = candidate.state.likely.get(name);
    placed.saturating_add(pod.usage.demand.likely.get(name))
}

/// `TaintToleration`: how many `PreferNoSchedule` taints the pod does not tolerate.
fn untolerated_preferences(pod: &PodFacts, candidate: &Candidate<'_>) -> i64 {
    let count = candidate
        .facts
        .taints
        .iter()
        .filter(|taint| taint.effect == "PreferNoSchedule" && !tolerates(&pod.tolerations, taint))
        .count();
    i64::try_from(count).unwrap_or(i64::MAX / MAX)
}

/// `InterPodAffinity`: the least liked candidate gets nothing, the most liked all.
fn inter_pod_affinity(_: &PodFacts, candidates: &[Candidate<'_>]) -> Vec<i64> {
    let likings: Vec<i64> = candidates
        .iter()
        .map(|candidate| candidate.others.company.liking(candidate.facts))
        .collect();
    let least = likings.iter().copied().min().unwrap_or_default();
    let range = likings.iter().copied().max().unwrap_or_default() - least;
    let share = |liking: &i64| {
        if range == 0 {
            0
        } else {
            MAX * (liking - least) / range
        }
    };
    likings.iter().map(share).collect()
}

fn affinity_weight(pod: &PodFacts, candidate: &Candidate<'_>) -> i64 {
    affinity::preferred(pod, candidate.facts)
}
