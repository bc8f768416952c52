//! Rules of the core group.

use serde_json::{Value, json};

use super::{Fields, absent, elements_mut, object, object_mut, set, text};

/// A namespace carries its name as a label, so that selectors can name it.
pub(super) fn namespace_label(namespace: &mut Fields) {
    let Some(metadata) = object_mut(namespace, "metadata") else {
        return;
    };
    let name = text(metadata, "name").to_owned();
    if name.is_empty() {
        return;
    }
    set(metadata, "labels", json!({}));
    if let Some(labels) = object_mut(metadata, "labels") {
        labels.insert("kubernetes.io/metadata.name".to_owned(), name.into());
    }
}

/// `Always` for the tag `latest` and for no tag, since such an image changes under its name.
pub(super) fn image_pull_policy(container: &mut Fields) {
    if text(container, "imagePullPolicy").is_empty() {
        let policy = policy_of(text(container, "image"));
        container.insert("imagePullPolicy".to_owned(), policy.into());
    }
}

/// The same for a volume that is an image.
pub(super) fn image_volume(volume: &mut Fields) {
    if let Some(image) = object_mut(volume, "image")
        && text(image, "pullPolicy").is_empty()
    {
        let policy = policy_of(text(image, "reference"));
        image.insert("pullPolicy".to_owned(), policy.into());
    }
}

fn policy_of(image: &str) -> &'static str {
    let (name, digest) = image
        .split_once('@')
        .map_or((image, None), |(name, digest)| (name, Some(digest)));
    // A colon before the last slash belongs to a registry's port.
    let tag = name
        .rsplit_once(':')
        .map(|(_, tag)| tag)
        .filter(|tag| !tag.contains('/'));
    match (tag, digest) {
        _ if image.is_empty() => "IfNotPresent",
        (Some("latest"), _) | (None, None) => "Always",
        _ => "IfNotPresent",
    }
}

/// A volume without a source is an empty folder.
pub(super) fn volume_source(volume: &mut Fields) {
    let has_source = volume
        .iter()
        .any(|(name, value)| name != "name" && !value.is_null());
    if !has_source {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
}

/// Requests that are not given are the limits; in a pod only, not in a template.
pub(super) fn pod_requests(pod: &mut Fields) {
    let Some(spec) = object_mut(pod, "spec") else {
        return;
    };
    for list in ["containers", "initContainers"] {
        for resources in elements_mut(spec, list).filter_map(|container| object_mut(container, "resources")) {
            requests_from_limits(resources);
        }
    }
}

fn requests_from_limits(resources: &mut Fields) {
    let Some(limits) = object(resources, "limits").cloned() else {
        return;
    };
    set(resources, "requests", json!({}));
    if let Some(requests) = object_mut(resources, "requests") {
        fill(requests, limits);
    }
}

/// Adds the entries of `from` whose keys `to` lacks.
fn fill(to: &mut Fields, from: Fields) {
    for (name, amount) in from {
        to.entry(name).or_insert(amount);
    }
}

/// Pods see their namespace's services in the environment; set in a pod only, not in a template.
pub(super) fn pod_service_links(pod: &mut Fields) {
    if let Some(spec) = object_mut(pod, "spec") {
        set(spec, "enableServiceLinks", true);
    }
}

/// A container port of a pod in the host's network is a host port; in a pod only, not in a template.
pub(super) fn pod_host_ports(pod: &mut Fields) {
    let Some(spec) = object_mut(pod, "spec") else {
        return;
    };
    if spec.get("hostNetwork") != Some(&Value::Bool(true)) {
        return;
    }
    for list in ["containers", "initContainers"] {
        for container in elements_mut(spec, list) {
            elements_mut(container, "ports").for_each(host_port);
        }
    }
}

fn host_port(port: &mut Fields) {
    let is_given = port
        .get("hostPort")
        .and_then(Value::as_i64)
        .is_some_and(|number| number != 0);
    if !is_given && let Some(number) = port.get("containerPort").cloned() {
        port.insert("hostPort".to_owned(), number);
    }
}

/// Without a target, a service port leads to the same port of the pod.
pub(super) fn target_port(port: &mut Fields) {
    let is_given = match port.get("targetPort") {
        None | Some(Value::Null) => false,
        Some(Value::String(name)) => !name.is_empty(),
        Some(number) => number.as_i64() != Some(0),
    };
    if !is_given && let Some(number) = port.get("port").cloned() {
        port.insert("targetPort".to_owned(), number);
    }
}

/// Affinity by client address lasts three hours; without affinity there is nothing to configure.
pub(super) fn session_affinity(spec: &mut Fields) {
    match text(spec, "sessionAffinity") {
        "None" => drop(spec.remove("sessionAffinityConfig")),
        "ClientIP" => {
            let client = object(spec, "sessionAffinityConfig").and_then(|config| object(config, "clientIP"));
            if client.is_none_or(|client| absent(client, "timeoutSeconds")) {
                let config = json!({ "clientIP": { "timeoutSeconds": 10800 } });
                spec.insert("sessionAffinityConfig".to_owned(), config);
            }
        }
        _ => {}
    }
}

/// What a service's type makes of its traffic policies.
pub(super) fn traffic_policies(spec: &mut Fields) {
    let kind = text(spec, "type").to_owned();
    let has_external_ips = spec
        .get("externalIPs")
        .and_then(Value::as_array)
        .is_some_and(|addresses| !addresses.is_empty());
    let is_external =
        matches!(kind.as_str(), "LoadBalancer" | "NodePort") || (kind == "ClusterIP" && has_external_ips);
    if is_external && text(spec, "externalTrafficPolicy").is_empty() {
        spec.insert("externalTrafficPolicy".to_owned(), "Cluster".into());
    }
    if matches!(kind.as_str(), "ClusterIP" | "LoadBalancer" | "NodePort") {
        set(spec, "internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        set(spec, "allocateLoadBalancerNodePorts", true);
    }
}

/// An address of a load balancer is a virtual one unless said otherwise.
pub(super) fn load_balancer_addresses(service: &mut Fields) {
    if object(service, "spec").is_none_or(|spec| text(spec, "type") != "LoadBalancer") {
        return;
    }
    let status = object_mut(service, "status").and_then(|status| object_mut(status, "loadBalancer"));
    let Some(balancer) = status else { return };
    for ingress in elements_mut(balancer, "ingress") {
        if !text(ingress, "ip").is_empty() {
            set(ingress, "ipMode", "VIP");
        }
    }
}

/// A node that reserves nothing offers all it has.
pub(super) fn allocatable(status: &mut Fields) {
    if let Some(capacity) = status
        .get("capacity")
        .filter(|capacity| capacity.is_object())
        .cloned()
    {
        set(status, "allocatable", capacity);
    }
}

/// For containers, the default limit is the maximum, the default request the default limit or the minimum.
pub(super) fn limit_range_item(item: &mut Fields) {
    if text(item, "type") != "Container" {
        return;
    }
    let part = |item: &Fields, name| object(item, name).cloned().unwrap_or_default();
    let (mut limits, mut requests) = (part(item, "default"), part(item, "defaultRequest"));
    fill(&mut limits, part(item, "max"));
    fill(&mut requests, limits.clone());
    fill(&mut requests, part(item, "min"));
    for (name, amounts) in [("default", limits), ("defaultRequest", requests)] {
        if !amounts.is_empty() {
            item.insert(name.to_owned(), Value::Object(amounts));
        }
    }
}
