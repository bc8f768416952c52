//! What `autoscaling/v1` has no fields for: metrics, their state, conditions and speeds, as JSON in annotations.
//!
//! Metrics are written in the form that v1 once had for them; speeds with the names of Go's fields, and
//! read in any case, since that is what upstream writes and reads. Members come in the order of Go's types.

use serde_json::{Map, Value, json};

use crate::read;
use crate::validate::inner_form::{self, EMPTY, Form, NULL, ZERO, as_in_json, holding, member, part};

pub(super) const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
pub(super) const CURRENT: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
pub(super) const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
pub(super) const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// Where a fact stands in v2, and where in v1's form: of a wish, and of a state.
struct Place {
    kind: &'static str,
    field: &'static str,
    wish: &'static [(&'static str, &'static str)],
    state: &'static [(&'static str, &'static str)],
}

const PLACES: [Place; 5] = [
    Place {
        kind: "Object",
        field: "object",
        wish: &[
            ("/describedObject", "target"),
            ("/metric/name", "metricName"),
            ("/metric/selector", "selector"),
            ("/target/value", "targetValue"),
            ("/target/averageValue", "averageValue"),
        ],
        state: &[
            ("/describedObject", "target"),
            ("/metric/name", "metricName"),
            ("/metric/selector", "selector"),
            ("/current/value", "currentValue"),
            ("/current/averageValue", "averageValue"),
        ],
    },
    Place {
        kind: "Pods",
        field: "pods",
        wish: &[
            ("/metric/name", "metricName"),
            ("/metric/selector", "selector"),
            ("/target/averageValue", "targetAverageValue"),
        ],
        state: &[
            ("/metric/name", "metricName"),
            ("/metric/selector", "selector"),
            ("/current/averageValue", "currentAverageValue"),
        ],
    },
    Place {
        kind: "Resource",
        field: "resource",
        wish: &OF_RESOURCE,
        state: &STATE_OF_RESOURCE,
    },
    Place {
        kind: "ContainerResource",
        field: "containerResource",
        wish: &OF_RESOURCE,
        state: &STATE_OF_RESOURCE,
    },
    Place {
        kind: "External",
        field: "external",
        wish: &[
            ("/metric/name", "metricName"),
            ("/metric/selector", "metricSelector"),
            ("/target/value", "targetValue"),
            ("/target/averageValue", "targetAverageValue"),
        ],
        state: &[
            ("/metric/name", "metricName"),
            ("/metric/selector", "metricSelector"),
            ("/current/value", "currentValue"),
            ("/current/averageValue", "currentAverageValue"),
        ],
    },
];
const OF_RESOURCE: [(&str, &str); 4] = [
    ("/name", "name"),
    ("/container", "container"),
    ("/target/averageUtilization", "targetAverageUtilization"),
    ("/target/averageValue", "targetAverageValue"),
];
const STATE_OF_RESOURCE: [(&str, &str); 4] = [
    ("/name", "name"),
    ("/container", "container"),
    ("/current/averageUtilization", "currentAverageUtilization"),
    ("/current/averageValue", "currentAverageValue"),
];

/// A metric of v2, or the state of one, in v1's form.
pub(super) fn to_v1(metric: &Value, is_state: bool) -> Value {
    let kind = read::text(metric, "type");
    let mut made = Map::new();
    made.insert("type".to_owned(), kind.into());
    for place in PLACES.iter().filter(|place| place.kind == kind) {
        let Some(source) = metric.get(place.field) else {
            continue;
        };
        let mut flat = Map::new();
        for (from, to) in facts(place, is_state) {
            if let Some(value) = source.pointer(from) {
                flat.insert((*to).to_owned(), value.clone());
            }
        }
        // Amounts that are no pointers in Go are written also where there is none.
        let always = match (place.field, is_state) {
            ("object", false) => Some("targetValue"),
            ("object" | "external", true) => Some("currentValue"),
            ("resource" | "containerResource" | "pods", true) => Some("currentAverageValue"),
            _ => None,
        };
        if let Some(field) = always {
            flat.entry(field).or_insert_with(|| "0".into());
        }
        made.insert(place.field.to_owned(), flat.into());
    }
    made.into()
}

/// The other way.
pub(super) fn to_v2(metric: &Value, is_state: bool) -> Value {
    let kind = read::text(metric, "type");
    let mut made = json!({"type": kind});
    for place in PLACES.iter().filter(|place| place.kind == kind) {
        let Some(flat) = metric.get(place.field) else {
            continue;
        };
        for (to, from) in facts(place, is_state) {
            let value = flat.get(*from).filter(|value| !value.is_null());
            if let Some(value) = value.filter(|value| !is_filler(value, from, flat)) {
                set(&mut made, place.field, to, value.clone());
            }
        }
        if !is_state {
            let target = aim(&made, place.field);
            set(&mut made, place.field, "/target/type", target.into());
        }
    }
    made
}

