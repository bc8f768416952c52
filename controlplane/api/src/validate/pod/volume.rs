//! Rules for volumes.

mod legacy;
mod mounts;
mod projected;

use serde_json::Value;

pub(super) use mounts::{devices, mounts};

use super::Owner;
use crate::field::{FieldError, Path, quote};
use crate::names;
use crate::read;
use crate::validate::{naming, resources, template, volume_claim};

pub(crate) use legacy::{iscsi_volume, source as legacy_source};

const HOST_PATH_TYPES: [&str; 8] = [
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
];
/// What a volume can be, in the order in which upstream looks.
const SOURCES: [&str; 30] = [
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
];

/// A volume that is right, by name.
pub(super) type Volumes<'a> = Vec<(&'a str, &'a Value)>;

/// The volumes of a pod's spec that are right, and what is wrong with the others.
pub(super) fn volumes<'a>(spec: &'a Value, owner: Owner<'_>, path: &Path) -> (Volumes<'a>, Vec<FieldError>) {
    let mut errors = Vec::new();
    let mut right: Volumes<'a> = Vec::new();
    let all = read::list(spec, "volumes");
    for (index, volume) in all.iter().enumerate() {
        let path = path.index(index);
        let name = read::text(volume, "name");
        let mut found = source(volume, owner, &path);
        found.extend(naming::required(names::dns_label, name, &path.child("name")));
        if right.iter().any(|(known, _)| *known == name) {
            found.push(path.child("name").duplicate(name));
        }
        if found.is_empty() {
            right.push((name, volume));
        }
        errors.extend(found);
        errors.extend(own_claim(volume, all, owner, &path));
    }
    (right, errors)
}

/// A claim that is made for an ephemeral volume cannot be another's.
fn own_claim(volume: &Value, all: &[Value], owner: Owner<'_>, path: &Path) -> Option<FieldError> {
    let pod = owner.pod_name()?;
    let claim = read::text(volume, "persistentVolumeClaim.claimName");
    let made = |other: &Value| {
        read::present(other, "ephemeral") && format!("{pod}-{}", read::text(other, "name")) == claim
    };
    let detail = "must not reference a PVC that gets created for an ephemeral volume";
    let path = path.child("persistentVolumeClaim.claimName");
    (read::present(volume, "persistentVolumeClaim") && all.iter().any(made))
        .then(|| path.invalid(claim, detail))
}

/// A volume has exactly one source.
fn source(volume: &Value, owner: Owner<'_>, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut count = 0;
    for kind in SOURCES.into_iter().filter(|kind| read::present(volume, kind)) {
        count += 1;
        let value = volume.get(kind).unwrap_or(&Value::Null);
        if count > 1 {
            errors.push(
                path.child(second(kind))
                    .forbidden("may not specify more than 1 volume type"),
            );
            continue;
        }
        errors.extend(one_source(kind, value, owner, &path.child(first(kind))));
        errors.extend(named(kind, volume, owner, path));
    }
    if count == 0 {
        errors.push(path.required("must specify a volume type"));
    }
    errors
}

/// How upstream's paths call a source that is too many.
fn second(kind: &str) -> &str {
    match kind {
        "cephfs" => "cephFS",
        "downwardAPI" => "downwarAPI",
        kind => kind,
    }
}

/// How upstream's paths call a source.
fn first(kind: &str) -> &str {
    match kind {
        "gcePersistentDisk" => "persistentDisk",
        kind => kind,
    }
}

fn one_source(kind: &str, value: &Value, owner: Owner<'_>, path: &Path) -> Vec<FieldError> {
    match kind {
        "emptyDir" => empty_dir(value, path),
        "hostPath" => host_path(value, path),
        "secret" => projected::keyed(value, "secretName", path),
        "configMap" => projected::keyed(value, "name", path),
        "downwardAPI" => projected::downward(value, path),
        "projected" => projected::projected(value, path),
        "csi" => csi(value, path),
        "ephemeral" => ephemeral(value, path),
        "image" => image(value, owner, path),
        kind => legacy::source(kind, value, path),
    }
}

