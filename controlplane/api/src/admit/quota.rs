//! `ResourceQuota`: what the objects of a namespace use, and which quotas limit it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::Refusal;
pub use super::pod_resources::add;
use super::pod_resources::{Amounts, amounts, of_pod};
use crate::kinds::qos_class;
use crate::meta;
use crate::quantity::Quantity;
use crate::read;
use crate::validate::resource_names::COUNTED;

/// Of these amounts a quota asks that each container says what it wants.
const TO_BE_SAID: [&str; 6] = [
    "cpu",
    "limits.cpu",
    "limits.memory",
    "memory",
    "requests.cpu",
    "requests.memory",
];

fn one() -> Quantity {
    Quantity::from_milli(1000)
}

/// What an object uses, by the names that quotas know.
#[must_use]
pub fn usage(group: &str, plural: &str, object: &Value) -> Amounts {
    let mut used = Amounts::from([(count_of(group, plural), one())]);
    match (group, plural) {
        ("", "pods") => used.extend(of_running(object)),
        ("", "services") => used.extend(of_service(object)),
        ("", "persistentvolumeclaims") => used.extend(of_claim(object)),
        ("", plural) if COUNTED.contains(&plural) => drop(used.insert(plural.to_owned(), one())),
        _ => {}
    }
    used
}

/// `count/deployments.apps`.
fn count_of(group: &str, plural: &str) -> String {
    match group {
        "" => format!("count/{plural}"),
        group => format!("count/{plural}.{group}"),
    }
}

/// Whether objects of a kind can use something that a quota limits.
#[must_use]
pub fn is_about(quota: &Value, group: &str, plural: &str) -> bool {
    let count = count_of(group, plural);
    let fixed: &[&str] = match (group, plural) {
        ("", "services") => &["services", "services.loadbalancers", "services.nodeports"],
        _ => &[],
    };
    let counted = group.is_empty() && COUNTED.contains(&plural);
    read::map(quota, "spec.hard").any(|(name, _)| {
        let computed = !name.starts_with("count/") && !COUNTED.contains(&name.as_str());
        *name == count
            || counted && name == plural
            || fixed.contains(&name.as_str())
            || (group.is_empty() && matches!(plural, "pods" | "persistentvolumeclaims") && computed)
    })
}

/// What a pod uses until it has ended.
fn of_running(pod: &Value) -> Amounts {
    if matches!(read::text(pod, "status.phase"), "Succeeded" | "Failed") {
        return Amounts::new();
    }
    let mut used = Amounts::from([("pods".to_owned(), one())]);
    for (bound, all) in [
        ("requests", of_pod(pod, "requests")),
        ("limits", of_pod(pod, "limits")),
    ] {
        used.extend(named(bound, &all));
    }
    used
}

/// Amounts under the names that quotas have for them; what is asked for natively has two.
fn named(bound: &str, all: &Amounts) -> Amounts {
    let mut found = Amounts::new();
    for (name, amount) in all {
        let native =
            matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
        if bound == "requests" && native {
            found.insert(name.clone(), *amount);
        }
        if bound == "requests" || native {
            found.insert(format!("{bound}.{name}"), *amount);
        }
    }
    found
}

fn of_service(service: &Value) -> Amounts {
    let whole =
        |count: usize| Quantity::from_milli(i64::try_from(count).unwrap_or(i64::MAX).saturating_mul(1000));
    let ports = read::list(service, "spec.ports").len();
    let balanced = read::text(service, "spec.type") == "LoadBalancer";
    let own = service.pointer("/spec/allocateLoadBalancerNodePorts") == Some(&Value::Bool(false));
    let ports = match read::text(service, "spec.type") {
        "NodePort" => ports,
        "LoadBalancer" if !own => ports,
        "LoadBalancer" => {
            let ports = read::list(service, "spec.ports").iter();
            ports.filter(|port| read::count(port, "nodePort") != 0).count()
        }
        _ => 0,
    };
    Amounts::from([
        ("services".to_owned(), one()),
        ("services.loadbalancers".to_owned(), whole(usize::from(balanced))),
        ("services.nodeports".to_owned(), whole(ports)),
    ])
}

fn of_claim(claim: &Value) -> Amounts {
    let mut used = Amounts::from([("persistentvolumeclaims".to_owned(), one())]);
    let size = amounts(claim, "spec.resources.requests").get("storage").copied();
    used.extend(size.map(|size| ("requests.storage".to_owned(), size)));
    let class = read::text(claim, "spec.storageClassName");
    if !class.is_empty() {
        let of_class: Vec<(String, Quantity)> = used
            .iter()
            .map(|(name, amount)| (format!("{class}.storageclass.storage.k8s.io/{name}"), *amount))
            .collect();
        used.extend(of_class);
    }
    used
}

/// Whether an object is within the scopes of a quota; only pods and claims are in scopes at all.
#[must_use]
pub fn covers(quota: &Value, group: &str, plural: &str, object: &Value) -> bool {
    let plain = read::texts(quota, "spec.scopes");
    let selected = read::list(quota, "spec.scopeSelector.matchExpressions");
    let none = json!({"operator": "Exists"});
    let scopes = plain.iter().map(|scope| (*scope, &none));
    let mut scopes = scopes.chain(
        selected
            .iter()
            .map(|expression| (read::text(expression, "scopeName"), expression)),
    );
    scopes.all(|(scope, expression)| match (group, plural) {
        ("", "pods") => pod_in(scope, expression, object),
        ("", "persistentvolumeclaims") => {
            scope == "VolumeAttributesClass"
                && chosen(read::text(object, "spec.volumeAttributesClassName"), expression)
        }
        _ => false,
    })
}

