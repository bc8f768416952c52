//! The order of a merged list: elements that the patch names stand in its order, the others where the
//! server had them.

use std::collections::{HashMap, VecDeque};

use serde_json::Value;

use super::directives::PATCH;
use super::{Target, lists};
use crate::go;
use crate::patch::MergeError;

/// What tells elements apart: their merge key, or for scalars they themselves.
fn identity<'a>(element: &'a Value, key: Option<&str>) -> Option<&'a Value> {
    match (element, key) {
        (Value::Object(fields), Some(key)) => fields.get(key),
        _ => Some(element),
    }
}

/// Where the elements of a list stand, so that no list is searched for each element of another.
#[derive(Debug)]
struct Places<'a> {
    key: Option<&'a str>,
    first: HashMap<String, usize>,
}

impl<'a> Places<'a> {
    fn of(list: &[Value], key: Option<&'a str>) -> Self {
        let mut first = HashMap::with_capacity(list.len());
        for (place, element) in list.iter().enumerate() {
            if let Some(identity) = identity(element, key) {
                first.entry(identity.to_string()).or_insert(place);
            }
        }
        Self { key, first }
    }

    fn find(&self, element: &Value) -> Option<usize> {
        self.first.get(&identity(element, self.key)?.to_string()).copied()
    }

    /// Sorts by these places; elements without one keep their order at the end.
    fn sort(&self, mut elements: Vec<Value>) -> VecDeque<Value> {
        elements.sort_by_cached_key(|element| self.find(element).unwrap_or(usize::MAX));
        elements.into()
    }
}

/// Checks that the elements of a patch's list stand in the order that its directive sets.
pub(super) fn validate(changes: &[Value], order: &[Value], key: Option<&str>) -> Result<(), MergeError> {
    let is_kept = |element: &&Value| element.get(PATCH).is_none();
    let mut rest = order.iter();
    for change in changes.iter().filter(is_kept) {
        let wanted = identity(change, key);
        if !rest.any(|element| identity(element, key) == wanted) {
            return Err(MergeError::ElementOrder {
                patch: go::list(changes),
                order: go::list(order),
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
    let (order, server) = (Places::of(order, key), Places::of(server, key));
    let (named, others) = merged
        .into_iter()
        .partition(|element| order.find(element).is_some());
    Ok(interleave(server.sort(others), order.sort(named), &server))
}

/// Merges two sorted lists: of two elements that the server both had, the one it had first comes first;
/// an element that is new comes before one of the server's.
fn interleave(mut others: VecDeque<Value>, mut named: VecDeque<Value>, server: &Places<'_>) -> Vec<Value> {
    let mut merged = Vec::with_capacity(others.len() + named.len());
    while let (Some(other), Some(name)) = (others.front(), named.front()) {
        let server_first = match (server.find(other), server.find(name)) {
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
