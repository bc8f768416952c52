//! `autoscaling/v1` to v2 and back, without loss.

use serde_json::{Map, Value, json};

use super::annotations::{self, BEHAVIOR, CONDITIONS, CURRENT, METRICS};
use crate::meta;
use crate::read;
use crate::resource::at;

/// The share of CPU that an autoscaler without metrics holds.
const DEFAULT_SHARE: i64 = 80;

fn cpu(share: &Value) -> Value {
    let target = json!({"type": "Utilization", "averageUtilization": share});
    json!({"type": "Resource", "resource": {"name": "cpu", "target": target}})
}

fn is_cpu_share(metric: &Value, share: &str) -> bool {
    read::text(metric, "type") == "Resource"
        && read::text(metric, "resource.name") == "cpu"
        && read::present(metric, share)
}

/// Into the stored form.
pub(super) fn to_v2(object: &mut Value) {
    let mut told = take_annotations(object);
    let map = meta::object_mut(object);
    map.insert("apiVersion".to_owned(), "autoscaling/v2".into());
    let spec = meta::object_mut(map.entry("spec").or_insert(Value::Null));
    let share = spec.remove("targetCPUUtilizationPercentage");
    let share = share.filter(|share| !share.is_null());
    let mut metrics: Vec<Value> = match told.remove(METRICS) {
        Some(Value::Array(others)) => others
            .iter()
            .map(|metric| annotations::to_v2(metric, false))
            .collect(),
        _ => Vec::new(),
    };
    // Behind the others, as upstream has it.
    metrics.extend(share.iter().map(cpu));
    if metrics.is_empty() {
        metrics.push(cpu(&DEFAULT_SHARE.into()));
    }
    spec.insert("metrics".to_owned(), metrics.into());
    if let Some(behavior) = told.remove(BEHAVIOR).filter(Value::is_object) {
        spec.insert("behavior".to_owned(), annotations::lower(&behavior));
    }
    if let Some(status) = map.get_mut("status") {
        status_to_v2(meta::object_mut(status), &mut told);
    }
}

fn status_to_v2(status: &mut Map<String, Value>, told: &mut Map<String, Value>) {
    let share = status
        .remove("currentCPUUtilizationPercentage")
        .filter(|share| !share.is_null());
    let current = match (told.remove(CURRENT), share) {
        (Some(Value::Array(states)), _) => states
            .iter()
            .map(|state| annotations::to_v2(state, true))
            .collect(),
        (_, Some(share)) => {
            let current = json!({"averageUtilization": share});
            json!([{"type": "Resource", "resource": {"name": "cpu", "current": current}}])
        }
        (_, None) => Value::Null,
    };
    status.insert("currentMetrics".to_owned(), current);
    if let Some(conditions @ Value::Array(_)) = told.remove(CONDITIONS) {
        status.insert("conditions".to_owned(), annotations::lower(&conditions));
    }
}

/// The JSON in the annotations that stand for fields, which go.
fn take_annotations(object: &mut Value) -> Map<String, Value> {
    let mut told = Map::new();
    let metadata = meta::metadata_mut(object);
    let Some(all) = metadata.get_mut("annotations").and_then(Value::as_object_mut) else {
        return told;
    };
    for name in [METRICS, CURRENT, CONDITIONS, BEHAVIOR] {
        let text = all.remove(name);
        let parsed = text
            .as_ref()
            .and_then(Value::as_str)
            .and_then(|text| serde_json::from_str(text).ok());
        told.extend(parsed.map(|value: Value| (name.to_owned(), value)));
    }
    if all.is_empty() {
        metadata.remove("annotations");
    }
    told
}

/// Out of the stored form.
pub(super) fn to_v1(object: &mut Value) {
    let metrics = read::list(object, "spec.metrics").to_vec();
    let states = read::list(object, "status.currentMetrics").to_vec();
    let share = "resource.target.averageUtilization";
    let (plain, others): (Vec<&Value>, Vec<&Value>) =
        metrics.iter().partition(|metric| is_cpu_share(metric, share));
    let conditions = at(object, "status.conditions").cloned();
    let behavior = at(object, "spec.behavior")
        .filter(|behavior| !behavior.is_null())
        .cloned();
    let mut told: Vec<(&str, Value)> = Vec::new();
    if !others.is_empty() {
        let flat = others.iter().map(|metric| annotations::to_v1(metric, false));
        told.push((METRICS, flat.collect()));
    }
    if !states.is_empty() {
        let flat = states.iter().map(|state| annotations::to_v1(state, true));
        told.push((CURRENT, flat.collect()));
    }
    told.extend(
        conditions
            .filter(|conditions| conditions.as_array().is_some_and(|all| !all.is_empty()))
            .map(|conditions| (CONDITIONS, conditions)),
    );
    told.extend(behavior.map(|behavior| (BEHAVIOR, behavior)));
    let wanted = plain.first().and_then(|metric| at(metric, share)).cloned();
    let current = "resource.current.averageUtilization";
    let found = states
        .iter()
        .find(|state| is_cpu_share(state, current))
        .and_then(|state| at(state, current))
        .cloned();
    rewrite(object, wanted, found);
    tell(object, told);
}

fn rewrite(object: &mut Value, wanted: Option<Value>, found: Option<Value>) {
    let map = meta::object_mut(object);
    map.insert("apiVersion".to_owned(), "autoscaling/v1".into());
    if let Some(spec) = map.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("metrics");
        spec.remove("behavior");
        spec.extend(wanted.map(|share| ("targetCPUUtilizationPercentage".to_owned(), share)));
    }
    if let Some(status) = map.get_mut("status").and_then(Value::as_object_mut) {
        status.remove("currentMetrics");
        status.remove("conditions");
        status.extend(found.map(|share| ("currentCPUUtilizationPercentage".to_owned(), share)));
        for field in ["currentReplicas", "desiredReplicas"] {
            status.entry(field).or_insert_with(|| 0.into());
        }
    }
}

fn tell(object: &mut Value, told: Vec<(&str, Value)>) {
    if told.is_empty() {
        return;
    }
    let entry = meta::metadata_mut(object)
        .entry("annotations")
        .or_insert(Value::Null);
    let all = meta::object_mut(entry);
    for (name, value) in told {
        all.insert(name.to_owned(), annotations::written(name, &value).into());
    }
}