/// What a source asks of the volume's own name.
fn named(kind: &str, volume: &Value, owner: Owner<'_>, path: &Path) -> Vec<FieldError> {
    let name = read::text(volume, "name");
    let path = path.child("name");
    match (kind, owner.pod_name()) {
        ("iscsi", _) if read::present(volume, "iscsi.initiatorName") => {
            let portal = read::text(volume, "iscsi.targetPortal");
            let long = name.len() + 1 + portal.len() > legacy::MAX_PORTAL;
            long.then(|| path.invalid(name, legacy::LONG_PORTAL))
                .into_iter()
                .collect()
        }
        ("ephemeral", Some(pod)) if !pod.is_empty() && !name.is_empty() => {
            let claim = format!("{pod}-{name}");
            let rules = names::dns_subdomain(&claim).into_iter();
            let shown = quote(&claim);
            rules
                .map(|rule| path.invalid(name, format!("PVC name {shown}: {rule}")))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// What is wrong with a text that must be there.
fn needed(value: &Value, field: &str, path: &Path) -> Option<FieldError> {
    read::text(value, field)
        .is_empty()
        .then(|| path.child(field).required(""))
}

/// What is wrong with a path of the host.
pub(crate) fn host_path(value: &Value, path: &Path) -> Vec<FieldError> {
    if let Some(error) = needed(value, "path", path) {
        return vec![error];
    }
    let mut errors = Vec::new();
    errors.extend(no_backsteps(read::text(value, "path"), &path.child("path")));
    let kind = read::text(value, "type");
    if !HOST_PATH_TYPES.contains(&kind) {
        errors.push(path.child("type").not_supported(kind, &HOST_PATH_TYPES));
    }
    errors
}

fn empty_dir(value: &Value, path: &Path) -> Vec<FieldError> {
    let limit = value.get("sizeLimit").filter(|limit| !limit.is_null());
    let bad = limit.filter(|limit| resources::quantity(limit).is_none_or(|limit| limit.is_negative()));
    let detail = "SizeLimit field must be a valid resource quantity";
    bad.map(|_| path.child("sizeLimit").forbidden(detail))
        .into_iter()
        .collect()
}

fn csi(value: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = naming::csi_driver(read::text(value, "driver"), &path.child("driver"));
    if read::present(value, "nodePublishSecretRef") {
        match read::text(value, "nodePublishSecretRef.name") {
            "" => errors.push(path.child("nodePublishSecretRef.name").required("")),
            name => errors.extend(naming::broken(names::dns_subdomain, name, &path.child("name"))),
        }
    }
    errors
}

fn ephemeral(value: &Value, path: &Path) -> Vec<FieldError> {
    let path = path.child("volumeClaimTemplate");
    let Some(claim) = value.get("volumeClaimTemplate").filter(|claim| !claim.is_null()) else {
        return vec![path.required("")];
    };
    let mut errors = template::only_labels(claim, &path.child("metadata"));
    let spec = claim.get("spec").unwrap_or(&Value::Null);
    errors.extend(volume_claim::spec(spec, &path.child("spec")));
    errors
}

fn image(value: &Value, owner: Owner<'_>, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if owner.pod_name().is_some() {
        errors.extend(needed(value, "reference", path));
    }
    errors.extend(super::one_of(
        value,
        "pullPolicy",
        &super::container::PULL_POLICIES,
        path,
    ));
    errors
}

fn relative(target: &str, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if target.starts_with('/') {
        errors.push(path.invalid(target, "must be a relative path"));
    }
    errors.extend(no_backsteps(target, path));
    errors
}

/// A path does not lead out of where it starts.
pub(crate) fn no_backsteps(target: &str, path: &Path) -> Option<FieldError> {
    target
        .split('/')
        .any(|part| part == "..")
        .then(|| path.invalid(target, "must not contain '..'"))
}
