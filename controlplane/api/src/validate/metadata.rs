//! The rules of `metadata`, for every kind.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::meta::{self, OwnerReference};
use crate::names;
use crate::read;
use crate::resource::{Resource, Scope};
use crate::validate::inner_form;

/// Most bytes that an object's annotations, keys and values together, may have.
pub const ANNOTATIONS_MAX: usize = 256 * 1024;

/// Upstream's words for a change of something that never changes.
pub const IMMUTABLE: &str = "field is immutable";

/// What is wrong with the metadata of an object that is to be stored.
#[must_use]
pub fn validate(resource: &Resource, object: &Value) -> Vec<FieldError> {
    let path = Path::new("metadata");
    let mut errors = name_errors(resource, object, &path);
    errors.extend(namespace_errors(resource, object, &path));
    errors.extend(content_errors(object, &path));
    errors.extend(bare_finalizers(resource, object, &path.child("finalizers")));
    errors
}

/// What is wrong with the metadata of `new`, which is to replace `old`.
#[must_use]
pub fn validate_update(resource: &Resource, new: &Value, old: &Value) -> Vec<FieldError> {
    let path = Path::new("metadata");
    let mut errors = Vec::new();
    if meta::deletion_timestamp(old).is_some() {
        errors.extend(finalizers_added(new, old, &path.child("finalizers")));
    }
    for field in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        errors.extend(immutable(new, old, "metadata", field));
    }
    errors.extend(content_errors(new, &path));
    errors.extend(bare_finalizers(resource, new, &path.child("finalizers")));
    errors
}

/// `field is immutable` where the member `field` of the object at `parent` (a dotted path) differs.
#[must_use]
pub fn immutable(new: &Value, old: &Value, parent: &str, field: &str) -> Option<FieldError> {
    let read = |object| crate::resource::at(object, parent).and_then(|parent| parent.get(field));
    let (new, old) = (
        read(new).filter(|v| !v.is_null()),
        read(old).filter(|v| !v.is_null()),
    );
    (new != old).then(|| {
        Path::new(parent)
            .child(field)
            .invalid(new.cloned().unwrap_or_default(), "field is immutable")
    })
}

fn name_errors(resource: &Resource, object: &Value, path: &Path) -> Vec<FieldError> {
    let check = resource.strategy.name_check();
    let mut errors = Vec::new();
    let prefix = meta::generate_name_prefix(object);
    if !prefix.is_empty() {
        let stem = prefix
            .strip_suffix('-')
            .map_or_else(|| prefix.to_owned(), |stem| format!("{stem}a"));
        errors.extend(
            check(&stem)
                .into_iter()
                .map(|rule| path.child("generateName").invalid(prefix, rule)),
        );
    }
    let name = meta::name(object);
    if name.is_empty() {
        errors.push(path.child("name").required("name or generateName is required"));
    } else {
        errors.extend(
            check(name)
                .into_iter()
                .map(|rule| path.child("name").invalid(name, rule)),
        );
    }
    errors
}

fn namespace_errors(resource: &Resource, object: &Value, path: &Path) -> Vec<FieldError> {
    let path = path.child("namespace");
    match (resource.scope, meta::namespace(object)) {
        (Scope::Cluster, "") => Vec::new(),
        (Scope::Cluster, _) => vec![path.forbidden("not allowed on this type")],
        (Scope::Namespaced, "") => vec![path.required("")],
        (Scope::Namespaced, namespace) => names::dns_label(namespace)
            .into_iter()
            .map(|rule| path.invalid(namespace, rule))
            .collect(),
    }
}

fn content_errors(object: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = label_errors(&meta::labels(object), &path.child("labels"));
    errors.extend(annotation_errors(
        &meta::annotations(object),
        &path.child("annotations"),
    ));
    errors.extend(owner_errors(object, &path.child("ownerReferences")));
    errors.extend(finalizer_errors(object, &path.child("finalizers")));
    errors
}

/// What is wrong with a map of labels.
#[must_use]
pub fn label_errors(labels: &BTreeMap<String, String>, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (key, value) in labels {
        errors.extend(
            names::qualified_name(key)
                .into_iter()
                .map(|rule| path.invalid(key.as_str(), rule)),
        );
        errors.extend(
            names::label_value(value)
                .into_iter()
                .map(|rule| path.invalid(value.as_str(), rule)),
        );
    }
    errors
}

/// What is wrong with a map of annotations.
#[must_use]
pub fn annotation_errors(annotations: &BTreeMap<String, String>, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for key in annotations.keys() {
        let rules = names::qualified_name(&key.to_lowercase());
        errors.extend(rules.into_iter().map(|rule| path.invalid(key.as_str(), rule)));
    }
    let size: usize = annotations
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    if size > ANNOTATIONS_MAX {
        errors.push(path.too_long(ANNOTATIONS_MAX));
    }
    errors
}

