//! DaemonSets.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cells::{self, label_selector, map_text};
use super::define::{age, kind, name, number, text};
use crate::field::FieldError;
use crate::meta;
use crate::read;
use crate::resource::{Column, Resource};
use crate::strategy::{Context, Strategy, keep};
use crate::validate::{daemon_set, pod, workload};

/// Counts changes of the template; a field of the kind's first version, kept as an annotation.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

pub(super) fn resource() -> Resource {
    kind("apps", "v1", "DaemonSet", "daemonsets")
        .short(&["ds"])
        .in_category("all")
        .with_status()
        .shown_by(columns())
        .ruled_by(Rules)
}

fn columns() -> Vec<Column> {
    vec![
        name(),
        number(
            "Desired",
            "The total number of nodes that should be running the daemon pod (including nodes correctly \
             running the daemon pod). More info: \
             https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/",
            |object, _| read::count(object, "status.desiredNumberScheduled").into(),
        ),
        number(
            "Current",
            "The number of nodes that are running at least 1 daemon pod and are supposed to run the daemon \
             pod. More info: https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/",
            |object, _| read::count(object, "status.currentNumberScheduled").into(),
        ),
        number(
            "Ready",
            "Total number of nodes that should be running the daemon pod and have one or more of the daemon \
             pod running with a Ready Condition by passing the readinessProbe.",
            |object, _| read::count(object, "status.numberReady").into(),
        ),
        number(
            "Up-to-date",
            "The total number of nodes that are running updated daemon pod",
            |object, _| read::count(object, "status.updatedNumberScheduled").into(),
        ),
        number(
            "Available",
            "The number of nodes that should be running the daemon pod and have one or more of the daemon pod \
             running and available (ready for at least spec.minReadySeconds)",
            |object, _| read::count(object, "status.numberAvailable").into(),
        ),
        text(
            "Node Selector",
            "NodeSelector is a selector which must be true for the pod to fit on a node. Selector which must \
             match a node's labels for the pod to be scheduled on that node. More info: \
             https://kubernetes.io/docs/concepts/configuration/assign-pod-node/",
            node_selector,
        ),
        age(),
        cells::template_containers(),
        cells::template_images(),
        text(
            "Selector",
            "A label query over pods that are managed by the daemon set. Must match in order to be \
             controlled. If empty, defaulted to labels on Pod template. More info: \
             https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors",
            label_selector,
        )
        .wide(),
    ]
}

fn node_selector(object: &Value, _: Timestamp) -> Value {
    map_text(object, "spec.template.spec.nodeSelector")
}

fn template_generation(object: &Value) -> i64 {
    let annotations = meta::annotations(object);
    let count = annotations.get(TEMPLATE_GENERATION);
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

fn set_template_generation(object: &mut Value, count: i64) {
    let annotations = meta::metadata_mut(object)
        .entry("annotations")
        .or_insert(Value::Null);
    meta::object_mut(annotations).insert(TEMPLATE_GENERATION.to_owned(), count.to_string().into());
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn tracks_generation(&self) -> bool {
        true
    }

    fn prepare_create(&self, object: &mut Value, _: &Context) {
        let empty = json!({
            "currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0,
        });
        meta::object_mut(object).insert("status".to_owned(), empty);
        let count = template_generation(object).max(1);
        set_template_generation(object, count);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _: &Context) {
        keep(new, old, "status");
        let template = |object: &Value| crate::resource::at(object, "spec.template").cloned();
        let changed = template(new) != template(old);
        set_template_generation(new, template_generation(old) + i64::from(changed));
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        daemon_set::daemon_set(object)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = daemon_set::daemon_set(new);
        // Upstream looks at all of it once more.
        errors.extend(daemon_set::daemon_set(new));
        errors.extend(workload::selector_changed(new, old));
        errors
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        daemon_set::status(new, old)
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let template = |object| crate::resource::at(object, "spec.template");
        if old.is_some_and(|old| template(old) == template(new)) {
            return Vec::new();
        }
        pod::warnings::of_template(new, None)
    }
}
