//! Rules for StorageClasses and VolumeAttributesClasses.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::validate::{change, naming, pod};

const MAX_PARAMETERS: usize = 512;
const MAX_BYTES: usize = 256 * 1024;

/// What is wrong with a StorageClass.
pub(crate) fn storage(object: &Value) -> Vec<FieldError> {
    let root = Path::default();
    let mut errors = provisioner(object, "provisioner");
    errors.extend(parameters(object));
    if !read::text(object, "reclaimPolicy").is_empty() {
        let known = ["Delete", "Retain"];
        errors.extend(naming::choice(object, "reclaimPolicy", &known, &root));
    }
    let modes = ["Immediate", "WaitForFirstConsumer"];
    match read::present(object, "volumeBindingMode") {
        true => errors.extend(naming::choice(object, "volumeBindingMode", &modes, &root)),
        false => errors.push(root.child("volumeBindingMode").required("")),
    }
    errors.extend(topologies(object));
    errors
}

/// What is wrong with an update of a StorageClass: what volumes were made by stays.
pub(crate) fn storage_update(new: &Value, old: &Value) -> Vec<FieldError> {
    const FIXED: [&str; 4] = ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"];
    let mut errors = storage(new);
    let fixed = FIXED.iter();
    errors.extend(fixed.filter_map(|field| change::immutable(new, old, field)));
    errors
}

/// What is wrong with a VolumeAttributesClass.
pub(crate) fn volume_attributes(object: &Value) -> Vec<FieldError> {
    let mut errors = provisioner(object, "driverName");
    errors.extend(parameters(object));
    if read::map(object, "parameters").next().is_none() {
        errors.push(Path::new("parameters").required("must contain at least one key/value pair"));
    }
    errors
}

/// What is wrong with an update of a VolumeAttributesClass, which is another class then.
pub(crate) fn volume_attributes_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = volume_attributes(new);
    errors.extend(fixed(new, old, &["driverName", "parameters"]));
    // Upstream looks at all of it once more.
    errors.extend(volume_attributes(new));
    errors
}

fn fixed(new: &Value, old: &Value, fields: &[&str]) -> Vec<FieldError> {
    let fields = fields.iter();
    fields
        .filter_map(|field| change::forbidden(new, old, field, &format!("updates to {field} are forbidden.")))
        .collect()
}

fn provisioner(object: &Value, field: &str) -> Vec<FieldError> {
    let (name, path) = (read::text(object, field), Path::new(field));
    if name.is_empty() {
        return vec![path.required("")];
    }
    naming::broken(names::qualified_name, &name.to_lowercase(), &path)
}

fn parameters(object: &Value) -> Vec<FieldError> {
    let path = Path::new("parameters");
    if read::map(object, "parameters").count() > MAX_PARAMETERS {
        return vec![path.too_long(MAX_PARAMETERS)];
    }
    let mut errors = Vec::new();
    let mut size = 0;
    for (key, value) in read::map(object, "parameters") {
        if key.is_empty() {
            errors.push(path.invalid("", "field can not be empty."));
        }
        size += key.len() + value.as_str().unwrap_or_default().len();
    }
    if size > MAX_BYTES {
        errors.push(path.too_long(MAX_BYTES));
    }
    errors
}

type Topology<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

fn topologies(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen: Vec<Topology<'_>> = Vec::new();
    for (index, term) in read::list(object, "allowedTopologies").iter().enumerate() {
        let path = Path::new("allowedTopologies")
            .index(index)
            .child("matchLabelExpressions");
        let mut topology = Topology::new();
        for (index, expression) in read::list(term, "matchLabelExpressions").iter().enumerate() {
            errors.extend(topology_expression(expression, &mut topology, &path.index(index)));
        }
        if seen.contains(&topology) {
            errors.push(path.duplicate(""));
        }
        seen.push(topology);
    }
    errors
}

fn topology_expression<'a>(
    expression: &'a Value,
    topology: &mut Topology<'a>,
    path: &Path,
) -> Vec<FieldError> {
    let (key, values) = (read::text(expression, "key"), read::texts(expression, "values"));
    let mut errors = Vec::new();
    if values.is_empty() {
        errors.push(path.child("values").required(""));
    }
    let mut set = BTreeSet::new();
    for (index, value) in values.into_iter().enumerate() {
        if !set.insert(value) {
            errors.push(path.child("values").index(index).duplicate(value));
        }
    }
    errors.extend(naming::broken(names::qualified_name, key, &path.child("key")));
    if topology.insert(key, set).is_some() {
        errors.push(path.child("key").duplicate(key));
    }
    errors
}

/// Warnings about labels that nodes have under better names.
pub(crate) fn warnings(object: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    for (index, term) in read::list(object, "allowedTopologies").iter().enumerate() {
        let path = Path::new("allowedTopologies")
            .index(index)
            .child("matchLabelExpressions");
        for (index, expression) in read::list(term, "matchLabelExpressions").iter().enumerate() {
            let path = path.index(index).child("key");
            warnings.extend(pod::warnings::old_label(read::text(expression, "key"), &path));
        }
    }
    warnings
}
