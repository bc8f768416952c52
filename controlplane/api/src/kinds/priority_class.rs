//! PriorityClasses.

use serde_json::{Value, json};

use super::cells::flag;
use super::define::{age, field, kind, name, number};
use crate::field::FieldError;
use crate::read;
use crate::resource::Resource;
use crate::strategy::Strategy;
use crate::validate::scheduling;

pub(super) fn resource() -> Resource {
    let default_help = "globalDefault specifies whether this PriorityClass should be considered as the default priority for \
        pods that do not have any priority class. Only one PriorityClass can be marked as `globalDefault`. However, if \
        more than one PriorityClasses exists with their `globalDefault` field set to true, the smallest value of such \
        global default PriorityClasses will be used as the default priority.";
    let value_help = "value represents the integer value of this priority class. This is the actual priority that pods \
        receive when they have the name of this class in their pod spec.";
    kind("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses")
        .cluster_wide()
        .short(&["pc"])
        .shown_by(vec![
            name(),
            number("Value", value_help, |object, _| {
                read::count(object, "value").into()
            }),
            flag("Global-Default", default_help, |object, _| {
                read::flag(object, "globalDefault").into()
            }),
            age(),
            field(
                "PreemptionPolicy",
                "preemptionPolicy",
                "preemptionPolicy is the Policy for preempting pods with lower priority. One of Never, \
                 PreemptLowerPriority. Defaults to PreemptLowerPriority if unset.",
            ),
        ])
        .ruled_by(Rules)
}

/// The classes of pods without which a cluster or a node does not work; every cluster has them.
#[must_use]
pub fn system() -> [Value; 2] {
    let class = |name: &str, value: i64, description: &str| {
        json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
            "value": value, "description": description,
        })
    };
    let [node, cluster] = scheduling::SYSTEM;
    [
        class(
            node.0,
            node.1,
            "Used for system critical pods that must not be moved from their current node.",
        ),
        class(
            cluster.0,
            cluster.1,
            "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
        ),
    ]
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn tracks_generation(&self) -> bool {
        true
    }

    // What generation counts never changes; the first stays.
    fn generation_moves(&self, _: &Value, _: &Value) -> bool {
        false
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        scheduling::priority_class(object)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        scheduling::priority_class_update(new, old)
    }
}
