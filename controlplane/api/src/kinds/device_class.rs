//! DeviceClasses.

use serde_json::Value;

use super::define::kind;
use crate::field::FieldError;
use crate::resource::Resource;
use crate::strategy::Strategy;
use crate::validate::device;

pub(super) const GROUP: &str = "resource.k8s.io";

pub(super) fn resource() -> Resource {
    kind(GROUP, "v1", "DeviceClass", "deviceclasses")
        .cluster_wide()
        .ruled_by(Rules)
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn tracks_generation(&self) -> bool {
        true
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        device::class(object)
    }
}
