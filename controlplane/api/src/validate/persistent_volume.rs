//! Rules for PersistentVolumes.

mod sources;

use serde_json::Value;

use super::difference::differences;
use super::inner_form::of_core::VOLUME_AFFINITY;
use super::{inner_form, metadata, pod, volume_claim};
use crate::field::{FieldError, Path};
use crate::meta;
use crate::read;

const RECLAIM_POLICIES: [&str; 3] = ["Delete", "Recycle", "Retain"];

/// The kinds of volumes, in upstream's order.
const SOURCES: [&str; 22] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

/// What is wrong with a volume.
pub(crate) fn create(object: &Value) -> Vec<FieldError> {
    let mut errors = rules(object);
    errors.extend(mount_options(object));
    errors
}

fn rules(object: &Value) -> Vec<FieldError> {
    let path = Path::new("spec");
    let spec = object.get("spec").unwrap_or(&Value::Null);
    let mut errors = Vec::new();
    if read::list(spec, "accessModes").is_empty() {
        errors.push(path.child("accessModes").required(""));
    }
    errors.extend(volume_claim::access_modes(spec, &path));
    errors.extend(capacity(spec, &path.child("capacity")));
    let policy = read::text(spec, "persistentVolumeReclaimPolicy");
    if !policy.is_empty() && !RECLAIM_POLICIES.contains(&policy) {
        errors.push(
            path.child("persistentVolumeReclaimPolicy")
                .not_supported(policy, &RECLAIM_POLICIES),
        );
    }
    errors.extend(node_affinity(spec, &path.child("nodeAffinity")));
    errors.extend(source(spec, meta::name(object), &path));
    if policy == "Recycle" && read::text(spec, "hostPath.path").trim_end_matches('/').is_empty() {
        let detail = "may not be 'recycle' for a hostPath mount of '/'";
        if read::present(spec, "hostPath") {
            errors.push(path.child("persistentVolumeReclaimPolicy").forbidden(detail));
        }
    }
    errors.extend(volume_claim::class(spec, "storageClassName", &path));
    errors.extend(volume_claim::volume_mode(spec, &path));
    errors.extend(attributes(spec, &path));
    errors
}

/// What is wrong with a volume that is only attached: neither claimed, nor of a size, a class or a place.
pub(crate) fn inline(spec: &Value, path: &Path) -> Vec<FieldError> {
    const NOT_INLINE: &str = "may not be specified in the context of inline volumes";
    let mut errors = Vec::new();
    let given = |field: &str| spec.get(field).is_some_and(|value| !value.is_null());
    let mut refuse = |applies: bool, field: &str, detail: &str| {
        errors.extend(applies.then(|| path.child(field).forbidden(detail)));
    };
    refuse(given("claimRef"), "claimRef", NOT_INLINE);
    refuse(
        read::map(spec, "capacity").next().is_some(),
        "capacity",
        NOT_INLINE,
    );
    if !given("csi") {
        let detail = "has to be specified in the context of inline volumes";
        errors.push(path.child("csi").required(detail));
    }
    if read::list(spec, "accessModes").is_empty() {
        errors.push(path.child("accessModes").required(""));
    }
    errors.extend(volume_claim::access_modes(spec, path));
    let mut refuse = |applies: bool, field: &str, detail: &str| {
        errors.extend(applies.then(|| path.child(field).forbidden(detail)));
    };
    let policy = read::text(spec, "persistentVolumeReclaimPolicy");
    refuse(
        !matches!(policy, "" | "Retain"),
        "persistentVolumeReclaimPolicy",
        "may only be Retain in the context of inline volumes",
    );
    refuse(given("nodeAffinity"), "nodeAffinity", NOT_INLINE);
    errors.extend(source(spec, "", path));
    let mut refuse = |applies: bool, field: &str, detail: &str| {
        errors.extend(applies.then(|| path.child(field).forbidden(detail)));
    };
    refuse(
        !read::text(spec, "storageClassName").is_empty(),
        "storageClassName",
        NOT_INLINE,
    );
    refuse(
        given("volumeMode") && read::text(spec, "volumeMode") != "Filesystem",
        "volumeMode",
        "may not specify volumeMode other than Filesystem in the context of inline volumes",
    );
    errors
}

