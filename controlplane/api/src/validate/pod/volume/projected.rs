//! Rules for volumes that hold files made from objects.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::env;
use super::{needed, relative};
use crate::field::{FieldError, Path};
use crate::read;
use crate::validate::inner_form::formed;
use crate::validate::inner_form::of_core::TRUST_BUNDLE;
use crate::validate::signing;
use crate::validate::workload::label_selector_errors;

const FILE_FIELDS: [&str; 5] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
];
const MODE_RULE: &str = "must be a number between 0 and 0777 (octal), both inclusive";
const MAX_MODE: i64 = 0o777;

/// What is wrong with files made from the keys of the object that `name` names.
pub(super) fn keyed(value: &Value, name: &str, path: &Path) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = needed(value, name, path).into_iter().collect();
    errors.extend(mode(value, "defaultMode", path));
    errors.extend(items(value, path));
    errors
}

fn mode(value: &Value, field: &str, path: &Path) -> Option<FieldError> {
    let mode = read::integer(value, field)?;
    (!(0..=MAX_MODE).contains(&mode)).then(|| path.child(field).invalid(mode, MODE_RULE))
}

fn items(value: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (index, item) in read::list(value, "items").iter().enumerate() {
        let path = path.child("items").index(index);
        errors.extend(needed(item, "key", &path));
        errors.extend(file_path(item, &path));
        errors.extend(mode(item, "mode", &path));
    }
    errors
}

/// A file inside a volume: there, relative, and staying inside.
fn file_path(item: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = needed(item, "path", path).into_iter().collect();
    errors.extend(inside(read::text(item, "path"), &path.child("path")));
    errors
}

/// What is wrong with a path that must not leave the volume, where there is one.
fn inside(target: &str, path: &Path) -> Vec<FieldError> {
    let mut errors = relative(target, path);
    if target.starts_with("..") && !target.starts_with("../") && target != ".." {
        errors.push(path.invalid(target, "must not start with '..'"));
    }
    errors
}

/// What is wrong with files made from the pod's own fields. Upstream's paths leave the index out.
pub(super) fn downward(value: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = mode(value, "defaultMode", path).into_iter().collect();
    errors.extend(
        read::list(value, "items")
            .iter()
            .flat_map(|item| downward_file(item, path)),
    );
    errors
}

fn downward_file(item: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = file_path(item, path);
    let given = |field: &str| item.get(field).filter(|value| !value.is_null());
    match (given("fieldRef"), given("resourceFieldRef")) {
        (Some(field), other) => {
            errors.extend(env::field_ref(field, &FILE_FIELDS, &path.child("fieldRef")));
            if other.is_some() {
                let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.push(path.invalid("resource", detail));
            }
        }
        (None, Some(resource)) => {
            let path = path.child("resourceFieldRef");
            errors.extend(env::resource_ref(resource, env::Use::File, &path));
        }
        (None, None) => errors.push(path.required("one of fieldRef and resourceFieldRef is required")),
    }
    errors.extend(mode(item, "mode", path));
    errors
}

/// What is wrong with files made from several objects: no two have one path.
pub(super) fn projected(value: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = mode(value, "defaultMode", path).into_iter().collect();
    let mut taken: BTreeSet<&str> = BTreeSet::new();
    for (index, source) in read::list(value, "sources").iter().enumerate() {
        let at = path.child("sources").index(index);
        let kinds = [
            "secret",
            "configMap",
            "downwardAPI",
            "serviceAccountToken",
            "clusterTrustBundle",
            "podCertificate",
        ];
        let given: Vec<(&str, &Value)> = kinds
            .into_iter()
            .filter(|kind| read::present(source, kind))
            .filter_map(|kind| Some((kind, source.get(kind)?)))
            .collect();
        for (kind, value) in &given {
            errors.extend(projection(kind, value, &at.child(kind), path));
            errors.extend(conflicts(kind, value, &mut taken, path));
        }
        if given.len() > 1 {
            errors.push(at.forbidden("may not specify more than 1 volume type per source"));
        }
    }
    errors
}

fn projection(kind: &str, value: &Value, path: &Path, whole: &Path) -> Vec<FieldError> {
    match kind {
        "secret" | "configMap" => {
            let mut errors: Vec<FieldError> = needed(value, "name", path).into_iter().collect();
            errors.extend(items(value, path));
            errors
        }
        "downwardAPI" => read::list(value, "items")
            .iter()
            .flat_map(|item| downward_file(item, path))
            .collect(),
        "serviceAccountToken" => token(value, path, whole),
        "podCertificate" => certificate(value, path),
        _ => trust_bundle(value, path),
    }
}

