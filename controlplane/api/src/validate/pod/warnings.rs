//! What a client is warned of about a pod or a template: legal, and hardly meant.

use serde_json::Value;

use crate::field::{Path, quote};
use crate::meta;
use crate::names;
use crate::read;
use crate::validate::resources;

/// Warnings about a pod; none where an update leaves its spec alone.
pub(crate) fn of_pod(new: &Value, old: Option<&Value>) -> Vec<String> {
    if old.is_some_and(|old| old.get("spec") == new.get("spec")) {
        return Vec::new();
    }
    let mut warnings = Vec::new();
    let broken = names::dns_label(meta::name(new));
    if old.is_none() && !meta::name(new).is_empty() && !broken.is_empty() {
        warnings.push(format!(
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS \
             label is recommended: [{}]",
            broken.join(" ")
        ));
    }
    warnings.extend(of_spec(
        new.get("spec").unwrap_or(&Value::Null),
        &Path::new("spec"),
    ));
    warnings
}

/// Warnings about a workload's template; none where an update leaves it alone.
pub(crate) fn of_template(new: &Value, old: Option<&Value>) -> Vec<String> {
    of_template_at("spec.template", new, old)
}

/// As [`of_template`], for a template elsewhere.
pub(crate) fn of_template_at(place: &str, new: &Value, old: Option<&Value>) -> Vec<String> {
    let template = |object| crate::resource::at(object, place).cloned().unwrap_or_default();
    let (template, before) = (template(new), old.map(template));
    let spec = template.get("spec").unwrap_or(&Value::Null);
    if before.is_some_and(|before| before.get("spec") == Some(spec)) {
        return Vec::new();
    }
    of_spec(spec, &Path::new(place).child("spec"))
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
    let mut warnings = Vec::new();
    for (at, term) in read::list(selector, "nodeSelectorTerms").iter().enumerate() {
        for (index, expression) in read::list(term, "matchExpressions").iter().enumerate() {
            let path = path.index(at).child("matchExpressions").index(index).child("key");
            let key = read::text(expression, "key");
            // Upstream names the label here, where the path does not.
            let old = OLD_LABELS.iter().find(|(old, _, _)| *old == key);
            warnings.extend(old.map(|(_, since, better)| {
                let better = quote(better);
                format!("{path}: {key} is deprecated since {since}; use {better} instead")
            }));
        }
    }
    warnings
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

fn of_spec(spec: &Value, path: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    for (key, _) in read::map(spec, "nodeSelector") {
        warnings.extend(old_label(key, &path.child("nodeSelector").key(key)));
    }
    if read::count(spec, "terminationGracePeriodSeconds") < 0 {
        let path = path.child("terminationGracePeriodSeconds");
        warnings.push(format!(
            "{path}: must be >= 0; negative values are invalid and will be treated as 1"
        ));
    }
    for list in ["initContainers", "containers"] {
        for (index, container) in read::list(spec, list).iter().enumerate() {
            let path = path.child(list).index(index);
            warnings.extend(hidden_variables(container, &path.child("env")));
            warnings.extend(repeated_ports(container, &path.child("ports")));
            warnings.extend(fractions(container, &path.child("resources")));
        }
    }
    warnings
}

fn hidden_variables(container: &Value, path: &Path) -> Vec<String> {
    let variables = read::list(container, "env");
    let names: Vec<&str> = variables
        .iter()
        .map(|variable| read::text(variable, "name"))
        .collect();
    let repeated = names
        .iter()
        .enumerate()
        .filter(|(index, name)| names.iter().take(*index).any(|n| n == *name));
    repeated
        .map(|(index, name)| {
            let path = path.index(index);
            format!(
                "{path}: hides previous definition of {}, which may be dropped when using apply",
                quote(name)
            )
        })
        .collect()
}

fn repeated_ports(container: &Value, path: &Path) -> Vec<String> {
    let ports = read::list(container, "ports");
    let key = |port: &Value| {
        (
            read::count(port, "containerPort"),
            read::text(port, "protocol").to_owned(),
        )
    };
    let mut warnings = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let same =
            |before: &Value| key(before) == key(port) && before.get("hostPort") == port.get("hostPort");
        if let Some(first) = ports.iter().take(index).position(same) {
            warnings.push(format!(
                "{}: duplicate port definition with {}",
                path.index(index),
                path.index(first)
            ));
        }
    }
    warnings
}

fn fractions(container: &Value, path: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    for bound in ["requests", "limits"] {
        for resource in ["memory", "ephemeral-storage"] {
            let value = container
                .get("resources")
                .and_then(|found| found.get(bound))
                .and_then(|m| m.get(resource));
            if let Some(amount) = value
                .and_then(resources::quantity)
                .filter(|amount| !amount.is_whole())
            {
                let path = path.child(bound).key(resource);
                let shown = quote(&amount.to_string());
                warnings.push(format!(
                    "{path}: fractional byte value {shown} is invalid, must be an integer"
                ));
            }
        }
    }
    warnings
}
