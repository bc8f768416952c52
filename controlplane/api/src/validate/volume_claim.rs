//! Rules for PersistentVolumeClaims, and for the claims that a workload makes from templates.

use serde_json::Value;

use super::difference::{Shown, shown, unified};
use super::workload::{self, LabelValues};
use super::{metadata, resources};
use crate::Quantity;
use crate::field::{FieldError, Path, quote};
use crate::meta;
use crate::names;
use crate::read;
use crate::resource::at;
use crate::strategy::keep;

pub(crate) const ACCESS_MODES: [&str; 4] = [
    "ReadOnlyMany",
    "ReadWriteMany",
    "ReadWriteOnce",
    "ReadWriteOncePod",
];
pub(crate) const VOLUME_MODES: [&str; 2] = ["Block", "Filesystem"];
/// The annotation that named a class before the field did.
pub(crate) const OLD_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const NOT_POSITIVE: &str = "must be greater than zero";

/// What may stay in a claim that was stored under older rules.
#[derive(Debug, Clone, Copy, Default)]
struct Leniency {
    /// Values of labels in its selector.
    labels: LabelValues,
    /// The group of what it is filled from.
    groups: bool,
}

impl Leniency {
    fn towards(old: &Value) -> Self {
        let spec = old.get("spec").unwrap_or(&Value::Null);
        let group = |field: &str| {
            spec.get(field)
                .is_some_and(|source| read::present(source, "apiGroup"))
        };
        Self {
            labels: workload::values_after(spec.get("selector")),
            groups: group("dataSource") || group("dataSourceRef"),
        }
    }
}

/// What is wrong with a claim.
pub(crate) fn create(object: &Value) -> Vec<FieldError> {
    whole(object, Leniency::default())
}

fn whole(object: &Value, leniency: Leniency) -> Vec<FieldError> {
    lenient(
        object.get("spec").unwrap_or(&Value::Null),
        leniency,
        &Path::new("spec"),
    )
}

/// What is wrong with the spec of a claim at `path`.
pub(crate) fn spec(spec: &Value, path: &Path) -> Vec<FieldError> {
    lenient(spec, Leniency::default(), path)
}

fn lenient(spec: &Value, leniency: Leniency, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if read::list(spec, "accessModes").is_empty() {
        errors.push(
            path.child("accessModes")
                .required("at least 1 access mode is required"),
        );
    }
    if let Some(selector) = spec.get("selector").filter(|selector| !selector.is_null()) {
        let path = path.child("selector");
        errors.extend(workload::selector_errors(selector, leniency.labels, &path));
    }
    errors.extend(access_modes(spec, path));
    errors.extend(size(spec, &path.child("resources").key("storage")));
    errors.extend(class(spec, "storageClassName", path));
    errors.extend(volume_mode(spec, path));
    errors.extend(sources(spec, leniency, path));
    errors.extend(class(spec, "volumeAttributesClassName", path));
    errors
}

/// What is wrong with `accessModes` of a claim or a volume.
pub(crate) fn access_modes(spec: &Value, path: &Path) -> Vec<FieldError> {
    let path = path.child("accessModes");
    let modes = read::texts(spec, "accessModes");
    let unknown = modes.iter().filter(|mode| !ACCESS_MODES.contains(mode));
    let mut errors: Vec<FieldError> = unknown
        .map(|mode| path.not_supported(*mode, &ACCESS_MODES))
        .collect();
    let alone = modes.contains(&"ReadWriteOncePod");
    let others = modes
        .iter()
        .any(|mode| *mode != "ReadWriteOncePod" && ACCESS_MODES.contains(mode));
    if alone && others {
        errors.push(path.forbidden("may not use ReadWriteOncePod with other access modes"));
    }
    errors
}

/// What is wrong with `volumeMode` of a claim or a volume.
pub(crate) fn volume_mode(spec: &Value, path: &Path) -> Option<FieldError> {
    let mode = spec.get("volumeMode").and_then(Value::as_str)?;
    (!VOLUME_MODES.contains(&mode)).then(|| path.child("volumeMode").not_supported(mode, &VOLUME_MODES))
}

