//! PriorityLevelConfigurations.

use serde_json::{Value, json};

use super::cells::NONE;
use super::define::{age, field, kind, name, text};
use crate::field::FieldError;
use crate::meta;
use crate::resource::{Resource, at};
use crate::strategy::{Context, Strategy};
use crate::validate::flow::{self, level};

pub(super) fn resource() -> Resource {
    kind(
        "flowcontrol.apiserver.k8s.io",
        "v1",
        "PriorityLevelConfiguration",
        "prioritylevelconfigurations",
    )
    .cluster_wide()
    .with_status()
    .shown_by(vec![
        name(),
        field(
            "Type",
            "spec.type",
            "`type` indicates whether this priority level is subject to limitation on request execution.",
        ),
        text(
            "NominalConcurrencyShares",
            "`nominalConcurrencyShares` (NCS) contributes to the computation of the NominalConcurrencyLimit (NominalCL) of \
             this level. This is the number of execution seats available at this priority level.",
            |object, _| or_none(object, "spec.limited.nominalConcurrencyShares"),
        ),
        text(
            "Queues",
            "`queues` is the number of queues for this priority level.",
            |object, _| or_none(object, "spec.limited.limitResponse.queuing.queues"),
        ),
        text(
            "HandSize",
            "`handSize` is a small positive number that configures the shuffle sharding of requests into queues.",
            |object, _| or_none(object, "spec.limited.limitResponse.queuing.handSize"),
        ),
        text(
            "QueueLengthLimit",
            "`queueLengthLimit` is the maximum number of requests allowed to be waiting in a given queue of this priority \
             level at a time; excess requests are rejected.",
            |object, _| or_none(object, "spec.limited.limitResponse.queuing.queueLengthLimit"),
        ),
        age(),
    ])
    .ruled_by(Rules)
}

fn or_none(object: &Value, path: &str) -> Value {
    at(object, path)
        .filter(|number| !number.is_null())
        .cloned()
        .unwrap_or_else(|| NONE.into())
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn tracks_generation(&self) -> bool {
        true
    }

    fn prepare_create(&self, object: &mut Value, _: &Context) {
        meta::object_mut(object).insert("status".to_owned(), json!({}));
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        level::level(object)
    }

    fn validate_status_update(&self, new: &Value, _: &Value) -> Vec<FieldError> {
        flow::conditions(new)
    }
}
