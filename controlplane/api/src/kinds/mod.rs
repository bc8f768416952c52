//! The built-in kinds, one file a kind: its names, columns, fields and rules.

mod admission_policy;
mod admission_policy_binding;
mod cells;
mod certificate_signing_request;
mod config_map;
mod csi_driver;
mod csi_node;
mod csi_storage_capacity;
mod deployment;
mod device_class;
mod endpoint_slice;
mod endpoints;
mod event;
pub mod flow_defaults;
mod flow_schema;
mod ingress;
mod ingress_class;
mod ip_address;
mod lease;
mod namespace;
mod network_policy;
mod node;
mod pod;
mod priority_class;
mod priority_level_configuration;
mod query;
mod replica_set;
mod resource_claim;
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
mod storage_class;
mod volume_attachment;
mod volume_attributes_class;
mod webhook_configuration;

use controlplane_apimachinery::define;

use crate::resource::Resource;

pub use pod::qos_class;
pub use priority_class::system as system_priority_classes;
pub use query::query;
pub use server::server;

/// Every built-in kind.
#[must_use]
pub fn builtin() -> Vec<Resource> {
    let mut kinds = vec![
        config_map::resource(),
        endpoints::resource(),
        event::core(),
        event::events(),
        namespace::resource(),
        node::resource(),
        pod::resource(),
        secret::resource(),
        service::resource(),
        service_account::resource(),
        deployment::resource(),
        replica_set::resource(),
        certificate_signing_request::resource(),
        lease::resource(),
        endpoint_slice::resource(),
        admission_policy::mutating(),
        admission_policy_binding::mutating(),
        webhook_configuration::mutating(),
        admission_policy::validating(),
        admission_policy_binding::validating(),
        webhook_configuration::validating(),
        flow_schema::resource(),
        priority_level_configuration::resource(),
        ingress::resource(),
        ingress_class::resource(),
        ip_address::resource(),
        network_policy::resource(),
        service_cidr::resource(),
        runtime_class::resource(),
        device_class::resource(),
        resource_claim::resource(),
        resource_claim::template(),
        resource_slice::resource(),
        role::cluster(),
        role_binding::cluster(),
        role::resource(),
        role_binding::resource(),
        priority_class::resource(),
        csi_driver::resource(),
        csi_node::resource(),
        csi_storage_capacity::resource(),
        storage_class::resource(),
        volume_attachment::resource(),
        volume_attributes_class::resource(),
    ];
    kinds.extend(review::all());
    kinds
}

#[cfg(test)]
mod tests;
