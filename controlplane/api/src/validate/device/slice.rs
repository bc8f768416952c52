//! Rules for ResourceSlices.

use serde_json::Value;

use super::claim::named;
use super::{EFFECTS, binding_conditions, items, policy, pool_name, qualified, repeated};
use crate::field::{FieldError, Path};
use crate::names::{self, NameCheck};
use crate::read;
use crate::validate::{change, naming, pod};

const MAX_DEVICES: usize = 128;
const MAX_DEVICES_WITH_MORE: usize = 64;
const MAX_COUNTER_SETS: usize = 8;
const MAX_COUNTERS: usize = 32;
const MAX_CONSUMPTIONS: usize = 2;
const MAX_PROPERTIES: usize = 32;
const MAX_TAINTS: usize = 16;
const MAX_VALUE: usize = 64;

/// What is wrong with a ResourceSlice.
pub(crate) fn slice(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let (spec, path) = (object.get("spec").unwrap_or(&Value::Null), Path::new("spec"));
    let mut errors = naming::csi_driver(read::text(spec, "driver"), &path.child("driver"));
    errors.extend(pool(spec, &path.child("pool")));
    if let Some(old) = old {
        let fixed = ["spec.pool.name", "spec.driver", "spec.nodeName"].into_iter();
        errors.extend(fixed.filter_map(|field| change::immutable(object, old, field)));
    }
    errors.extend(nodes(spec, &path));
    if read::present(spec, "sharedCounters") && read::present(spec, "devices") {
        let detail = "only one of `sharedCounters` or `devices` is allowed";
        errors.push(path.invalid("", detail));
    }
    let before = old.map(|old| read::list(old, "spec.devices")).unwrap_or_default();
    let per_device = read::flag(spec, "perDeviceNodeSelection");
    errors.extend(named(spec, "devices", most(spec), &path, |device, path| {
        let same = |old: &&Value| read::text(old, "name") == read::text(device, "name");
        self::device(device, before.iter().find(same), per_device, path)
    }));
    errors.extend(named(
        spec,
        "sharedCounters",
        MAX_COUNTER_SETS,
        &path,
        counter_set,
    ));
    errors
}

/// How many devices a slice may hold: fewer where each says more.
fn most(spec: &Value) -> usize {
    let more = |device: &Value| {
        let filled = |field: &str| !read::list(device, field).is_empty();
        filled("taints") || filled("consumesCounters")
    };
    if read::list(spec, "devices").iter().any(more) {
        MAX_DEVICES_WITH_MORE
    } else {
        MAX_DEVICES
    }
}

fn pool(spec: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = pool_name(read::text(spec, "pool.name"), &path.child("name"));
    let (slices, generation) = (
        read::count(spec, "pool.resourceSliceCount"),
        read::count(spec, "pool.generation"),
    );
    if slices <= 0 {
        let path = path.child("resourceSliceCount");
        errors.push(path.invalid(slices, "must be greater than zero"));
    }
    if generation < 0 {
        let path = path.child("generation");
        errors.push(path.invalid(generation, "must be greater than or equal to zero"));
    }
    errors
}

/// A flag that is true or not there.
fn only_true(object: &Value, field: &str, path: &Path) -> Option<FieldError> {
    let set = object.get(field).and_then(Value::as_bool)?;
    (!set).then(|| {
        path.child(field)
            .invalid(false, "must be either unset or set to true")
    })
}

fn nodes(spec: &Value, path: &Path) -> Vec<FieldError> {
    const FIELDS: &str =
        "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    let mut errors = Vec::new();
    let mut given = Vec::new();
    if read::present(spec, "nodeName") {
        let name = read::text(spec, "nodeName");
        let at = path.child("nodeName");
        if name.is_empty() {
            errors.push(at.invalid(name, "must be either unset or set to a non-empty string"));
        } else {
            given.push("`nodeName`");
            errors.extend(naming::broken(names::dns_subdomain, name, &at));
        }
    }
    if let Some(selector) = spec.get("nodeSelector").filter(|selector| !selector.is_null()) {
        given.push("`nodeSelector`");
        let at = path.child("nodeSelector");
        errors.extend(pod::node_selector(selector, &at));
        let terms = read::list(selector, "nodeSelectorTerms");
        if terms.len() != 1 {
            let at = at.child("nodeSelectorTerms");
            errors.push(at.invalid(terms, "must have exactly one node selector term"));
        }
    }
    for (field, shown) in [
        ("allNodes", "`allNodes`"),
        ("perDeviceNodeSelection", "`perDeviceNodeSelection`"),
    ] {
        errors.extend(only_true(spec, field, path));
        if read::flag(spec, field) {
            given.push(shown);
        }
    }
    match given.len() {
        0 => errors.push(path.required(FIELDS)),
        1 => {}
        _ => {
            let shown = format!("{{{}}}", given.join(", "));
            errors.push(path.invalid(shown, format!("{FIELDS}, but multiple fields are set")));
        }
    }
    errors
}

fn counter_set(set: &Value, path: &Path) -> Vec<FieldError> {
    let name = read::text(set, "name");
    let mut errors = naming::required(names::dns_label, name, &path.child("name"));
    errors.extend(counters(set, path));
    errors
}

fn counters(object: &Value, path: &Path) -> Vec<FieldError> {
    let path = path.child("counters");
    let count = read::map(object, "counters").count();
    match count {
        0 => vec![path.required("")],
        1..=MAX_COUNTERS => {
            let rule: NameCheck = names::dns_label;
            let keys = read::map(object, "counters");
            keys.flat_map(|(key, _)| naming::broken(rule, key, &path.key(key)))
                .collect()
        }
        _ => vec![path.too_many(count, MAX_COUNTERS)],
    }
}

