//! Secrets.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;

use super::define::{age, field, kind, name, text};
use crate::field::{FieldError, Path};
use crate::meta;
use crate::read;
use crate::resource::{Resource, SelectableField};
use crate::strategy::{Context, Strategy};
use crate::validate::{data, metadata};

// Upstream's descriptions of columns, to the letter.
const DATA_HELP: &str = "Data contains the secret data. Each key must consist of alphanumeric characters, '-', '_' or '.'. The \
    serialized form of the secret data is a base64 encoded string, representing the arbitrary (possibly \
    non-string) data value here. Described in https://tools.ietf.org/html/rfc4648#section-4";

pub(super) fn resource() -> Resource {
    kind("", "v1", "Secret", "secrets")
        .shown_by(vec![
            name(),
            field(
                "Type",
                "type",
                "Used to facilitate programmatic handling of secret data. More info: \
                 https://kubernetes.io/docs/concepts/configuration/secret/#secret-types",
            ),
            text("Data", DATA_HELP, entries),
            age(),
        ])
        .selected_by(vec![SelectableField::path("type")])
        .ruled_by(Rules)
}

fn entries(object: &Value, _: Timestamp) -> Value {
    read::map(object, "data").count().into()
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn prepare_create(&self, object: &mut Value, _: &Context) {
        prepare(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _: &Context) {
        prepare(new);
        if read::text(new, "type").is_empty() {
            crate::strategy::keep(new, old, "type");
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        data::secret(object)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if new.get("type") != old.get("type") {
            errors.push(Path::new("type").invalid(read::text(new, "type"), metadata::IMMUTABLE));
        }
        errors.extend(data::frozen(new, old, &["data"]));
        errors.extend(data::secret(new));
        errors
    }

    fn warnings(&self, new: &Value, _: Option<&Value>) -> Vec<String> {
        data::pair_warning(new).into_iter().collect()
    }
}

/// Moves `stringData` into `data`, which wins nothing over it, and fills in the type.
fn prepare(object: &mut Value) {
    let map = meta::object_mut(object);
    let plain = map.remove("stringData");
    map.remove("status");
    if map
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .is_empty()
    {
        map.insert("type".to_owned(), "Opaque".into());
    }
    let Some(Value::Object(plain)) = plain else { return };
    let data = meta::object_mut(map.entry("data").or_insert(Value::Null));
    for (key, value) in plain {
        data.insert(key, STANDARD.encode(value.as_str().unwrap_or_default()).into());
    }
}
