//! Tables, as `kubectl get` shows them: `meta.k8s.io/v1` `Table`.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::resource::{Cell, Column, Resource, at};
use crate::time;

/// How much of each object a table's rows carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Include {
    /// Nothing.
    None,
    /// `PartialObjectMetadata`.
    #[default]
    Metadata,
    /// The whole object.
    Object,
}

impl Include {
    /// Reads the query parameter `includeObject`; empty means the default.
    ///
    /// # Errors
    ///
    /// The value, where it is none of the three.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "None" => Ok(Self::None),
            "" | "Metadata" => Ok(Self::Metadata),
            "Object" => Ok(Self::Object),
            other => Err(other.to_owned()),
        }
    }
}

/// A table of `objects` (in their stored form), whose `metadata` the caller fills in.
#[must_use]
pub fn table<'a>(
    resource: &Resource,
    objects: impl IntoIterator<Item = &'a Value>,
    now: Timestamp,
    include: Include,
) -> Value {
    let rows: Vec<Value> = objects
        .into_iter()
        .map(|object| row(resource, object, now, include))
        .collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {},
        "columnDefinitions": definitions(resource),
        "rows": rows,
    })
}

/// `columnDefinitions` of a resource's tables.
#[must_use]
pub fn definitions(resource: &Resource) -> Vec<Value> {
    resource.columns.iter().map(definition).collect()
}

fn definition(column: &Column) -> Value {
    json!({
        "name": column.name,
        "type": column.type_name,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    })
}

/// One row of a table.
#[must_use]
pub fn row(resource: &Resource, object: &Value, now: Timestamp, include: Include) -> Value {
    let cells = cells(resource, object, now);
    let included = match include {
        Include::None => None,
        Include::Metadata => Some(partial(object)),
        Include::Object => {
            let mut object = object.clone();
            resource.from_storage(&mut object);
            Some(object)
        }
    };
    let mut row = json!({"cells": cells});
    if let Some(conditions) = conditions(resource, object) {
        crate::meta::object_mut(&mut row).insert("conditions".to_owned(), conditions.into());
    }
    if let Some(object) = included {
        crate::meta::object_mut(&mut row).insert("object".to_owned(), object);
    }
    row
}

/// The conditions of an object's row, where there are any.
#[must_use]
pub fn conditions(resource: &Resource, object: &Value) -> Option<Vec<Value>> {
    let found = resource.row_conditions.map(|of| of(object));
    found.filter(|conditions| !conditions.is_empty())
}

/// The cells of an object's row, one a column.
#[must_use]
pub fn cells(resource: &Resource, object: &Value, now: Timestamp) -> Vec<Value> {
    let fill = |column: &Column| cell(column, object, now);
    resource.columns.iter().map(fill).collect()
}

/// `PartialObjectMetadata` of an object.
#[must_use]
pub fn partial(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object.get("metadata").cloned().unwrap_or_else(|| json!({})),
    })
}

fn cell(column: &Column, object: &Value, now: Timestamp) -> Value {
    match &column.cell {
        Cell::Path(path) => match at(object, path) {
            None | Some(Value::Null) if column.type_name == "string" => "".into(),
            found => found.cloned().unwrap_or_default(),
        },
        Cell::Age(path) => time::age(at(object, path), now).into(),
        Cell::Computed(fill) => fill(object, now),
    }
}
