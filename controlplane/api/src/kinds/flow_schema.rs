//! FlowSchemas.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cells::or_none;
use super::define::{age, field, kind, name, text};
use crate::field::FieldError;
use crate::meta;
use crate::read;
use crate::resource::Resource;
use crate::strategy::{Context, Strategy};
use crate::validate::flow;

// Upstream's descriptions of columns, to the letter.
const MATCHING_PRECEDENCE_HELP: &str = "`matchingPrecedence` is used to choose among the FlowSchemas that match a given request. The chosen \
    FlowSchema is among those with the numerically lowest (which we take to be logically highest) \
    MatchingPrecedence.  Each MatchingPrecedence value must be ranged in [1,10000]. Note that if the precedence \
    is not specified, it will be set to 1000 as default.";

pub(super) fn resource() -> Resource {
    kind("flowcontrol.apiserver.k8s.io", "v1", "FlowSchema", "flowschemas")
        .cluster_wide()
        .with_status()
        .rows_by(|object| read::count(object, "spec.matchingPrecedence"))
        .shown_by(vec![
            name(),
            field(
                "PriorityLevel",
                "spec.priorityLevelConfiguration.name",
                "`name` is the name of the priority level configuration being referenced Required.",
            ),
            text(
                "MatchingPrecedence",
                MATCHING_PRECEDENCE_HELP,
                |object, _| read::count(object, "spec.matchingPrecedence").into(),
            ),
            text(
                "DistinguisherMethod",
                "`distinguisherMethod` defines how to compute the flow distinguisher for requests that match this schema. \
                 `nil` specifies that the distinguisher is disabled and thus will always be the empty string.",
                |object, _| or_none(read::text(object, "spec.distinguisherMethod.type")),
            ),
            age(),
            text(
                "MissingPL",
                "references a broken or non-existent PriorityLevelConfiguration",
                dangling,
            ),
        ])
        .ruled_by(Rules)
}

fn dangling(object: &Value, _: Timestamp) -> Value {
    read::condition(object, "Dangling")
        .map_or("?", |condition| read::text(condition, "status"))
        .into()
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
        flow::schema(object)
    }

    fn validate_status_update(&self, new: &Value, _: &Value) -> Vec<FieldError> {
        flow::conditions(new)
    }
}
