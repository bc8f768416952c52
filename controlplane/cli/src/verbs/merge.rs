//! The three-way merge of client-side apply, without a schema.

use serde_json::{Map, Value};

/// Where kubectl and we keep what was applied last.
pub(crate) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What `live` should become: `wanted` laid over it, without what `last` had and `wanted` has no longer.
///
/// Elements of lists are matched by `name`, or else, where the lists are equally long, by position, so that what the
/// server filled in (defaults, node ports) survives; named elements that others added stay. Other lists are replaced.
pub(crate) fn three_way(last: Option<&Value>, wanted: &Value, live: &Value) -> Value {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => {
            Value::Object(merge_objects(last.and_then(Value::as_object), wanted, live))
        }
        (Value::Array(wanted), Value::Array(live)) => {
            merge_lists(last.and_then(Value::as_array), wanted, live)
        }
        _ => wanted.clone(),
    }
}

fn merge_objects(
    last: Option<&Map<String, Value>>,
    wanted: &Map<String, Value>,
    live: &Map<String, Value>,
) -> Map<String, Value> {
    let dropped =
        |name: &String| !wanted.contains_key(name) && last.is_some_and(|last| last.contains_key(name));
    let mut merged: Map<String, Value> = live
        .iter()
        .filter(|(name, _)| !dropped(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    for (name, value) in wanted {
        if value.is_null() {
            merged.remove(name);
            continue;
        }
        let last = last.and_then(|last| last.get(name));
        let value = match live.get(name) {
            Some(live) => three_way(last, value, live),
            None => value.clone(),
        };
        merged.insert(name.clone(), value);
    }
    merged
}

fn merge_lists(last: Option<&Vec<Value>>, wanted: &[Value], live: &[Value]) -> Value {
    let named = !wanted.is_empty() && wanted.iter().all(|element| name(element).is_some());
    let by_position = wanted.len() == live.len() && wanted.iter().all(Value::is_object);
    let counterpart = |list: &[Value], at: usize, element: &Value| -> Option<Value> {
        if named {
            return list.iter().find(|other| name(other) == name(element)).cloned();
        }
        list.get(at).filter(|_| by_position).cloned()
    };
    let merged = wanted.iter().enumerate().map(|(at, element)| {
        let before = last.and_then(|last| counterpart(last, at, element));
        match counterpart(live, at, element) {
            Some(live) => three_way(before.as_ref(), element, &live),
            None => element.clone(),
        }
    });
    let mut merged: Vec<Value> = merged.collect();
    if named {
        let known = |element: &&Value| {
            let same = |other: &Value| name(other) == name(element);
            wanted.iter().any(same) || last.is_some_and(|last| last.iter().any(same))
        };
        merged.extend(live.iter().filter(|element| !known(element)).cloned());
    }
    Value::Array(merged)
}

fn name(element: &Value) -> Option<&str> {
    element.get("name").and_then(Value::as_str)
}

/// The JSON merge patch (RFC 7386) that turns `from` into `to`; none where they are equal.
pub(crate) fn patch(from: &Value, to: &Value) -> Option<Value> {
    if from == to {
        return None;
    }
    let (Value::Object(old), Value::Object(new)) = (from, to) else {
        return Some(to.clone());
    };
    let removed = old
        .keys()
        .filter(|name| !new.contains_key(*name))
        .map(|name| (name.clone(), Value::Null));
    let changed = new.iter().filter_map(|(name, value)| match old.get(name) {
        Some(before) => Some((name.clone(), patch(before, value)?)),
        None => Some((name.clone(), value.clone())),
    });
    Some(Value::Object(removed.chain(changed).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_of_others_stay_and_dropped_fields_go() {
        let last = json!({"spec": {"replicas": 1, "paused": true}});
        let wanted = json!({"spec": {"replicas": 2}});
        let live = json!({"spec": {"replicas": 1, "paused": true, "defaulted": 5}, "status": {"ready": 1}});
        let merged = three_way(Some(&last), &wanted, &live);
        assert_eq!(
            merged,
            json!({"spec": {"replicas": 2, "defaulted": 5}, "status": {"ready": 1}})
        );
        assert_eq!(
            patch(&live, &merged),
            Some(json!({"spec": {"replicas": 2, "paused": null}}))
        );
    }

    #[test]
    fn elements_keep_what_the_server_filled_in() {
        let wanted = json!([{"name": "web", "image": "b"}, {"name": "new", "image": "c"}]);
        let live = json!([{"name": "old", "image": "x"}, {"name": "web", "image": "a", "policy": "Always"}]);
        let merged = three_way(Some(&live), &wanted, &live);
        let expected = json!([{"name": "web", "image": "b"}, {"name": "new", "image": "c"}]);
        assert_eq!(
            merged, expected,
            "what was applied before and is not any more is dropped"
        );
        let kept = three_way(None, &wanted, &live);
        assert_eq!(kept[0], json!({"name": "web", "image": "b", "policy": "Always"}));
        assert_eq!(
            kept[2]["name"], "old",
            "what was never applied is somebody else's"
        );
        let ports = three_way(
            None,
            &json!([{"port": 80}]),
            &json!([{"port": 80, "nodePort": 30001}]),
        );
        assert_eq!(ports, json!([{"port": 80, "nodePort": 30001}]));
        assert_eq!(three_way(None, &json!(["b"]), &json!(["a"])), json!(["b"]));
    }

    #[test]
    fn applying_the_same_again_changes_nothing() {
        let wanted = json!({"spec": {"containers": [{"name": "a", "args": ["x"]}], "x": 1}});
        let live = json!({"spec": {"containers": [{"name": "a", "args": ["x"], "policy": "Always"}], "x": 1, "y": 2}});
        assert_eq!(patch(&live, &three_way(Some(&wanted), &wanted, &live)), None);
    }

    #[test]
    fn an_explicit_null_removes() {
        let merged = three_way(None, &json!({"a": null}), &json!({"a": 1, "b": 2}));
        assert_eq!(merged, json!({"b": 2}));
    }
}