fn capacity(spec: &Value, path: &Path) -> Vec<FieldError> {
    let amounts: Vec<(&String, &Value)> = read::map(spec, "capacity").collect();
    let mut errors = Vec::new();
    if amounts.is_empty() {
        errors.push(path.required(""));
    }
    if amounts.len() != 1 || !read::present(spec, "capacity.storage") {
        let given = spec.get("capacity").cloned().unwrap_or_default();
        errors.push(path.not_supported(given, &["storage"]));
    }
    errors.extend(volume_claim::basic_amounts(spec, "capacity", path));
    errors.extend(
        amounts
            .into_iter()
            .filter_map(|(name, value)| volume_claim::positive(value, &path.key(name))),
    );
    errors
}

fn node_affinity(spec: &Value, path: &Path) -> Vec<FieldError> {
    let Some(affinity) = spec.get("nodeAffinity").filter(|affinity| !affinity.is_null()) else {
        return Vec::new();
    };
    let path = path.child("required");
    match affinity.get("required").filter(|required| !required.is_null()) {
        Some(required) => pod::node_selector(required, &path),
        None => vec![path.required("must specify required node constraints")],
    }
}

/// A volume is of exactly one kind.
fn source(spec: &Value, name: &str, path: &Path) -> Vec<FieldError> {
    let found = SOURCES
        .iter()
        .filter_map(|kind| Some((*kind, spec.get(*kind).filter(|value| !value.is_null())?)));
    let mut errors = Vec::new();
    for (index, (kind, value)) in found.clone().enumerate() {
        // Upstream lets a plugin's own kind be a second one.
        if index > 0 && kind != "flexVolume" {
            let name = if kind == "cephfs" { "cephFS" } else { kind };
            errors.push(
                path.child(name)
                    .forbidden("may not specify more than 1 volume type"),
            );
            continue;
        }
        errors.extend(sources::one(kind, value, name, path));
        if kind == "local" && !read::present(spec, "nodeAffinity") {
            let detail = "Local volume requires node affinity";
            errors.push(path.child("nodeAffinity").required(detail));
        }
    }
    if found.count() == 0 {
        errors.push(path.required("must specify a volume type"));
    }
    errors
}

fn attributes(spec: &Value, path: &Path) -> Vec<FieldError> {
    const FIELD: &str = "volumeAttributesClassName";
    let Some(name) = spec.get(FIELD).and_then(Value::as_str) else {
        return Vec::new();
    };
    let mut errors = volume_claim::class(spec, FIELD, path);
    if name.is_empty() {
        errors.push(path.child(FIELD).required("an empty string is disallowed"));
    }
    if !read::present(spec, "csi") {
        errors.push(
            path.child("csi")
                .required("has to be specified when using volumeAttributesClassName"),
        );
    }
    errors
}

/// What an update may not change: what the volume is, and where it is.
pub(crate) fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    let spec = |object: &Value| object.get("spec").cloned().unwrap_or_default();
    let (mut after, before) = (spec(new), spec(old));
    let mut errors = create(new);
    // Upstream looks at all of it once more.
    errors.extend(rules(new));
    let expand = "csi.controllerExpandSecretRef";
    if !read::present(&before, expand) && read::present(&before, "csi") {
        let csi = after.get_mut("csi").filter(|csi| !csi.is_null());
        csi.map(|csi| meta::object_mut(csi).remove("controllerExpandSecretRef"));
    }
    let mut lines = Vec::new();
    for kind in SOURCES {
        let (was, is) = (before.get(kind), after.get(kind));
        differences(
            was.unwrap_or(&Value::Null),
            is.unwrap_or(&Value::Null),
            kind,
            &mut lines,
        );
    }
    if !lines.is_empty() {
        let detail = format!(
            "spec.persistentvolumesource is immutable after creation\n{}",
            lines.join("\n")
        );
        errors.push(Path::new("spec.persistentvolumesource").forbidden(detail));
    }
    if after.get("volumeMode") != before.get("volumeMode") {
        let mode = after.get("volumeMode").cloned().unwrap_or_default();
        errors.push(Path::new("volumeMode").invalid(mode, metadata::IMMUTABLE));
    }
    errors.extend(moved(&after, &before));
    let class = "volumeAttributesClassName";
    if read::present(&before, class) && !read::present(&after, class) {
        let detail = "update from non-nil value to nil is forbidden";
        errors.push(Path::new("spec").child(class).forbidden(detail));
    }
    errors
}

