//! What a client is warned of about a pod or a template: legal, and hardly meant.

use serde_json::Value;

mod containers;
mod volumes;

use crate::field::{Path, quote};
use crate::meta;
use crate::names;
use crate::read;
use crate::validate::{address, resources};

/// Warnings about a new pod: updates are the work of machines.
pub(crate) fn of_pod(new: &Value, old: Option<&Value>) -> Vec<String> {
    if old.is_some() {
        return Vec::new();
    }
    let mut warnings = Vec::new();
    let broken = names::dns_label(meta::name(new));
    if !meta::name(new).is_empty() && !broken.is_empty() {
        warnings.push(format!(
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS \
             label is recommended: [{}]",
            broken.join(" ")
        ));
    }
    warnings.extend(of_any(new, &Path::new("")));
    warnings
}

/// Warnings about a workload's template; none where an update leaves the workload as it was.
pub(crate) fn of_template(new: &Value, old: Option<&Value>) -> Vec<String> {
    of_template_at("spec.template", new, old)
}

/// As [`of_template`], for a template elsewhere.
pub(crate) fn of_template_at(place: &str, new: &Value, old: Option<&Value>) -> Vec<String> {
    let whole = place.split('.').next().unwrap_or_default();
    if old.is_some_and(|old| old.get(whole) == new.get(whole)) {
        return Vec::new();
    }
    let template = crate::resource::at(new, place).unwrap_or(&Value::Null);
    of_any(template, &Path::new(place))
}

/// A warning about the name of a new workload whose pods are named after it.
pub(crate) fn of_name(new: &Value, old: Option<&Value>) -> Option<String> {
    let broken = names::dns_label(meta::name(new));
    (old.is_none() && !broken.is_empty()).then(|| {
        format!(
            "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS \
             label is recommended: [{}]",
            broken.join(" ")
        )
    })
}

/// Warnings about labels of nodes that have better successors.
pub(crate) fn of_node_selector(selector: &Value, path: &Path) -> Vec<String> {
    let path = path.child("nodeSelectorTerms");
    let terms = read::list(selector, "nodeSelectorTerms").iter().enumerate();
    terms
        .flat_map(|(index, term)| of_term(term, &path.index(index)))
        .collect()
}

fn of_term(term: &Value, path: &Path) -> Vec<String> {
    let path = path.child("matchExpressions");
    let all = read::list(term, "matchExpressions").iter().enumerate();
    all.filter_map(|(index, expression)| named_label(expression, "key", &path.index(index)))
        .collect()
}

/// A warning that names the label of old, where the path does not.
fn named_label(object: &Value, field: &str, path: &Path) -> Option<String> {
    let key = read::text(object, field);
    let (_, since, better) = OLD_LABELS.iter().find(|(old, _, _)| *old == key)?;
    let path = path.child(field);
    Some(format!(
        "{path}: {key} is deprecated since {since}; use {} instead",
        quote(better)
    ))
}

const OLD_LABELS: [(&str, &str, &str); 5] = [
    ("beta.kubernetes.io/arch", "v1.14", "kubernetes.io/arch"),
    (
        "beta.kubernetes.io/instance-type",
        "v1.17",
        "node.kubernetes.io/instance-type",
    ),
    ("beta.kubernetes.io/os", "v1.14", "kubernetes.io/os"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "v1.17",
        "topology.kubernetes.io/region",
    ),
    (
        "failure-domain.beta.kubernetes.io/zone",
        "v1.17",
        "topology.kubernetes.io/zone",
    ),
];

/// A warning about a label of nodes that has a better name by now.
pub(crate) fn old_label(key: &str, path: &Path) -> Option<String> {
    let (_, since, better) = OLD_LABELS.iter().find(|(old, _, _)| *old == key)?;
    Some(format!(
        "{path}: deprecated since {since}; use {} instead",
        quote(better)
    ))
}

/// Annotations that mean nothing any more, and upstream's words about them.
const OLD_ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    (
        "security.alpha.kubernetes.io/sysctls",
        "non-functional in v1.11+; use the \"sysctls\" field instead",
    ),
    (
        "security.alpha.kubernetes.io/unsafe-sysctls",
        "non-functional in v1.11+; use the \"sysctls\" field instead",
    ),
];