/// What is wrong with the name of a class; the empty one names none.
pub(crate) fn class(spec: &Value, field: &str, path: &Path) -> Vec<FieldError> {
    let name = read::text(spec, field);
    if name.is_empty() {
        return Vec::new();
    }
    let rules = names::dns_subdomain(name).into_iter();
    rules.map(|rule| path.child(field).invalid(name, rule)).collect()
}

/// What is wrong with an amount that must be more than nothing.
pub(crate) fn positive(value: &Value, path: &Path) -> Option<FieldError> {
    let amount = resources::quantity(value)?;
    (amount <= Quantity::ZERO).then(|| path.invalid(resources::shown(value), NOT_POSITIVE))
}

fn size(spec: &Value, path: &Path) -> Option<FieldError> {
    match at(spec, "resources.requests.storage") {
        None | Some(Value::Null) => Some(path.required("")),
        Some(value) => positive(value, path),
    }
}

fn sources(spec: &Value, leniency: Leniency, path: &Path) -> Vec<FieldError> {
    let source = |field: &str| spec.get(field).filter(|source| !source.is_null());
    let (plain, reference) = (source("dataSource"), source("dataSourceRef"));
    let mut errors = Vec::new();
    for (field, value) in [("dataSource", plain), ("dataSourceRef", reference)] {
        if let Some(value) = value {
            errors.extend(one_source(value, leniency, &path.child(field)));
        }
    }
    let (Some(plain), Some(reference)) = (plain, reference) else {
        return errors;
    };
    let same = ["apiGroup", "kind", "name"]
        .iter()
        .all(|field| plain.get(*field) == reference.get(*field));
    let detail = match read::text(reference, "namespace") {
        "" if same => return errors,
        "" => "must match dataSourceRef",
        _ => "may not be specified when dataSourceRef.namespace is specified",
    };
    // Upstream shows the path where the value belongs.
    errors.push(path.invalid(path.child("dataSource").as_str(), detail));
    errors
}

fn one_source(source: &Value, leniency: Leniency, path: &Path) -> Vec<FieldError> {
    let (kind, group) = (read::text(source, "kind"), read::text(source, "apiGroup"));
    let mut errors: Vec<FieldError> = ["name", "kind"]
        .into_iter()
        .filter(|field| read::text(source, field).is_empty())
        .map(|field| path.child(field).required(""))
        .collect();
    if group.is_empty() && kind != "PersistentVolumeClaim" {
        let detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        errors.push(path.invalid(kind, detail));
    }
    if !group.is_empty() && !leniency.groups {
        let rules = names::dns_subdomain(group).into_iter();
        errors.extend(rules.map(|rule| path.child("apiGroup").invalid(group, rule)));
    }
    let namespace = read::text(source, "namespace");
    if !namespace.is_empty() {
        let rules = names::dns_label(namespace).into_iter();
        errors.extend(rules.map(|rule| path.child("namespace").invalid(namespace, rule)));
    }
    errors
}

/// What an update may not change: all but the volume, once, and the size and attributes of a bound claim.
pub(crate) fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    let path = Path::new("spec");
    let leniency = Leniency::towards(old);
    let mut errors = whole(new, leniency);
    // Upstream looks at all of it once more.
    errors.extend(whole(new, leniency));
    let (after, before) = (
        new.get("spec").cloned().unwrap_or_default(),
        old.get("spec").cloned().unwrap_or_default(),
    );
    errors.extend(rest(new, old, &path));
    let amount = |spec: &Value| at(spec, "resources.requests.storage").and_then(resources::quantity);
    let held = at(old, "status.capacity.storage").and_then(resources::quantity);
    if amount(&after) < amount(&before) && amount(&after) <= Some(held.unwrap_or(Quantity::ZERO)) {
        errors.push(
            path.child("resources.requests.storage")
                .forbidden("field can not be less than status.capacity"),
        );
    }
    if after.get("volumeMode") != before.get("volumeMode") {
        let mode = after.get("volumeMode").cloned().unwrap_or_default();
        errors.push(Path::new("volumeMode").invalid(mode, metadata::IMMUTABLE));
    }
    errors.extend(attributes(
        &after,
        &before,
        &path.child("volumeAttributesClassName"),
    ));
    errors
}

