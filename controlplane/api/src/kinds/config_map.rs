//! ConfigMaps.

use jiff::Timestamp;
use serde_json::Value;

use super::define::{age, kind, name, text};
use crate::field::FieldError;
use crate::read;
use crate::resource::Resource;
use crate::strategy::Strategy;
use crate::validate::data;

pub(super) fn resource() -> Resource {
    kind("", "v1", "ConfigMap", "configmaps")
        .short(&["cm"])
        .shown_by(vec![
            name(),
            text("Data", "Data contains the configuration data.", entries),
            age(),
        ])
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
