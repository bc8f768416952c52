//! Discovery: what groups, versions and resources are served, in the old and the aggregated form.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use controlplane_api::registry::Group;
use controlplane_api::resource::api_version;
use controlplane_api::{ApiError, Resource, Subresource, Verb};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::meta_api::etag::{self, hex};
use crate::reply;
use crate::request::accept::{self, Discovery};
use crate::server::Inner;

fn send(value: &Value, headers: &HeaderMap) -> Response {
    accept::plain(headers)
        .and_then(|encoding| reply::encoded(StatusCode::OK, value, encoding))
        .unwrap_or_else(reply::failure)
}

/// `/api`.
pub(crate) async fn core_versions(State(server): State<Arc<Inner>>, headers: HeaderMap) -> Response {
    let core = |group: &Group| group.name.is_empty();
    match accept::discovery(&headers) {
        Ok(Discovery::Aggregated(version)) => return aggregated(&server, version, &headers, core),
        Ok(Discovery::Plain(_)) => {}
        Err(error) => return reply::failure(error),
    }
    let versions: Vec<String> = server
        .registry
        .groups()
        .into_iter()
        .filter(core)
        .flat_map(|g| g.versions)
        .collect();
    let list = json!({"kind": "APIVersions", "versions": versions, "serverAddressByClientCIDRs": []});
    send(&list, &headers)
}

/// `/apis`.
pub(crate) async fn groups(State(server): State<Arc<Inner>>, headers: HeaderMap) -> Response {
    let named = |group: &Group| !group.name.is_empty();
    match accept::discovery(&headers) {
        Ok(Discovery::Aggregated(version)) => return aggregated(&server, version, &headers, named),
        Ok(Discovery::Plain(_)) => {}
        Err(error) => return reply::failure(error),
    }
    let groups: Vec<Value> = server
        .registry
        .groups()
        .iter()
        .filter(|group| named(group))
        .map(group_value)
        .collect();
    send(
        &json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}),
        &headers,
    )
}

fn group_value(group: &Group) -> Value {
    let version =
        |version: &String| json!({"groupVersion": api_version(&group.name, version), "version": version});
    let versions: Vec<Value> = group.versions.iter().map(version).collect();
    json!({"name": group.name, "versions": versions, "preferredVersion": group.versions.first().map(version)})
}

/// Where kubectl looks for custom kinds.
pub(crate) const CUSTOM_KINDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// No custom kinds are served yet, and kubectl asks for them before it checks the manifest of a kind that cannot be patched,
/// such as a review: it goes on only if it is told that there are none.
pub(crate) async fn custom_kinds(State(server): State<Arc<Inner>>, headers: HeaderMap) -> Response {
    let list = json!({
        "kind": "CustomResourceDefinitionList", "apiVersion": "apiextensions.k8s.io/v1",
        "metadata": {"resourceVersion": server.store.revision().to_string()}, "items": [],
    });
    send(&list, &headers)
}

/// `/apis/<group>`.
pub(crate) async fn group(
    State(server): State<Arc<Inner>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    let groups = server.registry.groups();
    let Some(found) = groups.iter().find(|group| group.name == name && !name.is_empty()) else {
        return reply::failure(ApiError::no_such_path());
    };
    let mut value = group_value(found);
    if let Some(map) = value.as_object_mut() {
        map.insert("kind".to_owned(), json!("APIGroup"));
        map.insert("apiVersion".to_owned(), json!("v1"));
    }
    send(&value, &headers)
}

/// `/api/<version>`.
pub(crate) async fn core_resources(
    State(server): State<Arc<Inner>>,
    Path(version): Path<String>,
    headers: HeaderMap,
) -> Response {
    resource_list(&server, ("", &version), &headers)
}

/// `/apis/<group>/<version>`.
pub(crate) async fn resources(
    State(server): State<Arc<Inner>>,
    Path((group, version)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    resource_list(&server, (&group, &version), &headers)
}

fn resource_list(server: &Inner, (group, version): (&str, &str), headers: &HeaderMap) -> Response {
    let mut listed = Vec::new();
    for resource in server.registry.in_group_version(group, version) {
        listed.push(resource_value(resource));
        listed.extend(
            resource
                .subresources
                .iter()
                .map(|part| subresource_value(resource, part)),
        );
    }
    if listed.is_empty() {
        return reply::failure(ApiError::no_such_path());
    }
    let list = json!({
        "kind": "APIResourceList", "apiVersion": "v1",
        "groupVersion": api_version(group, version), "resources": listed,
    });
    send(&list, headers)
}

fn verbs(verbs: &[Verb]) -> Vec<&'static str> {
    verbs.iter().map(|verb| verb.as_str()).collect()
}

