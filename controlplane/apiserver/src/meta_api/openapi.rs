//! `/openapi/v3`: an index, and one document a group and version, made once and cached by hash.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use controlplane_api::{ApiError, Registry, Resource, Verb};
use controlplane_schema::{GroupVersionDoc, ResourceDoc, SubresourceDoc, openapi_v3, openapi_v3_index};
use http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use sha2::{Digest, Sha256};

use crate::meta_api::discovery::hex;
use crate::reply;
use crate::server::Inner;

/// The documents by their path, such as `apis/apps/v1`.
#[derive(Debug, Default)]
pub(crate) struct Documents(OnceLock<BTreeMap<String, Document>>);

#[derive(Debug)]
struct Document {
    bytes: Bytes,
    hash: String,
}

impl Documents {
    /// Made at first use: some tens of milliseconds that a server without `kubectl` never spends.
    fn get(&self, registry: &Registry) -> &BTreeMap<String, Document> {
        self.0.get_or_init(|| {
            let groups = registry.groups();
            let versions = groups
                .iter()
                .flat_map(|group| group.versions.iter().map(|version| (&group.name, version)));
            versions
                .map(|(group, version)| document_of(registry, group, version))
                .collect()
        })
    }
}

fn document_of(registry: &Registry, group: &str, version: &str) -> (String, Document) {
    let resources = registry
        .in_group_version(group, version)
        .map(|resource| described(resource))
        .collect();
    let doc = GroupVersionDoc {
        group: group.to_owned(),
        version: version.to_owned(),
        resources,
    };
    let bytes = Bytes::from(openapi_v3(&doc).to_string());
    let hash = hex(&Sha256::digest(&bytes));
    let path = if group.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{group}/{version}")
    };
    (path, Document { bytes, hash })
}

fn described(resource: &Resource) -> ResourceDoc {
    let words = |verbs: &[Verb]| verbs.iter().map(|verb| verb.as_str().to_owned()).collect();
    let part = |part: &controlplane_api::Subresource| SubresourceDoc {
        name: part.name.to_string(),
        group: part.body.group.to_string(),
        version: part.body.version.to_string(),
        kind: part.body.kind.to_string(),
        verbs: words(&part.verbs),
    };
    ResourceDoc {
        plural: resource.plural.to_string(),
        kind: resource.kind.to_string(),
        namespaced: resource.is_namespaced(),
        verbs: words(&resource.verbs),
        shows_deleted: resource.shows_deleted,
        subresources: resource.subresources.iter().map(part).collect(),
    }
}

/// `/openapi/v3`.
pub(crate) async fn index(State(server): State<Arc<Inner>>) -> Response {
    let documents = server.documents.get(&server.registry);
    let index = openapi_v3_index(
        documents
            .iter()
            .map(|(path, doc)| (path.as_str(), doc.hash.as_str())),
    );
    reply::json(StatusCode::OK, &index).unwrap_or_else(reply::failure)
}

/// `/openapi/v3/<path>`; for ever where the client names the hash.
pub(crate) async fn document(
    State(server): State<Arc<Inner>>,
    Path(path): Path<String>,
    uri: http::Uri,
    headers: HeaderMap,
) -> Response {
    let Some(document) = server.documents.get(&server.registry).get(&path) else {
        return reply::failure(ApiError::no_such_path());
    };
    let etag = format!("\"{}\"", document.hash);
    let unchanged = headers
        .get(IF_NONE_MATCH)
        .is_some_and(|known| known.as_bytes() == etag.as_bytes());
    let mut response = match unchanged {
        true => reply::json_bytes(StatusCode::NOT_MODIFIED, Bytes::new()),
        false => reply::json_bytes(StatusCode::OK, document.bytes.clone()),
    };
    let asked = uri
        .query()
        .is_some_and(|query| query.contains(&format!("hash={}", document.hash)));
    let out = response.headers_mut();
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        out.insert(ETAG, etag);
    }
    out.insert(VARY, HeaderValue::from_static("Accept"));
    if asked {
        out.insert(
            CACHE_CONTROL,
            HeaderValue::from_static("public, immutable, max-age=31536000"),
        );
    }
    response
}

/// `/openapi/v2`: only spoken in protobuf by those who still ask; they go on with version 3.
pub(crate) async fn v2() -> Response {
    reply::failure(ApiError::no_such_path())
}
