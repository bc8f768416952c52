//! Component schemas: the definitions of the table that a document refers to.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::descriptions::Descriptions;
use crate::Schemas;
use controlplane_apimachinery::schema::model::{
    Body, Definition, DefinitionId, Field, GroupVersionKind, Scalar, Shape,
};

type Fields = Map<String, Value>;

/// Definitions that a document refers to so far.
#[derive(Debug)]
pub(super) struct References<'a> {
    schemas: &'a Schemas,
    used: BTreeMap<&'a str, &'a Definition>,
}

impl<'a> References<'a> {
    pub(super) fn new(schemas: &'a Schemas) -> Self {
        Self {
            schemas,
            used: BTreeMap::new(),
        }
    }

    /// A reference to the schema of a kind, if it has one.
    pub(super) fn kind(&mut self, group: &str, version: &str, kind: &str) -> Option<Value> {
        let found = self.schemas.kind(group, version, kind)?;
        Some(self.definition(found.definition()))
    }

    /// A reference to the schema of a type, by its full name.
    pub(super) fn named(&mut self, name: &str) -> Option<Value> {
        let found = self.schemas.definition(name)?;
        Some(self.definition(found.definition()))
    }

    fn definition(&mut self, definition: &'a Definition) -> Value {
        self.used.insert(&definition.name, definition);
        reference(definition)
    }

    /// The schemas of all that is referred to, from the document or from another schema.
    pub(super) fn into_components(mut self) -> Value {
        let mut pending: Vec<&Definition> = self.used.values().copied().collect();
        while let Some(definition) = pending.pop() {
            for id in definition.fields().iter().filter_map(|field| named(&field.shape)) {
                if let Some(next) = self.schemas.get(id)
                    && self.used.insert(&next.name, next).is_none()
                {
                    pending.push(next);
                }
            }
        }
        let writer = Writer {
            schemas: self.schemas,
            descriptions: Descriptions::load(),
        };
        let schema =
            |(name, definition): (&str, &Definition)| (name.to_owned(), writer.component(definition));
        Value::Object(self.used.into_iter().map(schema).collect())
    }
}

/// The definition that a shape names, itself or in a list or map.
fn named(shape: &Shape) -> Option<DefinitionId> {
    match shape {
        Shape::Scalar(_) => None,
        Shape::List(inner) | Shape::Map(inner) => named(inner),
        Shape::Named(id) => Some(*id),
    }
}

fn reference(definition: &Definition) -> Value {
    json!({ "$ref": format!("#/components/schemas/{}", definition.name) })
}

/// Writes schemas.
#[derive(Debug)]
struct Writer<'a> {
    schemas: &'a Schemas,
    descriptions: Descriptions,
}

impl Writer<'_> {
    /// The schema of one definition.
    fn component(&self, definition: &Definition) -> Value {
        let fields = match &definition.body {
            Body::Scalar(scalar) => {
                let mut schema = scalar_schema(*scalar);
                self.describe(&mut schema, definition, "");
                return Value::Object(schema);
            }
            Body::Object(fields) => fields,
        };
        let mut schema = Fields::new();
        self.describe(&mut schema, definition, "");
        schema.insert("type".into(), "object".into());
        if !fields.is_empty() {
            let property = |field: &Field| (field.name.to_string(), self.property(definition, field));
            schema.insert(
                "properties".into(),
                Value::Object(fields.iter().map(property).collect()),
            );
        }
        let required: Vec<&str> = fields
            .iter()
            .filter(|field| field.required)
            .map(|field| &*field.name)
            .collect();
        if !required.is_empty() {
            schema.insert("required".into(), json!(required));
        }
        if definition.atomic {
            schema.insert("x-kubernetes-map-type".into(), "atomic".into());
        }
        if !definition.kinds.is_empty() {
            let kind = |kind: &GroupVersionKind| json!({ "group": kind.group, "version": kind.version, "kind": kind.kind });
            let kinds = definition.kinds.iter().map(kind).collect();
            schema.insert("x-kubernetes-group-version-kind".into(), Value::Array(kinds));
        }
        Value::Object(schema)
    }

    /// The schema of one field, with what the table says of it as extensions.
    fn property(&self, owner: &Definition, field: &Field) -> Value {
        let mut schema = self.shape(&field.shape);
        self.describe(&mut schema, owner, &field.name);
        let attributes = &field.attributes;
        if !attributes.allowed.is_empty() {
            schema.insert("enum".into(), json!(attributes.allowed));
        }
        // Upstream also says that a struct which is no pointer is `{}` by default; generators refuse that beside a reference.
        let default = field.default.as_ref().filter(|default| !default.value.is_array());
        if let Some(default) =
            default.filter(|default| default.value.as_object().is_none_or(|map| !map.is_empty()))
        {
            schema.insert("default".into(), default.value.clone());
        }
        let texts = [
            ("x-kubernetes-list-type", attributes.list_type.as_deref()),
            ("x-kubernetes-map-type", attributes.map_type.as_deref()),
            ("x-kubernetes-patch-merge-key", attributes.merge_key.as_deref()),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                schema.insert(name.into(), value.into());
            }
        }
        if !attributes.list_keys.is_empty() {
            schema.insert("x-kubernetes-list-map-keys".into(), json!(attributes.list_keys));
        }
        if !attributes.strategies.is_empty() {
            schema.insert(
                "x-kubernetes-patch-strategy".into(),
                attributes.strategies.join(",").into(),
            );
        }
        Value::Object(schema)
    }

    fn shape(&self, shape: &Shape) -> Fields {
        let mut schema = Fields::new();
        match shape {
            Shape::Scalar(scalar) => return scalar_schema(*scalar),
            Shape::List(items) => {
                schema.insert("type".into(), "array".into());
                schema.insert("items".into(), Value::Object(self.shape(items)));
            }
            Shape::Map(values) => {
                schema.insert("type".into(), "object".into());
                schema.insert("additionalProperties".into(), Value::Object(self.shape(values)));
            }
            // Nothing may stand beside `$ref` in OpenAPI 3.0, hence `allOf`, as upstream has it.
            Shape::Named(id) => {
                let target: Vec<Value> = self.schemas.get(*id).map(reference).into_iter().collect();
                schema.insert("allOf".into(), Value::Array(target));
            }
        }
        schema
    }

    /// Adds the description of a field, or with an empty one of the definition itself.
    fn describe(&self, schema: &mut Fields, definition: &Definition, field: &str) {
        if let Some(text) = self.descriptions.of(&definition.name, field) {
            schema.insert("description".into(), text.into());
        }
    }
}

fn scalar_schema(scalar: Scalar) -> Fields {
    let schema = match scalar {
        Scalar::String => json!({ "type": "string" }),
        Scalar::Byte => json!({ "type": "string", "format": "byte" }),
        Scalar::Int32 => json!({ "type": "integer", "format": "int32" }),
        Scalar::Int64 => json!({ "type": "integer", "format": "int64" }),
        Scalar::Double => json!({ "type": "number", "format": "double" }),
        Scalar::Bool => json!({ "type": "boolean" }),
        Scalar::Time | Scalar::MicroTime => json!({ "type": "string", "format": "date-time" }),
        Scalar::Quantity => json!({ "oneOf": [{ "type": "string" }, { "type": "number" }] }),
        Scalar::IntOrString => {
            json!({ "format": "int-or-string", "oneOf": [{ "type": "integer" }, { "type": "string" }] })
        }
        Scalar::Any => json!({}),
        Scalar::Free => json!({ "type": "object" }),
    };
    match schema {
        Value::Object(fields) => fields,
        _ => Fields::new(),
    }
}
