//! Strategic merge patch.
//!
//! Follows `k8s.io/apimachinery/pkg/util/strategicpatch` as the API server calls it: parallel lists are
//! merged and `null`s without a counterpart are dropped. The object wins over the patch in nothing but the
//! order of elements that the patch does not name.

mod diff;
mod directives;
mod lists;
mod order;

use serde_json::{Map, Value};

use crate::patch::MergeError;
use crate::schema::Schemas;
use crate::schema::check::json_type;
use crate::schema::model::{Attributes, Definition, Field, MAX_DEPTH, Resolved, Shape};
pub(crate) use diff::diff;
use directives::{DELETE_FROM_PRIMITIVES, PATCH, SET_ELEMENT_ORDER};

type Fields = Map<String, Value>;

/// `original` with `patch` applied.
pub(crate) fn merge(
    schemas: &Schemas,
    definition: &Definition,
    original: &Value,
    patch: &Value,
) -> Result<Value, MergeError> {
    let Value::Object(changes) = patch else {
        return Err(MergeError::NotAnObject {
            received: json_type(patch),
        });
    };
    let fields = original.as_object().cloned().unwrap_or_default();
    let merger = Merger { schemas, depth: 0 };
    merger
        .map(fields, changes.clone(), Place::Object(definition))
        .map(Value::Object)
}

/// What is known about the value at which a merge is.
#[derive(Debug, Clone, Copy)]
enum Place<'a> {
    /// An object of a known type.
    Object(&'a Definition),
    /// A map; the form of its values.
    Map(&'a Shape),
    /// Nothing: objects are merged, lists replaced.
    Unknown,
}

/// A field to be merged: what the table says of it.
#[derive(Debug, Clone, Copy)]
struct Target<'a> {
    name: &'a str,
    shape: Option<&'a Shape>,
    attributes: Option<&'a Attributes>,
}

impl<'a> Target<'a> {
    fn merge_key(&self) -> Option<&'a str> {
        self.attributes
            .and_then(|attributes| attributes.merge_key.as_deref())
    }
}

/// A merge at some depth.
#[derive(Debug, Clone, Copy)]
struct Merger<'a> {
    schemas: &'a Schemas,
    depth: usize,
}

impl<'a> Merger<'a> {
    fn deeper(self) -> Result<Self, MergeError> {
        if self.depth >= MAX_DEPTH {
            return Err(MergeError::TooDeep { limit: MAX_DEPTH });
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }

    /// What the table says of the field `name` at `place`.
    fn target<'b>(self, place: Place<'b>, name: &'b str) -> Target<'b> {
        match place {
            Place::Object(definition) => {
                let field: Option<&Field> = definition.field(name);
                Target {
                    name,
                    shape: field.map(|f| &f.shape),
                    attributes: field.map(|f| &f.attributes),
                }
            }
            Place::Map(values) => Target {
                name,
                shape: Some(values),
                attributes: None,
            },
            Place::Unknown => Target {
                name,
                shape: None,
                attributes: None,
            },
        }
    }

    /// The place that a value of this shape is.
    fn place<'b>(self, shape: Option<&'b Shape>) -> Place<'b>
    where
        'a: 'b,
    {
        match shape.map(|shape| self.schemas.resolve(shape)) {
            Some(Resolved::Object(definition)) => Place::Object(definition),
            Some(Resolved::Map(values)) => Place::Map(values),
            Some(Resolved::Scalar(_) | Resolved::List(_)) | None => Place::Unknown,
        }
    }

    /// Merges the object `patch` into `original`.
    fn map(self, mut original: Fields, mut patch: Fields, place: Place<'_>) -> Result<Fields, MergeError> {
        let merger = self.deeper()?;
        if let Some(directive) = patch.remove(PATCH) {
            return match directive.as_str() {
                // Taken as it is, but for directives further in, which make no sense without an original.
                Some("replace") => Ok(directives::strip_fields(patch)),
                Some("delete") => Ok(Fields::new()),
                _ => Err(directives::bad(&directive, patch)),
            };
        }
        directives::retain_keys(&mut original, &mut patch)?;
        merger.ordered_lists(&mut original, &mut patch, place)?;
        for (name, change) in patch {
            merger.field(&mut original, &name, change, place)?;
        }
        Ok(original)
    }