/// Warnings about a pod, whose path is empty, or a template.
fn of_any(pod: &Value, root: &Path) -> Vec<String> {
    let spec = pod.get("spec").unwrap_or(&Value::Null);
    let path = root.child("spec");
    let annotations = root.child("metadata").child("annotations");
    let mut warnings = nodes(spec, &path);
    for (key, words) in OLD_ANNOTATIONS {
        if annotated(pod, key) {
            warnings.push(format!("{}: {words}", annotations.key(key)));
        }
    }
    warnings.extend(volumes::of_volumes(spec, &path.child("volumes")));
    warnings.extend(repeated(spec, "hostAliases", "ip", &path));
    warnings.extend(repeated(spec, "imagePullSecrets", "name", &path));
    for (index, secret) in read::list(spec, "imagePullSecrets").iter().enumerate() {
        if read::text(secret, "name").is_empty() {
            let path = path.child("imagePullSecrets").index(index).child("name");
            warnings.push(format!("{path}: invalid empty name \"\""));
        }
    }
    for resource in ["memory", "ephemeral-storage"] {
        warnings.extend(fraction(spec, "overhead", resource, &path));
    }
    warnings.extend(containers::of_containers(pod, root));
    if read::count(spec, "terminationGracePeriodSeconds") < 0 {
        let path = path.child("terminationGracePeriodSeconds");
        warnings.push(format!(
            "{path}: must be >= 0; negative values are invalid and will be treated as 1"
        ));
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        warnings.extend(neighbours(spec, kind, &path.child("affinity").child(kind)));
    }
    warnings.extend(addresses(spec, &path));
    warnings
}

fn annotated(pod: &Value, key: &str) -> bool {
    let annotations = crate::resource::at(pod, "metadata.annotations");
    annotations.is_some_and(|all| all.get(key).is_some())
}

/// Labels of nodes that have better successors, and spreads that match nothing.
fn nodes(spec: &Value, path: &Path) -> Vec<String> {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
    let mut warnings = Vec::new();
    for (key, _) in read::map(spec, "nodeSelector") {
        warnings.extend(old_label(key, &path.child("nodeSelector").key(key)));
    }
    let at = path.child("affinity").child("nodeAffinity");
    if let Some(affinity) = crate::resource::at(spec, "affinity.nodeAffinity") {
        let required = affinity.get(REQUIRED).unwrap_or(&Value::Null);
        warnings.extend(of_node_selector(required, &at.child(REQUIRED)));
        for (index, term) in read::list(affinity, PREFERRED).iter().enumerate() {
            let preference = term.get("preference").unwrap_or(&Value::Null);
            let path = at.child(PREFERRED).index(index).child("preference");
            warnings.extend(of_term(preference, &path));
        }
    }
    let path = path.child("topologySpreadConstraints");
    for (index, spread) in read::list(spec, "topologySpreadConstraints").iter().enumerate() {
        let path = path.index(index);
        warnings.extend(named_label(spread, "topologyKey", &path));
        warnings.extend(matches_none(spread, &path));
    }
    warnings
}

fn neighbours(spec: &Value, kind: &str, path: &Path) -> Vec<String> {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
    let affinity = spec.get("affinity").and_then(|affinity| affinity.get(kind));
    let affinity = affinity.unwrap_or(&Value::Null);
    let required = read::list(affinity, REQUIRED).iter().enumerate();
    let mut warnings: Vec<String> = required
        .filter_map(|(index, term)| matches_none(term, &path.child(REQUIRED).index(index)))
        .collect();
    for (index, weighted) in read::list(affinity, PREFERRED).iter().enumerate() {
        let term = weighted.get("podAffinityTerm").unwrap_or(&Value::Null);
        let path = path.child(PREFERRED).index(index).child("podAffinityTerm");
        warnings.extend(matches_none(term, &path));
    }
    warnings
}

fn matches_none(term: &Value, path: &Path) -> Option<String> {
    (!read::present(term, "labelSelector")).then(|| {
        let path = path.child("labelSelector");
        format!("{path}: a null labelSelector results in matching no pod")
    })
}

fn repeated(spec: &Value, list: &str, field: &str, path: &Path) -> Vec<String> {
    let values: Vec<&str> = read::list(spec, list)
        .iter()
        .map(|item| read::text(item, field))
        .collect();
    let again = values
        .iter()
        .enumerate()
        .filter(|(index, value)| values.iter().take(*index).any(|before| before == *value));
    again
        .map(|(index, value)| {
            let path = path.child(list).index(index).child(field);
            format!("{path}: duplicate {field} {}", quote(value))
        })
        .collect()
}

/// A warning about a part of a byte in a map of resources.
fn fraction(object: &Value, map: &str, resource: &str, path: &Path) -> Option<String> {
    let amount = object.get(map)?.get(resource).and_then(resources::quantity)?;
    let path = path.child(map).key(resource);
    let shown = quote(&amount.to_string());
    (!amount.is_whole())
        .then(|| format!("{path}: fractional byte value {shown} is invalid, must be an integer"))
}

fn addresses(spec: &Value, path: &Path) -> Vec<String> {
    let servers = path.child("dnsConfig").child("nameservers");
    let all = read::texts(spec, "dnsConfig.nameservers").into_iter().enumerate();
    let mut warnings: Vec<String> = all
        .filter_map(|(index, text)| address::ip_warning(text, &servers.index(index)))
        .collect();
    for (index, alias) in read::list(spec, "hostAliases").iter().enumerate() {
        let path = path.child("hostAliases").index(index).child("ip");
        warnings.extend(address::ip_warning(read::text(alias, "ip"), &path));
    }
    warnings
}
