//! Rules of the kinds by which devices are offered, claimed and given, and what these share.
//!
//! Expressions must not be too long; what they say is not looked at, as nothing here runs them.

pub(crate) mod claim;
pub(crate) mod policy;
pub(crate) mod slice;
pub(crate) mod status;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::validate::{expression, naming};

const MAX_SELECTORS: usize = 32;
const MAX_CONFIG: usize = 32;
const MAX_EXPRESSION: usize = 10 * 1024;
const MAX_PARAMETERS: usize = 10 * 1024;
const MAX_POOL_NAME: usize = 253;
const MAX_IDENTIFIER: usize = 32;
const MAX_CONDITIONS: usize = 4;
const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "None"];

/// What is wrong with a DeviceClass.
pub(crate) fn class(object: &Value) -> Vec<FieldError> {
    let (spec, path) = (object.get("spec").unwrap_or(&Value::Null), Path::new("spec"));
    let mut errors = selectors(spec, &path);
    errors.extend(items(spec, "config", MAX_CONFIG, &path, configuration));
    if read::present(spec, "extendedResourceName") {
        let name = read::text(spec, "extendedResourceName");
        if !is_extended(name) {
            let detail = "must be a valid extended resource name";
            errors.push(path.child("extendedResourceName").invalid(name, detail));
        }
    }
    errors
}

/// Whether a resource is one that others than the system count.
fn is_extended(name: &str) -> bool {
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    let quota = format!("requests.{name}");
    !native && !name.starts_with("requests.") && names::qualified_name(&quota).is_empty()
}

/// What is wrong with the items of a bounded list; of one that is too long, only that.
fn items(
    object: &Value,
    field: &str,
    max: usize,
    path: &Path,
    rule: impl Fn(&Value, &Path) -> Vec<FieldError>,
) -> Vec<FieldError> {
    let (list, path) = (read::list(object, field), path.child(field));
    if list.len() > max {
        return vec![path.too_many(list.len(), max)];
    }
    let list = list.iter().enumerate();
    list.flat_map(|(index, item)| rule(item, &path.index(index)))
        .collect()
}

/// What occurs twice in a list, by what `key` makes of its items.
fn repeated<K: Ord + Into<Value> + Clone>(
    list: &[Value],
    path: &Path,
    key: impl Fn(&Value) -> K,
) -> Vec<FieldError> {
    let mut seen = BTreeSet::new();
    let keys = list.iter().map(key).enumerate();
    keys.filter(|(_, key)| !seen.insert(key.clone()))
        .map(|(index, key)| path.index(index).duplicate(key))
        .collect()
}

/// The text of an item that is a text.
fn text(item: &Value) -> &str {
    item.as_str().unwrap_or_default()
}

fn selectors(object: &Value, path: &Path) -> Vec<FieldError> {
    items(object, "selectors", MAX_SELECTORS, path, |selector, path| {
        let path = path.child("cel");
        if !read::present(selector, "cel") {
            return vec![path.required("")];
        }
        let (text, path) = (read::text(selector, "cel.expression"), path.child("expression"));
        let error = if text.len() > MAX_EXPRESSION {
            Some(path.too_long(MAX_EXPRESSION))
        } else {
            expression::device(text, &path)
        };
        error.into_iter().collect()
    })
}

/// What is wrong with what a driver is told.
fn configuration(config: &Value, path: &Path) -> Vec<FieldError> {
    let path = path.child("opaque");
    let Some(opaque) = config.get("opaque").filter(|opaque| !opaque.is_null()) else {
        return vec![path.required("")];
    };
    let mut errors = naming::csi_driver(read::text(opaque, "driver"), &path.child("driver"));
    let parameters = opaque.get("parameters").unwrap_or(&Value::Null);
    errors.extend(raw(parameters, MAX_PARAMETERS, &path.child("parameters")));
    errors
}

/// What is wrong with an object of whatever members that must be there.
fn raw(value: &Value, max: usize, path: &Path) -> Option<FieldError> {
    match value {
        Value::Null => Some(path.required("")),
        Value::Object(_) if value.to_string().len() > max => Some(path.too_long(max)),
        Value::Object(_) => None,
        _ => Some(path.invalid("<value omitted>", "must be a valid JSON object")),
    }
}

