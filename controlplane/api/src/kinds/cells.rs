//! Cells that tables of several kinds have.

use std::collections::BTreeSet;

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

/// The wide column with the names of the containers of `spec.template`, comma-separated.
pub(super) fn template_containers() -> Column {
    define::text(
        "Containers",
        "Names of each container in the template.",
        |object, _| containers(object, TEMPLATE, "name"),
    )
    .wide()
}

/// The wide column with the images of the containers of `spec.template`, comma-separated.
pub(super) fn template_images() -> Column {
    define::text(
        "Images",
        "Images referenced by each container in the template.",
        |object, _| containers(object, TEMPLATE, "image"),
    )
    .wide()
}

/// The containers of pods that are made of a template.
const TEMPLATE: &str = "spec.template.spec.containers";

/// A field of each container in the list at a dotted path, comma-separated.
pub(super) fn containers(object: &Value, path: &str, field: &str) -> Value {
    let found: Vec<&str> = read::list(object, path)
        .iter()
        .map(|container| read::text(container, field))
        .collect();
    found.join(",").into()
}

/// `spec.selector`, a `LabelSelector`, as text.
pub(super) fn label_selector(object: &Value, _: Timestamp) -> Value {
    label_selector_at(object, "spec.selector")
}

/// The `LabelSelector` at a dotted path, as text.
pub(super) fn label_selector_at(object: &Value, path: &str) -> Value {
    selector_text(crate::resource::at(object, path).unwrap_or(&Value::Null))
}

/// `spec.selector`, a plain map, as text.
pub(super) fn map_selector(object: &Value, _: Timestamp) -> Value {
    map_text(object, "spec.selector")
}

/// The plain map of texts at a dotted path: `a=b,c=d`.
pub(super) fn map_text(object: &Value, path: &str) -> Value {
    let pairs: Vec<String> = read::map(object, path)
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

/// The addresses or names of the load balancers in an object's status, sorted, each once.
pub(super) fn points(object: &Value) -> BTreeSet<&str> {
    let points = read::list(object, "status.loadBalancer.ingress").iter();
    let names = points.map(|point| match read::text(point, "ip") {
        "" => read::text(point, "hostname"),
        ip => ip,
    });
    names.filter(|name| !name.is_empty()).collect()
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

/// The text at a dotted path, or `<unset>` where there is none.
pub(super) fn or_unset(object: &Value, path: &str) -> Value {
    match crate::resource::at(object, path) {
        Some(Value::String(text)) => text.as_str().into(),
        _ => "<unset>".into(),
    }
}

/// `status.phase` of a volume or a claim, or that it is being deleted.
pub(super) fn phase(object: &Value, _: Timestamp) -> Value {
    match crate::meta::deletion_timestamp(object) {
        Some(_) => "Terminating".into(),
        None => read::text(object, "status.phase").into(),
    }
}

/// The storage class of a volume or a claim, by its annotation of old or by its field.
pub(super) fn class(object: &Value, _: Timestamp) -> Value {
    let mut annotations = crate::meta::annotations(object);
    match annotations.remove(crate::validate::volume_claim::OLD_CLASS) {
        Some(class) => class.into(),
        None => read::text(object, "spec.storageClassName").into(),
    }
}

/// The access modes at a dotted path, in short: `RWO,ROX`.
pub(super) fn access_modes(object: &Value, path: &str) -> String {
    const SHORT: [(&str, &str); 4] = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let modes = read::texts(object, path);
    let shown = SHORT.iter().filter(|(mode, _)| modes.contains(mode));
    shown.map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}
