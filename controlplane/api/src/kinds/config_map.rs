//! ConfigMaps.

use jiff::Timestamp;
use serde_json::Value;

use super::define::{age, kind, name, text};
use crate::field::FieldError;
use crate::read;
use crate::resource::Resource;
use crate::strategy::Strategy;
use crate::validate::data;

// Upstream's descriptions of columns, to the letter.
const DATA_HELP: &str = "Data contains the configuration data. Each key must consist of alphanumeric characters, '-', '_' or '.'. \
    Values with non-UTF-8 byte sequences must use the BinaryData field. The keys stored in Data must not overlap \
    with the keys in the BinaryData field, this is enforced during validation process.";

pub(super) fn resource() -> Resource {
    kind("", "v1", "ConfigMap", "configmaps")
        .short(&["cm"])
        .shown_by(vec![name(), text("Data", DATA_HELP, entries), age()])
        .ruled_by(Rules)
}

fn entries(object: &Value, _: Timestamp) -> Value {
    (read::map(object, "data").count() + read::map(object, "binaryData").count()).into()
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        data::config_map(object)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = data::frozen(new, old, &["data", "binaryData"]);
        errors.extend(data::config_map(new));
        errors
    }
}
