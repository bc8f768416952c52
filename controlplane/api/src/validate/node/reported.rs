//! What a node reports of itself, and annotations of old in which taints and wishes were written as JSON.

use serde_json::Value;

use super::taints;
use crate::field::{FieldError, Path, quote};
use crate::meta;
use crate::names;
use crate::read;
use crate::resource::at;
use crate::validate::inner_form::of_core::CONFIG_SOURCE;
use crate::validate::{inner_form, json, naming};

const TAINTS: &str = "scheduler.alpha.kubernetes.io/taints";
const AVOID_PODS: &str = "scheduler.alpha.kubernetes.io/preferAvoidPods";
const FEATURE_RULE: &str = "must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., \
                            MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes";

/// What is wrong with annotations of old; an empty one says nothing.
pub(super) fn annotations(node: &Value) -> Vec<FieldError> {
    let path = Path::new("metadata.annotations");
    let annotations = meta::annotations(node);
    let given = |key: &str| annotations.get(key).filter(|text| !text.is_empty());
    let mut errors = Vec::new();
    if let Some(text) = given(TAINTS) {
        match json::parse(text) {
            Ok(list) => errors.extend(taints(
                list.as_array().map(Vec::as_slice).unwrap_or_default(),
                &path.child(TAINTS),
            )),
            Err(fault) => errors.push(path.invalid(TAINTS, fault)),
        }
    }
    if let Some(text) = given(AVOID_PODS) {
        match json::parse(text) {
            Ok(wishes) => errors.extend(avoided(&wishes, &path.child(AVOID_PODS))),
            Err(fault) => errors.push(path.child("AvoidPods").invalid(AVOID_PODS, fault)),
        }
    }
    errors
}

/// Pods that would rather not be on the node are named by their controller.
fn avoided(wishes: &Value, path: &Path) -> Vec<FieldError> {
    let entries = read::list(wishes, "preferAvoidPods").iter().enumerate();
    let errors = entries.filter_map(|(index, entry)| {
        let path = path.index(index).child("PodSignature");
        if !read::present(entry, "podSignature.podController") {
            return Some(path.required(""));
        }
        let controls = read::flag(entry, "podSignature.podController.controller");
        let path = path.child("PodController").child("Controller");
        (!controls).then(|| path.invalid(false, "must point to a controller"))
    });
    errors.collect()
}

/// What is wrong with the swap space that a node reports.
pub(super) fn swap(node: &Value) -> Option<FieldError> {
    let capacity = read::integer(node, "status.nodeInfo.swap.capacity").filter(|bytes| *bytes <= 0)?;
    // Upstream's path.
    let path = Path::new("metadata.nodeSwapStatus.capacity");
    Some(path.invalid(capacity, "must be greater than zero"))
}

/// What is wrong with the features that a node says it has: they are sorted names.
pub(super) fn features(node: &Value) -> Vec<FieldError> {
    let path = Path::new("status.declaredFeatures");
    let features = read::texts(node, "status.declaredFeatures");
    let mut errors = Vec::new();
    for (index, feature) in features.iter().enumerate() {
        if let Some(rule) = feature_rule(feature) {
            let detail = format!("invalid feature name {}: {rule}", quote(feature));
            errors.push(path.index(index).invalid(*feature, detail));
        }
        let Some(next) = features.get(index + 1) else {
            continue;
        };
        let path = path.index(index + 1);
        if feature == next {
            errors.push(path.duplicate(*next));
        } else if feature > next {
            errors.push(path.invalid(*next, "list must be sorted alphabetically"));
        }
    }
    errors
}

fn feature_rule(name: &str) -> Option<String> {
    if name.len() > names::SUBDOMAIN_MAX {
        return Some(format!(
            "must be no more than {} characters",
            names::SUBDOMAIN_MAX
        ));
    }
    let word = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let good = name.starts_with(|letter: char| letter.is_ascii_uppercase()) && name.split('/').all(word);
    (!good).then(|| FEATURE_RULE.to_owned())
}

/// What is wrong with what a node says of its configuration, where an old one still does.
pub(super) fn configuration(node: &Value) -> Vec<FieldError> {
    let root = Path::new("status.config");
    let fields = ["assigned", "active", "lastKnownGood"].into_iter();
    fields
        .filter_map(|field| {
            let source = node.pointer(&format!("/status/config/{field}"))?;
            (!source.is_null()).then(|| (root.child(field), source))
        })
        .flat_map(|(path, source)| configured(source, &path))
        .collect()
}

fn configured(source: &Value, path: &Path) -> Vec<FieldError> {
    let Some(map) = source.get("configMap").filter(|map| !map.is_null()) else {
        let detail = "exactly one reference subfield must be non-nil";
        let error = path.invalid(source.clone(), detail);
        return vec![inner_form::formed(error, CONFIG_SOURCE)];
    };
    let path = path.child("configMap");
    let mut errors: Vec<FieldError> = ["uid", "resourceVersion"]
        .into_iter()
        .filter(|field| read::text(map, field).is_empty())
        .map(|field| {
            path.child(field)
                .required(format!("{field} must be set in status"))
        })
        .collect();
    errors.extend(config_map(map, &path));
    errors
}

fn config_map(map: &Value, path: &Path) -> Vec<FieldError> {
    let checks: [(&str, names::NameCheck); 3] = [
        ("namespace", names::dns_label),
        ("name", names::dns_subdomain),
        ("kubeletConfigKey", names::config_key),
    ];
    let mut errors = Vec::new();
    for (field, check) in checks {
        let at = path.child(field);
        match read::text(map, field) {
            "" => errors.push(at.required(format!("{field} must be set"))),
            text => errors.extend(naming::broken(check, text, &at)),
        }
    }
    errors
}

/// What is wrong with the configuration that a node is told to take, where an old one still is.
pub(super) fn told(node: &Value) -> Vec<FieldError> {
    let path = Path::new("spec.configSource");
    let Some(source) = at(node, path.as_str()).filter(|source| !source.is_null()) else {
        return Vec::new();
    };
    let Some(map) = source.get("configMap").filter(|map| !map.is_null()) else {
        let detail = "exactly one reference subfield must be non-nil";
        let error = path.invalid(source.clone(), detail);
        return vec![inner_form::formed(error, CONFIG_SOURCE)];
    };
    let path = path.child("configMap");
    let set = ["uid", "resourceVersion"]
        .into_iter()
        .filter(|field| !read::text(map, field).is_empty());
    let mut errors: Vec<FieldError> = set
        .map(|field| {
            path.child(field)
                .forbidden(format!("{field} must not be set in spec"))
        })
        .collect();
    errors.extend(config_map(map, &path));
    errors
}
