//! Path elements: the steps of a field path, as `FieldsV1` writes them and as messages show them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::field::quote;
use crate::schema::model::Definition;

/// The element of a field or of a map's entry.
pub(super) fn field(name: &str) -> String {
    let mut key = String::with_capacity(name.len() + 2);
    key.push_str("f:");
    key.push_str(name);
    key
}

/// The name in the element of a field.
pub(super) fn field_name(element: &str) -> Option<&str> {
    element.strip_prefix("f:")
}

/// The element of an item in a list that is a set.
///
/// # Errors
///
/// What is wrong with the item, in upstream's words.
pub(super) fn of_value(item: &Value) -> Result<String, String> {
    match item {
        Value::Object(_) => Err("associative list without keys has an element that's a map type".to_owned()),
        Value::Array(_) => Err("not supported: associative list with lists as elements".to_owned()),
        Value::Null => Err("associative list without keys has an element that's an explicit null".to_owned()),
        scalar => Ok(format!("v:{scalar}")),
    }
}

/// The element of an item in a list whose items are told apart by `keys`; one that is left out has its default.
///
/// # Errors
///
/// What is wrong with the item, in upstream's words.
pub(super) fn of_keyed(
    definition: Option<&Definition>,
    keys: &[Box<str>],
    item: &Value,
) -> Result<String, String> {
    let fields = match item {
        Value::Object(fields) => fields,
        Value::Null => return Err("associative list with keys may not have a null element".to_owned()),
        _ => return Err("associative list with keys may not have non-map elements".to_owned()),
    };
    let default = |key: &str| Some(&definition?.field(key)?.default.as_ref()?.value);
    let mut found: BTreeMap<&str, &Value> = BTreeMap::new();
    for key in keys {
        if let Some(value) = fields.get(&**key).or_else(|| default(key)) {
            found.insert(key, value);
        }
    }
    if found.is_empty() {
        let keys: Vec<String> = keys.iter().map(|key| quote(key)).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] (and doesn't have default \
             values for any key fields)",
            keys.join(" ")
        ));
    }
    // A map of JSON values with texts as keys can always be written.
    let written = serde_json::to_string(&found).unwrap_or_default();
    Ok(format!("k:{written}"))
}

/// The one spelling of an element; `None` for what is none.
pub(super) fn canonical(element: &str) -> Option<String> {
    let (kind, rest) = element.split_at_checked(2)?;
    match kind {
        "f:" => Some(element.to_owned()),
        "v:" => match serde_json::from_str(rest).ok()? {
            Value::Object(_) | Value::Array(_) => None,
            scalar => Some(format!("v:{scalar}")),
        },
        "k:" => match serde_json::from_str(rest).ok()? {
            Value::Object(keys) if !keys.is_empty() => Some(format!("k:{}", Value::Object(keys))),
            _ => None,
        },
        "i:" => rest.parse::<i64>().ok().map(|index| format!("i:{index}")),
        _ => None,
    }
}

/// The element as conflicts and errors show it: `.name`, `[name="a"]`, `[="x"]`, `[3]`.
pub(super) fn shown(element: &str) -> String {
    let (kind, rest) = element.split_at_checked(2).unwrap_or(("", element));
    let value = || serde_json::from_str::<Value>(rest).unwrap_or_default();
    match kind {
        "f:" => format!(".{rest}"),
        "v:" => format!("[={}]", plain(&value())),
        "k:" => {
            let keys = value();
            let shown: Vec<String> = keys
                .as_object()
                .into_iter()
                .flatten()
                .map(|(key, value)| format!("{key}={}", plain(value)))
                .collect();
            format!("[{}]", shown.join(","))
        }
        _ => format!("[{rest}]"),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        other => other.to_string(),
    }
}