fn attributes(after: &Value, before: &Value, path: &Path) -> Option<FieldError> {
    let read = |spec: &Value| {
        spec.get("volumeAttributesClassName")
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let (after, before) = (read(after), read(before));
    if before.is_none() || after == before {
        return None;
    }
    match after.as_deref() {
        None => Some(path.forbidden("update from non-nil value to nil is forbidden")),
        Some("") => Some(path.forbidden("update from non-nil value to an empty string is forbidden")),
        Some(_) => None,
    }
}

/// What is left of two specs when all that may change is taken away must be the same.
fn rest(new: &Value, old: &Value, path: &Path) -> Vec<FieldError> {
    let (mut after, mut before) = (
        new.get("spec").cloned().unwrap_or_default(),
        old.get("spec").cloned().unwrap_or_default(),
    );
    let mut errors = Vec::new();
    if read::text(&before, "volumeName").is_empty() {
        let named = after.clone();
        keep(&mut before, &named, "volumeName");
    }
    errors.extend(old_class(new, old));
    if class_given(new, old) {
        keep(&mut after, &before, "storageClassName");
    }
    if read::text(new, "status.phase") == "Bound" {
        if read::present(&after, "volumeAttributesClassName") {
            keep(&mut after, &before, "volumeAttributesClassName");
        }
        if let (Some(size), Some(requests)) = (
            at(&before, "resources.requests.storage").cloned(),
            after.pointer_mut("/resources/requests"),
        ) {
            meta::object_mut(requests).insert("storage".to_owned(), size);
        }
    }
    let (before, after) = (spec_shown(&before), spec_shown(&after));
    if before != after {
        errors.push(path.forbidden(format!(
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound \
             claims\n{}",
            unified(&before, &after)
        )));
    }
    errors
}

/// A claim's spec as upstream shows it in differences: JSON of its own type, with members in their order there.
fn spec_shown(spec: &Value) -> String {
    let or_null = |field: &str| spec.get(field).cloned().unwrap_or_default();
    let amounts = |field: &str| match at(spec, "resources").and_then(|found| found.get(field)) {
        Some(Value::Object(map)) if !map.is_empty() => map
            .iter()
            .map(|(name, amount)| (name.clone(), resources::shown(amount)))
            .collect(),
        _ => Value::Null,
    };
    let source =
        |field: &str, of: &[(&'static str, &str)]| match spec.get(field).filter(|source| !source.is_null()) {
            None => Shown::Plain(Value::Null),
            Some(source) => Shown::members(of.iter().map(|(name, from)| {
                let absent = if matches!(*from, "kind" | "name") {
                    "".into()
                } else {
                    Value::Null
                };
                (*name, Shown::Plain(source.get(*from).cloned().unwrap_or(absent)))
            })),
        };
    let local = [("APIGroup", "apiGroup"), ("Kind", "kind"), ("Name", "name")];
    let other = [
        ("APIGroup", "apiGroup"),
        ("Kind", "kind"),
        ("Name", "name"),
        ("Namespace", "namespace"),
    ];
    let members = [
        ("AccessModes", Shown::Plain(or_null("accessModes"))),
        ("Selector", Shown::Plain(or_null("selector"))),
        (
            "Resources",
            Shown::members([
                ("Limits", Shown::Plain(amounts("limits"))),
                ("Requests", Shown::Plain(amounts("requests"))),
            ]),
        ),
        ("VolumeName", Shown::Plain(read::text(spec, "volumeName").into())),
        ("StorageClassName", Shown::Plain(or_null("storageClassName"))),
        ("VolumeMode", Shown::Plain(or_null("volumeMode"))),
        ("DataSource", source("dataSource", &local)),
        ("DataSourceRef", source("dataSourceRef", &other)),
        (
            "VolumeAttributesClassName",
            Shown::Plain(or_null("volumeAttributesClassName")),
        ),
    ];
    shown(&Shown::members(members))
}

/// A claim without a class may be given one, if only the one that its old annotation names.
fn class_given(new: &Value, old: &Value) -> bool {
    let wanted = at(new, "spec.storageClassName").and_then(Value::as_str);
    let annotations = meta::annotations(old);
    let named = annotations.get(OLD_CLASS);
    !read::present(old, "spec.storageClassName")
        && wanted.is_some_and(|wanted| named.is_none_or(|named| named == wanted))
}

fn old_class(new: &Value, old: &Value) -> Option<FieldError> {
    let read = |object| meta::annotations(object).remove(OLD_CLASS);
    let (after, before) = (read(new), read(old));
    let moved = before.is_some() && after.is_none() && class_given(new, old);
    (after != before && !moved).then(|| {
        Path::new("metadata.annotations")
            .child(OLD_CLASS)
            .invalid(after.unwrap_or_default(), metadata::IMMUTABLE)
    })
}

/// What is wrong with a write of a claim's status.
pub(crate) fn status(new: &Value) -> Vec<FieldError> {
    const RESIZING: [&str; 5] = [
        "ControllerResizeInProgress",
        "ControllerResizeInfeasible",
        "NodeResizeInProgress",
        "NodeResizeInfeasible",
        "NodeResizePending",
    ];
    let path = Path::new("status");
    let mut errors = basic_amounts(new, "status.capacity", &path.child("capacity"));
    let resizing = path.child("allocatedResourceStatus");
    for (name, state) in read::map(new, "status.allocatedResourceStatuses") {
        errors.extend(resource_key(name, &resizing));
        if !RESIZING.contains(&state.as_str().unwrap_or_default()) {
            errors.push(resizing.not_supported(name.as_str(), &RESIZING));
        }
    }
    let allocated = path.child("allocatedResources");
    for (name, _) in read::map(new, "status.allocatedResources") {
        errors.extend(resource_key(name, &allocated));
    }
    errors.extend(basic_amounts(new, "status.allocatedResources", &allocated));
    errors
}

/// What is wrong with amounts that must only not be below zero.
pub(crate) fn basic_amounts(object: &Value, at: &str, path: &Path) -> Vec<FieldError> {
    let negative = read::map(object, at).filter_map(|(name, value)| {
        let amount = resources::quantity(value).filter(|amount| amount.is_negative())?;
        Some(
            path.key(name)
                .invalid(amount.bytes(), "must be a valid resource quantity"),
        )
    });
    negative.collect()
}

fn resource_key(name: &str, path: &Path) -> Vec<FieldError> {
    let rules = names::qualified_name(name);
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    if rules.is_empty() && native && name != "storage" {
        return vec![path.not_supported(name, &["storage"])];
    }
    rules.into_iter().map(|rule| path.invalid(name, rule)).collect()
}

/// What a client is warned of about a claim.
pub(crate) fn warnings(object: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    if meta::annotations(object).contains_key(OLD_CLASS) {
        warnings.push(format!(
            "metadata.annotations[{OLD_CLASS}]: deprecated since v1.8; use \"storageClassName\" attribute instead"
        ));
    }
    warnings.extend(fraction(
        object.get("spec").unwrap_or(&Value::Null),
        &Path::new("spec"),
    ));
    warnings
}

/// A warning about a claim of a part of a byte.
pub(crate) fn fraction(spec: &Value, path: &Path) -> Option<String> {
    let size = at(spec, "resources.requests.storage").and_then(resources::quantity)?;
    let path = path.child("resources.requests").key("storage");
    let shown = quote(&size.to_string());
    (!size.is_whole())
        .then(|| format!("{path}: fractional byte value {shown} is invalid, must be an integer"))
}

/// Warnings about the claims of a workload's templates; none where an update leaves them alone.
pub(crate) fn template_warnings(new: &Value, old: Option<&Value>) -> Vec<String> {
    let claims = |object| at(object, "spec.volumeClaimTemplates").cloned();
    if old.is_some_and(|old| claims(old) == claims(new)) {
        return Vec::new();
    }
    let path = Path::new("spec.volumeClaimTemplates");
    let all = read::list(new, "spec.volumeClaimTemplates").iter().enumerate();
    all.filter_map(|(index, claim)| {
        let path = path.index(index);
        // Upstream's paths, one for a create and one for an update.
        let path = old.map_or_else(|| path.clone(), |_| path.child("Spec"));
        fraction(claim.get("spec").unwrap_or(&Value::Null), &path)
    })
    .collect()
}
