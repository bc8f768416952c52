//! What an update changes, for the message that refuses it.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};
use similar::TextDiff;

/// Lines around a change that are shown with it.
const CONTEXT: usize = 3;

/// JSON whose members keep their order.
#[derive(Debug)]
pub(crate) enum Shown {
    /// Members in no order of their own.
    Plain(Value),
    /// Members in the order of upstream's type.
    Members(Vec<(&'static str, Shown)>),
}

impl Shown {
    /// With these members.
    pub(crate) fn members(members: impl IntoIterator<Item = (&'static str, Shown)>) -> Self {
        Self::Members(members.into_iter().collect())
    }
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(value) => value.serialize(serializer),
            Self::Members(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

/// `value` as lines that are indented by one space a level, as upstream writes what it compares.
pub(crate) fn shown(value: &Shown) -> String {
    let mut bytes = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b" ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, format);
    // What is made of texts and values can always be written.
    if value.serialize(&mut serializer).is_err() {
        return String::new();
    }
    bytes.push(b'\n');
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What differs between two texts, in the form of `diff -u` without names of files.
pub(crate) fn unified(old: &str, new: &str) -> String {
    TextDiff::from_lines(old, new)
        .unified_diff()
        .context_radius(CONTEXT)
        .to_string()
}

/// Where two values differ, as lines `-path: old` and `+path: new`.
pub(crate) fn differences(old: &Value, new: &Value, path: &str, lines: &mut Vec<String>) {
    match (old, new) {
        (old, new) if old == new || (is_empty(old) && is_empty(new)) => {}
        (Value::Object(before), Value::Object(after)) => {
            let keys: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for key in keys {
                let read = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                differences(&read(before), &read(after), &format!("{path}.{key}"), lines);
            }
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                differences(before, after, &format!("{path}[{index}]"), lines);
            }
        }
        (old, new) => {
            if !old.is_null() {
                lines.push(format!("-{path}: {old}"));
            }
            if !new.is_null() {
                lines.push(format!("+{path}: {new}"));
            }
        }
    }
}

/// Null, an empty list and an empty map say the same: upstream's types cannot tell them apart.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