fn resource_value(resource: &Resource) -> Value {
    let mut value = json!({
        "name": resource.plural, "singularName": resource.singular, "namespaced": resource.is_namespaced(),
        "kind": resource.kind, "verbs": verbs(&resource.verbs),
    });
    if let Some(map) = value.as_object_mut() {
        if !resource.short_names.is_empty() {
            map.insert("shortNames".to_owned(), json!(resource.short_names));
        }
        if !resource.categories.is_empty() {
            map.insert("categories".to_owned(), json!(resource.categories));
        }
        if !resource.transient {
            map.insert(
                "storageVersionHash".to_owned(),
                storage_version_hash(resource).into(),
            );
        }
    }
    value
}

/// Tells the form of the stored bytes, so that a migration sees when it changes: the first eight bytes of
/// the SHA-256 of `group/version/kind`, as upstream makes it.
fn storage_version_hash(resource: &Resource) -> String {
    let Resource {
        group, version, kind, ..
    } = resource;
    let form = match &resource.storage {
        Some(storage) => format!(
            "{}/{}/{}",
            storage.form.group, storage.form.version, storage.form.kind
        ),
        None => format!("{group}/{version}/{kind}"),
    };
    let digest = Sha256::digest(form.as_bytes());
    BASE64_STANDARD.encode(digest.get(..8).unwrap_or_default())
}

fn subresource_value(resource: &Resource, part: &Subresource) -> Value {
    let mut value = json!({
        "name": format!("{}/{}", resource.plural, part.name), "singularName": "",
        "namespaced": resource.is_namespaced(), "kind": part.body.kind, "verbs": verbs(&part.verbs),
    });
    let own = part.body.group == resource.group && part.body.version == resource.version;
    if let Some(map) = value.as_object_mut()
        && !own
    {
        map.insert("group".to_owned(), json!(part.body.group));
        map.insert("version".to_owned(), json!(part.body.version));
    }
    value
}

/// `APIGroupDiscoveryList`, with an `ETag` so that clients fetch it once.
fn aggregated(
    server: &Inner,
    form: &'static str,
    headers: &HeaderMap,
    wanted: impl Fn(&Group) -> bool,
) -> Response {
    let groups: Vec<Value> = server
        .registry
        .groups()
        .iter()
        .filter(|group| wanted(group))
        .map(|group| discovered(server, group))
        .collect();
    let list = json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{form}"),
        "metadata": {}, "items": groups,
    });
    let bytes = list.to_string();
    let hash = hex(&Sha256::digest(bytes.as_bytes()));
    let mut response = etag::reply(headers, &hash, bytes.into());
    let content_type = format!("application/json;g=apidiscovery.k8s.io;v={form};as=APIGroupDiscoveryList");
    if let Ok(content_type) = HeaderValue::from_str(&content_type) {
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    response
}

fn discovered(server: &Inner, group: &Group) -> Value {
    let version = |version: &String| {
        let resources: Vec<Value> = server
            .registry
            .in_group_version(&group.name, version)
            .map(|resource| discovered_resource(resource))
            .collect();
        json!({"version": version, "resources": resources, "freshness": "Current"})
    };
    let versions: Vec<Value> = group.versions.iter().map(version).collect();
    let mut metadata = json!({});
    if let Some(map) = metadata.as_object_mut().filter(|_| !group.name.is_empty()) {
        map.insert("name".to_owned(), json!(group.name));
    }
    json!({"metadata": metadata, "versions": versions})
}

fn discovered_resource(resource: &Resource) -> Value {
    let kind =
        |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    let part = |part: &Subresource| {
        let body = &part.body;
        json!({
            "subresource": part.name, "responseKind": kind(&body.group, &body.version, &body.kind),
            "verbs": verbs(&part.verbs),
        })
    };
    let parts: Vec<Value> = resource.subresources.iter().map(part).collect();
    let mut value = json!({
        "resource": resource.plural,
        "responseKind": kind(&resource.group, &resource.version, &resource.kind),
        "scope": if resource.is_namespaced() { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular, "verbs": verbs(&resource.verbs),
    });
    if let Some(map) = value.as_object_mut() {
        for (name, texts) in [
            ("shortNames", &resource.short_names),
            ("categories", &resource.categories),
        ] {
            if !texts.is_empty() {
                map.insert(name.to_owned(), json!(texts));
            }
        }
        if !parts.is_empty() {
            map.insert("subresources".to_owned(), json!(parts));
        }
    }
    value
}
