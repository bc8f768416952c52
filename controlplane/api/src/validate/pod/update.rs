//! What an update may change of a pod's spec: images, the deadline, more tolerations, fewer gates.

use serde_json::{Map, Value};

use super::annotations;
use crate::field::{FieldError, Path};
use crate::meta;
use crate::read;
use crate::validate::difference::differences;
use crate::validate::inner_form::formed;
use crate::validate::inner_form::of_core::NODE_TERM;

const CHANGEABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
    `spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to \
    be set to 1 if it was previously negative)";

/// What is wrong with an update of a pod, beside its metadata.
#[must_use]
pub(crate) fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    let path = Path::new("spec");
    let null = Value::Null;
    let (after, before) = (new.get("spec").unwrap_or(&null), old.get("spec").unwrap_or(&null));
    let mut errors = super::pod(new);
    errors.extend(annotations::update(new, old));
    for list in ["containers", "initContainers"] {
        let (after, before) = (read::list(after, list), read::list(before, list));
        if after.len() != before.len() {
            errors.push(
                path.child(list)
                    .forbidden("pod updates may not add or remove containers"),
            );
            return errors;
        }
    }
    if let Some(error) = deadline(after, before, &path.child("activeDeadlineSeconds")) {
        let ends = read::present(after, "activeDeadlineSeconds");
        errors.push(error);
        if ends {
            return errors;
        }
    }
    errors.extend(tolerations(after, before, &path.child("tolerations")));
    errors.extend(gates(after, before, &path.child("schedulingGates")));
    let mut fixed = after.clone();
    if !read::list(before, "schedulingGates").is_empty() {
        errors.extend(place(&mut fixed, before, &path));
    }
    errors.extend(rest(&fixed, before, &path));
    errors
}

/// What may change of where a gated pod may run: more conditions on its nodes.
fn place(fixed: &mut Value, before: &Value, path: &Path) -> Vec<FieldError> {
    const NODES: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    let mut errors = Vec::new();
    let lost = read::map(before, "nodeSelector")
        .any(|(key, value)| fixed.pointer("/nodeSelector").and_then(|now| now.get(key)) != Some(value));
    if lost {
        let detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        let now = fixed.get("nodeSelector").cloned().unwrap_or_default();
        errors.push(path.child("nodeSelector").invalid(now, detail));
    }
    crate::strategy::keep(fixed, before, "nodeSelector");
    let terms = format!("affinity.nodeAffinity.{NODES}.nodeSelectorTerms");
    let at = path.child(&terms);
    let (now, was) = (read::list(fixed, &terms).to_vec(), read::list(before, &terms));
    if !was.is_empty() && now.len() != was.len() {
        let detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        errors.push(formed(at.invalid(now, detail), NODE_TERM));
    } else {
        for (index, (now, _)) in now
            .iter()
            .zip(was)
            .enumerate()
            .filter(|(_, (now, was))| !narrows(now, was))
        {
            let detail = "only additions are allowed (no mutations or deletions)";
            errors.push(formed(at.index(index).invalid((*now).clone(), detail), NODE_TERM));
        }
    }
    restore_node_affinity(fixed, before);
    errors
}

/// Whether a term has all conditions of the other, and first.
fn narrows(now: &Value, was: &Value) -> bool {
    let lists = ["matchExpressions", "matchFields"];
    let empty = |term: &Value| lists.iter().all(|list| read::list(term, list).is_empty());
    let begins = |list: &&str| read::list(now, list).starts_with(read::list(was, list));
    lists.iter().all(begins) && (!empty(was) || empty(now))
}

fn restore_node_affinity(fixed: &mut Value, before: &Value) {
    let was = before.pointer("/affinity/nodeAffinity").cloned();
    let affinity = meta::object_mut(meta::member_mut(fixed, "affinity"));
    put(affinity, "nodeAffinity", was.as_ref());
    if affinity.is_empty() && !read::present(before, "affinity") {
        meta::object_mut(fixed).remove("affinity");
    }
}

fn deadline(after: &Value, before: &Value, path: &Path) -> Option<FieldError> {
    let read = |spec| read::integer(spec, "activeDeadlineSeconds");
    match (read(after), read(before)) {
        (Some(seconds), _) if !(0..=i64::from(i32::MAX)).contains(&seconds) => {
            Some(path.invalid(seconds, "must be between 0 and 2147483647, inclusive"))
        }
        (Some(seconds), Some(limit)) if seconds > limit => {
            Some(path.invalid(seconds, "must be less than or equal to previous value"))
        }
        (None, Some(_)) => Some(path.invalid(
            Value::Null,
            "must not update from a positive integer to nil value",
        )),
        _ => None,
    }
}

fn tolerations(after: &Value, before: &Value, path: &Path) -> Option<FieldError> {
    let bare = |toleration: &Value| {
        let mut bare = toleration.clone();
        bare.as_object_mut()
            .and_then(|map| map.remove("tolerationSeconds"));
        bare
    };
    let now: Vec<Value> = read::list(after, "tolerations").iter().map(bare).collect();
    let lost = read::list(before, "tolerations")
        .iter()
        .any(|toleration| !now.contains(&bare(toleration)));
    lost.then(|| path.forbidden("existing toleration can not be modified except its tolerationSeconds"))
}

fn gates(after: &Value, before: &Value, path: &Path) -> Vec<FieldError> {
    let held = read::list(before, "schedulingGates");
    let gates = read::list(after, "schedulingGates").iter().enumerate();
    gates
        .filter(|(_, gate)| !held.contains(gate))
        .map(|(index, gate)| {
            let name = read::text(gate, "name");
            let detail = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            path.index(index).child("name").forbidden(detail)
        })
        .collect()
}

/// Everything that an update may change, taken from `before`, must leave nothing changed.
fn rest(after: &Value, before: &Value, path: &Path) -> Option<FieldError> {
    let mut fixed = after.as_object().cloned().unwrap_or_default();
    let stored = before.as_object().cloned().unwrap_or_default();
    for field in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
        put(&mut fixed, field, stored.get(field));
    }
    let negative = read::count(before, "terminationGracePeriodSeconds") < 0;
    if negative && read::integer(after, "terminationGracePeriodSeconds") == Some(1) {
        put(
            &mut fixed,
            "terminationGracePeriodSeconds",
            stored.get("terminationGracePeriodSeconds"),
        );
    }
    for list in ["containers", "initContainers"] {
        restore_images(fixed.get_mut(list), read::list(before, list));
    }
    let mut changes = Vec::new();
    differences(
        &Value::Object(stored),
        &Value::Object(fixed),
        path.as_str(),
        &mut changes,
    );
    (!changes.is_empty()).then(|| {
        path.forbidden(format!(
            "pod updates may not change fields other than {CHANGEABLE}\n{}",
            changes.join("\n")
        ))
    })
}

fn put(map: &mut Map<String, Value>, field: &str, value: Option<&Value>) {
    match value {
        Some(value) => map.insert(field.to_owned(), value.clone()),
        None => map.remove(field),
    };
}

fn restore_images(list: Option<&mut Value>, before: &[Value]) {
    let containers = list.and_then(Value::as_array_mut).into_iter().flatten();
    for (container, before) in containers.zip(before) {
        if let Some(map) = container.as_object_mut() {
            put(map, "image", before.get("image"));
        }
    }
}
