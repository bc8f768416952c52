//! What the subresources `resize` and `ephemeralcontainers` may change of a pod.

use serde_json::{Map, Value};

use super::annotations;
use crate::field::{FieldError, Path, quote};
use crate::kinds::qos_class;
use crate::meta;
use crate::read;
use crate::validate::difference::differences;

const RESIZED: [&str; 2] = ["cpu", "memory"];

fn is_static(pod: &Value) -> bool {
    meta::annotations(pod).contains_key(annotations::MIRROR)
}

/// What is wrong with a change of a pod's ephemeral containers: those that are there stay as they are.
pub(crate) fn ephemeral(new: &Value, old: &Value) -> Vec<FieldError> {
    if is_static(old) {
        return vec![Path::default().forbidden("static pods do not support ephemeral containers")];
    }
    let path = Path::new("spec.ephemeralContainers");
    let mut errors = super::pod(new);
    errors.extend(annotations::update(new, old));
    let list = |pod| read::list(pod, "spec.ephemeralContainers");
    for before in list(old) {
        let name = read::text(before, "name");
        let found = list(new)
            .iter()
            .find(|container| read::text(container, "name") == name);
        let quoted = quote(name);
        match found {
            None => errors.push(path.forbidden(format!(
                "existing ephemeral containers {quoted} may not be removed\n"
            ))),
            Some(after) if after != before => {
                let mut lines = Vec::new();
                differences(before, after, name, &mut lines);
                errors.push(path.forbidden(format!(
                    "existing ephemeral containers {quoted} may not be changed\n{}",
                    lines.join("\n")
                )));
            }
            Some(_) => {}
        }
    }
    errors
}

/// What is wrong with a change of the resources of a pod's containers.
pub(crate) fn resize(new: &Value, old: &Value) -> Vec<FieldError> {
    if let Some(detail) = unfit(new, old) {
        return vec![Path::default().forbidden(detail)];
    }
    let path = Path::new("spec");
    let mut errors = super::pod(new);
    if qos_class(new) != qos_class(old) {
        let class = read::text(old, "status.qosClass");
        errors.push(path.invalid(class, "Pod QOS Class may not change as a result of resizing"));
    }
    if !node_resizes(old) {
        errors.push(path.forbidden("Pod running on node without support for resize"));
    }
    for list in ["initContainers", "containers"] {
        errors.extend(containers(new, old, list, &path));
    }
    errors
}

/// Why the pod cannot be resized at all.
fn unfit(new: &Value, old: &Value) -> Option<&'static str> {
    let whole = |pod| {
        ["requests", "limits"].iter().any(|bound| {
            read::map(pod, &format!("spec.resources.{bound}"))
                .next()
                .is_some()
        })
    };
    match () {
        () if whole(old) || whole(new) => Some("pods with pod-level resources cannot be resized"),
        () if is_static(old) => Some("static pods cannot be resized"),
        () if read::text(old, "spec.os.name") == "windows" => Some("windows pods cannot be resized"),
        () => None,
    }
}

/// An agent that resizes says what a running container has; until one runs it is trusted to.
fn node_resizes(pod: &Value) -> bool {
    let statuses = read::list(pod, "status.containerStatuses");
    let running = statuses
        .iter()
        .find(|status| read::present(status, "state.running"));
    running.is_none_or(|status| read::present(status, "resources"))
}

fn containers(new: &Value, old: &Value, list: &str, path: &Path) -> Vec<FieldError> {
    let place = format!("spec.{list}");
    let pairs = read::list(new, &place).iter().zip(read::list(old, &place));
    let mut errors = Vec::new();
    for (index, (after, before)) in pairs.enumerate() {
        let main = list == "containers";
        let sidecar = !main && read::text(before, "restartPolicy") == "Always";
        if main || sidecar {
            let path = path.child(list).index(index).child("resources");
            errors.extend(removed(after, before, &path));
        }
        let detail = match (main, sidecar) {
            (true, _) => "only cpu and memory resources are mutable",
            (false, true) => "only cpu and memory resources for sidecar containers are mutable",
            (false, false) => "resources for non-sidecar init containers are immutable",
        };
        let after = if main || sidecar {
            restored(after, before)
        } else {
            after.clone()
        };
        let mut lines = Vec::new();
        differences(before, &after, "", &mut lines);
        if !lines.is_empty() {
            errors.push(path.forbidden(detail));
        }
    }
    errors
}

fn removed(after: &Value, before: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (bound, detail) in [
        ("requests", "resource requests cannot be removed"),
        ("limits", "resource limits cannot be removed"),
    ] {
        let place = format!("resources.{bound}");
        let kept: Vec<&String> = read::map(after, &place).map(|(name, _)| name).collect();
        if read::map(before, &place).any(|(name, _)| !kept.contains(&name)) {
            errors.push(path.child(bound).forbidden(detail));
        }
    }
    errors
}

/// `after` with what may change taken from `before`.
fn restored(after: &Value, before: &Value) -> Value {
    let mut container = after.clone();
    crate::strategy::keep(&mut container, before, "resizePolicy");
    for bound in ["requests", "limits"] {
        let place = format!("resources.{bound}");
        let mut amounts: Map<String, Value> = read::map(after, &place)
            .map(|(name, amount)| (name.clone(), amount.clone()))
            .collect();
        let held: Map<String, Value> = read::map(before, &place)
            .map(|(name, amount)| (name.clone(), amount.clone()))
            .collect();
        for name in RESIZED {
            match held.get(name) {
                Some(amount) => amounts.insert(name.to_owned(), amount.clone()),
                None => amounts.remove(name),
            };
        }
        let resources = meta::object_mut(meta::member_mut(&mut container, "resources"));
        resources.insert(bound.to_owned(), amounts.into());
    }
    container
}
