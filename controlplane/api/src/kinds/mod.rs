//! The built-in kinds, one file a kind: its names, columns, fields and rules.

mod admission_policy;
mod admission_policy_binding;
mod api_service;
mod binding;
mod cells;
mod certificate_signing_request;
mod component_status;
mod config_map;
mod controller_revision;
mod cron_job;
mod csi_driver;
mod csi_node;
mod csi_storage_capacity;
mod daemon_set;
mod deployment;
mod device_class;
mod endpoint_slice;
mod endpoints;
mod event;
pub mod flow_defaults;
mod flow_schema;
mod horizontal_pod_autoscaler;
mod ingress;
mod ingress_class;
mod ip_address;
mod job;
mod lease;
mod limit_range;
mod namespace;
mod network_policy;
mod node;
mod persistent_volume;
mod persistent_volume_claim;
mod pod;
mod pod_disruption_budget;
mod pod_template;
mod priority_class;
mod priority_level_configuration;
mod query;
mod replica_set;
mod replication_controller;
mod resource_claim;
mod resource_quota;
mod resource_slice;
mod review;
mod role;
mod role_binding;
mod runtime_class;
mod secret;
mod server;
mod service;
mod service_account;
mod service_cidr;
mod stateful_set;
mod storage_class;
mod volume_attachment;
mod volume_attributes_class;
mod webhook_configuration;

use controlplane_apimachinery::define;

use crate::resource::Resource;

pub use api_service::local as local_api_services;
pub use pod::{complete as complete_pod, qos_class};
pub use priority_class::system as system_priority_classes;
pub use query::query;
pub use server::{server, why_not_remove};

/// Every built-in kind.
#[must_use]
pub fn builtin() -> Vec<Resource> {
    let mut kinds = core();
    kinds.extend(of_groups());
    kinds.extend(review::all());
    kinds
}

/// The kinds without a group.
fn core() -> Vec<Resource> {
    vec![
        binding::resource(),
        component_status::resource(),
        config_map::resource(),
        endpoints::resource(),
        event::core(),
        limit_range::resource(),
        namespace::resource(),
        node::resource(),
        persistent_volume::resource(),
        persistent_volume_claim::resource(),
        pod::resource(),
        pod_template::resource(),
        replication_controller::resource(),
        resource_quota::resource(),
        secret::resource(),
        service::resource(),
        service_account::resource(),
    ]
}

/// The kinds of the named groups.
fn of_groups() -> Vec<Resource> {
    vec![
        // admissionregistration.k8s.io
        admission_policy::mutating(),
        admission_policy_binding::mutating(),
        webhook_configuration::mutating(),
        admission_policy::validating(),
        admission_policy_binding::validating(),
        webhook_configuration::validating(),
        // apiregistration.k8s.io
        api_service::resource(),
        // apps
        controller_revision::resource(),
        daemon_set::resource(),
        deployment::resource(),
        replica_set::resource(),
        stateful_set::resource(),
        // autoscaling
        horizontal_pod_autoscaler::v1(),
        horizontal_pod_autoscaler::v2(),
        // batch
        cron_job::resource(),
        job::resource(),
        // certificates.k8s.io
        certificate_signing_request::resource(),
        // coordination.k8s.io
        lease::resource(),
        // discovery.k8s.io
        endpoint_slice::resource(),
        // events.k8s.io
        event::events(),
        // flowcontrol.apiserver.k8s.io
        flow_schema::resource(),
        priority_level_configuration::resource(),
        // networking.k8s.io
        ingress::resource(),
        ingress_class::resource(),
        ip_address::resource(),
        network_policy::resource(),
        service_cidr::resource(),
        // node.k8s.io
        runtime_class::resource(),
        // policy
        pod_disruption_budget::resource(),
        // rbac.authorization.k8s.io
        role::cluster(),
        role_binding::cluster(),
        role::resource(),
        role_binding::resource(),
        // resource.k8s.io
        device_class::resource(),
        resource_claim::resource(),
        resource_claim::template(),
        resource_slice::resource(),
        // scheduling.k8s.io
        priority_class::resource(),
        // storage.k8s.io
        csi_driver::resource(),
        csi_node::resource(),
        csi_storage_capacity::resource(),
        storage_class::resource(),
        volume_attachment::resource(),
        volume_attributes_class::resource(),
    ]
}

#[cfg(test)]
mod tests;
