//! Rules for nodes.

use ipnet::IpNet;
use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::validate::resources;

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// What is wrong with a node's spec.
pub(crate) fn spec(node: &Value) -> Vec<FieldError> {
    let path = Path::new("spec");
    // Upstream's path for taints.
    let mut errors = taints(node, &Path::new("metadata.taints"));
    errors.extend(pod_networks(node, &path.child("podCIDRs")));
    errors
}

/// Networks of a node's pods: at most one of each IP family.
fn pod_networks(node: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let texts = read::texts(node, "spec.podCIDRs");
    let mut families = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match text.parse::<IpNet>() {
            Ok(network) => families.push(network.max_prefix_len()),
            Err(_) => {
                let rule = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
                errors.push(path.index(index).invalid(*text, rule));
            }
        }
    }
    families.sort_unstable();
    if texts.len() > 2 || families.windows(2).any(|pair| pair.first() == pair.last()) {
        let rule = "may specify no more than one CIDR for each IP family";
        errors.push(path.invalid(texts.clone(), rule));
    }
    for (index, text) in texts.iter().enumerate() {
        if texts.iter().take(index).any(|before| before == text) {
            errors.push(path.index(index).duplicate(*text));
        }
    }
    errors
}

/// What is wrong with the status that a node reports.
pub(crate) fn status(node: &Value) -> Vec<FieldError> {
    let path = Path::new("status");
    let mut errors = resources::amounts(node, "status.capacity", &path.child("capacity"));
    let allocatable = path.child("allocatable");
    errors.extend(resources::amounts(node, "status.allocatable", &allocatable));
    let addresses = read::list(node, "status.addresses");
    for (index, address) in addresses.iter().enumerate() {
        if addresses.iter().take(index).any(|before| before == address) {
            errors.push(path.child("addresses").index(index).duplicate(address.clone()));
        }
    }
    errors
}

fn taints(node: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (index, taint) in read::list(node, "spec.taints").iter().enumerate() {
        let path = path.index(index);
        let (key, effect) = (read::text(taint, "key"), read::text(taint, "effect"));
        errors.extend(
            names::qualified_name(key)
                .into_iter()
                .map(|rule| path.child("key").invalid(key, rule)),
        );
        let value = read::text(taint, "value");
        errors.extend(
            names::label_value(value)
                .into_iter()
                .map(|rule| path.child("value").invalid(value, rule)),
        );
        errors.extend(effect_error(effect, &path.child("effect")));
        if seen.contains(&(key, effect)) {
            let mut twice = path.duplicate(taint.clone());
            twice.detail = "taints must be unique by key and effect pair".to_owned();
            errors.push(twice);
        }
        seen.push((key, effect));
    }
    errors
}

/// What is wrong with the effect of a taint.
pub(crate) fn effect_error(effect: &str, path: &Path) -> Option<FieldError> {
    match effect {
        "" => Some(path.required("")),
        effect if EFFECTS.contains(&effect) => None,
        effect => Some(path.not_supported(effect, &EFFECTS)),
    }
}

/// What an update changes that a node keeps for life.
pub(crate) fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    let path = Path::new("spec");
    let mut errors = Vec::new();
    let (before, after) = (
        read::texts(old, "spec.podCIDRs"),
        read::texts(new, "spec.podCIDRs"),
    );
    if !before.is_empty() && before != after {
        let detail = "node updates may not change podCIDR except from \"\" to valid";
        errors.push(path.child("podCIDRs").forbidden(detail));
    }
    let provider = read::text(old, "spec.providerID");
    if !provider.is_empty() && provider != read::text(new, "spec.providerID") {
        let detail = "node updates may not change providerID except from \"\" to valid";
        errors.push(path.child("providerID").forbidden(detail));
    }
    errors
}
