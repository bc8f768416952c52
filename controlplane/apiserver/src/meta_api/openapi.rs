//! `/openapi/v3`: an index, and one document a group and version; `/openapi/v2`: one for all. Made once and cached.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use controlplane_api::{ApiError, Registry, Resource, Verb};
use controlplane_protobuf::{OPENAPI_V2, encode_openapi_v2};
use controlplane_schema::{
    GroupVersionDoc, ResourceDoc, SubresourceDoc, openapi_v2, openapi_v3, openapi_v3_index,
};
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::meta_api::etag::{self, hex};
use crate::reply;
use crate::request::query::Query;
use crate::server::Inner;

/// What is in every spelling of the protobuf form's media type: `…spec.v2@v1.0+protobuf`, `…spec.v2.v1.0+protobuf`.
const PROTOBUF: &str = "com.github.proto-openapi.spec.v2";

/// The documents by their path, such as `apis/apps/v1`.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    version_3: OnceLock<BTreeMap<String, Document>>,
    version_2: OnceLock<Version2>,
}

/// The two forms of the document of version 2.
#[derive(Debug)]
struct Version2 {
    json: Document,
    protobuf: Document,
}

#[derive(Debug)]
struct Document {
    bytes: Bytes,
    hash: String,
}

impl Documents {
    /// Made at first use: some tens of milliseconds that a server without `kubectl` never spends.
    fn get(&self, registry: &Registry) -> &BTreeMap<String, Document> {
        self.version_3.get_or_init(|| {
            let named = |(path, doc): (String, GroupVersionDoc)| {
                (path, Document::of(openapi_v3(&doc).to_string().into_bytes()))
            };
            group_versions(registry).map(named).collect()
        })
    }

    fn version_2(&self, registry: &Registry) -> &Version2 {
        self.version_2.get_or_init(|| {
            let parts: Vec<Value> = group_versions(registry)
                .map(|(_, doc)| openapi_v3(&doc))
                .collect();
            let whole = openapi_v2(&parts);
            Version2 {
                protobuf: Document::of(encode_openapi_v2(&whole)),
                json: Document::of(whole.to_string().into_bytes()),
            }
        })
    }
}

impl Document {
    fn of(bytes: Vec<u8>) -> Self {
        let hash = hex(&Sha256::digest(&bytes));
        Self {
            bytes: bytes.into(),
            hash,
        }
    }

    /// The document, or that the client has it.
    fn reply(&self, headers: &HeaderMap) -> Response {
        etag::reply(headers, &self.hash, self.bytes.clone())
    }
}

/// What is served under each group and version, by the path of its document.
fn group_versions(registry: &Registry) -> impl Iterator<Item = (String, GroupVersionDoc)> {
    let groups = registry.groups().into_iter();
    let versions = groups.flat_map(|group| {
        let all = group.versions.into_iter();
        all.map(move |version| (group.name.clone(), version))
    });
    versions.map(|(group, version)| {
        let path = match group.is_empty() {
            true => format!("api/{version}"),
            false => format!("apis/{group}/{version}"),
        };
        let resources = registry
            .in_group_version(&group, &version)
            .map(|resource| described(resource));
        let doc = GroupVersionDoc {
            resources: resources.collect(),
            group: group.to_string(),
            version: version.to_string(),
        };
        (path, doc)
    })
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

/// `/openapi/v3/<path>`; for ever where the client names the hash, and from another hash on to the present one.
pub(crate) async fn document(
    State(server): State<Arc<Inner>>,
    Path(path): Path<String>,
    uri: http::Uri,
    headers: HeaderMap,
) -> Response {
    let Some(document) = server.documents.get(&server.registry).get(&path) else {
        return reply::failure(ApiError::no_such_path());
    };
    let query = match Query::parse(&uri) {
        Ok(query) => query,
        Err(error) => return reply::failure(error),
    };
    let asked = query.get("hash");
    if asked.is_some_and(|hash| hash != document.hash) {
        return moved(&format!("/openapi/v3/{path}?hash={}", document.hash));
    }
    let mut response = document.reply(&headers);
    if asked.is_some() {
        response.headers_mut().insert(
            CACHE_CONTROL,
            HeaderValue::from_static("public, immutable, max-age=31536000"),
        );
    }
    response
}

fn moved(to: &str) -> Response {
    let mut response = reply::text(StatusCode::MOVED_PERMANENTLY, Bytes::new());
    if let Ok(to) = HeaderValue::from_str(to) {
        response.headers_mut().insert(LOCATION, to);
    }
    response
}

/// `/openapi/v2`: one document, in protobuf for those who ask for it, which kubectl and client-go do.
pub(crate) async fn v2(State(server): State<Arc<Inner>>, headers: HeaderMap) -> Response {
    let both = server.documents.version_2(&server.registry);
    let asks = |value: &HeaderValue| value.to_str().is_ok_and(|text| text.contains(PROTOBUF));
    let document = match headers.get_all(ACCEPT).iter().any(asks) {
        true => &both.protobuf,
        false => &both.json,
    };
    let mut response = document.reply(&headers);
    if let (true, Ok(media)) = (
        std::ptr::eq(document, &both.protobuf),
        HeaderValue::from_str(OPENAPI_V2),
    ) {
        response.headers_mut().insert(CONTENT_TYPE, media);
    }
    response
}
