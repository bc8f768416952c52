//! Objects that kubectl's client-side apply made, and that it goes on with by server-side apply.

use serde_json::Value;

use super::collect;
use super::compare::Comparison;
use super::set::FieldSet;
use crate::meta;
use crate::schema::TypeRef;

/// The manager for whom the annotation counts.
pub(super) const KUBECTL: &str = "kubectl";
/// What was last applied, as kubectl notes it.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Most bytes of all annotations.
const MAX_ANNOTATIONS: usize = 256 * 1024;

fn last_applied(object: &Value) -> Option<&str> {
    let annotations = object.get("metadata")?.get("annotations")?;
    annotations
        .get(LAST_APPLIED)?
        .as_str()
        .filter(|text| !text.is_empty())
}

/// The fields of `live` that are as they were last applied from the client's side: for these kubectl needs to force
/// nothing. `None` without an annotation that can be read.
pub(super) fn unchanged_since(schema: TypeRef<'_>, live: &Value, api_version: &str) -> Option<FieldSet> {
    let applied: Value = serde_json::from_str(last_applied(live)?).ok()?;
    if applied.get("apiVersion").and_then(Value::as_str) != Some(api_version) {
        return None;
    }
    let mut fields = collect::configured(schema, &applied).ok()?;
    let comparison = Comparison::of(schema, &applied, live);
    fields.subtract(&comparison.modified);
    fields.subtract(&comparison.added);
    fields.subtract(&comparison.removed);
    Some(fields)
}

/// Notes `config` as what was last applied, where such a note is already.
pub(super) fn note(object: &mut Value, config: &Value) {
    if last_applied(object).is_none() {
        return;
    }
    let mut config = config.clone();
    if let Some(Value::Object(annotations)) = config
        .get_mut("metadata")
        .and_then(|metadata| metadata.get_mut("annotations"))
    {
        annotations.remove(LAST_APPLIED);
    }
    let annotations = meta::object_mut(meta::member_mut(
        meta::member_mut(object, "metadata"),
        "annotations",
    ));
    annotations.insert(LAST_APPLIED.to_owned(), format!("{config}\n").into());
    let size: usize = annotations
        .iter()
        .map(|(key, value)| key.len() + value.as_str().map(str::len).unwrap_or_default())
        .sum();
    if size > MAX_ANNOTATIONS {
        annotations.remove(LAST_APPLIED);
    }
}