fn facts(place: &Place, is_state: bool) -> &'static [(&'static str, &'static str)] {
    if is_state { place.state } else { place.wish }
}

/// A zero that stands only because the field cannot be left out.
fn is_filler(value: &Value, field: &str, flat: &Value) -> bool {
    field == "targetValue"
        && value == "0"
        && flat.get("averageValue").is_some_and(|average| !average.is_null())
}

fn aim(made: &Value, field: &str) -> &'static str {
    let has = |value: &str| read::present(made, &format!("{field}.target.{value}"));
    match () {
        () if has("averageUtilization") => "Utilization",
        () if has("value") => "Value",
        () => "AverageValue",
    }
}

fn set(made: &mut Value, field: &str, place: &str, value: Value) {
    let mut at = crate::meta::member_mut(made, field);
    for part in place.trim_start_matches('/').split('/') {
        at = crate::meta::member_mut(at, part);
    }
    *at = value;
}

const REFERENCE: Form = &[as_in_json("kind"), as_in_json("name"), as_in_json("apiVersion")];

/// Of metrics, in the order of v1's types.
const WISHES: Form = &[
    as_in_json("type"),
    part(
        "object",
        &[
            part("target", REFERENCE),
            as_in_json("metricName"),
            as_in_json("targetValue"),
            as_in_json("selector"),
            as_in_json("averageValue"),
        ],
    ),
    part(
        "pods",
        &[
            as_in_json("metricName"),
            as_in_json("targetAverageValue"),
            as_in_json("selector"),
        ],
    ),
    part("resource", WISHED_RESOURCE),
    part("containerResource", WISHED_RESOURCE),
    part(
        "external",
        &[
            as_in_json("metricName"),
            as_in_json("metricSelector"),
            as_in_json("targetValue"),
            as_in_json("targetAverageValue"),
        ],
    ),
];
const WISHED_RESOURCE: Form = &[
    as_in_json("name"),
    as_in_json("targetAverageUtilization"),
    as_in_json("targetAverageValue"),
    as_in_json("container"),
];
const STATES: Form = &[
    as_in_json("type"),
    part(
        "object",
        &[
            part("target", REFERENCE),
            as_in_json("metricName"),
            as_in_json("currentValue"),
            as_in_json("selector"),
            as_in_json("averageValue"),
        ],
    ),
    part(
        "pods",
        &[
            as_in_json("metricName"),
            as_in_json("currentAverageValue"),
            as_in_json("selector"),
        ],
    ),
    part("resource", FOUND_RESOURCE),
    part("containerResource", FOUND_RESOURCE),
    part(
        "external",
        &[
            as_in_json("metricName"),
            as_in_json("metricSelector"),
            as_in_json("currentValue"),
            as_in_json("currentAverageValue"),
        ],
    ),
];
const FOUND_RESOURCE: Form = &[
    as_in_json("name"),
    as_in_json("currentAverageUtilization"),
    as_in_json("currentAverageValue"),
    as_in_json("container"),
];
const CONDITION: Form = &[
    as_in_json("type"),
    as_in_json("status"),
    member("lastTransitionTime", "lastTransitionTime", NULL),
    as_in_json("reason"),
    as_in_json("message"),
];
/// Of speeds, which are written by Go's inner types.
const SPEEDS: Form = &[
    holding("scaleUp", "ScaleUp", SCALING),
    holding("scaleDown", "ScaleDown", SCALING),
];
const SCALING: Form = &[
    member("stabilizationWindowSeconds", "StabilizationWindowSeconds", NULL),
    member("selectPolicy", "SelectPolicy", NULL),
    holding("policies", "Policies", POLICY),
    member("tolerance", "Tolerance", NULL),
];
const POLICY: Form = &[
    member("type", "Type", EMPTY),
    member("value", "Value", ZERO),
    member("periodSeconds", "PeriodSeconds", ZERO),
];

/// The text of the annotation `name`.
pub(super) fn written(name: &str, told: &Value) -> String {
    let form = match name {
        METRICS => WISHES,
        CURRENT => STATES,
        CONDITIONS => CONDITION,
        _ => SPEEDS,
    };
    inner_form::text(told, form)
}

/// Speeds with the names that they have in v2, and without what is null.
pub(super) fn lower(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| {
                let mut letters = key.chars();
                let first = letters.next().map(|first| first.to_ascii_lowercase());
                let key: String = first.into_iter().chain(letters).collect();
                (key, lower(value))
            })
            .collect::<Map<String, Value>>()
            .into(),
        Value::Array(list) => list.iter().map(lower).collect(),
        other => other.clone(),
    }
}