fn owner_errors(object: &Value, path: &Path) -> Vec<FieldError> {
    let owners = meta::owner_references(object);
    let given = read::list(object, "metadata.ownerReferences");
    let mut errors: Vec<FieldError> = owners
        .iter()
        .zip(given)
        .flat_map(|(owner, given)| one_owner(owner, given, path))
        .collect();
    let mut controllers = owners.iter().filter(|owner| owner.controller);
    let Some(first) = controllers.next() else {
        return errors;
    };
    for other in controllers {
        let detail = format!(
            "Only one reference can have Controller set to true. Found \"true\" in references for {}/{} and {}/{}",
            first.kind, first.name, other.kind, other.name
        );
        errors.push(inner_form::formed(path.invalid(given.to_vec(), detail), OWNER));
    }
    errors
}

/// It is one type inside and outside.
const OWNER: inner_form::Form = &[
    inner_form::member("apiVersion", "apiVersion", inner_form::EMPTY),
    inner_form::member("kind", "kind", inner_form::EMPTY),
    inner_form::member("name", "name", inner_form::EMPTY),
    inner_form::member("uid", "uid", inner_form::EMPTY),
    inner_form::as_in_json("controller"),
    inner_form::as_in_json("blockOwnerDeletion"),
];

fn one_owner(owner: &OwnerReference<'_>, given: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let version = owner.api_version.rsplit('/').next().unwrap_or_default();
    if version.is_empty() || owner.api_version.matches('/').count() > 1 {
        errors.push(
            path.child("apiVersion")
                .invalid(owner.api_version, "version must not be empty"),
        );
    }
    for (field, value) in [("kind", owner.kind), ("name", owner.name), ("uid", owner.uid)] {
        if value.is_empty() {
            errors.push(path.child(field).invalid(value, "must not be empty"));
        }
    }
    if (owner.api_version, owner.kind) == ("v1", "Event") {
        let detail = "/v1, Kind=Event is disallowed from being an owner";
        errors.push(inner_form::formed(path.invalid(given.clone(), detail), OWNER));
    }
    errors
}

fn finalizer_errors(object: &Value, path: &Path) -> Vec<FieldError> {
    let finalizers = meta::finalizers(object);
    let mut errors: Vec<FieldError> = finalizers
        .iter()
        .flat_map(|name| {
            names::qualified_name(name)
                .into_iter()
                .map(|rule| path.invalid(*name, rule))
        })
        .collect();
    if finalizers.contains(&"orphan") && finalizers.contains(&"foregroundDeletion") {
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.push(path.invalid(finalizers, detail));
    }
    errors
}

/// Finalizers that need no domain.
pub(crate) const STANDARD_FINALIZERS: [&str; 3] = ["foregroundDeletion", "kubernetes", "orphan"];

/// The groups whose kinds must have finalizers of a domain. Of all others clients are only warned.
const STRICT_GROUPS: [&str; 14] = [
    "",
    "apps",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "discovery.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
];

fn bare_finalizers(resource: &Resource, object: &Value, path: &Path) -> Vec<FieldError> {
    if !STRICT_GROUPS.contains(&&*resource.group) || resource.plural == "events" {
        return Vec::new();
    }
    let all = meta::finalizers(object).into_iter().enumerate();
    all.filter_map(|(index, name)| bare_finalizer(name, &path.index(index)))
        .collect()
}

/// What is wrong with a finalizer without a domain.
pub(crate) fn bare_finalizer(name: &str, path: &Path) -> Option<FieldError> {
    let detail = "name is neither a standard finalizer name nor is it fully qualified";
    (!STANDARD_FINALIZERS.contains(&name) && !name.contains('/')).then(|| path.invalid(name, detail))
}

/// Warnings about finalizers that `new` has and `old` has not.
#[must_use]
pub fn warnings(new: &Value, old: Option<&Value>) -> Vec<String> {
    let known = old.map(meta::finalizers).unwrap_or_default();
    meta::finalizers(new)
        .into_iter()
        .filter(|name| !known.contains(name) && !STANDARD_FINALIZERS.contains(name) && !name.contains('/'))
        .map(|name| {
            format!(
                "metadata.finalizers: {}: prefer a domain-qualified finalizer name including a path (/) to avoid \
                 accidental conflicts with other finalizer writers",
                crate::field::quote(name)
            )
        })
        .collect()
}

fn finalizers_added(new: &Value, old: &Value, path: &Path) -> Option<FieldError> {
    let held = meta::finalizers(old);
    let mut added = meta::finalizers(new);
    added.retain(|name| !held.contains(name));
    added.sort_unstable();
    let listed: Vec<String> = added.iter().map(|name| crate::field::quote(name)).collect();
    (!added.is_empty()).then(|| {
        path.forbidden(format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            listed.join(", ")
        ))
    })
}

#[cfg(test)]
mod tests;