/// The paths that a source takes, where another has them.
fn conflicts<'a>(
    kind: &str,
    value: &'a Value,
    taken: &mut BTreeSet<&'a str>,
    path: &Path,
) -> Vec<FieldError> {
    let paths: Vec<&str> = match kind {
        "serviceAccountToken" => Vec::new(),
        "clusterTrustBundle" => vec![read::text(value, "path")],
        "podCertificate" => CERTIFICATE_PATHS.map(|field| read::text(value, field)).to_vec(),
        _ => read::list(value, "items")
            .iter()
            .map(|item| read::text(item, "path"))
            .collect(),
    };
    let mut errors = Vec::new();
    for target in paths.into_iter().filter(|target| !target.is_empty()) {
        if !taken.insert(target) {
            let shown = match kind {
                "secret" | "configMap" => read::text(value, "name"),
                _ => target,
            };
            errors.push(path.invalid(shown, "conflicting duplicate paths"));
        }
    }
    errors
}

const TOKEN_LEAST: i64 = 600;
const TOKEN_MOST: i64 = 1 << 32;

fn token(value: &Value, path: &Path, whole: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let at = path.child("expirationSeconds");
    match read::integer(value, "expirationSeconds") {
        Some(seconds) if seconds < TOKEN_LEAST => {
            errors.push(at.invalid(seconds, "may not specify a duration less than 10 minutes"));
        }
        Some(seconds) if seconds > TOKEN_MOST => {
            errors.push(at.invalid(seconds, "may not specify a duration larger than 2^32 seconds"));
        }
        _ => {}
    }
    // The path is the volume's own, not the source's, as upstream says it.
    if read::text(value, "path").is_empty() {
        errors.push(whole.child("path").required(""));
    } else {
        errors.extend(file_path(value, whole));
    }
    errors
}

fn trust_bundle(value: &Value, path: &Path) -> Vec<FieldError> {
    let text = |field: &str| value.get(field).and_then(Value::as_str);
    let mut errors = Vec::new();
    match (text("name"), text("signerName")) {
        (Some(_), Some(_)) => {
            let error = path.invalid(value.clone(), "only one of name and signerName may be used");
            errors.push(formed(error, TRUST_BUNDLE));
        }
        (Some(name), None) => {
            if name.is_empty() {
                errors.push(path.child("name").required("must be a valid object name"));
            }
            if let Some(selector) = value.get("labelSelector").filter(|selector| !selector.is_null()) {
                let detail = "labelSelector must be unset if name is specified";
                errors.push(path.child("labelSelector").invalid(selector.clone(), detail));
            }
        }
        (None, Some(signer)) => {
            if signer.is_empty() {
                errors.push(path.child("signerName").required("must be a valid signer name"));
            }
            errors.extend(signing::signer_errors(signer, &path.child("signerName")));
            if let Some(selector) = value.get("labelSelector") {
                errors.extend(label_selector_errors(selector, &path.child("labelSelector")));
            }
        }
        (None, None) => errors.push(path.required("either name or signerName must be specified")),
    }
    errors.extend(file_path(value, path));
    errors
}

const KEY_TYPES: [&str; 6] = [
    "RSA3072",
    "RSA4096",
    "ECDSAP256",
    "ECDSAP384",
    "ECDSAP521",
    "ED25519",
];
const CERTIFICATE_PATHS: [&str; 3] = ["credentialBundlePath", "keyPath", "certificateChainPath"];
/// Seconds: an hour, and 91 days, or one where Kubernetes itself signs.
const CERTIFICATE_LEAST: i64 = 3_600;
const CERTIFICATE_MOST: i64 = 7_862_400;
const CERTIFICATE_MOST_OF_KUBERNETES: i64 = 86_400;

/// What is wrong with a key and its certificate, which a signer gives the pod.
fn certificate(value: &Value, path: &Path) -> Vec<FieldError> {
    let (signer, kind) = (read::text(value, "signerName"), read::text(value, "keyType"));
    let mut errors = signing::signer_errors(signer, &path.child("signerName"));
    if !KEY_TYPES.contains(&kind) {
        errors.push(path.child("keyType").not_supported(kind, &KEY_TYPES));
    }
    let own = signer.starts_with("kubernetes.io/");
    let most = if own {
        CERTIFICATE_MOST_OF_KUBERNETES
    } else {
        CERTIFICATE_MOST
    };
    let seconds = read::integer(value, "maxExpirationSeconds");
    if let Some(seconds) = seconds.filter(|seconds| !(CERTIFICATE_LEAST..=most).contains(seconds)) {
        let detail = format!("must be in the range [{CERTIFICATE_LEAST}, {most}]");
        errors.push(path.child("maxExpirationSeconds").invalid(seconds, detail));
    }
    let files = CERTIFICATE_PATHS.map(|field| (path.child(field), read::text(value, field)));
    if files.iter().all(|(_, file)| file.is_empty()) {
        let detail = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath";
        errors.push(path.required(detail));
    }
    for (path, file) in files {
        errors.extend(inside(file, &path));
    }
    errors
}