/// A volume stays where it is; only labels that were beta may be called by their new names.
fn moved(after: &Value, before: &Value) -> Option<FieldError> {
    const RENAMED: [(&str, &str); 5] = [
        (
            "failure-domain.beta.kubernetes.io/zone",
            "topology.kubernetes.io/zone",
        ),
        (
            "failure-domain.beta.kubernetes.io/region",
            "topology.kubernetes.io/region",
        ),
        ("beta.kubernetes.io/os", "kubernetes.io/os"),
        ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
        (
            "beta.kubernetes.io/instance-type",
            "node.kubernetes.io/instance-type",
        ),
    ];
    let affinity = |spec: &Value| spec.get("nodeAffinity").filter(|found| !found.is_null()).cloned();
    let (was, is) = (affinity(before)?, affinity(after));
    let mut renamed = was.clone();
    rename_keys(&mut renamed, is.as_ref().unwrap_or(&Value::Null), &RENAMED);
    let detail = format!(
        "{}, except for updating from beta label to GA",
        metadata::IMMUTABLE
    );
    let same = is.as_ref() == Some(&was) || is.as_ref() == Some(&renamed);
    (!same).then(|| {
        let shown = inner_form::shown(is.as_ref(), VOLUME_AFFINITY);
        let error = Path::new("nodeAffinity").invalid(is.unwrap_or_default(), detail);
        error.shown_as(shown)
    })
}

/// Gives each `key` in `old` its new name where the same place in `new` has it.
fn rename_keys(old: &mut Value, new: &Value, renamed: &[(&str, &str)]) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, value) in old.iter_mut() {
                let wanted = new.get(name).unwrap_or(&Value::Null);
                let known = renamed.iter().any(|(beta, stable)| {
                    name == "key" && value.as_str() == Some(*beta) && wanted.as_str() == Some(*stable)
                });
                if known {
                    *value = wanted.clone();
                } else {
                    rename_keys(value, wanted, renamed);
                }
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            for (old, new) in old.iter_mut().zip(new) {
                rename_keys(old, new, renamed);
            }
        }
        _ => {}
    }
}

/// What is wrong with options of mounting in an annotation, for kinds of volumes that take none.
fn mount_options(object: &Value) -> Option<FieldError> {
    const MOUNTED: [&str; 13] = [
        "gcePersistentDisk",
        "awsElasticBlockStore",
        "glusterfs",
        "nfs",
        "rbd",
        "quobyte",
        "iscsi",
        "cinder",
        "cephfs",
        "azureFile",
        "vsphereVolume",
        "azureDisk",
        "portworxVolume",
    ];
    let given = meta::annotations(object).contains_key(OLD_OPTIONS);
    let taken = |kind: &str| read::present(object, &format!("spec.{kind}"));
    (given && !MOUNTED.iter().any(|kind| taken(kind))).then(|| {
        Path::new("metadata.annotations")
            .child(OLD_OPTIONS)
            .forbidden("may not specify mount options for this volume type")
    })
}

/// The annotation that named options of mounting before the field did.
const OLD_OPTIONS: &str = "volume.beta.kubernetes.io/mount-options";

/// Kinds of volumes that are gone, and since when.
const GONE: [(&str, &str); 6] = [
    (
        "photonPersistentDisk",
        "deprecated in v1.11, non-functional in v1.16+",
    ),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

/// What a client is warned of about a volume.
pub(crate) fn warnings(object: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    let annotations = meta::annotations(object);
    for (name, since, field) in [
        (volume_claim::OLD_CLASS, "v1.8", "storageClassName"),
        (OLD_OPTIONS, "v1.31", "mountOptions"),
    ] {
        if annotations.contains_key(name) {
            warnings.push(format!(
                "metadata.annotations[{name}]: deprecated since {since}; use \"{field}\" attribute instead"
            ));
        }
    }
    if read::text(object, "spec.persistentVolumeReclaimPolicy") == "Recycle" {
        warnings.push(
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended \
             approach is to use dynamic provisioning."
                .to_owned(),
        );
    }
    let gone = GONE
        .iter()
        .filter(|(kind, _)| read::present(object, &format!("spec.{kind}")));
    warnings.extend(gone.map(|(kind, since)| format!("spec.{kind}: {since}")));
    if let Some(required) = crate::resource::at(object, "spec.nodeAffinity.required") {
        warnings.extend(pod::warnings::of_node_selector(
            required,
            &Path::new("spec.nodeAffinity.required"),
        ));
    }
    warnings
}
