//! Deployments.

use jiff::Timestamp;
use serde_json::Value;

use super::cells;
use super::define::{age, kind, name, text};
use crate::field::FieldError;
use crate::read;
use crate::resource::{Column, Resource, at};
use crate::selector::LabelSelector;
use crate::strategy::{Context, Strategy, keep};
use crate::validate::workload;

pub(super) fn resource() -> Resource {
    kind("apps", "v1", "Deployment", "deployments")
        .short(&["deploy"])
        .in_category("all")
        .with_status()
        .with_scale()
        .shown_by(columns())
        .ruled_by(Rules)
}

fn columns() -> Vec<Column> {
    vec![
        name(),
        text("Ready", "Number of the pod with ready state", ready),
        text("Up-to-date", "Total number of non-terminating pods targeted by this deployment that have the desired template spec.", |object, _| {
            read::count(object, "status.updatedReplicas").into()
        }),
        text("Available", "Total number of available non-terminating pods (ready for at least minReadySeconds) targeted by this deployment.", |object, _| {
            read::count(object, "status.availableReplicas").into()
        }),
        age(),
        cells::template_containers(),
        cells::template_images(),
        text("Selector", "Label selector for pods. Existing ReplicaSets whose pods are selected by this will be the ones affected by this deployment.", selector).wide(),
    ]
}

/// Unlike other kinds, one that selects everything shows nothing.
fn selector(object: &Value, _: Timestamp) -> Value {
    let selector = at(object, "spec.selector").unwrap_or(&Value::Null);
    match LabelSelector::from_json(selector) {
        Ok(selector) => selector.to_string().into(),
        Err(_) => "<invalid>".into(),
    }
}

fn ready(object: &Value, _: Timestamp) -> Value {
    let (ready, wanted) = (
        read::count(object, "status.readyReplicas"),
        read::count(object, "spec.replicas"),
    );
    format!("{ready}/{wanted}").into()
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn tracks_generation(&self) -> bool {
        true
    }

    fn generation_moves(&self, new: &Value, old: &Value) -> bool {
        let annotations = |object: &Value| crate::meta::annotations(object);
        new.get("spec") != old.get("spec") || annotations(new) != annotations(old)
    }

    fn prepare_create(&self, object: &mut Value, _: &Context) {
        crate::meta::object_mut(object).insert("status".to_owned(), serde_json::json!({}));
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _: &Context) {
        keep(new, old, "status");
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        workload::deployment(object)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = workload::deployment(new);
        errors.extend(workload::selector_changed(new, old));
        errors
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        workload::deployment_status(new, old)
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let mut warnings: Vec<String> = crate::validate::pod::warnings::of_name(new, old)
            .into_iter()
            .collect();
        warnings.extend(crate::validate::pod::warnings::of_template(new, old));
        warnings
    }
}
