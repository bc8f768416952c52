//! The parts of a pod that are updated by themselves: all else comes from the stored pod.

use serde_json::Value;

use crate::meta;
use crate::read;

/// Leaves the ephemeral containers of `new`.
pub(super) fn keep_all_but_ephemeral(new: &mut Value, old: &Value) {
    const LIST: &str = "ephemeralContainers";
    let wanted = new.get("spec").and_then(|spec| spec.get(LIST)).cloned();
    keep(new, old);
    let spec = meta::object_mut(meta::member_mut(new, "spec"));
    match wanted {
        Some(wanted) => spec.insert(LIST.to_owned(), wanted),
        None => spec.remove(LIST),
    };
}

/// Leaves resources and policies for resizing of the containers of `new`, in each list where it has the
/// same containers as `old`.
pub(super) fn keep_all_but_sizes(new: &mut Value, old: &Value) {
    let wanted = new.clone();
    keep(new, old);
    for list in ["containers", "initContainers"] {
        let wanted = read::list(&wanted, &format!("spec.{list}"));
        let names = |containers: &[Value]| -> Vec<String> {
            containers
                .iter()
                .map(|container| read::text(container, "name").to_owned())
                .collect()
        };
        if names(wanted) != names(read::list(old, &format!("spec.{list}"))) {
            continue;
        }
        let kept = new
            .pointer_mut(&format!("/spec/{list}"))
            .and_then(Value::as_array_mut);
        for (container, wanted) in kept.into_iter().flatten().zip(wanted) {
            for field in ["resources", "resizePolicy"] {
                crate::strategy::keep(container, wanted, field);
            }
        }
    }
}

/// Takes all from `old` but the resource version, which the write is compared by.
fn keep(new: &mut Value, old: &Value) {
    let version = meta::resource_version(new).to_owned();
    new.clone_from(old);
    if !version.is_empty() {
        meta::set(new, "resourceVersion", version);
    }
}
