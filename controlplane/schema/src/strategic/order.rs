//! The order of a merged list: elements that the patch names stand in its order, the others where the
//! server had them.

use std::collections::VecDeque;

use serde_json::Value;

use super::directives::{self, PATCH};
use super::{Target, lists};
use crate::MergeError;

/// What tells elements apart: their merge key, or for scalars they themselves.
fn identity<'a>(element: &'a Value, key: Option<&str>) -> Option<&'a Value> {
    match (element, key) {
        (Value::Object(fields), Some(key)) => fields.get(key),
        _ => Some(element),
    }
}

fn index(element: &Value, order: &[Value], key: Option<&str>) -> Option<usize> {
    let wanted = identity(element, key)?;
    order
        .iter()
        .position(|other| identity(other, key) == Some(wanted))
}

/// Checks that the elements of a patch's list stand in the order that its directive sets.
pub(super) fn validate(
    directive: &str,
    changes: &[Value],
    order: &[Value],
    key: Option<&str>,
) -> Result<(), MergeError> {
    let is_kept = |element: &&Value| element.get(PATCH).is_none();
    let mut rest = order.iter();
    for change in changes.iter().filter(is_kept) {
        let wanted = identity(change, key);
        if !rest.any(|element| identity(element, key) == wanted) {
            return Err(MergeError::ElementOrder {
                patch: directives::go_list(changes),
                directive: directive.to_owned(),
                order: directives::go_list(order),
            });
        }
    }
    Ok(())
}

/// Sorts `merged`: elements that `order` names as there, the others as in `server`.
pub(super) fn enforce(
    merged: Vec<Value>,
    order: &[Value],
    server: &[Value],
    target: Target<'_>,
) -> Result<Vec<Value>, MergeError> {
    let key = target.merge_key();
    if let Some(key) = key {
        for element in merged.iter().chain(order).filter_map(Value::as_object) {
            lists::merge_value(element, key)?;
        }
    }
    let (named, others): (Vec<Value>, Vec<Value>) = merged
        .into_iter()
        .partition(|element| index(element, order, key).is_some());
    let named = sorted(named, order, key);
    let others = sorted(others, server, key);
    Ok(interleave(others, named, server, key))
}

fn sorted(mut elements: Vec<Value>, order: &[Value], key: Option<&str>) -> Vec<Value> {
    elements.sort_by_cached_key(|element| index(element, order, key).unwrap_or(usize::MAX));
    elements
}

/// Merges two sorted lists: of two elements that the server both had, the one it had first comes first;
/// an element that is new comes before one of the server's.
fn interleave(others: Vec<Value>, named: Vec<Value>, server: &[Value], key: Option<&str>) -> Vec<Value> {
    let mut merged = Vec::with_capacity(others.len() + named.len());
    let (mut others, mut named) = (VecDeque::from(others), VecDeque::from(named));
    while let (Some(other), Some(name)) = (others.front(), named.front()) {
        let server_first = match (index(other, server, key), index(name, server, key)) {
            (Some(left), Some(right)) => left < right,
            _ => false,
        };
        merged.extend(if server_first {
            others.pop_front()
        } else {
            named.pop_front()
        });
    }
    merged.extend(others);
    merged.extend(named);
    merged
}
