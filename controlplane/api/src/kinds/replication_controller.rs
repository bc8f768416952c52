//! ReplicationControllers: ReplicaSets of before.

use serde_json::{Value, json};

use super::cells::{self, map_selector};
use super::define::{age, kind, name, number, text};
use crate::field::FieldError;
use crate::meta;
use crate::read;
use crate::resource::{Column, Resource, SelectableField};
use crate::strategy::{Context, Strategy};
use crate::validate::{pod, replication_controller, workload};

// Upstream's descriptions of columns, to the letter.
const SELECTOR_HELP: &str = "Selector is a label query over pods that should match the Replicas count. If Selector is empty, it is \
    defaulted to the labels present on the Pod template. Label keys and values that must match in order to be \
    controlled by this replication controller, if empty defaulted to labels on Pod template. More info: \
    https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors";

pub(super) fn resource() -> Resource {
    kind("", "v1", "ReplicationController", "replicationcontrollers")
        .short(&["rc"])
        .in_category("all")
        .with_status()
        .with_scale()
        .shown_by(columns())
        .selected_by(vec![SelectableField::computed("status.replicas", |object| {
            read::count(object, "status.replicas").to_string()
        })])
        .ruled_by(Rules)
}

fn columns() -> Vec<Column> {
    vec![
        name(),
        number(
            "Desired",
            "Replicas is the number of desired replicas. This is a pointer to distinguish between explicit \
             zero and unspecified. Defaults to 1. More info: \
             https://kubernetes.io/docs/concepts/workloads/controllers/replicationcontroller#what-is-a-replicationcontroller",
            |object, _| read::count(object, "spec.replicas").into(),
        ),
        number(
            "Current",
            "Replicas is the most recently observed number of replicas. More info: \
             https://kubernetes.io/docs/concepts/workloads/controllers/replicationcontroller#what-is-a-replicationcontroller",
            |object, _| read::count(object, "status.replicas").into(),
        ),
        number(
            "Ready",
            "The number of ready replicas for this replication controller.",
            |object, _| read::count(object, "status.readyReplicas").into(),
        ),
        age(),
        cells::template_containers(),
        cells::template_images(),
        text("Selector", SELECTOR_HELP, map_selector).wide(),
    ]
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn tracks_generation(&self) -> bool {
        true
    }

    fn prepare_create(&self, object: &mut Value, _: &Context) {
        meta::object_mut(object).insert("status".to_owned(), json!({"replicas": 0}));
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        replication_controller::replication_controller(object)
    }

    fn validate_update(&self, new: &Value, _: &Value) -> Vec<FieldError> {
        // Upstream looks at all of it twice.
        let once = replication_controller::replication_controller(new);
        [once.clone(), once].concat()
    }

    fn validate_status_update(&self, new: &Value, _: &Value) -> Vec<FieldError> {
        workload::replica_set_status(new)
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let mut warnings: Vec<String> = pod::warnings::of_name(new, old).into_iter().collect();
        warnings.extend(pod::warnings::of_template(new, old));
        warnings
    }
}
