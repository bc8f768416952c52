//! Rules for PersistentVolumes.

use serde_json::Value;

use super::difference::differences;
use super::{metadata, naming, pod, volume_claim};
use crate::field::{FieldError, Path};
use crate::meta;
use crate::read;

const RECLAIM_POLICIES: [&str; 3] = ["Delete", "Recycle", "Retain"];

/// A kind of volume: its field, and the fields that it needs.
type Source = (&'static str, &'static [&'static str]);

/// The kinds of volumes, in upstream's order.
const SOURCES: [Source; 21] = [
    ("hostPath", &["path"]),
    ("gcePersistentDisk", &["pdName"]),
    ("awsElasticBlockStore", &["volumeID"]),
    ("glusterfs", &["endpoints", "path"]),
    ("flocker", &[]),
    ("nfs", &["server", "path"]),
    ("rbd", &["monitors", "image"]),
    ("quobyte", &["registry", "volume"]),
    ("cephfs", &["monitors"]),
    ("iscsi", &["targetPortal", "iqn"]),
    ("cinder", &["volumeID"]),
    ("fc", &[]),
    ("flexVolume", &["driver"]),
    ("azureFile", &["secretName", "shareName"]),
    ("vsphereVolume", &["volumePath"]),
    ("photonPersistentDisk", &["pdID"]),
    ("portworxVolume", &["volumeID"]),
    ("azureDisk", &["diskName", "diskURI"]),
    ("scaleIO", &["gateway", "system", "volumeName"]),
    ("local", &["path"]),
    ("storageos", &[]),
];
const CSI: Source = ("csi", &["driver", "volumeHandle"]);

fn sources() -> impl Iterator<Item = Source> {
    SOURCES.into_iter().chain([CSI])
}

/// What is wrong with a volume.
pub(crate) fn create(object: &Value) -> Vec<FieldError> {
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
    errors.extend(source(spec, &path));
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
fn source(spec: &Value, path: &Path) -> Vec<FieldError> {
    let mut found = sources().filter_map(|(kind, needed)| {
        let value = spec.get(kind).filter(|value| !value.is_null())?;
        Some((kind, needed, value))
    });
    let Some((kind, needed, value)) = found.next() else {
        return vec![path.required("must specify a volume type")];
    };
    let mut errors = one_source(kind, needed, value, &path.child(kind));
    if kind == "local" && !read::present(spec, "nodeAffinity.required") {
        errors.push(
            path.child("nodeAffinity")
                .required("Local volume requires node affinity"),
        );
    }
    errors.extend(found.map(|(kind, _, _)| {
        path.child(kind)
            .forbidden("may not specify more than 1 volume type")
    }));
    errors
}

fn one_source(kind: &str, needed: &[&str], value: &Value, path: &Path) -> Vec<FieldError> {
    let empty = |field: &str| match value.get(field) {
        Some(Value::Array(list)) => list.is_empty(),
        Some(Value::String(text)) => text.is_empty(),
        _ => true,
    };
    let mut errors: Vec<FieldError> = needed
        .iter()
        .filter(|field| empty(field))
        .map(|field| path.child(field).required(""))
        .collect();
    errors.extend(match kind {
        "hostPath" => pod::host_path(value, path),
        "local" => pod::no_backsteps(read::text(value, "path"), &path.child("path"))
            .into_iter()
            .collect(),
        "nfs" => absolute(value, path).into_iter().collect(),
        "csi" => csi(value, path),
        "iscsi" => iscsi(value, path),
        _ => Vec::new(),
    });
    errors
}

fn absolute(value: &Value, path: &Path) -> Option<FieldError> {
    let given = read::text(value, "path");
    (!given.is_empty() && !given.starts_with('/'))
        .then(|| path.child("path").invalid(given, "must be an absolute path"))
}

fn csi(value: &Value, path: &Path) -> Vec<FieldError> {
    const SECRETS: [&str; 5] = [
        "controllerPublishSecretRef",
        "controllerExpandSecretRef",
        "nodePublishSecretRef",
        "nodeStageSecretRef",
        "nodeExpandSecretRef",
    ];
    let driver = read::text(value, "driver");
    let mut errors = match driver {
        "" => Vec::new(),
        driver => naming::csi_driver(driver, &path.child("driver")),
    };
    for secret in SECRETS.into_iter().filter(|secret| read::present(value, secret)) {
        for field in ["name", "namespace"] {
            if read::text(value, &format!("{secret}.{field}")).is_empty() {
                errors.push(path.child(secret).child(field).required(""));
            }
        }
    }
    errors
}

fn iscsi(value: &Value, path: &Path) -> Vec<FieldError> {
    let name = read::text(value, "iqn");
    let mut errors = Vec::new();
    if !name.is_empty()
        && !["iqn", "eui", "naa"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
    {
        errors.push(path.child("iqn").invalid(name, "must be valid format"));
    }
    let unit = read::count(value, "lun");
    if !(0..=255).contains(&unit) {
        errors.push(
            path.child("lun")
                .invalid(unit, "must be between 0 and 255, inclusive"),
        );
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
    let expand = "csi.controllerExpandSecretRef";
    if !read::present(&before, expand) && read::present(&before, "csi") {
        let csi = after.get_mut("csi").filter(|csi| !csi.is_null());
        csi.map(|csi| meta::object_mut(csi).remove("controllerExpandSecretRef"));
    }
    let mut lines = Vec::new();
    for (kind, _) in sources() {
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
    for (field, fixed) in [
        ("volumeMode", true),
        ("nodeAffinity", read::present(&before, "nodeAffinity")),
    ] {
        if fixed && after.get(field) != before.get(field) {
            let value = after.get(field).cloned().unwrap_or_default();
            errors.push(Path::new(field).invalid(value, metadata::IMMUTABLE));
        }
    }
    let class = "volumeAttributesClassName";
    if read::present(&before, class) && !read::present(&after, class) {
        let detail = "update from non-nil value to nil is forbidden";
        errors.push(Path::new("spec").child(class).forbidden(detail));
    }
    errors
}

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
    const OLD_OPTIONS: &str = "volume.beta.kubernetes.io/mount-options";
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
