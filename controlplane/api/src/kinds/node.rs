//! Nodes.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cells::or_none;
use super::define::{age, body, field, kind, name, text};
use super::pod::PROXY;
use crate::field::FieldError;
use crate::meta;
use crate::read;
use crate::resource::{Column, Resource, Role, SelectableField};
use crate::strategy::{Context, Strategy, keep};
use crate::validate::node;

/// Taint of a node that is not ready.
const NOT_READY: &str = "node.kubernetes.io/not-ready";

// Upstream's descriptions of columns, to the letter.
const INTERNAL_IP_HELP: &str = "List of addresses reachable to the node. Queried from cloud provider, if available. More info: \
    https://kubernetes.io/docs/reference/node/node-status/#addresses Note: This field is declared as mergeable, \
    but the merge key is not sufficiently unique, which can cause data corruption when it is merged. Callers \
    should instead use a full-replacement patch. See https://pr.k8s.io/79391 for an example. Consumers should \
    assume that addresses can change during the lifetime of a Node. However, there are some exceptions where \
    this may not be possible, such as Pods that inherit a Node's address in its own status or consumers of the \
    downward API (status.hostIP).";

pub(super) fn resource() -> Resource {
    kind("", "v1", "Node", "nodes")
        .cluster_wide()
        .short(&["no"])
        .with_status()
        .with_subresource("proxy", Role::Connect, &PROXY, body("", "v1", "NodeProxyOptions"))
        .shown_by(columns())
        .selected_by(vec![SelectableField::computed("spec.unschedulable", |node| {
            read::flag(node, "spec.unschedulable").to_string()
        })])
        .ruled_by(Rules)
}

fn columns() -> Vec<Column> {
    vec![
        name(),
        text("Status", "The status of the node", status),
        text("Roles", "The roles of the node", roles),
        age(),
        field(
            "Version",
            "status.nodeInfo.kubeletVersion",
            "Kubelet Version reported by the node.",
        ),
        text("Internal-IP", INTERNAL_IP_HELP, |node, _| {
            address(node, "InternalIP")
        })
        .wide(),
        text("External-IP", INTERNAL_IP_HELP, |node, _| {
            address(node, "ExternalIP")
        })
        .wide(),
        text(
            "OS-Image",
            "OS Image reported by the node from /etc/os-release (e.g. Debian GNU/Linux 7 (wheezy)).",
            |node, _| info(node, "status.nodeInfo.osImage"),
        )
        .wide(),
        text(
            "Kernel-Version",
            "Kernel Version reported by the node from 'uname -r' (e.g. 3.16.0-0.bpo.4-amd64).",
            |node, _| info(node, "status.nodeInfo.kernelVersion"),
        )
        .wide(),
        text(
            "Container-Runtime",
            "ContainerRuntime Version reported by the node through runtime remote API (e.g. \
             containerd://1.4.2).",
            |node, _| info(node, "status.nodeInfo.containerRuntimeVersion"),
        )
        .wide(),
    ]
}

fn status(node: &Value, _: Timestamp) -> Value {
    let ready = read::condition(node, "Ready").map(|condition| read::text(condition, "status"));
    let mut words = vec![match ready {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }];
    if read::flag(node, "spec.unschedulable") {
        words.push("SchedulingDisabled");
    }
    words.join(",").into()
}

fn roles(node: &Value, _: Timestamp) -> Value {
    let labels = meta::labels(node);
    let roles: BTreeSet<&str> = labels
        .iter()
        .filter_map(
            |(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
                Some(role) => Some(role),
                None => (key == "kubernetes.io/role").then_some(value.as_str()),
            },
        )
        .filter(|role| !role.is_empty())
        .collect();
    or_none(&roles.into_iter().collect::<Vec<_>>().join(","))
}

fn address(node: &Value, kind: &str) -> Value {
    let found = read::list(node, "status.addresses")
        .iter()
        .find(|address| read::text(address, "type") == kind);
    or_none(
        found
            .map(|address| read::text(address, "address"))
            .unwrap_or_default(),
    )
}

fn info(node: &Value, path: &str) -> Value {
    match read::text(node, path) {
        "" => "<unknown>".into(),
        text => text.into(),
    }
}

/// `podCIDR` always repeats the first of `podCIDRs`; where a client of the one disagrees with the
/// other, the older field counts, for that client knows only it.
fn couple_pod_networks(object: &mut Value) {
    let one = read::text(object, "spec.podCIDR").to_owned();
    let first = read::texts(object, "spec.podCIDRs")
        .first()
        .map(ToString::to_string);
    if one == first.as_deref().unwrap_or_default() {
        return;
    }
    let spec = meta::object_mut(meta::member_mut(object, "spec"));
    match first {
        Some(first) if one.is_empty() => spec.insert("podCIDR".to_owned(), first.into()),
        _ => spec.insert("podCIDRs".to_owned(), vec![one].into()),
    };
}

/// A new node takes no pods before it has said that it is ready: upstream's admission plugin
/// `TaintNodesByCondition`. The node-lifecycle controller takes the taint away.
fn taint_until_ready(object: &mut Value) {
    let is_tainted = read::list(object, "spec.taints")
        .iter()
        .any(|taint| read::text(taint, "key") == NOT_READY && read::text(taint, "effect") == "NoSchedule");
    if is_tainted {
        return;
    }
    let spec = meta::object_mut(meta::member_mut(object, "spec"));
    let taints = spec.entry("taints").or_insert_with(|| json!([]));
    if let Some(taints) = taints.as_array_mut() {
        taints.push(json!({ "key": NOT_READY, "effect": "NoSchedule" }));
    }
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    // A node reports its first status in the create itself, so status is not cleared.
    fn prepare_create(&self, object: &mut Value, _: &Context) {
        drop_config(object, None);
        couple_pod_networks(object);
        taint_until_ready(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _: &Context) {
        keep(new, old, "status");
        drop_config(new, Some(old));
        couple_pod_networks(new);
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value, _: &Context) {
        if !read::present(old, "status.config") {
            remove(new, "status", "config");
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        node::node(object, None)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = node::node(new, Some(old));
        errors.extend(node::update(new, old));
        errors
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        node::update(new, old)
    }

    fn warnings(&self, new: &Value, _: Option<&Value>) -> Vec<String> {
        node::warnings(new)
    }
}

/// No node takes its configuration from the API any more: the field goes, but where it is in use.
fn drop_config(new: &mut Value, old: Option<&Value>) {
    if !old.is_some_and(|old| read::present(old, "spec.configSource")) {
        remove(new, "spec", "configSource");
    }
}

fn remove(object: &mut Value, member: &str, field: &str) {
    if let Some(Value::Object(map)) = object.get_mut(member) {
        map.remove(field);
    }
}
