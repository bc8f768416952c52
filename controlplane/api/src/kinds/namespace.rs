//! Namespaces.

use serde_json::{Value, json};

use super::define::{age, field, kind, name};
use crate::field::{FieldError, Path};
use crate::meta;
use crate::names::{self, NameCheck};
use crate::read;
use crate::resource::{Resource, Role, SelectableField, Verb};
use crate::strategy::{Context, Strategy, keep};
use crate::validate::metadata;

pub(super) fn resource() -> Resource {
    kind("", "v1", "Namespace", "namespaces")
        .cluster_wide()
        .short(&["ns"])
        .with_status()
        .with_part("finalize", Role::Update, &[Verb::Update])
        .shown_by(vec![
            name(),
            field("Status", "status.phase", "The status of the namespace"),
            age(),
        ])
        .selected_by(vec![
            SelectableField::path("name"),
            SelectableField::path("status.phase"),
        ])
        .ruled_by(Rules)
        .without(Verb::DeleteCollection)
}

/// A namespace lives until its own finalizers, beside metadata's, are gone.
#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn name_check(&self) -> NameCheck {
        names::dns_label
    }

    fn prepare_create(&self, object: &mut Value, _: &Context) {
        let name = meta::name(object).to_owned();
        if !name.is_empty() {
            let labels = meta::object_mut(meta::metadata_mut(object).entry("labels").or_insert(Value::Null));
            labels.insert("kubernetes.io/metadata.name".to_owned(), name.into());
        }
        let map = meta::object_mut(object);
        map.insert("status".to_owned(), json!({"phase": "Active"}));
        let finalizers = meta::member_mut(meta::member_mut(object, "spec"), "finalizers");
        let mut wanted: Vec<Value> = finalizers.as_array().cloned().unwrap_or_default();
        if !wanted.iter().any(|name| name == "kubernetes") {
            wanted.push("kubernetes".into());
        }
        *finalizers = wanted.into();
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _: &Context) {
        keep(new, old, "spec");
        keep(new, old, "status");
        let name = meta::name(new).to_owned();
        let labels = meta::object_mut(meta::metadata_mut(new).entry("labels").or_insert(Value::Null));
        labels.insert("kubernetes.io/metadata.name".to_owned(), name.into());
    }

    fn prepare_subresource_update(&self, _: &str, new: &mut Value, old: &Value, _: &Context) {
        keep(new, old, "status");
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        finalizer_errors(object, |path, _| path.clone())
    }

    fn validate_update(&self, _: &Value, _: &Value) -> Vec<FieldError> {
        Vec::new()
    }

    fn validate_status_update(&self, new: &Value, _: &Value) -> Vec<FieldError> {
        let phase = read::text(new, "status.phase");
        // Upstream's spelling.
        let path = Path::new("status.Phase");
        match (meta::deletion_timestamp(new).is_some(), phase) {
            (true, "Terminating") | (false, "Active") => Vec::new(),
            (true, _) => vec![path.invalid(
                phase,
                "may only be 'Terminating' if `deletionTimestamp` is not empty",
            )],
            (false, _) => vec![path.invalid(phase, "may only be 'Active' if `deletionTimestamp` is empty")],
        }
    }

    fn validate_subresource_update(&self, _: &str, new: &Value, _: &Value) -> Vec<FieldError> {
        finalizer_errors(new, Path::index)
    }

    fn mark_deleted(&self, object: &mut Value) {
        let status = meta::object_mut(meta::member_mut(object, "status"));
        status.insert("phase".to_owned(), "Terminating".into());
    }

    fn held(&self, object: &Value) -> bool {
        !read::list(object, "spec.finalizers").is_empty()
    }
}

/// `place` tells the path of the finalizer at an index: upstream names it in `finalize` only.
fn finalizer_errors(object: &Value, place: fn(&Path, usize) -> Path) -> Vec<FieldError> {
    let path = Path::new("spec.finalizers");
    let mut errors = Vec::new();
    for (index, finalizer) in read::texts(object, "spec.finalizers").into_iter().enumerate() {
        let path = place(&path, index);
        let rules = names::qualified_name(finalizer).into_iter();
        errors.extend(rules.map(|rule| path.invalid(finalizer, rule)));
        errors.extend(metadata::bare_finalizer(finalizer, &path));
    }
    errors
}
