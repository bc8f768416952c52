//! How a value is owned: as one, by field, by entry or by item.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::element;
use crate::schema::Schemas;
use crate::schema::model::{Attributes, Definition, Field, Resolved, Scalar, Shape};

/// How a value is owned.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form<'a> {
    /// A value without parts.
    Scalar(Scalar),
    /// A list or map that is owned as one.
    Atomic(Whole),
    /// Field by field.
    Struct(&'a Definition),
    /// Entry by entry.
    Map(&'a Shape),
    /// Item by item, by value.
    Set(&'a Shape),
    /// Item by item, by these keys.
    Keyed(&'a Shape, &'a [Box<str>]),
}

impl Form<'_> {
    /// Whether its parts are owned one by one.
    pub(super) fn has_parts(self) -> bool {
        match self {
            Self::Scalar(_) | Self::Atomic(_) => false,
            Self::Struct(_) | Self::Map(_) | Self::Set(_) | Self::Keyed(..) => true,
        }
    }
}

/// What is owned as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whole {
    List,
    Map,
    Any,
}

/// The table by which forms are found; cheap to copy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Forms<'a>(pub(super) &'a Schemas);

impl<'a> Forms<'a> {
    /// The form of values of this shape in a field with these attributes.
    pub(super) fn of(self, shape: &'a Shape, attributes: Option<&'a Attributes>) -> Form<'a> {
        let says_atomic = || attributes.is_some_and(|said| said.map_type.as_deref() == Some("atomic"));
        match self.0.resolve(shape) {
            Resolved::Scalar(Scalar::Any | Scalar::Free) => Form::Atomic(Whole::Any),
            Resolved::Scalar(scalar) => Form::Scalar(scalar),
            Resolved::Object(definition) if definition.atomic || says_atomic() => Form::Atomic(Whole::Map),
            Resolved::Object(definition) => Form::Struct(definition),
            Resolved::Map(_) if says_atomic() => Form::Atomic(Whole::Map),
            Resolved::Map(values) => Form::Map(values),
            Resolved::List(items) => {
                match attributes.map(|said| (said.list_type.as_deref(), &*said.list_keys)) {
                    Some((Some("set"), _)) => Form::Set(items),
                    Some((Some("map"), keys)) if !keys.is_empty() => Form::Keyed(items, keys),
                    _ => Form::Atomic(Whole::List),
                }
            }
        }
    }

    /// The form of a field's values.
    pub(super) fn of_field(self, field: &'a Field) -> Form<'a> {
        self.of(&field.shape, Some(&field.attributes))
    }

    /// The form of a named part of a value, `None` where there is no such part.
    pub(super) fn part(self, form: Form<'a>, name: &str) -> Option<Form<'a>> {
        match form {
            Form::Struct(definition) => definition.field(name).map(|field| self.of_field(field)),
            Form::Map(values) => Some(self.of(values, None)),
            Form::Scalar(_) | Form::Atomic(_) | Form::Set(_) | Form::Keyed(..) => None,
        }
    }

    /// The form of a list's items.
    pub(super) fn item(self, form: Form<'a>) -> Form<'a> {
        match form {
            Form::Set(items) | Form::Keyed(items, _) => self.of(items, None),
            other => other,
        }
    }

    /// The path element of a list's item.
    ///
    /// # Errors
    ///
    /// Why the item can have none.
    pub(super) fn element(self, form: Form<'a>, item: &Value) -> Result<String, String> {
        match form {
            Form::Keyed(items, keys) => {
                let definition = match self.0.resolve(items) {
                    Resolved::Object(definition) => Some(definition),
                    Resolved::Scalar(_) | Resolved::List(_) | Resolved::Map(_) => None,
                };
                element::of_keyed(definition, keys, item)
            }
            _ => element::of_value(item),
        }
    }

    /// The items of a list by path element, in order of their first; those without an element are left out.
    pub(super) fn index<'v>(self, form: Form<'a>, items: &'v [Value]) -> Items<'v> {
        let mut found = Items {
            order: Vec::with_capacity(items.len()),
            by_element: HashMap::with_capacity(items.len()),
        };
        for item in items {
            let Ok(element) = self.element(form, item) else {
                continue;
            };
            found.order.push((element.clone(), item));
            found.by_element.entry(element).or_default().push(item);
        }
        found
    }
}

/// The items of a list.
#[derive(Debug)]
pub(super) struct Items<'v> {
    /// All of them, as they stand.
    pub(super) order: Vec<(String, &'v Value)>,
    /// By element; several share one where the list has duplicates.
    pub(super) by_element: HashMap<String, Vec<&'v Value>>,
}

impl<'v> Items<'v> {
    /// The item with this element, if it is the only one.
    pub(super) fn single(&self, element: &str) -> Option<&'v Value> {
        match self.by_element.get(element).map(Vec::as_slice) {
            Some([item]) => Some(item),
            _ => None,
        }
    }
}

/// The fields of an object; none for anything else.
pub(super) fn fields(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object)
}

/// The items of a list; none for anything else.
pub(super) fn items(value: Option<&Value>) -> &[Value] {
    value
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// Whether a value is null or has nothing in it.
pub(super) fn is_hollow(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(fields)) => fields.is_empty(),
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_)) => false,
    }
}

/// Whether a field is there in the zero value of its Go type, so that nobody ever adds it: what is required, and
/// structs that are no pointers. No schema says which these are: those with an empty default, and the parts of objects.
pub(super) fn is_always_there(field: &Field, form: Form<'_>) -> bool {
    let struct_without_pointer = field
        .default
        .as_ref()
        .is_some_and(|default| default.fills_zero && default.value.is_object());
    let is_part = matches!(&*field.name, "metadata" | "spec" | "status");
    match form {
        Form::Struct(_) => is_part || field.required || struct_without_pointer,
        Form::Map(_) | Form::Set(_) | Form::Keyed(..) => field.required,
        Form::Scalar(_) | Form::Atomic(_) => false,
    }
}
