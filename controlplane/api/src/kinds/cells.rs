//! Cells that tables of several kinds have.

use jiff::Timestamp;
use serde_json::Value;

use super::define;
use crate::read;
use crate::resource::{Cell, Column};
use crate::selector::LabelSelector;

/// What stands for nothing in a table.
pub(super) const NONE: &str = "<none>";

/// `text`, or `<none>` for the empty one.
pub(super) fn or_none(text: &str) -> Value {
    if text.is_empty() { NONE.into() } else { text.into() }
}

/// Names of the containers of `spec.template`, comma-separated.
pub(super) fn template_names(object: &Value, _: Timestamp) -> Value {
    joined(object, "name")
}

/// Images of the containers of `spec.template`, comma-separated.
pub(super) fn template_images(object: &Value, _: Timestamp) -> Value {
    joined(object, "image")
}

fn joined(object: &Value, field: &str) -> Value {
    let containers = read::list(object, "spec.template.spec.containers");
    let found: Vec<&str> = containers
        .iter()
        .map(|container| read::text(container, field))
        .collect();
    found.join(",").into()
}

/// `spec.selector`, a `LabelSelector`, as text.
pub(super) fn label_selector(object: &Value, _: Timestamp) -> Value {
    let selector = object
        .get("spec")
        .and_then(|spec| spec.get("selector"))
        .unwrap_or(&Value::Null);
    selector_text(selector)
}

/// `spec.selector`, a plain map, as text.
pub(super) fn map_selector(object: &Value, _: Timestamp) -> Value {
    let pairs: Vec<String> = read::map(object, "spec.selector")
        .map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default()))
        .collect();
    or_none(&pairs.join(","))
}

/// The first three of `items`, and how many more there are; `empty` for none.
pub(super) fn first_three(items: &[String], empty: &str) -> String {
    const SHOWN: usize = 3;
    match items.split_at_checked(SHOWN) {
        Some((shown, rest)) if !rest.is_empty() => format!("{} + {} more...", shown.join(","), rest.len()),
        _ if items.is_empty() => empty.to_owned(),
        _ => items.join(","),
    }
}

/// An address and a port: `10.0.0.1:80`, `[fd00::1]:80`.
pub(super) fn host_port(address: &str, port: i64) -> String {
    if address.contains(':') {
        format!("[{address}]:{port}")
    } else {
        format!("{address}:{port}")
    }
}

/// The name, marked where an annotation of the object says that its kind's default is this one.
pub(super) fn name_of_default(fill: fn(&Value, Timestamp) -> Value) -> Column {
    Column {
        cell: Cell::Computed(fill),
        ..define::name()
    }
}

/// The time of creation as it is written: what tables of kinds without columns of their own show.
pub(super) fn created_at() -> Column {
    Column {
        name: "Created At".into(),
        type_name: "date".into(),
        cell: Cell::Path("metadata.creationTimestamp".into()),
        ..define::age()
    }
}

/// A flag.
pub(super) fn flag(name: &'static str, help: &'static str, fill: fn(&Value, Timestamp) -> Value) -> Column {
    Column {
        type_name: "boolean".into(),
        ..define::text(name, help, fill)
    }
}

/// A label selector as text; `<none>` for one that selects everything.
pub(super) fn selector_text(selector: &Value) -> Value {
    match LabelSelector::from_json(selector) {
        Ok(selector) => or_none(&selector.to_string()),
        Err(_) => "<error>".into(),
    }
}
