//! The built-in kinds, one file a kind: its names, columns, fields and rules.

mod cells;
mod certificate_signing_request;
mod config_map;
mod deployment;
mod endpoint_slice;
mod endpoints;
mod event;
mod lease;
mod namespace;
mod node;
mod pod;
mod query;
mod replica_set;
mod secret;
mod server;
mod service;
mod service_account;

use controlplane_apimachinery::define;

use crate::resource::Resource;

pub use pod::qos_class;
pub use query::query;
pub use server::server;

/// Every built-in kind.
#[must_use]
pub fn builtin() -> Vec<Resource> {
    vec![
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
    ]
}

#[cfg(test)]
mod tests;
