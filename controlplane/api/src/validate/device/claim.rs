//! Rules for ResourceClaims and their templates.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{configuration, fully_qualified, items, repeated, selectors, text, text_of, toleration};
use crate::field::{FieldError, Path};
use crate::meta;
use crate::names;
use crate::read;
use crate::resource::at;
use crate::validate::metadata::{self, IMMUTABLE};
use crate::validate::{change, naming};

const MAX_REQUESTS: usize = 32;
const MAX_ALTERNATIVES: usize = 8;
const MAX_CONSTRAINTS: usize = 32;
const MODES: [&str; 2] = ["All", "ExactCount"];

/// What is wrong with a ResourceClaim.
pub(crate) fn claim(object: &Value) -> Vec<FieldError> {
    devices(object, "spec.devices", &Path::new("spec.devices"))
}

/// What is wrong with a ResourceClaimTemplate.
pub(crate) fn template(object: &Value) -> Vec<FieldError> {
    let path = Path::new("spec.metadata");
    let spec = object.get("spec").unwrap_or(&Value::Null);
    let annotations = meta::annotations(spec);
    let mut errors = metadata::annotation_errors(&annotations, &path.child("annotations"));
    errors.extend(metadata::label_errors(&meta::labels(spec), &path.child("labels")));
    errors.extend(devices(
        object,
        "spec.spec.devices",
        &Path::new("spec.spec.devices"),
    ));
    errors
}

/// What was claimed stays.
pub(crate) fn changed(new: &Value, old: &Value) -> Option<FieldError> {
    let spec = new.get("spec").cloned().unwrap_or_default();
    change::differs(new, old, "spec").then(|| Path::new("spec").invalid(spec, IMMUTABLE))
}

/// The names of a claim's requests, each with those of its alternatives.
#[derive(Debug, Default)]
pub(super) struct Requests<'a>(BTreeMap<&'a str, BTreeSet<&'a str>>);

impl<'a> Requests<'a> {
    /// Those of the claim whose devices are at a dotted path.
    pub(super) fn of(object: &'a Value, devices: &str) -> Self {
        let requests = at(object, devices).map(|devices| read::list(devices, "requests"));
        let alternatives = |request| {
            let list = read::list(request, "firstAvailable").iter();
            list.map(|sub| read::text(sub, "name")).collect()
        };
        let requests = requests.unwrap_or_default().iter();
        Self(
            requests
                .map(|request| (read::text(request, "name"), alternatives(request)))
                .collect(),
        )
    }

    /// What is wrong with a reference to one of them.
    pub(super) fn reference(&self, name: &str, path: &Path) -> Vec<FieldError> {
        let detail = "must be the name of a request in the claim or the name of a request and a subrequest separated by \
                      '/'";
        let parts: Vec<&str> = name.split('/').collect();
        let known = match parts.as_slice() {
            [request] => self.0.contains_key(request),
            [request, sub] => self.0.get(request).is_some_and(|subs| subs.contains(sub)),
            _ => return vec![path.invalid(name, detail)],
        };
        let mut errors: Vec<FieldError> = parts
            .iter()
            .flat_map(|part| naming::broken(names::dns_label, part, path))
            .collect();
        if !known {
            errors.push(path.invalid(name, detail));
        }
        errors
    }

    /// What is wrong with the references in the member `requests`.
    pub(super) fn references(&self, object: &Value, path: &Path) -> Vec<FieldError> {
        let mut errors = items(object, "requests", MAX_REQUESTS, path, |item, path| {
            self.reference(text(item), path)
        });
        let list = read::list(object, "requests");
        if list.len() <= MAX_REQUESTS {
            errors.extend(repeated(list, &path.child("requests"), text_of));
        }
        errors
    }
}

fn devices(object: &Value, field: &str, path: &Path) -> Vec<FieldError> {
    let devices = at(object, field).unwrap_or(&Value::Null);
    let requests = Requests::of(object, field);
    let mut errors = named(devices, "requests", MAX_REQUESTS, path, request);
    errors.extend(items(
        devices,
        "constraints",
        MAX_CONSTRAINTS,
        path,
        |found, path| constraint(found, &requests, path),
    ));
    errors.extend(items(
        devices,
        "config",
        super::MAX_CONFIG,
        path,
        |config, path| {
            let mut errors = requests.references(config, path);
            errors.extend(configuration(config, path));
            errors
        },
    ));
    errors
}

/// What is wrong with a bounded list whose items have names of their own.
pub(super) fn named(
    object: &Value,
    field: &str,
    max: usize,
    path: &Path,
    rule: impl Fn(&Value, &Path) -> Vec<FieldError>,
) -> Vec<FieldError> {
    let mut errors = items(object, field, max, path, rule);
    let list = read::list(object, field);
    if list.len() <= max {
        let name = |item: &Value| read::text(item, "name").to_owned();
        errors.extend(repeated(list, &path.child(field), name));
    }
    errors
}

fn request(request: &Value, path: &Path) -> Vec<FieldError> {
    let name = read::text(request, "name");
    let mut errors = naming::broken(names::dns_label, name, &path.child("name"));
    let exactly = request.get("exactly").filter(|exactly| !exactly.is_null());
    let several = !read::list(request, "firstAvailable").is_empty();
    let detail = "exactly one of `exactly` or `firstAvailable` is required";
    match (exactly, several) {
        (None, false) => errors.push(path.required(detail)),
        (Some(_), true) => {
            let detail = format!("{detail}, but multiple fields are set");
            errors.push(path.invalid(Value::Null, detail));
        }
        (None, true) => errors.extend(named(
            request,
            "firstAvailable",
            MAX_ALTERNATIVES,
            path,
            alternative,
        )),
        (Some(exactly), false) => errors.extend(wish(exactly, &path.child("exactly"))),
    }
    errors
}

fn alternative(sub: &Value, path: &Path) -> Vec<FieldError> {
    let name = read::text(sub, "name");
    let mut errors = naming::broken(names::dns_label, name, &path.child("name"));
    errors.extend(wish(sub, path));
    errors
}

/// Which devices are wanted, and how many.
fn wish(wish: &Value, path: &Path) -> Vec<FieldError> {
    let class = read::text(wish, "deviceClassName");
    let mut errors = naming::required(names::dns_subdomain, class, &path.child("deviceClassName"));
    errors.extend(selectors(wish, path));
    let (mode, count) = (read::text(wish, "allocationMode"), read::count(wish, "count"));
    let at = path.child("count");
    match mode {
        "All" if count != 0 => {
            let detail = "must not be specified when allocationMode is 'All'";
            errors.push(at.invalid(count, detail));
        }
        "ExactCount" if count <= 0 => errors.push(at.invalid(count, "must be greater than zero")),
        "All" | "ExactCount" => {}
        _ => errors.push(path.child("allocationMode").not_supported(mode, &MODES)),
    }
    let tolerations = read::list(wish, "tolerations").iter().enumerate();
    errors.extend(
        tolerations.flat_map(|(index, found)| toleration(found, &path.child("tolerations").index(index))),
    );
    errors
}

fn constraint(constraint: &Value, requests: &Requests<'_>, path: &Path) -> Vec<FieldError> {
    let mut errors = requests.references(constraint, path);
    let given = ["matchAttribute", "distinctAttribute"]
        .into_iter()
        .find(|field| read::present(constraint, field));
    match given {
        Some(field) => {
            let name = read::text(constraint, field);
            errors.extend(fully_qualified(name, &path.child(field)));
        }
        None => {
            // Upstream says so of none, too.
            let detail = "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are \
                          set";
            errors.push(path.required(detail));
        }
    }
    errors
}
