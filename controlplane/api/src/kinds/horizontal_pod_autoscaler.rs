//! HorizontalPodAutoscalers, which two versions of one group serve from one store.

mod annotations;
mod convert;
mod targets;

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::define::{age, body, kind, name, text};
use crate::field::FieldError;
use crate::meta;
use crate::read;
use crate::resource::{Column, Resource, Storage};
use crate::strategy::{Context, Strategy};
use crate::validate::autoscaler;

// Upstream's descriptions of columns, to the letter.
const TARGETS_HELP: &str = "metrics contains the specifications for which to use to calculate the desired replica count (the maximum \
    replica count across all metrics will be used).  The desired replica count is calculated multiplying the \
    ratio between the target value and the current value by the current number of pods.  Ergo, metrics used must \
    decrease as the pod count is increased, and vice-versa.  See the individual metric source types for more \
    information about how each type of metric must respond.";
const MIN_PODS_HELP: &str = "minReplicas is the lower limit for the number of replicas to which the autoscaler can scale down.  It \
    defaults to 1 pod.  minReplicas is allowed to be 0 if the alpha feature gate HPAScaleToZero is enabled and \
    at least one Object or External metric is configured.  Scaling is active as long as at least one metric \
    value is available.";

/// `autoscaling/v1`: knows the use of CPU; the rest is in annotations.
pub(super) fn v1() -> Resource {
    let storage = Storage {
        form: body("autoscaling", "v2", "HorizontalPodAutoscaler"),
        resource: Cow::Borrowed("horizontalpodautoscalers"),
        encode: convert::to_v2,
        decode: convert::to_v1,
    };
    Resource {
        storage: Some(storage),
        ..version("v1")
    }
}

/// `autoscaling/v2`: also the stored form.
pub(super) fn v2() -> Resource {
    version("v2")
}

fn version(version: &'static str) -> Resource {
    kind(
        "autoscaling",
        version,
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
    )
    .short(&["hpa"])
    .in_category("all")
    .with_status()
    .shown_by(columns())
    .ruled_by(Rules)
}

fn columns() -> Vec<Column> {
    vec![
        name(),
        text(
            "Reference",
            "scaleTargetRef points to the target resource to scale, and is used to the pods for which metrics should be collected, as well as to actually change the replica count.",
            |object, _| {
                let part = |field| read::text(object, field);
                format!(
                    "{}/{}",
                    part("spec.scaleTargetRef.kind"),
                    part("spec.scaleTargetRef.name")
                )
                .into()
            },
        ),
        text("Targets", TARGETS_HELP, |object, _| targets::shown(object).into()),
        text("MinPods", MIN_PODS_HELP, min_pods),
        text(
            "MaxPods",
            "maxReplicas is the upper limit for the number of replicas to which the autoscaler can scale up. \
             It cannot be less that minReplicas.",
            |object, _| read::count(object, "spec.maxReplicas").into(),
        ),
        text(
            "Replicas",
            "currentReplicas is current number of replicas of pods managed by this autoscaler, as last seen by the autoscaler.",
            |object, _| read::count(object, "status.currentReplicas").into(),
        ),
        age(),
    ]
}

fn min_pods(object: &Value, _: Timestamp) -> Value {
    match read::integer(object, "spec.minReplicas") {
        Some(least) => least.to_string().into(),
        None => "<unset>".into(),
    }
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn prepare_create(&self, object: &mut Value, _: &Context) {
        let empty = json!({"currentMetrics": null, "desiredReplicas": 0});
        meta::object_mut(object).insert("status".to_owned(), empty);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        autoscaler::create(object)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        autoscaler::update(new, old)
    }

    fn validate_status_update(&self, new: &Value, _: &Value) -> Vec<FieldError> {
        autoscaler::status(new)
    }
}

#[cfg(test)]
mod tests;
