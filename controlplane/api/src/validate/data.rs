//! Rules for the data of ConfigMaps and Secrets.

mod pair;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::validate::json;

/// Most bytes of data that one object may hold.
const MAX: usize = 1024 * 1024;

/// What is wrong with a ConfigMap.
pub(crate) fn config_map(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut size = 0;
    for (key, value) in read::map(object, "data") {
        let path = Path::new("data").key(key);
        errors.extend(key_errors(key, &path));
        if object
            .get("binaryData")
            .and_then(|binary| binary.get(key))
            .is_some()
        {
            errors.push(path.invalid(key.as_str(), "duplicate of key present in binaryData"));
        }
        size += value.as_str().unwrap_or_default().len();
    }
    for (key, value) in read::map(object, "binaryData") {
        let path = Path::new("binaryData").key(key);
        errors.extend(key_errors(key, &path));
        size += decoded_len(value, &path, &mut errors);
    }
    if size > MAX {
        errors.push(Path::new("").too_long(MAX));
    }
    errors
}

fn key_errors(key: &str, path: &Path) -> Vec<FieldError> {
    names::config_key(key)
        .into_iter()
        .map(|rule| path.invalid(key, rule))
        .collect()
}

fn decoded_len(value: &Value, path: &Path, errors: &mut Vec<FieldError>) -> usize {
    match STANDARD.decode(value.as_str().unwrap_or_default()) {
        Ok(bytes) => bytes.len(),
        Err(error) => {
            errors.push(path.invalid("<value omitted>", format!("illegal base64 data: {error}")));
            0
        }
    }
}

/// The keys that a Secret of a type must have, and whether all or any of them.
fn needed(kind: &str) -> &'static [&'static str] {
    match kind {
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        _ => &[],
    }
}

/// What is wrong with a Secret.
pub(crate) fn secret(object: &Value) -> Vec<FieldError> {
    let path = Path::new("data");
    let mut errors = Vec::new();
    let mut size = 0;
    for (key, value) in read::map(object, "data") {
        let path = path.key(key);
        errors.extend(key_errors(key, &path));
        size += decoded_len(value, &path, &mut errors);
    }
    if size > MAX {
        errors.push(path.too_long(MAX));
    }
    errors.extend(typed(object, &path));
    errors
}

/// What a Secret lacks for its type.
fn typed(object: &Value, path: &Path) -> Vec<FieldError> {
    let kind = read::text(object, "type");
    let value = |key: &str| {
        object
            .get("data")
            .and_then(|data| data.get(key))
            .and_then(Value::as_str)
    };
    let mut errors: Vec<FieldError> = needed(kind)
        .iter()
        .filter(|key| value(key).is_none_or(|text| kind == "kubernetes.io/ssh-auth" && text.is_empty()))
        .map(|key| path.key(key).required(""))
        .collect();
    if matches!(kind, "kubernetes.io/dockercfg" | "kubernetes.io/dockerconfigjson") {
        for key in needed(kind) {
            let decoded = value(key).and_then(|text| STANDARD.decode(text).ok());
            if let Some(fault) = decoded.and_then(|bytes| object_fault(&bytes)) {
                errors.push(path.key(key).invalid("<secret contents redacted>", fault));
            }
        }
    }
    if kind == "kubernetes.io/basic-auth" && value("username").is_none() && value("password").is_none() {
        errors.push(path.key("username").required(""));
        errors.push(path.key("password").required(""));
    }
    let account = "kubernetes.io/service-account.name";
    let annotations = crate::meta::annotations(object);
    if kind == "kubernetes.io/service-account-token" && annotations.get(account).is_none_or(String::is_empty)
    {
        errors.push(Path::new("metadata.annotations").key(account).required(""));
    }
    errors
}

/// Why `text` is no object of JSON, in Go's words.
fn object_fault(text: &[u8]) -> Option<String> {
    json::fault(text).or_else(|| {
        let kind = match serde_json::from_slice(text).ok()? {
            Value::Null | Value::Object(_) => return None,
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
        };
        Some(format!(
            "json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
        ))
    })
}

/// What a client is told of a Secret of a certificate and its key that a server could not use.
pub(crate) fn pair_warning(object: &Value) -> Option<String> {
    if read::text(object, "type") != "kubernetes.io/tls" {
        return None;
    }
    let value = |key: &str| {
        let text = object
            .get("data")
            .and_then(|data| data.get(key))
            .and_then(Value::as_str);
        STANDARD.decode(text.unwrap_or_default()).unwrap_or_default()
    };
    pair::fault(&value("tls.crt"), &value("tls.key"))
}

/// What an update changes of an object that says of itself that it never changes.
pub(crate) fn frozen(new: &Value, old: &Value, fields: &[&str]) -> Vec<FieldError> {
    if !read::flag(old, "immutable") {
        return Vec::new();
    }
    let detail = "field is immutable when `immutable` is set";
    let mut errors = Vec::new();
    if !read::flag(new, "immutable") {
        errors.push(Path::new("immutable").forbidden(detail));
    }
    let changed = fields.iter().filter(|field| new.get(**field) != old.get(**field));
    errors.extend(changed.map(|field| Path::new(field).forbidden(detail)));
    errors
}
