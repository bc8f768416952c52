//! Lists whose strategy is to be merged.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::directives::{self, PATCH};
use super::{Fields, Merger, Target, order};
use crate::go;
use crate::patch::MergeError;

/// What a list of the patch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Its elements are added or merged.
    Merge,
    /// Its elements leave the list, which is one of scalars.
    DeleteFrom,
}

/// Merges `changes` into `elements`.
pub(super) fn merge(
    merger: Merger<'_>,
    elements: Vec<Value>,
    changes: Vec<Value>,
    target: Target<'_>,
    mode: Mode,
) -> Result<Vec<Value>, MergeError> {
    if elements.is_empty() && changes.is_empty() {
        return Ok(elements);
    }
    let server = elements.clone();
    let (merged, order) = match (kind(&elements, &changes, target.name)?, mode) {
        (Kind::Scalars, Mode::DeleteFrom) => {
            return Ok(elements
                .into_iter()
                .filter(|element| !changes.contains(element))
                .collect());
        }
        (Kind::Scalars, Mode::Merge) => (union(elements, &changes), changes),
        (Kind::Objects, _) => {
            let key = target.merge_key();
            let key = key.ok_or_else(|| MergeError::NoKeyDeclared {
                field: target.name.to_owned(),
            })?;
            let (elements, changes) = match directives_carried_out(elements, changes, key)? {
                Carried::Replaced(list) => return Ok(list),
                Carried::Kept { elements, changes } => (elements, changes),
            };
            (
                merge_objects(merger, elements, changes.clone(), target, key)?,
                changes,
            )
        }
    };
    order::enforce(merged, &order, &server, target)
}

/// What the elements of a list are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Scalars,
    Objects,
}

/// The one kind of all elements.
fn kind(elements: &[Value], changes: &[Value], field: &str) -> Result<Kind, MergeError> {
    let mut kinds = elements.iter().chain(changes).map(|element| match element {
        Value::Object(_) => Ok(Kind::Objects),
        Value::Array(_) => Err(MergeError::ListOfLists {
            field: field.to_owned(),
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(Kind::Scalars),
    });
    let first = kinds.next().unwrap_or(Ok(Kind::Scalars))?;
    for kind in kinds {
        if kind? != first {
            return Err(MergeError::MixedTypes {
                field: field.to_owned(),
            });
        }
    }
    Ok(first)
}

/// `elements`, then those of `changes` that are new; each once.
fn union(elements: Vec<Value>, changes: &[Value]) -> Vec<Value> {
    let mut seen = HashSet::with_capacity(elements.len() + changes.len());
    let all = elements.into_iter().chain(changes.iter().cloned());
    all.filter(|element| seen.insert(element.to_string())).collect()
}

/// What is left when the directives of a patch's list are carried out.
enum Carried {
    /// The list of the patch takes the place of the other.
    Replaced(Vec<Value>),
    /// What is to be merged still.
    Kept {
        elements: Vec<Value>,
        changes: Vec<Value>,
    },
}

/// Takes the elements that hold `$patch` out of the patch and does what they say.
fn directives_carried_out(
    mut elements: Vec<Value>,
    changes: Vec<Value>,
    key: &str,
) -> Result<Carried, MergeError> {
    let mut kept = Vec::with_capacity(changes.len());
    let mut deleted = HashSet::new();
    let mut replaces = false;
    for change in changes {
        let Value::Object(fields) = change else { continue };
        match fields.get(PATCH).map(Value::as_str) {
            None => kept.push(Value::Object(fields)),
            Some(Some("delete")) => {
                deleted.insert(merge_value(&fields, key)?.to_string());
            }
            Some(Some("replace")) => replaces = true,
            Some(Some("merge")) => return Err(MergeError::MergeDirectiveInList),
            Some(_) => {
                let directive = fields.get(PATCH).cloned().unwrap_or_default();
                return Err(directives::bad(&directive, fields));
            }
        }
    }
    if replaces {
        // The list of the patch as it is, which may hold a key twice: there is no original to merge with.
        for element in kept.iter().filter_map(Value::as_object) {
            merge_value(element, key)?;
        }
        return Ok(Carried::Replaced(directives::strip_list(kept)));
    }
    if !deleted.is_empty() {
        elements.retain(|element| {
            element
                .get(key)
                .is_none_or(|value| !deleted.contains(&value.to_string()))
        });
    }
    Ok(Carried::Kept {
        elements,
        changes: kept,
    })
}

/// Merges each element of the patch into the first one with the same key, or adds it.
fn merge_objects(
    merger: Merger<'_>,
    mut elements: Vec<Value>,
    changes: Vec<Value>,
    target: Target<'_>,
    key: &str,
) -> Result<Vec<Value>, MergeError> {
    let place = match target.shape {
        Some(crate::schema::model::Shape::List(items)) => merger.place(Some(items)),
        _ => super::Place::Unknown,
    };
    let mut places: HashMap<String, usize> = HashMap::with_capacity(elements.len());
    for (index, value) in elements
        .iter()
        .enumerate()
        .filter_map(|(index, own)| Some((index, own.get(key)?)))
    {
        places.entry(value.to_string()).or_insert(index);
    }
    for change in changes {
        let Value::Object(fields) = change else { continue };
        let value = merge_value(&fields, key)?.to_string();
        match places.get(&value).and_then(|index| elements.get_mut(*index)) {
            Some(element) => {
                let current = element.as_object_mut().map(std::mem::take).unwrap_or_default();
                *element = Value::Object(merger.map(current, fields, place)?);
            }
            None => {
                places.insert(value, elements.len());
                elements.push(Value::Object(directives::strip_fields(fields)));
            }
        }
    }
    Ok(elements)
}

/// The value of the merge key.
pub(super) fn merge_value<'a>(fields: &'a Fields, key: &str) -> Result<&'a Value, MergeError> {
    fields.get(key).ok_or_else(|| MergeError::NoMergeKey {
        element: go::map(fields),
        key: key.to_owned(),
    })
}
