//! What to do with the pods of one `ReplicaSet`. Pure.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;

use super::pods;
use super::rank::{Crowding, Rank};
use crate::meta::{Claim, Verdict};

/// Pods created or deleted in one reconcile at most, as upstream.
pub(super) const BURST: usize = 500;

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// Become the controller of a pod that has none.
    Adopt(Arc<Pod>),
    /// Stop being the controller of a pod that is no longer selected.
    Release(Arc<Pod>),
    /// Create this many pods.
    Create(usize),
    /// Delete a pod.
    Delete(Arc<Pod>),
}

/// The steps that bring the pods of `set` to its number. `pods` are all that it owns or might
/// adopt, and `crowding` tells how its workload lies on the nodes.
pub(super) fn plan(set: &ReplicaSet, pods: &[Arc<Pod>], crowding: &Crowding, now: Timestamp) -> Vec<Step> {
    let (mut steps, owned) = claim(set, pods);
    if crate::meta::is_deleting(&set.metadata) {
        return steps;
    }
    let active: Vec<Arc<Pod>> = owned.into_iter().filter(|pod| pods::is_active(pod)).collect();
    let wanted = wanted(set);
    if active.len() < wanted {
        steps.push(Step::Create((wanted - active.len()).min(BURST)));
    } else {
        steps.extend(surplus(active, wanted, crowding, now).map(Step::Delete));
    }
    steps
}

/// Adoptions and releases, and the pods that are owned once they are done.
fn claim(set: &ReplicaSet, pods: &[Arc<Pod>]) -> (Vec<Step>, Vec<Arc<Pod>>) {
    let claim = claim_of(set);
    let mut steps = Vec::new();
    let mut owned = Vec::new();
    for pod in pods {
        match claim.verdict(&pod.metadata, &set.metadata) {
            Verdict::Owned => owned.push(pod.clone()),
            // A pod that has ended is no replica, so it is left alone.
            Verdict::Adopt if pods::is_finished(pod) => {}
            Verdict::Adopt => {
                steps.push(Step::Adopt(pod.clone()));
                owned.push(pod.clone());
            }
            Verdict::Release => steps.push(Step::Release(pod.clone())),
            Verdict::Foreign => {}
        }
    }
    (steps, owned)
}

fn surplus(
    active: Vec<Arc<Pod>>,
    wanted: usize,
    crowding: &Crowding,
    now: Timestamp,
) -> impl Iterator<Item = Arc<Pod>> {
    let surplus = active.len().saturating_sub(wanted).min(BURST);
    let mut ranked: Vec<(Rank, Arc<Pod>)> = active
        .into_iter()
        .map(|pod| (Rank::of(&pod, crowding, now), pod))
        .collect();
    ranked.sort_by(|(left, _), (right, _)| left.cmp(right));
    ranked.into_iter().take(surplus).map(|(_, pod)| pod)
}

/// The claim a set makes on pods.
pub(super) fn claim_of(set: &ReplicaSet) -> Claim {
    set.spec.as_ref().map_or_else(
        || Claim::new(&Default::default()),
        |spec| Claim::new(&spec.selector),
    )
}

/// How many pods are wanted.
pub(super) fn wanted(set: &ReplicaSet) -> usize {
    let replicas = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    usize::try_from(replicas).unwrap_or_default()
}

#[cfg(test)]
mod tests;
