//! What a pod gets beside static defaults: values computed from others, and what upstream's default
//! admission plugins add to every pod whatever else there is (DefaultTolerationSeconds).

use serde_json::{Map, Value, json};

use super::whole;
use crate::meta;
use crate::read;

/// How long a pod stays on a node that is not ready or unreachable, in seconds.
const TOLERATION_SECONDS: i64 = 300;

/// Fills a new pod.
pub(super) fn fill(pod: &mut Value) {
    let spec = meta::member_mut(pod, "spec");
    name_account(spec);
    let map = meta::object_mut(spec);
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        tolerate(map, key);
    }
    complete(pod);
}

/// Fills in what other fields of a pod say: requests by limits, and on the host's network its ports.
pub fn complete(pod: &mut Value) {
    let map = meta::object_mut(meta::member_mut(pod, "spec"));
    each_container(map, default_requests);
    if map.get("hostNetwork").and_then(Value::as_bool) == Some(true) {
        each_container(map, open_host_ports);
    }
    whole::complete(pod);
}

/// Fills an update: what an old client leaves out of what [`fill`] added comes from the stored pod.
pub(super) fn fill_update(new: &mut Value, old: &Value) {
    let Some(stored) = old.get("spec").and_then(Value::as_object) else {
        return;
    };
    let map = meta::object_mut(meta::member_mut(new, "spec"));
    for field in [
        "serviceAccountName",
        "serviceAccount",
        "priority",
        "preemptionPolicy",
    ] {
        if let (None, Some(value)) = (map.get(field), stored.get(field)) {
            map.insert(field.to_owned(), value.clone());
        }
    }
    complete(new);
}

/// `serviceAccountName` and its old spelling always agree.
fn name_account(spec: &mut Value) {
    let named = match (
        read::text(spec, "serviceAccountName"),
        read::text(spec, "serviceAccount"),
    ) {
        ("", "") => return,
        ("", old) => old,
        (name, _) => name,
    }
    .to_owned();
    let map = meta::object_mut(spec);
    map.insert("serviceAccountName".to_owned(), named.clone().into());
    map.insert("serviceAccount".to_owned(), named.into());
}

fn tolerate(spec: &mut Map<String, Value>, key: &str) {
    let list = spec.entry("tolerations").or_insert_with(|| json!([]));
    let Some(list) = list.as_array_mut() else { return };
    let covered = list.iter().any(|toleration| {
        let of_key = matches!(read::text(toleration, "key"), "") || read::text(toleration, "key") == key;
        let of_effect = matches!(read::text(toleration, "effect"), "" | "NoExecute");
        of_key && of_effect
    });
    if !covered {
        list.push(json!({
            "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_SECONDS,
        }));
    }
}

fn each_container(spec: &mut Map<String, Value>, change: fn(&mut Value)) {
    for list in ["initContainers", "containers"] {
        let items = spec.get_mut(list).and_then(Value::as_array_mut);
        items.into_iter().flatten().for_each(change);
    }
}

/// What has a limit and no request asks for its limit.
fn default_requests(container: &mut Value) {
    let Some(resources) = container.get_mut("resources").and_then(Value::as_object_mut) else {
        return;
    };
    let Some(Value::Object(limits)) = resources.get("limits").cloned() else {
        return;
    };
    let requests = meta::object_mut(resources.entry("requests").or_insert(Value::Null));
    for (name, limit) in limits {
        requests.entry(name).or_insert(limit);
    }
}

/// On the host's network every port is the host's.
fn open_host_ports(container: &mut Value) {
    let ports = container.get_mut("ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten() {
        let number = port.get("containerPort").cloned();
        if let (Some(map), Some(number)) = (port.as_object_mut(), number) {
            map.entry("hostPort").or_insert(number);
        }
    }
}

#[cfg(test)]
mod tests;