fn device(device: &Value, old: Option<&Value>, per_device: bool, path: &Path) -> Vec<FieldError> {
    let name = read::text(device, "name");
    let mut errors = naming::broken(names::dns_label, name, &path.child("name"));
    let properties = read::map(device, "attributes").count() + read::map(device, "capacity").count();
    if properties > MAX_PROPERTIES {
        let detail =
            format!("the total number of attributes and capacities must not exceed {MAX_PROPERTIES}");
        errors.push(path.invalid(properties, detail));
    }
    for (key, value) in read::map(device, "attributes") {
        let path = path.child("attributes").key(key);
        errors.extend(qualified(key, &path));
        errors.extend(attribute(value, &path));
    }
    let shared = read::flag(device, "allowMultipleAllocations");
    for (key, value) in read::map(device, "capacity") {
        let path = path.child("capacity").key(key);
        errors.extend(qualified(key, &path));
        errors.extend(policy::capacity(value, shared, &path));
    }
    if old.is_none_or(|old| change::differs(device, old, "taints")) {
        errors.extend(items(device, "taints", MAX_TAINTS, path, taint));
    }
    errors.extend(consumptions(device, path));
    errors.extend(place(device, per_device, path));
    errors.extend(binding_conditions(device, path));
    errors
}

fn consumptions(device: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = items(
        device,
        "consumesCounters",
        MAX_CONSUMPTIONS,
        path,
        |found, path| {
            let set = read::text(found, "counterSet");
            let mut errors = naming::required(names::dns_label, set, &path.child("counterSet"));
            errors.extend(counters(found, path));
            errors
        },
    );
    let list = read::list(device, "consumesCounters");
    if list.len() <= MAX_CONSUMPTIONS {
        let set = |found: &Value| read::text(found, "counterSet").to_owned();
        errors.extend(repeated(list, &path.child("consumesCounters"), set));
    }
    errors
}

/// Where a device is, in a slice whose devices say so themselves.
fn place(device: &Value, per_device: bool, path: &Path) -> Vec<FieldError> {
    const FIELDS: [&str; 3] = ["nodeName", "nodeSelector", "allNodes"];
    let given: Vec<&str> = FIELDS
        .into_iter()
        .filter(|field| read::present(device, field))
        .collect();
    if !per_device {
        let detail = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true \
                      in the ResourceSlice spec";
        let error = (!given.is_empty()).then(|| path.invalid(Value::Null, detail));
        return error.into_iter().collect();
    }
    let mut errors = Vec::new();
    let mut counted = Vec::new();
    for field in given {
        let at = path.child(field);
        match (field, read::text(device, field)) {
            ("nodeName", "") => errors.push(at.invalid("", "must not be empty")),
            ("nodeName", name) => {
                errors.extend(naming::broken(names::dns_subdomain, name, &at));
                counted.push("`nodeName`");
            }
            ("nodeSelector", _) => {
                let selector = device.get(field).unwrap_or(&Value::Null);
                errors.extend(pod::node_selector(selector, &at));
                counted.push("`nodeSelector`");
            }
            _ if read::flag(device, field) => counted.push("`allNodes`"),
            _ => errors.extend(only_true(device, field, path)),
        }
    }
    let detail = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is \
                  set to true in the ResourceSlice spec";
    match counted.len() {
        0 => errors.push(path.required(detail)),
        1 => {}
        _ => errors.push(path.invalid(format!("{{{}}}", counted.join(", ")), detail)),
    }
    errors
}

fn taint(taint: &Value, path: &Path) -> Vec<FieldError> {
    let key = read::text(taint, "key");
    let mut errors = naming::broken(names::qualified_name, key, &path.child("key"));
    errors.extend(naming::optional(names::label_value, taint, "value", path));
    let (effect, at) = (read::text(taint, "effect"), path.child("effect"));
    match effect {
        "" => errors.push(at.required("")),
        known if EFFECTS.contains(&known) => {}
        _ => errors.push(at.not_supported(effect, &EFFECTS)),
    }
    errors
}

fn attribute(attribute: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(text) = attribute.get("string").and_then(Value::as_str)
        && text.len() > MAX_VALUE
    {
        errors.push(path.child("string").too_long(MAX_VALUE));
    }
    if let Some(version) = attribute.get("version").and_then(Value::as_str) {
        let path = path.child("version");
        if !is_semver(version) {
            let detail = "must be a string compatible with semver.org spec 2.0.0";
            errors.push(path.invalid(version, detail));
        }
        if version.len() > MAX_VALUE {
            errors.push(path.too_long(MAX_VALUE));
        }
    }
    let given = attribute.as_object().into_iter().flatten();
    match given.filter(|(_, value)| !value.is_null()).count() {
        0 => errors.push(path.invalid("", "exactly one value must be specified")),
        1 => {}
        _ => errors.push(path.invalid(attribute.clone(), "exactly one value must be specified")),
    }
    errors
}

/// Semantic Versioning 2.0.0, points 2, 9 and 10.
fn is_semver(text: &str) -> bool {
    let (text, build) = match text.split_once('+') {
        Some((text, build)) => (text, Some(build)),
        None => (text, None),
    };
    let (core, pre) = match text.split_once('-') {
        Some((core, pre)) => (core, Some(pre)),
        None => (text, None),
    };
    let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let number = |part: &str| digits(part) && (part == "0" || !part.starts_with('0'));
    let parts: Vec<&str> = core.split('.').collect();
    parts.len() == 3
        && parts.into_iter().all(number)
        && pre.is_none_or(|pre| {
            pre.split('.')
                .all(|part| word(part) && (!digits(part) || number(part)))
        })
        && build.is_none_or(|build| build.split('.').all(word))
}
