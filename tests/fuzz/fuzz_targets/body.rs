//! Any bytes are an object in one of the three forms, or an error; an object can be checked, pruned and given defaults, and
//! is then sound and stays as it is.
#![no_main]

use controlplane_apimachinery::codec;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const KINDS: [(&str, &str); 4] = [("", "Pod"), ("apps", "Deployment"), ("", "Service"), ("", "ConfigMap")];

fuzz_target!(|bytes: &[u8]| {
    let Some((form, body)) = bytes.split_first() else { return };
    let read: Option<Value> = match form % 3 {
        0 => codec::from_json(body).ok().map(|document| document.value),
        1 => codec::from_yaml(body).ok().map(|document| document.value),
        _ => controlplane_protobuf::decode(body).ok(),
    };
    let Some(value) = read else { return };
    let again = codec::from_json(value.to_string().as_bytes()).expect("it was just written");
    assert_eq!(again.value, value);
    let text = codec::to_yaml(&value);
    let again = codec::from_yaml(text.as_bytes()).expect("it was just written");
    assert!(same(&again.value, &value), "{text}");
    for (group, kind) in KINDS {
        let schema = controlplane_schema::builtin().kind(group, "v1", kind).expect("a built-in kind");
        if !value.is_object() || !schema.check(&value).is_empty() {
            continue;
        }
        let mut object = value.clone();
        schema.prune(&mut object);
        schema.default(&mut object);
        let settled = object.clone();
        schema.prune(&mut object);
        schema.default(&mut object);
        assert_eq!(object, settled);
        assert!(schema.check(&object).is_empty(), "{object}");
    }
});

/// Whether two values are the same, whole floats and integers being one in YAML.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left == right || left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            let alike = |(name, value): (&String, &Value)| right.get(name).is_some_and(|other| same(value, other));
            left.len() == right.len() && left.iter().all(alike)
        }
        _ => left == right,
    }
}
