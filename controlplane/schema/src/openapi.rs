//! OpenAPI v3 documents, one for each group and version.
//!
//! They have what kubectl relies on: paths with `x-kubernetes-group-version-kind` on each operation (it
//! looks for the `fieldValidation` parameter of PATCH before it sends anything), and component schemas with
//! the `x-kubernetes-*` extensions from which `kubectl apply` computes its patch.

mod components;
mod descriptions;
mod parameters;
mod paths;
mod v2;

use serde_json::{Map, Value, json};

pub use v2::openapi_v2;

use crate::{Schemas, builtin};

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
    /// Whether a DELETE answers with the object rather than a `Status`.
    pub shows_deleted: bool,
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
    /// That kind, such as `Scale`; one that has no schema (`PodExecOptions`) is text in the document.
    pub kind: String,
    /// API verbs: `get`, `update`, `patch`, `create`, `delete`.
    pub verbs: Vec<String>,
}

/// The OpenAPI v3 document of one group and version of the built-in kinds. Costs milliseconds: cache it.
#[must_use]
pub fn openapi_v3(doc: &GroupVersionDoc) -> Value {
    document(builtin(), doc)
}

fn document(schemas: &Schemas, doc: &GroupVersionDoc) -> Value {
    let mut refs = components::References::new(schemas);
    let paths = paths::all(doc, &mut refs);
    // Clients decode these wherever they are: watches, and errors of any operation.
    for kind in ["Status", "WatchEvent", "DeleteOptions"] {
        refs.kind("", "v1", kind);
    }
    json!({
        "openapi": "3.0.0",
        "info": { "title": "Kubernetes", "version": "v1.36.0" },
        "paths": paths,
        "components": {
            "schemas": refs.into_components(),
            "securitySchemes": {
                "BearerToken": {
                    "description": "Bearer Token authentication",
                    "type": "apiKey", "name": "authorization", "in": "header",
                },
            },
        },
    })
}

/// The index at `/openapi/v3`: for each document its path, such as `apis/apps/v1`, and the hash of its bytes.
#[must_use]
pub fn openapi_v3_index<'a>(documents: impl IntoIterator<Item = (&'a str, &'a str)>) -> Value {
    let entry = |(path, hash): (&str, &str)| {
        (
            path.to_owned(),
            json!({ "serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}") }),
        )
    };
    let paths: Map<String, Value> = documents.into_iter().map(entry).collect();
    json!({ "paths": paths })
}

#[cfg(test)]
mod tests;
