//! Rules for what a volume is made of.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::validate::{naming, pod};

/// What is wrong with a volume of this name and of one kind, which is the member `kind` at `path`.
pub(super) fn one(kind: &str, value: &Value, name: &str, path: &Path) -> Vec<FieldError> {
    let path = match kind {
        // Upstream's path.
        "gcePersistentDisk" => path.child("persistentDisk"),
        kind => path.child(kind),
    };
    match kind {
        "hostPath" => pod::host_path(value, &path),
        "local" => local(value, &path),
        "csi" => csi(value, &path),
        "iscsi" => pod::iscsi_volume(value, name, &path),
        kind => {
            // Pods have the same kinds, but without namespaces.
            let mut errors = pod::legacy_source(kind, value, &path);
            errors.extend(namespaces(kind, value, &path));
            errors
        }
    }
}

fn needed(value: &Value, fields: &[&str], path: &Path) -> Vec<FieldError> {
    let missing = fields.iter().filter(|field| read::text(value, field).is_empty());
    missing.map(|field| path.child(field).required("")).collect()
}

fn local(value: &Value, path: &Path) -> Vec<FieldError> {
    let missing = needed(value, &["path"], path);
    if !missing.is_empty() {
        return missing;
    }
    let given = read::text(value, "path");
    pod::no_backsteps(given, &path.child("path"))
        .into_iter()
        .collect()
}

/// Secrets and endpoints of a volume are of any namespace, so it must be said.
fn namespaces(kind: &str, value: &Value, path: &Path) -> Vec<FieldError> {
    let namespace = |field: &str| value.get(field).and_then(Value::as_str);
    match kind {
        "glusterfs" => match namespace("endpointsNamespace") {
            None => Vec::new(),
            Some("") => {
                let detail = "if the endpointnamespace is set, it must be a valid namespace name";
                vec![path.child("endpointsNamespace").invalid("", detail)]
            }
            Some(name) => naming::broken(names::dns_label, name, &path.child("endpointsNamespace")),
        },
        "azureFile" if namespace("secretNamespace") == Some("") => {
            vec![path.child("secretNamespace").required("")]
        }
        "cinder" | "storageos" if read::present(value, "secretRef") => {
            let missing = read::text(value, "secretRef.namespace").is_empty();
            let path = path.child("secretRef.namespace");
            missing.then(|| path.required("")).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn csi(value: &Value, path: &Path) -> Vec<FieldError> {
    const SECRETS: [&str; 4] = [
        "controllerPublishSecretRef",
        "controllerExpandSecretRef",
        "nodePublishSecretRef",
        "nodeExpandSecretRef",
    ];
    let mut errors = naming::csi_driver(read::text(value, "driver"), &path.child("driver"));
    errors.extend(needed(value, &["volumeHandle"], path));
    for secret in SECRETS {
        let (given, path) = (value.get(secret), path.child(secret));
        let Some(reference) = given.filter(|reference| !reference.is_null()) else {
            continue;
        };
        for (field, rule) in [
            ("name", names::dns_subdomain as names::NameCheck),
            ("namespace", names::dns_label),
        ] {
            errors.extend(naming::required(
                rule,
                read::text(reference, field),
                &path.child(field),
            ));
        }
    }
    errors
}
