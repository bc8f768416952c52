//! Rules for APIServices.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::field::{FieldError, Path, quote};
use crate::meta;
use crate::names;
use crate::read;
use crate::resource::at;
use crate::validate::naming;

/// What is wrong with an APIService.
pub(crate) fn service(object: &Value) -> Vec<FieldError> {
    let spec = Path::new("spec");
    let (group, version) = (
        read::text(object, "spec.group"),
        read::text(object, "spec.version"),
    );
    let mut errors: Vec<FieldError> = name(object, &format!("{version}.{group}")).into_iter().collect();
    if group.is_empty() {
        if version != "v1" {
            let detail = "only v1 may have an empty group and it better be legacy kube";
            errors.push(spec.child("group").required(detail));
        }
    } else {
        errors.extend(naming::broken(names::dns_subdomain, group, &spec.child("group")));
    }
    errors.extend(naming::broken(
        names::dns_1035_label,
        version,
        &spec.child("version"),
    ));
    for (field, most) in [("groupPriorityMinimum", 20_000), ("versionPriority", 1000)] {
        let number = at(object, "spec").map_or(0, |spec| read::count(spec, field));
        if !(1..=most).contains(&number) {
            let detail = format!("must be positive and less than {most}");
            errors.push(spec.child(field).invalid(number, detail));
        }
    }
    errors.extend(server(object, &spec));
    errors
}

fn name(object: &Value, wanted: &str) -> Option<FieldError> {
    let found = meta::name(object);
    let other = names::path_segment(found).is_empty() && found != wanted && !found.is_empty();
    other.then(|| {
        let detail = format!("must be `spec.version+\".\"+spec.group`: {}", quote(wanted));
        Path::new("metadata.name").invalid(found, detail)
    })
}

/// What is wrong with where the answers come from: this server, or a Service.
fn server(object: &Value, spec: &Path) -> Vec<FieldError> {
    let bundle = read::text(object, "spec.caBundle");
    let insecure = read::flag(object, "spec.insecureSkipTLSVerify");
    let at_insecure = spec.child("insecureSkipTLSVerify");
    let mut errors = Vec::new();
    let Some(service) = at(object, "spec.service").filter(|service| !service.is_null()) else {
        if !bundle.is_empty() {
            let bytes = BASE64_STANDARD.decode(bundle).map_or(0, |bytes| bytes.len());
            let detail = "local APIServices may not have a caBundle";
            errors.push(spec.child("caBundle").invalid(format!("{bytes} bytes"), detail));
        }
        if insecure {
            let detail = "local APIServices may not have insecureSkipTLSVerify";
            errors.push(at_insecure.invalid(true, detail));
        }
        return errors;
    };
    for field in ["namespace", "name"] {
        if read::text(service, field).is_empty() {
            errors.push(spec.child("service").child(field).required(""));
        }
    }
    let port = read::count(service, "port");
    let rules = names::port_number(port);
    if !rules.is_empty() {
        let detail = format!("port is not valid: {}", rules.join(", "));
        errors.push(spec.child("service.port").invalid(port, detail));
    }
    if insecure && !bundle.is_empty() {
        errors.push(at_insecure.invalid(true, "may not be true if caBundle is present"));
    }
    errors
}

/// What is wrong with a write of an APIService's status.
pub(crate) fn status(object: &Value) -> Vec<FieldError> {
    const KNOWN: [&str; 3] = ["True", "False", "Unknown"];
    let conditions = read::list(object, "status.conditions").iter().enumerate();
    conditions
        .filter(|(_, condition)| !KNOWN.contains(&read::text(condition, "status")))
        .map(|(index, condition)| {
            let path = Path::new("status.conditions").index(index).child("status");
            path.not_supported(read::text(condition, "status"), &KNOWN)
        })
        .collect()
}