fn pool_name(name: &str, path: &Path) -> Vec<FieldError> {
    if name.is_empty() {
        return vec![path.required("")];
    }
    let mut errors = Vec::new();
    if name.len() > MAX_POOL_NAME {
        errors.push(path.too_long(MAX_POOL_NAME));
    }
    let parts = name.split('/');
    errors.extend(parts.flat_map(|part| naming::broken(names::dns_subdomain, part, path)));
    errors
}

/// A name with or without the domain of who gave it.
fn qualified(name: &str, path: &Path) -> Vec<FieldError> {
    match name.split('/').collect::<Vec<_>>().as_slice() {
        [only] => identifier(only, path),
        [domain, name] => {
            let mut errors = match *domain {
                "" => vec![path.invalid("", "the domain must not be empty")],
                domain => naming::csi_driver(domain, path),
            };
            errors.extend(match *name {
                "" => vec![path.invalid("", "the name must not be empty")],
                name => identifier(name, path),
            });
            errors
        }
        // Upstream lets what has more slashes pass.
        _ => Vec::new(),
    }
}

fn fully_qualified(name: &str, path: &Path) -> Vec<FieldError> {
    let mut errors = qualified(name, path);
    if !name.contains('/') {
        let detail = "a fully qualified name must be a domain and a name separated by a slash";
        errors.push(path.invalid(name, detail));
    }
    errors
}

fn identifier(name: &str, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if name.len() > MAX_IDENTIFIER {
        errors.push(path.too_long(MAX_IDENTIFIER));
    }
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let digit = name.as_bytes().first().is_none_or(u8::is_ascii_digit);
    if digit || !name.bytes().all(word) {
        let detail = "a valid C identifier must start with alphabetic character or '_', followed by a string of \
                      alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for \
                      validation is '[A-Za-z_][A-Za-z0-9_]*')";
        errors.push(path.invalid(name, detail));
    }
    errors
}

fn toleration(toleration: &Value, path: &Path) -> Vec<FieldError> {
    let part = |field: &str| read::text(toleration, field);
    let mut errors = naming::optional(names::qualified_name, toleration, "key", path);
    let (operator, value) = (part("operator"), part("value"));
    match operator {
        "Exists" if !value.is_empty() => errors.push(
            path.child("value")
                .invalid(value, "must be empty for operator `Exists`"),
        ),
        "Exists" => {}
        "Equal" => errors.extend(naming::broken(names::label_value, value, &path.child("value"))),
        "" => errors.push(path.child("operator").required("")),
        _ => errors.push(
            path.child("operator")
                .not_supported(operator, &["Equal", "Exists"]),
        ),
    }
    let effect = part("effect");
    if !effect.is_empty() && !EFFECTS.contains(&effect) {
        errors.push(path.child("effect").not_supported(effect, &EFFECTS));
    }
    errors
}

/// What is wrong with the conditions on which a device is bound, or not.
fn binding_conditions(device: &Value, path: &Path) -> Vec<FieldError> {
    const FIELDS: [&str; 2] = ["bindingConditions", "bindingFailureConditions"];
    let label = |item: &Value, path: &Path| naming::broken(names::qualified_name, text(item), path);
    let mut errors = Vec::new();
    for field in FIELDS {
        errors.extend(items(device, field, MAX_CONDITIONS, path, label));
    }
    let [good, bad] = FIELDS.map(|field| read::texts(device, field));
    let duplicates = |field: &str| repeated(read::list(device, field), &path.child(field), text_of);
    errors.extend(duplicates("bindingConditions"));
    errors.extend(duplicates("bindingFailureConditions"));
    for (index, condition) in bad
        .iter()
        .enumerate()
        .filter(|(_, condition)| good.contains(condition))
    {
        let path = path.child("bindingFailureConditions").index(index);
        let detail = "bindingFailureConditions must not overlap with bindingConditions";
        errors.push(path.invalid(*condition, detail));
    }
    for (own, other) in [(0, 1), (1, 0)] {
        let [Some(own), Some(other)] = [FIELDS.get(own), FIELDS.get(other)] else {
            continue;
        };
        if read::list(device, own).is_empty() && !read::list(device, other).is_empty() {
            let shown = device.get(*own).cloned().unwrap_or_default();
            errors.push(
                path.child(own)
                    .invalid(shown, format!("{own} are required to use {other}")),
            );
        }
    }
    errors
}

fn text_of(item: &Value) -> String {
    text(item).to_owned()
}
