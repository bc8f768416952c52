//! Whether this node takes a pod that was bound to it, as the kubelet decides it once more: the scheduler
//! may have been passed by (`spec.nodeName`), or have known less.

mod affinity;
mod ports;
mod sysctls;

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::{Pod, PodSpec, Taint, Toleration};

use crate::observation::Rejection;
use crate::requests::{Amounts, requests, sum};

/// The node as admission sees it.
#[derive(Debug, Clone, Copy)]
pub struct NodeFacts<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
    /// Its taints.
    pub taints: &'a [Taint],
    /// What it can promise: cpu in thousandths, everything else in whole units, `pods` among them.
    /// What is not in here is not checked.
    pub allocatable: &'a Amounts,
}

/// Why a pod does not fit; the text is the event's.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Misfit {
    Sysctl(String),
    OsLabel,
    OsField,
    Resource {
        name: String,
        requested: u64,
        used: u64,
        capacity: u64,
    },
    /// The scheduler's filter that fails, and its words.
    Filter(&'static str, &'static str),
}

impl Misfit {
    fn reason(&self) -> String {
        match self {
            Self::Sysctl(_) => "SysctlForbidden".to_owned(),
            Self::OsLabel => "PodOSSelectorNodeLabelDoesNotMatch".to_owned(),
            Self::OsField => "PodOSNotSupported".to_owned(),
            Self::Resource { name, .. } => format!("OutOf{name}"),
            Self::Filter(name, _) => (*name).to_owned(),
        }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sysctl(name) => write!(f, "forbidden sysctl: \"{name}\" not allowlisted"),
            Self::OsLabel => {
                f.write_str("Failed to admit pod as the `kubernetes.io/os` label doesn't match node label")
            }
            Self::OsField => f.write_str("Failed to admit pod as the OS field doesn't match node OS"),
            Self::Resource {
                name,
                requested,
                used,
                capacity,
            } => write!(
                f,
                "Node didn't have enough resource: {name}, requested: {requested}, used: {used}, capacity: {capacity}"
            ),
            Self::Filter(name, words) => write!(f, "Predicate {name} failed: {words}"),
        }
    }
}

/// Whether `node`, which has promised itself to `others` already, takes `pod`; the first reason against it
/// in the kubelet's order and words.
///
/// # Errors
///
/// Why it does not: the pod is to be Failed with it.
pub fn admit<'a>(
    pod: &Pod,
    node: &NodeFacts<'_>,
    others: impl Iterator<Item = &'a Pod> + Clone,
) -> Result<(), Rejection> {
    let Some(spec) = pod.spec.as_ref() else {
        return Ok(());
    };
    let others = others.filter_map(|other| other.spec.as_ref());
    let misfit = misfit(spec, node, others);
    misfit.map_or(Ok(()), |misfit| {
        Err(Rejection {
            reason: misfit.reason(),
            message: misfit.to_string(),
        })
    })
}

/// Which resource is short for `spec` beside `others`, in the kubelet's words.
pub(crate) fn shortage<'a>(
    spec: &PodSpec,
    allocatable: &Amounts,
    others: impl Iterator<Item = &'a PodSpec> + Clone,
) -> Option<String> {
    scarcity(spec, allocatable, others).map(|misfit| misfit.to_string())
}

fn misfit<'a>(
    spec: &PodSpec,
    node: &NodeFacts<'_>,
    others: impl Iterator<Item = &'a PodSpec> + Clone,
) -> Option<Misfit> {
    sysctls::forbidden(spec)
        .map(|name| Misfit::Sysctl(name.to_owned()))
        .or_else(|| operating_system(spec))
        .or_else(|| scarcity(spec, node.allocatable, others.clone()))
        .or_else(|| filter(spec, node, others))
}

fn operating_system(spec: &PodSpec) -> Option<Misfit> {
    let selector = spec.node_selector.iter().flatten();
    let mut wanted = selector
        .filter(|(key, _)| *key == "kubernetes.io/os")
        .map(|(_, os)| os);
    if wanted.any(|os| os != "linux") {
        return Some(Misfit::OsLabel);
    }
    let named = spec.os.as_ref().map(|os| os.name.as_str());
    named.filter(|os| *os != "linux").map(|_| Misfit::OsField)
}

/// The first resource that is short: places for pods, then cpu, memory and the rest by name.
fn scarcity<'a>(
    spec: &PodSpec,
    allocatable: &Amounts,
    others: impl Iterator<Item = &'a PodSpec> + Clone,
) -> Option<Misfit> {
    let places = u64::try_from(others.clone().count()).unwrap_or(u64::MAX);
    let used = others
        .map(requests)
        .fold(Amounts::new(), |all, one| sum(&all, &one));
    let mut wanted = requests(spec);
    let rank = ["cpu", "memory", "ephemeral-storage"];
    let ranked = rank
        .iter()
        .filter_map(|name| wanted.remove_entry(*name))
        .collect::<Vec<_>>();
    let asked = std::iter::once(("pods".to_owned(), 1, places)).chain(ranked.into_iter().chain(wanted).map(
        |(name, amount)| {
            let used = used.get(&name).copied().unwrap_or_default();
            (name, amount, used)
        },
    ));
    let mut short = asked.filter_map(|(name, requested, used)| {
        let capacity = allocatable.get(&name).copied()?;
        let short = requested > 0 && used.saturating_add(requested) > capacity;
        short.then_some(Misfit::Resource {
            name,
            requested,
            used,
            capacity,
        })
    });
    short.next()
}

fn filter<'a>(
    spec: &PodSpec,
    node: &NodeFacts<'_>,
    others: impl Iterator<Item = &'a PodSpec>,
) -> Option<Misfit> {
    let misfit = |holds: bool, name, words| holds.then_some(Misfit::Filter(name, words));
    let elsewhere = spec.node_name.as_deref().is_some_and(|name| name != node.name);
    misfit(
        !affinity::matches(spec, node),
        "NodeAffinity",
        "node(s) didn't match Pod's node affinity/selector",
    )
    .or_else(|| {
        misfit(
            elsewhere,
            "NodeName",
            "node(s) didn't match the requested node name",
        )
    })
    .or_else(|| {
        misfit(
            ports::taken(spec, others),
            "NodePorts",
            "node(s) didn't have free ports for the requested pod ports",
        )
    })
    .or_else(|| {
        misfit(
            node.taints.iter().any(|taint| evicts(taint, spec)),
            "TaintToleration",
            "node(s) had taints that the pod didn't tolerate",
        )
    })
}

/// Whether `taint` would send the pod away again at once.
fn evicts(taint: &Taint, spec: &PodSpec) -> bool {
    taint.effect == "NoExecute" && !spec.tolerations.iter().flatten().any(|t| tolerates(t, taint))
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let effect = text(&toleration.effect);
    let key = text(&toleration.key);
    if (!effect.is_empty() && effect != taint.effect) || (!key.is_empty() && key != taint.key) {
        return false;
    }
    match toleration.operator.as_deref() {
        Some("Exists") => true,
        _ => !key.is_empty() && text(&toleration.value) == text(&taint.value),
    }
}

#[cfg(test)]
mod tests;
