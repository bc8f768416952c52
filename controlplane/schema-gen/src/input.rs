//! The published JSON schemas, as far as the table needs them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// The whole file.
#[derive(Debug, Deserialize)]
pub(crate) struct Input {
    /// Definitions by full name, such as `io.k8s.api.core.v1.Pod`.
    #[serde(rename = "$defs", alias = "definitions")]
    pub(crate) definitions: BTreeMap<String, Schema>,
}

/// One schema: a definition, a property, or what a list or map holds.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Schema {
    #[serde(rename = "$ref")]
    pub(crate) reference: Option<String>,
    #[serde(rename = "type")]
    pub(crate) types: OneOrMany,
    pub(crate) format: Option<String>,
    #[serde(rename = "enum")]
    pub(crate) allowed: Vec<Value>,
    #[serde(rename = "default")]
    pub(crate) default_value: Option<Value>,
    pub(crate) properties: BTreeMap<String, Schema>,
    pub(crate) required: Vec<String>,
    pub(crate) items: Option<Box<Schema>>,
    #[serde(rename = "additionalProperties")]
    pub(crate) values: Option<Box<Schema>>,
    #[serde(rename = "x-kubernetes-list-type")]
    pub(crate) list_type: Option<String>,
    #[serde(rename = "x-kubernetes-list-map-keys")]
    pub(crate) list_keys: Vec<String>,
    #[serde(rename = "x-kubernetes-map-type")]
    pub(crate) map_type: Option<String>,
    #[serde(rename = "x-kubernetes-patch-merge-key")]
    pub(crate) merge_key: Option<String>,
    #[serde(rename = "x-kubernetes-patch-strategy")]
    pub(crate) patch_strategy: Option<String>,
    #[serde(rename = "x-kubernetes-group-version-kind")]
    pub(crate) kinds: Vec<GroupVersionKind>,
}

impl Schema {
    /// The one type that is not `null`. Which types are nullable says nothing: every optional field is.
    pub(crate) fn type_name(&self) -> Option<&str> {
        match &self.types {
            OneOrMany::None => None,
            OneOrMany::One(name) => Some(name),
            OneOrMany::Many(names) => names.iter().map(String::as_str).find(|name| *name != "null"),
        }
    }

    /// Full names of the definitions that this schema names.
    pub(crate) fn references(&self) -> Vec<&str> {
        let mut found: Vec<&str> = self.target().into_iter().collect();
        let inner = self
            .properties
            .values()
            .chain(self.items.as_deref())
            .chain(self.values.as_deref());
        inner.for_each(|schema| found.extend(schema.references()));
        found
    }

    /// Full name of the definition that this schema is a reference to.
    pub(crate) fn target(&self) -> Option<&str> {
        self.reference.as_deref().and_then(|path| path.rsplit('/').next())
    }
}

/// `type` is a name or a list of names.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    #[default]
    None,
    One(String),
    Many(Vec<String>),
}

/// A kind that a definition is the type of.
#[derive(Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct GroupVersionKind {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
}
