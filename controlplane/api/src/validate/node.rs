//! Rules for nodes.

mod reported;

use ipnet::IpNet;
use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::validate::inner_form::{self, of_core};
use crate::validate::{address, resources};

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// What is wrong with a node; pod networks that `old` has may stay as they are written.
pub(crate) fn node(node: &Value, old: Option<&Value>) -> Vec<FieldError> {
    // Upstream's path for taints.
    let mut errors = reported::annotations(node);
    errors.extend(taints(
        read::list(node, "spec.taints"),
        &Path::new("metadata.taints"),
    ));
    errors.extend(amounts(node));
    errors.extend(reported::swap(node));
    errors.extend(reported::features(node));
    let kept = old
        .map(|old| read::texts(old, "spec.podCIDRs"))
        .unwrap_or_default();
    errors.extend(pod_networks(node, &kept, &Path::new("spec.podCIDRs")));
    errors
}

/// Networks of a node's pods: at most one of each IP family.
fn pod_networks(node: &Value, kept: &[&str], path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let texts = read::texts(node, "spec.podCIDRs");
    for (index, text) in texts.iter().enumerate() {
        let rules = address::cidr_or_kept(text, kept).into_iter();
        errors.extend(rules.map(|rule| path.index(index).invalid(*text, rule)));
    }
    let mut families: Vec<u8> = texts
        .iter()
        .filter_map(|text| text.parse::<IpNet>().ok())
        .map(|network| network.max_prefix_len())
        .collect();
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

/// What is wrong with the amounts that a node reports.
fn amounts(node: &Value) -> Vec<FieldError> {
    let path = Path::new("status");
    let mut errors = resources::amounts(node, "status.capacity", &path.child("capacity"));
    let allocatable = path.child("allocatable");
    errors.extend(resources::amounts(node, "status.allocatable", &allocatable));
    errors
}

fn taints(taints: &[Value], path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (index, taint) in taints.iter().enumerate() {
        let path = path.index(index);
        let (key, effect) = (read::text(taint, "key"), read::text(taint, "effect"));
        errors.extend(
            names::qualified_name(key)
                .into_iter()
                .map(|rule| path.child("key").invalid(key, rule)),
        );
        let value = read::text(taint, "value");
        let rules = names::label_value(value);
        if !rules.is_empty() {
            errors.push(path.child("value").invalid(value, rules.join(";")));
        }
        errors.extend(effect_error(effect, &path.child("effect")));
        if seen.contains(&(key, effect)) {
            let mut twice = inner_form::formed(path.duplicate(taint.clone()), of_core::TAINT);
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

/// What is wrong with an update of a node or its status, as to what it keeps for life.
pub(crate) fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    let path = Path::new("spec");
    let mut errors = reported::annotations(new);
    errors.extend(amounts(new));
    errors.extend(reported::features(new));
    let addresses = read::list(new, "status.addresses");
    for (index, address) in addresses.iter().enumerate() {
        if addresses.iter().take(index).any(|before| before == address) {
            let path = Path::new("status.addresses").index(index);
            errors.push(inner_form::formed(
                path.duplicate(address.clone()),
                of_core::NODE_ADDRESS,
            ));
        }
    }
    errors.extend(networks_changed(new, old, &path.child("podCIDRs")));
    let provider = read::text(old, "spec.providerID");
    if !provider.is_empty() && provider != read::text(new, "spec.providerID") {
        let detail = "node updates may not change providerID except from \"\" to valid";
        errors.push(path.child("providerID").forbidden(detail));
    }
    errors.extend(reported::told(new));
    errors.extend(reported::configuration(new));
    errors.extend(taints(
        read::list(new, "spec.taints"),
        &Path::new("metadata.taints"),
    ));
    if read::text(new, "spec.externalID") != read::text(old, "spec.externalID") {
        errors.push(path.child("externalID").forbidden("may not be updated"));
    }
    errors
}

/// One error a network that changes, or one where their number does.
fn networks_changed(new: &Value, old: &Value, path: &Path) -> Vec<FieldError> {
    let (before, after) = (read::texts(old, path.as_str()), read::texts(new, path.as_str()));
    let changed = match (before.is_empty(), before.len() == after.len()) {
        (true, _) => 0,
        (false, false) => 1,
        (false, true) => before.iter().zip(&after).filter(|(old, new)| old != new).count(),
    };
    let detail = "node updates may not change podCIDR except from \"\" to valid";
    (0..changed).map(|_| path.forbidden(detail)).collect()
}

/// What a client is told of a node.
pub(crate) fn warnings(node: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    if read::present(node, "spec.configSource") {
        warnings.push("spec.configSource: the feature is no longer supported".to_owned());
    }
    if !read::text(node, "spec.externalID").is_empty() {
        warnings.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".to_owned());
    }
    let path = Path::new("spec.podCIDRs");
    let networks = read::texts(node, path.as_str()).into_iter().enumerate();
    warnings.extend(networks.flat_map(|(index, text)| address::cidr_warnings(text, &path.index(index))));
    warnings
}
