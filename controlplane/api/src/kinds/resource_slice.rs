//! ResourceSlices.

use serde_json::Value;

use super::define::{age, field, kind, name};
use super::device_class::GROUP;
use crate::field::{FieldError, quote};
use crate::read;
use crate::resource::{Resource, SelectableField};
use crate::strategy::{Context, Strategy};
use crate::time;
use crate::validate::device::slice;

// Upstream's descriptions of columns, to the letter.
const NODE_HELP: &str = "NodeName identifies the node which provides the resources in this pool. A field selector can be used to list \
    only ResourceSlice objects belonging to a certain node.\n\nThis field can be used to limit access from nodes \
    to ResourceSlices with the same node name. It also indicates to autoscalers that adding new nodes of the \
    same type as some old node might also make new resources available.\n\nExactly one of NodeName, \
    NodeSelector, AllNodes, and PerDeviceNodeSelection must be set. This field is immutable.";
const DRIVER_HELP: &str = "Driver identifies the DRA driver providing the capacity information. A field selector can be used to list \
    only ResourceSlice objects with a certain driver name.\n\nMust be a DNS subdomain and should end with a DNS \
    domain owned by the vendor of the driver. It should use only lower case characters. This field is immutable.";

pub(super) fn resource() -> Resource {
    kind(GROUP, "v1", "ResourceSlice", "resourceslices")
        .cluster_wide()
        .shown_by(vec![
            name(),
            field("Node", "spec.nodeName", NODE_HELP),
            field("Driver", "spec.driver", DRIVER_HELP),
            field(
                "Pool",
                "spec.pool.name",
                "Name is used to identify the pool. For node-local devices, this is often the node name, but \
                 this is not required.\n\nIt must not be longer than 253 characters and must consist of one \
                 or more DNS sub-domains separated by slashes. This field is immutable.",
            ),
            age(),
        ])
        .selected_by(vec![
            SelectableField::path("spec.nodeName"),
            SelectableField::path("spec.driver"),
        ])
        .ruled_by(Rules)
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn tracks_generation(&self) -> bool {
        true
    }

    fn prepare_create(&self, object: &mut Value, context: &Context) {
        stamp_taints(object, context);
    }

    fn prepare_update(&self, new: &mut Value, _: &Value, context: &Context) {
        stamp_taints(new, context);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        slice::slice(object, None)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        slice::slice(new, Some(old))
    }

    fn warnings(&self, new: &Value, _: Option<&Value>) -> Vec<String> {
        let driver = read::text(new, "spec.driver");
        let upper = driver.to_lowercase() != driver;
        let warning = upper.then(|| {
            let driver = quote(driver);
            format!("spec.driver: driver names should be lowercase; {driver} contains uppercase characters")
        });
        warning.into_iter().collect()
    }
}

/// A taint that does not say since when it is there is so from now on.
fn stamp_taints(object: &mut Value, context: &Context) {
    let devices = object.pointer_mut("/spec/devices").and_then(Value::as_array_mut);
    let taints = devices.into_iter().flatten().filter_map(|device| {
        let taints = device.get_mut("taints")?;
        taints.as_array_mut()
    });
    for taint in taints.flatten().filter_map(Value::as_object_mut) {
        if taint.get("timeAdded").is_none_or(Value::is_null) {
            taint.insert("timeAdded".to_owned(), time::format(context.now).into());
        }
    }
}