    /// Merges the lists for which the patch sets an order.
    fn ordered_lists(
        self,
        original: &mut Fields,
        patch: &mut Fields,
        place: Place<'_>,
    ) -> Result<(), MergeError> {
        let orders: Vec<String> = patch
            .keys()
            .filter(|name| name.starts_with(SET_ELEMENT_ORDER))
            .cloned()
            .collect();
        for directive in orders {
            let order = directives::list(&directive, patch.remove(&directive).unwrap_or_default())?;
            let name = directive.strip_prefix(SET_ELEMENT_ORDER).unwrap_or_default();
            let target = self.target(place, name);
            let server = directives::optional_list(name, original.get(name))?;
            let changes = directives::optional_list(name, patch.get(name))?;
            order::validate(changes.unwrap_or_default(), &order, target.merge_key())?;
            let merged = match (server, changes) {
                (None, None) => continue,
                (Some(server), None) => server.to_vec(),
                (None, Some(changes)) => directives::strip_list(changes.to_vec()),
                (Some(server), Some(changes)) => {
                    self.list(server.to_vec(), changes.to_vec(), target, lists::Mode::Merge)?
                }
            };
            let sorted = order::enforce(merged, &order, server.unwrap_or_default(), target)?;
            original.insert(name.to_owned(), Value::Array(sorted));
            patch.remove(name);
        }
        Ok(())
    }

    /// Merges one field of the patch.
    fn field(
        self,
        original: &mut Fields,
        key: &str,
        change: Value,
        place: Place<'_>,
    ) -> Result<(), MergeError> {
        let (name, mode) = match key.strip_prefix(DELETE_FROM_PRIMITIVES) {
            Some(name) => (name, lists::Mode::DeleteFrom),
            None => (key, lists::Mode::Merge),
        };
        if change.is_null() {
            original.remove(name);
            return Ok(());
        }
        if mode == lists::Mode::DeleteFrom && !change.is_array() {
            return Err(MergeError::DirectiveNotAList {
                directive: key.to_owned(),
                received: json_type(&change),
            });
        }
        let target = self.target(place, name);
        let merged = match (original.remove(name), change) {
            (Some(Value::Object(fields)), Value::Object(changes)) => {
                Some(self.object(fields, changes, target)?)
            }
            (Some(Value::Array(elements)), Value::Array(changes)) => {
                Some(Value::Array(self.list(elements, changes, target, mode)?))
            }
            // Nothing to delete from.
            (current, _) if mode == lists::Mode::DeleteFrom => current,
            (_, change) => directives::strip(change),
        };
        if let Some(merged) = merged {
            original.insert(name.to_owned(), merged);
        }
        Ok(())
    }

    /// Merges a field that is an object on both sides.
    fn object(self, fields: Fields, changes: Fields, target: Target<'_>) -> Result<Value, MergeError> {
        if target.attributes.is_some_and(Attributes::replaces) {
            return Ok(Value::Object(directives::strip_fields(changes)));
        }
        self.map(fields, changes, self.place(target.shape))
            .map(Value::Object)
    }

    /// Merges a field that is a list on both sides.
    fn list(
        self,
        elements: Vec<Value>,
        changes: Vec<Value>,
        target: Target<'_>,
        mode: lists::Mode,
    ) -> Result<Vec<Value>, MergeError> {
        if mode == lists::Mode::Merge && !target.attributes.is_some_and(Attributes::merges) {
            return Ok(directives::strip_list(changes));
        }
        let changes = changes.into_iter().filter(|change| !change.is_null()).collect();
        lists::merge(self, elements, changes, target, mode)
    }
}
