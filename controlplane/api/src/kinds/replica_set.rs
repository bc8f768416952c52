//! ReplicaSets.

use serde_json::{Value, json};

use super::cells::{self, label_selector};
use super::define::{age, kind, name, number, text};
use crate::field::FieldError;
use crate::read;
use crate::resource::{Resource, SelectableField};
use crate::strategy::{Context, Strategy};
use crate::validate::workload;

// Upstream's descriptions of columns, to the letter.
const SELECTOR_HELP: &str = "Selector is a label query over pods that should match the replica count. If the selector is empty, it is \
    defaulted to the labels present on the pod template. Label keys and values that must match in order to be \
    controlled by this replica set. More info: \
    https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors";

pub(super) fn resource() -> Resource {
    kind("apps", "v1", "ReplicaSet", "replicasets")
        .short(&["rs"])
        .in_category("all")
        .with_status()
        .with_scale()
        .shown_by(vec![
            name(),
            number(
                "Desired",
                "Replicas is the number of desired pods. This is a pointer to distinguish between explicit \
                 zero and unspecified. Defaults to 1. More info: \
                 https://kubernetes.io/docs/concepts/workloads/controllers/replicaset",
                |object, _| read::count(object, "spec.replicas").into(),
            ),
            number(
                "Current",
                "Replicas is the most recently observed number of non-terminating pods. More info: \
                 https://kubernetes.io/docs/concepts/workloads/controllers/replicaset",
                |object, _| read::count(object, "status.replicas").into(),
            ),
            number(
                "Ready",
                "The number of non-terminating pods targeted by this ReplicaSet with a Ready Condition.",
                |object, _| read::count(object, "status.readyReplicas").into(),
            ),
            age(),
            cells::template_containers(),
            cells::template_images(),
            text("Selector", SELECTOR_HELP, label_selector).wide(),
        ])
        .selected_by(vec![SelectableField::computed("status.replicas", |object| {
            read::count(object, "status.replicas").to_string()
        })])
        .ruled_by(Rules)
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn tracks_generation(&self) -> bool {
        true
    }

    fn prepare_create(&self, object: &mut Value, _: &Context) {
        crate::meta::object_mut(object).insert("status".to_owned(), json!({"replicas": 0}));
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        workload::replica_set(object)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = workload::replica_set(new);
        // Upstream looks at all of it once more.
        errors.extend(workload::replica_set(new));
        errors.extend(workload::selector_changed(new, old));
        errors
    }

    fn validate_status_update(&self, new: &Value, _: &Value) -> Vec<FieldError> {
        workload::replica_set_status(new)
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let mut warnings: Vec<String> = crate::validate::pod::warnings::of_name(new, old)
            .into_iter()
            .collect();
        warnings.extend(crate::validate::pod::warnings::of_template(new, old));
        warnings
    }
}
