//! The annotations by which `kubectl rollout history` and `undo` find their way.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use kube::api::ObjectMeta;

use super::budget::Budget;
use crate::meta;

/// Number of the rollout, on the Deployment and on its sets.
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
/// Numbers a set had before.
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// `spec.replicas` of the Deployment when the set was last sized.
pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
/// The same with the surge.
pub(super) const MAX: &str = "deployment.kubernetes.io/max-replicas";
/// Annotations of the Deployment that its sets do not inherit.
const OWN: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    DESIRED,
    MAX,
    "deprecated.deployment.rollback.to",
];

/// The revision in an object's annotations; zero without one.
pub(super) fn revision(meta: &ObjectMeta) -> i64 {
    number(meta, REVISION).unwrap_or_default()
}

/// A number among an object's annotations.
pub(super) fn number(meta: &ObjectMeta, key: &str) -> Option<i64> {
    meta::annotation(meta, key).and_then(|raw| raw.parse().ok())
}

/// The sizes written on a set, so that a later change of `spec.replicas` shows.
pub(super) fn sizes(budget: &Budget) -> BTreeMap<String, String> {
    BTreeMap::from([
        (DESIRED.to_owned(), budget.replicas.to_string()),
        (MAX.to_owned(), budget.most().to_string()),
    ])
}

/// What the set of the present template should carry: the Deployment's annotations, and a revision
/// above those of all `old` sets.
pub(super) fn annotations(
    deployment: &Deployment,
    set: &ReplicaSet,
    old: &[ReplicaSet],
) -> BTreeMap<String, String> {
    let mut wanted: BTreeMap<String, String> = deployment
        .metadata
        .annotations
        .iter()
        .flatten()
        .filter(|(key, _)| !OWN.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let next = old
        .iter()
        .map(|set| revision(&set.metadata))
        .max()
        .unwrap_or_default()
        .saturating_add(1);
    let present = meta::annotation(&set.metadata, REVISION);
    if revision(&set.metadata) < next {
        wanted.insert(REVISION.to_owned(), next.to_string());
        if let Some(present) = present {
            let before = meta::annotation(&set.metadata, HISTORY);
            let history = before.map_or_else(|| present.to_owned(), |before| format!("{before},{present}"));
            wanted.insert(HISTORY.to_owned(), history);
        }
    }
    wanted
}

/// Those of `wanted` that `meta` lacks.
pub(super) fn missing(meta: &ObjectMeta, wanted: BTreeMap<String, String>) -> BTreeMap<String, String> {
    wanted
        .into_iter()
        .filter(|(key, value)| meta::annotation(meta, key) != Some(value))
        .collect()
}
