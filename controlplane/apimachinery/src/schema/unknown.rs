//! Fields that a type does not know: finding them, and removing them.

use serde_json::{Map, Value};

use crate::schema::Schemas;
use crate::schema::model::{Definition, MAX_DEPTH, Resolved, Shape};
use crate::schema::path::{Path, Step};
use crate::schema::spelling;

/// Most fields that are named; Kubernetes' decoder stops there too.
const LIMIT: usize = 100;

/// Paths of the unknown fields of `object`.
pub(crate) fn find(schemas: &Schemas, definition: &Definition, object: &Value) -> Vec<String> {
    let mut finder = Finder {
        schemas,
        path: Path::default(),
        found: Vec::new(),
    };
    finder.object(definition, object);
    finder.found
}

struct Finder<'a> {
    schemas: &'a Schemas,
    path: Path<'a>,
    found: Vec<String>,
}

impl<'a> Finder<'a> {
    fn object(&mut self, definition: &'a Definition, value: &'a Value) {
        let Value::Object(fields) = value else { return };
        for (name, value) in fields {
            self.path.push(Step::Field(name));
            match definition.field(name) {
                Some(field) => self.value(&field.shape, value),
                None if self.found.len() < LIMIT => self.found.push(self.path.display()),
                None => {}
            }
            self.path.pop();
        }
    }

    fn value(&mut self, shape: &'a Shape, value: &'a Value) {
        if self.path.depth() > MAX_DEPTH {
            return;
        }
        match (self.schemas.resolve(shape), value) {
            (Resolved::Object(definition), _) => self.object(definition, value),
            (Resolved::List(items), Value::Array(elements)) => {
                for (place, element) in elements.iter().enumerate() {
                    self.inner(Step::Index(place), items, element);
                }
            }
            (Resolved::Map(values), Value::Object(entries)) => {
                for (key, entry) in entries {
                    self.inner(Step::Key(key), values, entry);
                }
            }
            (Resolved::Scalar(_) | Resolved::List(_) | Resolved::Map(_), _) => {}
        }
    }

    fn inner(&mut self, step: Step<'a>, shape: &'a Shape, value: &'a Value) {
        self.path.push(step);
        self.value(shape, value);
        self.path.pop();
    }
}

/// Removes unknown fields and `null`s from `object`, as a way through Go's types would: a `null` field is
/// an absent one, a `null` in a list or map is the zero value; scalars are spelled as those types write them.
pub(crate) fn prune(schemas: &Schemas, definition: &Definition, object: &mut Value) {
    if let Value::Object(fields) = object {
        prune_fields(schemas, definition, fields, 0);
    }
}

fn prune_fields(schemas: &Schemas, definition: &Definition, fields: &mut Map<String, Value>, depth: usize) {
    fields.retain(|name, value| match definition.field(name) {
        Some(field) if !value.is_null() => {
            prune_value(schemas, &field.shape, value, depth + 1);
            true
        }
        _ => false,
    });
}

fn prune_value(schemas: &Schemas, shape: &Shape, value: &mut Value, depth: usize) {
    let resolved = schemas.resolve(shape);
    if depth >= MAX_DEPTH && !matches!(resolved, Resolved::Scalar(_)) {
        *value = zero(schemas, shape);
        return;
    }
    match (resolved, value) {
        (Resolved::Object(definition), Value::Object(fields)) => {
            prune_fields(schemas, definition, fields, depth)
        }
        (Resolved::List(items), Value::Array(elements)) => {
            elements
                .iter_mut()
                .for_each(|element| prune_element(schemas, items, element, depth));
        }
        (Resolved::Map(values), Value::Object(entries)) => {
            entries
                .values_mut()
                .for_each(|entry| prune_element(schemas, values, entry, depth));
        }
        (Resolved::Scalar(scalar), value) => spelling::settle(scalar, value),
        // Values of a wrong type: those are for `check` to find.
        (Resolved::Object(_) | Resolved::List(_) | Resolved::Map(_), _) => {}
    }
}

fn prune_element(schemas: &Schemas, shape: &Shape, value: &mut Value, depth: usize) {
    if value.is_null() {
        *value = zero(schemas, shape);
    } else {
        prune_value(schemas, shape, value, depth + 1);
    }
}

fn zero(schemas: &Schemas, shape: &Shape) -> Value {
    match schemas.resolve(shape) {
        Resolved::Scalar(scalar) => scalar.zero(),
        Resolved::List(_) => Value::Array(Vec::new()),
        Resolved::Map(_) | Resolved::Object(_) => Value::Object(Map::new()),
    }
}
