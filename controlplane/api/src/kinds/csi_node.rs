//! CSINodes.

use serde_json::Value;

use super::define::{age, kind, name, number};
use crate::field::FieldError;
use crate::read;
use crate::resource::Resource;
use crate::strategy::Strategy;
use crate::validate::storage::driver;

pub(super) fn resource() -> Resource {
    let resource = kind("storage.k8s.io", "v1", "CSINode", "csinodes")
        .cluster_wide()
        .shown_by(vec![
            name(),
            number(
                "Drivers",
                "Drivers indicates the number of CSI drivers registered on the node",
                |object, _| read::list(object, "spec.drivers").len().into(),
            ),
            age(),
        ])
        .ruled_by(Rules);
    Resource {
        unconditional_update: false,
        ..resource
    }
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        driver::node(object)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        driver::node_update(new, old)
    }
}
