//! The fields of a patch that are instructions, and how they leave no trace.

use serde_json::{Map, Value};

use crate::go;
use crate::patch::MergeError;
use crate::schema::check::json_type;

type Fields = Map<String, Value>;

/// `replace`, `delete` or `merge` the object that holds it.
pub(super) const PATCH: &str = "$patch";
/// Fields that are to stay; all others go.
pub(super) const RETAIN_KEYS: &str = "$retainKeys";
/// The order of the list named after the slash.
pub(super) const SET_ELEMENT_ORDER: &str = "$setElementOrder/";
/// Values that leave the list named after the slash.
pub(super) const DELETE_FROM_PRIMITIVES: &str = "$deleteFromPrimitiveList/";

/// Carries out `$retainKeys`.
pub(super) fn retain_keys(original: &mut Fields, patch: &mut Fields) -> Result<(), MergeError> {
    let Some(directive) = patch.remove(RETAIN_KEYS) else {
        return Ok(());
    };
    let Value::Array(keys) = directive else {
        return Err(MergeError::RetainKeys);
    };
    let keys: Vec<&str> = keys.iter().filter_map(Value::as_str).collect();
    let is_list_directive =
        |name: &str| name.starts_with(DELETE_FROM_PRIMITIVES) || name.starts_with(SET_ELEMENT_ORDER);
    let all_named = patch
        .iter()
        .all(|(name, change)| change.is_null() || is_list_directive(name) || keys.contains(&name.as_str()));
    if !all_named {
        return Err(MergeError::NotRetained);
    }
    original.retain(|name, _| keys.contains(&name.as_str()));
    Ok(())
}

/// The list that a directive holds.
pub(super) fn list(directive: &str, value: Value) -> Result<Vec<Value>, MergeError> {
    match value {
        Value::Array(elements) => Ok(elements),
        other => Err(MergeError::DirectiveNotAList {
            directive: directive.to_owned(),
            received: json_type(&other),
        }),
    }
}

/// The list that a field holds, if it is there.
pub(super) fn optional_list<'a>(
    name: &str,
    value: Option<&'a Value>,
) -> Result<Option<&'a [Value]>, MergeError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(elements)) => Ok(Some(elements)),
        Some(other) => Err(MergeError::DirectiveNotAList {
            directive: name.to_owned(),
            received: json_type(other),
        }),
    }
}

/// The error of a `$patch` that says nothing known.
pub(super) fn bad(directive: &Value, mut element: Fields) -> MergeError {
    element.insert(PATCH.to_owned(), directive.clone());
    let directive = directive
        .as_str()
        .map_or_else(|| directive.to_string(), str::to_owned);
    MergeError::BadDirective {
        directive,
        element: go::map(&element),
    }
}

/// A part of the patch that has no counterpart, as it enters the object: without directives and `null`s.
/// Nothing is left of an object that was to be deleted.
pub(super) fn strip(change: Value) -> Option<Value> {
    match change {
        Value::Null => None,
        Value::Object(fields) if fields.get(PATCH).and_then(Value::as_str) == Some("delete") => None,
        Value::Object(fields) => Some(Value::Object(strip_fields(fields))),
        Value::Array(elements) => Some(Value::Array(strip_list(elements))),
        scalar => Some(scalar),
    }
}

/// [`strip`] for the fields of an object.
pub(super) fn strip_fields(fields: Fields) -> Fields {
    let is_directive = |name: &str| {
        name == PATCH
            || name == RETAIN_KEYS
            || name.starts_with(SET_ELEMENT_ORDER)
            || name.starts_with(DELETE_FROM_PRIMITIVES)
    };
    let kept = fields.into_iter().filter(|(name, _)| !is_directive(name));
    kept.filter_map(|(name, value)| Some((name, strip(value)?)))
        .collect()
}

/// [`strip`] for the elements of a list. An element that only says that the list is replaced goes too.
pub(super) fn strip_list(elements: Vec<Value>) -> Vec<Value> {
    let says_only = |element: &Value| {
        element
            .as_object()
            .is_some_and(|fields| fields.len() == 1 && fields.contains_key(PATCH))
    };
    elements
        .into_iter()
        .filter(|element| !says_only(element))
        .filter_map(strip)
        .collect()
}
