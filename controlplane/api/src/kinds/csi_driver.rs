//! CSIDrivers.

use jiff::Timestamp;
use serde_json::Value;

use super::cells::{flag, or_none};
use super::define::{age, kind, name, text};
use crate::field::FieldError;
use crate::names::{self, NameCheck};
use crate::read;
use crate::resource::Resource;
use crate::strategy::Strategy;
use crate::validate::storage::driver;

pub(super) fn resource() -> Resource {
    let resource = kind("storage.k8s.io", "v1", "CSIDriver", "csidrivers")
        .cluster_wide()
        .shown_by(vec![
            name(),
            flag(
                "AttachRequired",
                "attachRequired indicates this CSI volume driver requires an attach operation (because it implements the \
                 CSI ControllerPublishVolume() method).",
                |object, _| is_set(object, "attachRequired", true),
            ),
            flag(
                "PodInfoOnMount",
                "podInfoOnMount indicates this CSI volume driver requires additional pod information (like podName, \
                 podUID, etc.) during mount operations, if set to true.",
                |object, _| is_set(object, "podInfoOnMount", false),
            ),
            flag(
                "StorageCapacity",
                "storageCapacity indicates that the CSI volume driver wants pod scheduling to consider the storage \
                 capacity that the driver deployment will report by creating CSIStorageCapacity objects with capacity \
                 information, if set to true.",
                |object, _| is_set(object, "storageCapacity", false),
            ),
            text(
                "TokenRequests",
                "tokenRequests indicates the CSI driver needs pods' service account tokens it is mounting volume for to \
                 do necessary authentication.",
                audiences,
            ),
            flag(
                "RequiresRepublish",
                "requiresRepublish indicates the CSI driver wants `NodePublishVolume` being periodically called to \
                 reflect any possible change in the mounted volume.",
                |object, _| is_set(object, "requiresRepublish", false),
            ),
            text(
                "Modes",
                "volumeLifecycleModes defines what kind of volumes this CSI volume driver supports.",
                |object, _| or_none(&read::texts(object, "spec.volumeLifecycleModes").join(",")),
            ),
            age(),
        ])
        .ruled_by(Rules);
    Resource {
        unconditional_update: false,
        ..resource
    }
}

fn is_set(object: &Value, field: &str, default: bool) -> Value {
    let found = object.get("spec").and_then(|spec| spec.get(field));
    found.and_then(Value::as_bool).unwrap_or(default).into()
}

fn audiences(object: &Value, _: Timestamp) -> Value {
    if !read::present(object, "spec.tokenRequests") {
        return "<unset>".into();
    }
    let requests = read::list(object, "spec.tokenRequests").iter();
    let audiences: Vec<&str> = requests.map(|request| read::text(request, "audience")).collect();
    audiences.join(",").into()
}

/// A driver's name has rules of its own, and its errors another path.
#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn name_check(&self) -> NameCheck {
        names::path_segment
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        driver::driver(object)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        driver::driver_update(new, old)
    }
}
