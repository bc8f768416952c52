//! Defaults that depend on other fields of the same object.

mod core;
mod workloads;

use serde_json::{Map, Value};

use controlplane_apimachinery::schema::Rule;

type Fields = Map<String, Value>;

/// The rules of the definition with this full name.
pub(crate) fn of(definition: &str) -> &'static [Rule] {
    let Some(name) = definition.strip_prefix("io.k8s.api.") else {
        return match definition {
            "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionSpec" => {
                &[workloads::custom_resource_names]
            }
            _ => &[],
        };
    };
    match name {
        "apps.v1.DaemonSetUpdateStrategy" => &[workloads::rolling_daemons],
        "apps.v1.DeploymentStrategy" => &[workloads::rolling_deployment],
        "apps.v1.StatefulSetUpdateStrategy" => &[workloads::stateful_rolling_update],
        "autoscaling.v2.HorizontalPodAutoscalerSpec" => &[workloads::autoscaler_metrics],
        "autoscaling.v2.HorizontalPodAutoscalerBehavior" => &[workloads::autoscaler_behavior],
        "batch.v1.Job" => &[workloads::job, workloads::labels_of_template],
        "core.v1.Container" | "core.v1.EphemeralContainer" => &[core::image_pull_policy],
        "core.v1.LimitRangeItem" => &[core::limit_range_item],
        "core.v1.Namespace" => &[core::namespace_label],
        "core.v1.NodeStatus" => &[core::allocatable],
        "core.v1.Pod" => &[core::pod_requests, core::pod_service_links, core::pod_host_ports],
        "core.v1.ReplicationController" => &[workloads::labels_of_template, workloads::selector_of_template],
        "core.v1.Service" => &[core::load_balancer_addresses],
        "core.v1.ServicePort" => &[core::target_port],
        "core.v1.ServiceSpec" => &[core::session_affinity, core::traffic_policies],
        "core.v1.Volume" => &[core::volume_source, core::image_volume],
        "networking.v1.NetworkPolicySpec" => &[workloads::policy_types],
        "rbac.v1.Subject" => &[workloads::subject_group],
        "resource.v1.ExactDeviceRequest" | "resource.v1.DeviceSubRequest" => &[workloads::device_count],
        _ => &[],
    }
}

/// The object under `name`.
fn object<'a>(fields: &'a Fields, name: &str) -> Option<&'a Fields> {
    fields.get(name).and_then(Value::as_object)
}

/// The object under `name`, to change.
fn object_mut<'a>(fields: &'a mut Fields, name: &str) -> Option<&'a mut Fields> {
    fields.get_mut(name).and_then(Value::as_object_mut)
}

/// The text under `name`; empty where there is none.
fn text<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Whether `name` is absent or `null`.
fn absent(fields: &Fields, name: &str) -> bool {
    fields.get(name).is_none_or(Value::is_null)
}

/// Sets `name` where it is absent or `null`.
fn set(fields: &mut Fields, name: &str, value: impl Into<Value>) {
    if absent(fields, name) {
        fields.insert(name.to_owned(), value.into());
    }
}

/// The objects in the list under `name`.
fn elements_mut<'a>(fields: &'a mut Fields, name: &str) -> impl Iterator<Item = &'a mut Fields> {
    let list = fields.get_mut(name).and_then(Value::as_array_mut);
    list.into_iter().flatten().filter_map(Value::as_object_mut)
}