fn pod_in(scope: &str, expression: &Value, pod: &Value) -> bool {
    let ends = || read::integer(pod, "spec.activeDeadlineSeconds").is_some_and(|seconds| seconds >= 0);
    let best_effort = || qos_class(pod) == "BestEffort";
    match scope {
        "Terminating" => ends(),
        "NotTerminating" => !ends(),
        "BestEffort" => best_effort(),
        "NotBestEffort" => !best_effort(),
        "PriorityClass" => chosen(read::text(pod, "spec.priorityClassName"), expression),
        "CrossNamespacePodAffinity" => looks_elsewhere(pod),
        _ => false,
    }
}

fn chosen(name: &str, expression: &Value) -> bool {
    let values = read::texts(expression, "values");
    match read::text(expression, "operator") {
        "Exists" => !name.is_empty(),
        "DoesNotExist" => name.is_empty(),
        "In" => values.contains(&name),
        "NotIn" => !values.contains(&name),
        _ => false,
    }
}

/// Whether the pod's affinity speaks of pods in other namespaces.
fn looks_elsewhere(pod: &Value) -> bool {
    let elsewhere =
        |term: &Value| !read::list(term, "namespaces").is_empty() || read::present(term, "namespaceSelector");
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let path = |list: &str| format!("spec.affinity.{kind}.{list}DuringSchedulingIgnoredDuringExecution");
        let preferred = read::list(pod, &path("preferred")).iter();
        let preferred = preferred.filter_map(|term| term.get("podAffinityTerm"));
        read::list(pod, &path("required"))
            .iter()
            .chain(preferred)
            .any(elsewhere)
    })
}

/// What becomes of a quota's `status.used` when what is used changes from `before` to `after`.
///
/// # Errors
///
/// Where more would be used than the quota has.
pub fn charge(quota: &Value, before: &Amounts, after: &Amounts) -> Result<Amounts, Refusal> {
    let (hard, mut used) = (amounts(quota, "status.hard"), amounts(quota, "status.used"));
    let read = |all: &Amounts, name: &str| all.get(name).copied().unwrap_or(Quantity::ZERO);
    let (mut asked, mut held, mut limited) = (Amounts::new(), Amounts::new(), Amounts::new());
    for (name, most) in &hard {
        let more = read(after, name).minus(read(before, name));
        let had = read(&used, name);
        let sum = had.plus(more);
        if more > Quantity::ZERO && sum > *most {
            asked.insert(name.clone(), more);
            held.insert(name.clone(), had);
            limited.insert(name.clone(), *most);
        }
        used.insert(name.clone(), sum.max(Quantity::ZERO));
    }
    if asked.is_empty() {
        return Ok(used);
    }
    Err(format!(
        "exceeded quota: {}, requested: {}, used: {}, limited: {}",
        meta::name(quota),
        shown(&asked),
        shown(&held),
        shown(&limited)
    ))
}

fn shown(all: &Amounts) -> String {
    let each: Vec<String> = all
        .iter()
        .map(|(name, amount)| format!("{name}={amount}"))
        .collect();
    each.join(",")
}

/// Checks that each container of a new pod says what the quota limits.
///
/// # Errors
///
/// Names what is not said, and by whom.
pub fn check_said(quota: &Value, pod: &Value) -> Result<(), Refusal> {
    let hard = amounts(quota, "status.hard");
    let asked: Vec<&str> = TO_BE_SAID
        .into_iter()
        .filter(|name| hard.contains_key(*name))
        .collect();
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for list in ["spec.containers", "spec.initContainers"] {
        for container in read::list(pod, list) {
            let mut said = named("requests", &amounts(container, "resources.requests"));
            said.extend(named("limits", &amounts(container, "resources.limits")));
            for name in asked.iter().filter(|name| !said.contains_key(**name)) {
                missing
                    .entry(name)
                    .or_default()
                    .insert(read::text(container, "name"));
            }
        }
    }
    let each: Vec<String> = missing
        .iter()
        .map(|(name, containers)| {
            format!(
                "{name} for: {}",
                containers.iter().copied().collect::<Vec<_>>().join(",")
            )
        })
        .collect();
    match each.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "failed quota: {}: must specify {}",
            meta::name(quota),
            each.join("; ")
        )),
    }
}

/// Writes what is used of a quota; answers whether that is something else.
pub fn set_used(quota: &mut Value, used: &Amounts) -> bool {
    if *used == amounts(quota, "status.used") {
        return false;
    }
    let used: serde_json::Map<String, Value> = used
        .iter()
        .map(|(name, amount)| (name.clone(), amount.to_string().into()))
        .collect();
    meta::object_mut(meta::member_mut(quota, "status")).insert("used".to_owned(), used.into());
    true
}

/// Writes the status of a quota: what its spec allows, and what is used of it.
pub fn set_status(quota: &mut Value, used: &Amounts) {
    let hard = quota.pointer("/spec/hard").cloned().unwrap_or_else(|| json!({}));
    let names: Vec<String> = read::map(quota, "spec.hard")
        .map(|(name, _)| name.clone())
        .collect();
    let used: serde_json::Map<String, Value> = names
        .into_iter()
        .map(|name| {
            let amount = used.get(&name).copied().unwrap_or(Quantity::ZERO);
            (name, amount.to_string().into())
        })
        .collect();
    let status = meta::object_mut(meta::member_mut(quota, "status"));
    status.insert("hard".to_owned(), hard);
    status.insert("used".to_owned(), used.into());
}

#[cfg(test)]
mod tests;
