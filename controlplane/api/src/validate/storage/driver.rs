//! Rules for CSIDrivers and CSINodes.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::meta;
use crate::names;
use crate::read;
use crate::validate::metadata::IMMUTABLE;
use crate::validate::{change, naming, number};

const MODES: [&str; 2] = ["Persistent", "Ephemeral"];
const GROUP_POLICIES: [&str; 3] = ["File", "None", "ReadWriteOnceWithFSType"];
const MAX_NODE_ID: usize = 256;
const MIN_PERIOD: i64 = 10;
const TOKENS_KEPT: &str = "serviceAccountTokenInSecrets";

/// What is wrong with a CSIDriver.
pub(crate) fn driver(object: &Value) -> Vec<FieldError> {
    let spec = Path::new("spec");
    let mut errors = Vec::new();
    // Upstream misspells the first of these in its answers.
    for (field, shown) in [
        ("spec.attachRequired", "attachedRequired"),
        ("spec.podInfoOnMount", "podInfoOnMount"),
        ("spec.storageCapacity", "storageCapacity"),
    ] {
        if !read::present(object, field) {
            errors.push(spec.child(shown).required(""));
        }
    }
    let found = object.get("spec").unwrap_or(&Value::Null);
    errors.extend(naming::choice(found, "fsGroupPolicy", &GROUP_POLICIES, &spec));
    errors.extend(token_requests(found, &spec.child("tokenRequests")));
    for mode in read::texts(found, "volumeLifecycleModes") {
        if !MODES.contains(&mode) {
            errors.push(spec.child("volumeLifecycleModes").not_supported(mode, &MODES));
        }
    }
    if !read::present(found, "seLinuxMount") {
        errors.push(spec.child("seLinuxMount").required(""));
    }
    errors.extend(number::at_least(
        found,
        "nodeAllocatableUpdatePeriodSeconds",
        &spec,
        MIN_PERIOD,
        "must be greater than or equal to 10 seconds",
    ));
    if let Some(chosen) = found.get(TOKENS_KEPT).filter(|chosen| !chosen.is_null())
        && read::list(found, "tokenRequests").is_empty()
    {
        let rule = "serviceAccountTokenInSecrets is set but no tokenRequests are specified";
        errors.push(spec.child(TOKENS_KEPT).invalid(chosen.clone(), rule));
    }
    errors
}

fn token_requests(spec: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, request) in read::list(spec, "tokenRequests").iter().enumerate() {
        let path = path.index(index);
        let audience = read::text(request, "audience");
        if !seen.insert(audience) {
            errors.push(path.child("audience").duplicate(audience));
            continue;
        }
        if let Some(seconds) = read::integer(request, "expirationSeconds") {
            errors.extend(token_seconds(seconds, &path.child("expirationSeconds")));
        }
    }
    errors
}

/// What is wrong with the time that a token is to live.
pub(crate) fn token_seconds(seconds: i64, path: &Path) -> Option<FieldError> {
    let rule = match seconds {
        ..600 => "may not specify a duration less than 10 minutes",
        4_294_967_297.. => "may not specify a duration larger than 2^32 seconds",
        _ => return None,
    };
    Some(path.invalid(seconds, rule))
}

/// What is wrong with an update of a CSIDriver: volumes were mounted by its word.
pub(crate) fn driver_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = driver(new);
    // Upstream looks at all of it once more.
    errors.extend(driver(new));
    if let Some(error) = change::immutable(new, old, "spec.attachRequired") {
        errors.push(Path::new("spec.attachedRequired").invalid(error.bad_value, IMMUTABLE));
    }
    errors.extend(change::immutable(new, old, "spec.volumeLifecycleModes"));
    errors
}

/// What is wrong with a CSINode.
pub(crate) fn node(object: &Value) -> Vec<FieldError> {
    let root = Path::new("spec.drivers");
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, driver) in read::list(object, "spec.drivers").iter().enumerate() {
        let path = root.index(index);
        let name = read::text(driver, "name");
        errors.extend(naming::csi_driver(name, &path.child("name")));
        errors.extend(node_id(read::text(driver, "nodeID"), &path.child("nodeID")));
        if let Some(allocatable) = driver.get("allocatable") {
            errors.extend(number::non_negative(
                allocatable,
                "count",
                &path.child("allocatable"),
            ));
        }
        if !seen.insert(name) {
            errors.push(path.child("name").duplicate(name));
        }
        errors.extend(topology_keys(driver, &path));
    }
    errors
}

fn node_id(id: &str, path: &Path) -> Vec<FieldError> {
    match id.len() {
        0 => vec![path.required("")],
        length if length > MAX_NODE_ID => {
            vec![path.invalid(id, format!("must be {MAX_NODE_ID} characters or less"))]
        }
        _ => Vec::new(),
    }
}

fn topology_keys(driver: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    for key in read::texts(driver, "topologyKeys") {
        if key.is_empty() {
            errors.push(path.required(""));
        }
        if !seen.insert(key) {
            errors.push(path.duplicate(key));
        }
        errors.extend(naming::broken(names::qualified_name, key, path));
    }
    errors
}

/// What is wrong with an update of a CSINode: a driver that is there stays as it is, but for how much it can hold.
pub(crate) fn node_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = node(new);
    // Upstream looks at all of it once more.
    errors.extend(node(new));
    for before in read::list(old, "spec.drivers") {
        let same = |driver: &&Value| read::text(driver, "name") == read::text(before, "name");
        for driver in read::list(new, "spec.drivers").iter().filter(same) {
            if ["nodeID", "topologyKeys"]
                .iter()
                .any(|field| change::differs(driver, before, field))
            {
                let mut shown = driver.clone();
                meta::object_mut(&mut shown).remove("allocatable");
                errors.push(Path::new("spec.drivers").invalid(shown, IMMUTABLE));
            }
        }
    }
    errors
}
