//! What the API server says of an object that has nothing but a name: a field that is a struct in Go is there with its
//! defaults, so validation speaks of what is in it, or of nothing at all.
//!
//! `bare.yaml` has every kind that can be created, and upstream's errors in order.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failure is the test's")]

use std::collections::BTreeMap;
use std::path::Path;

use controlplane_api::rest;
use controlplane_api::strategy::{Context, UserInfo};
use controlplane_api::{Resource, Verb, kinds};
use serde_json::{Value, json};

#[test]
fn an_object_with_a_name_alone_is_judged_as_if_its_structs_were_there() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bare.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let wanted: BTreeMap<String, Vec<String>> = serde_yaml_ng::from_str(&text).unwrap();
    let stored = kinds::builtin().into_iter();
    let stored = stored.filter(|kind| kind.allows(Verb::Create) && !kind.transient);
    let found: BTreeMap<String, Vec<String>> = stored
        .map(|kind| (format!("{} {}", kind.api_version(), kind.plural), errors(&kind)))
        .collect();
    let shown = serde_yaml_ng::to_string(&found).unwrap();
    assert_eq!(found, wanted, "this is said:\n{shown}");
}

fn errors(resource: &Resource) -> Vec<String> {
    let mut object = json!({"metadata": {"name": "a"}});
    default(resource, &mut object);
    let once = object.clone();
    default(resource, &mut object);
    assert_eq!(object, once, "{} is defaulted twice", resource.kind);
    resource.to_storage(&mut object);
    let namespace = if resource.is_namespaced() { "default" } else { "" };
    let context = Context::new("2026-01-01T00:00:00Z".parse().unwrap(), UserInfo::default());
    let Err(error) = rest::prepare_create(resource, &mut object, namespace, &context) else {
        return Vec::new();
    };
    let causes = error.status().details.iter().flat_map(|details| &details.causes);
    causes
        .map(|cause| format!("{}: {}", cause.field, cause.message))
        .collect()
}

fn default(resource: &Resource, object: &mut Value) {
    let kind = controlplane_schema::builtin()
        .kind(&resource.group, &resource.version, &resource.kind)
        .expect("every kind has a schema");
    kind.prune(object);
    kind.default(object);
}
