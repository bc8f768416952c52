//! The strategic merge patch between two objects, as client-side apply makes it.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::directives::{DELETE_FROM_PRIMITIVES, PATCH, RETAIN_KEYS, SET_ELEMENT_ORDER};
use super::{Fields, Merger, Place, Target};
use crate::schema::Schemas;
use crate::schema::model::{Attributes, Definition, Shape};

/// The patch that makes `to` of `from`.
pub(crate) fn diff(schemas: &Schemas, definition: &Definition, from: &Value, to: &Value) -> Value {
    let merger = Merger { schemas, depth: 0 };
    match (from, to) {
        (Value::Object(from), Value::Object(to)) => {
            Value::Object(merger.diff(from, to, Place::Object(definition)))
        }
        _ => to.clone(),
    }
}

impl Merger<'_> {
    fn diff(self, from: &Fields, to: &Fields, place: Place<'_>) -> Fields {
        let gone = from.keys().filter(|name| !to.contains_key(*name));
        let mut patch: Fields = gone.map(|name| (name.clone(), Value::Null)).collect();
        for (name, wanted) in to {
            match from.get(name) {
                Some(current) if current == wanted => {}
                Some(current) => self.diff_field(current, wanted, self.target(place, name), &mut patch),
                None => drop(patch.insert(name.clone(), wanted.clone())),
            }
        }
        patch
    }

    fn diff_field(self, from: &Value, to: &Value, target: Target<'_>, patch: &mut Fields) {
        let value = match (from, to) {
            (Value::Object(from), Value::Object(to))
                if !target.attributes.is_some_and(Attributes::replaces) =>
            {
                let mut changes = self.diff(from, to, self.place(target.shape));
                if target.attributes.is_some_and(Attributes::retains_keys) {
                    changes.insert(RETAIN_KEYS.to_owned(), to.keys().cloned().collect());
                }
                Value::Object(changes)
            }
            (Value::Array(from), Value::Array(to)) if target.attributes.is_some_and(Attributes::merges) => {
                return self.diff_list(from, to, target, patch);
            }
            _ => to.clone(),
        };
        patch.insert(target.name.to_owned(), value);
    }

    /// Adds to `patch` what makes the list `to` of `from`.
    fn diff_list(self, from: &[Value], to: &[Value], target: Target<'_>, patch: &mut Fields) {
        let is_object = |element: &Value| element.is_object();
        if !from.iter().chain(to).any(is_object) {
            return diff_set(from, to, target.name, patch);
        }
        let Some((changes, order)) = self.diff_keyed(from, to, target) else {
            let replace = Value::Object(Map::from_iter([(PATCH.to_owned(), "replace".into())]));
            let whole = to.iter().cloned().chain([replace]).collect();
            patch.insert(target.name.to_owned(), whole);
            return;
        };
        patch.insert(format!("{SET_ELEMENT_ORDER}{}", target.name), order);
        if !changes.is_empty() {
            patch.insert(target.name.to_owned(), Value::Array(changes));
        }
    }

    /// The changes of a list whose elements have keys, and their order; none where a key is absent or comes twice.
    fn diff_keyed(self, from: &[Value], to: &[Value], target: Target<'_>) -> Option<(Vec<Value>, Value)> {
        let key = target.merge_key()?;
        let place = match target.shape {
            Some(Shape::List(items)) => self.place(Some(items)),
            _ => Place::Unknown,
        };
        let (before, after) = (by_key(from, key)?, by_key(to, key)?);
        let named = |value: &Value| Map::from_iter([(key.to_owned(), value.clone())]);
        let mut changes = Vec::new();
        for element in to.iter().filter_map(Value::as_object) {
            let value = element.get(key)?;
            let Some(current) = before.get(&value.to_string()) else {
                changes.push(Value::Object(element.clone()));
                continue;
            };
            let mut change = self.diff(current, element, place);
            if !change.is_empty() {
                if target.attributes.is_some_and(Attributes::retains_keys) {
                    change.insert(RETAIN_KEYS.to_owned(), element.keys().cloned().collect());
                }
                change.append(&mut named(value));
                changes.push(Value::Object(change));
            }
        }
        for element in from.iter().filter_map(Value::as_object) {
            let value = element.get(key)?;
            if !after.contains_key(&value.to_string()) {
                let mut gone = named(value);
                gone.insert(PATCH.to_owned(), "delete".into());
                changes.push(Value::Object(gone));
            }
        }
        let order = to
            .iter()
            .filter_map(|element| element.get(key))
            .map(|value| Value::Object(named(value)));
        Some((changes, order.collect()))
    }
}

/// The elements by their keys; none where one has no key, or two have the same.
fn by_key<'v>(list: &'v [Value], key: &str) -> Option<HashMap<String, &'v Fields>> {
    let mut found = HashMap::with_capacity(list.len());
    for element in list {
        let fields = element.as_object()?;
        if found.insert(fields.get(key)?.to_string(), fields).is_some() {
            return None;
        }
    }
    Some(found)
}

/// Adds to `patch` what makes the set of scalars `to` of `from`.
fn diff_set(from: &[Value], to: &[Value], name: &str, patch: &mut Fields) {
    let texts = |list: &[Value]| -> HashSet<String> { list.iter().map(Value::to_string).collect() };
    let (before, after) = (texts(from), texts(to));
    let without = |list: &[Value], others: &HashSet<String>| -> Vec<Value> {
        let missing = list
            .iter()
            .filter(|element| !others.contains(&element.to_string()));
        missing.cloned().collect()
    };
    let (gone, new) = (without(from, &after), without(to, &before));
    if !gone.is_empty() {
        patch.insert(format!("{DELETE_FROM_PRIMITIVES}{name}"), gone.into());
    }
    if !new.is_empty() {
        patch.insert(name.to_owned(), new.into());
    }
    patch.insert(format!("{SET_ELEMENT_ORDER}{name}"), to.to_vec().into());
}
