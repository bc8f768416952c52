//! Rules for the kinds of volumes that drivers have taken the place of. Their manifests are still written.

use serde_json::Value;

use super::{needed, relative};
use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::validate::naming;

/// Upstream's words for a volume whose name and portal together are too long.
pub(super) const LONG_PORTAL: &str = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if \
    iscsi.initiatorName is specified.";

/// Most characters of a volume's name and its portal, with a colon between.
pub(super) const MAX_PORTAL: usize = 64;

/// The members that must be there.
const NEEDED: [(&str, &[&str]); 19] = [
    ("gitRepo", &["repository"]),
    ("gcePersistentDisk", &["pdName"]),
    ("awsElasticBlockStore", &["volumeID"]),
    ("nfs", &["server", "path"]),
    ("iscsi", &["targetPortal"]),
    ("glusterfs", &["endpoints", "path"]),
    ("persistentVolumeClaim", &["claimName"]),
    ("rbd", &["monitors", "image"]),
    ("cinder", &["volumeID"]),
    ("cephfs", &["monitors"]),
    ("flexVolume", &["driver"]),
    ("azureFile", &["secretName", "shareName"]),
    ("vsphereVolume", &["volumePath"]),
    ("photonPersistentDisk", &["pdID"]),
    ("portworxVolume", &["volumeID"]),
    ("azureDisk", &["diskName", "diskURI"]),
    ("storageos", &["volumeName"]),
    ("scaleIO", &["gateway", "system", "volumeName"]),
    ("flocker", &[]),
];

/// What is wrong with a volume of one of these kinds.
pub(crate) fn source(kind: &str, value: &Value, path: &Path) -> Vec<FieldError> {
    let fields = NEEDED
        .iter()
        .find(|(known, _)| *known == kind)
        .map_or(&[][..], |(_, fields)| *fields);
    let empty = |field: &&&str| match value.get(**field) {
        Some(Value::Array(list)) => list.is_empty(),
        _ => read::text(value, field).is_empty(),
    };
    let mut errors: Vec<FieldError> = fields
        .iter()
        .filter(empty)
        .map(|field| path.child(field).required(""))
        .collect();
    errors.extend(match kind {
        "gitRepo" => relative(read::text(value, "directory"), &path.child("directory")),
        "gcePersistentDisk" | "awsElasticBlockStore" => range(value, "partition", (0, 255), (1, 255), path),
        "nfs" => absolute(value, path),
        "iscsi" => iscsi(value, path),
        "flocker" => flocker(value, path),
        "cinder" => secret(value, path),
        "quobyte" => quobyte(value, path),
        "fc" => fibre_channel(value, path),
        "flexVolume" => flex(value, path),
        "azureDisk" => azure_disk(value, path),
        "storageos" => storage_os(value, path),
        _ => Vec::new(),
    });
    errors
}

/// A number in `allowed`; the words may say another range.
fn range(value: &Value, field: &str, allowed: (i64, i64), said: (i64, i64), path: &Path) -> Vec<FieldError> {
    let number = read::count(value, field);
    let bad = !(allowed.0..=allowed.1).contains(&number);
    let detail = format!("must be between {} and {}, inclusive", said.0, said.1);
    bad.then(|| path.child(field).invalid(number, detail))
        .into_iter()
        .collect()
}

fn absolute(value: &Value, path: &Path) -> Vec<FieldError> {
    let given = read::text(value, "path");
    let bad = !given.starts_with('/');
    bad.then(|| path.child("path").invalid(given, "must be an absolute path"))
        .into_iter()
        .collect()
}

fn secret(value: &Value, path: &Path) -> Vec<FieldError> {
    let missing = read::present(value, "secretRef") && read::text(value, "secretRef.name").is_empty();
    missing
        .then(|| path.child("secretRef.name").required(""))
        .into_iter()
        .collect()
}

fn iscsi(value: &Value, path: &Path) -> Vec<FieldError> {
    const FORM: &str = "must be valid format starting with iqn, eui, or naa";
    let mut errors: Vec<FieldError> = node_name(value, FORM, path);
    errors.extend(lun_and_secret(value, path));
    if let Some(name) = value.get("initiatorName").and_then(Value::as_str) {
        errors.extend(qualified(name, FORM, &path.child("initiatorname")));
    }
    errors
}

/// The same of a volume of this name, of which upstream's words are others.
pub(crate) fn iscsi_volume(value: &Value, volume: &str, path: &Path) -> Vec<FieldError> {
    const FORM: &str = "must be valid format";
    let portal = read::text(value, "targetPortal");
    let initiator = value.get("initiatorName").and_then(Value::as_str);
    let mut errors: Vec<FieldError> = needed(value, "targetPortal", path).into_iter().collect();
    if initiator.is_some() && volume.len() + 1 + portal.len() > MAX_PORTAL {
        errors.push(path.child("targetportal").invalid(portal, LONG_PORTAL));
    }
    errors.extend(node_name(value, FORM, path));
    errors.extend(lun_and_secret(value, path));
    errors.extend(secret(value, path));
    errors.extend(
        initiator
            .into_iter()
            .flat_map(|name| qualified(name, FORM, &path.child("initiatorname"))),
    );
    errors
}

fn node_name(value: &Value, form: &str, path: &Path) -> Vec<FieldError> {
    let path = path.child("iqn");
    match read::text(value, "iqn") {
        "" => vec![path.required("")],
        name => qualified(name, form, &path),
    }
}

fn lun_and_secret(value: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = range(value, "lun", (0, 255), (0, 255), path);
    let asks = ["chapAuthDiscovery", "chapAuthSession"]
        .iter()
        .any(|field| read::flag(value, field));
    if asks && !read::present(value, "secretRef") {
        errors.push(path.child("secretRef").required(""));
    }
    errors
}

/// A name of an iSCSI node: `iqn.` with a month and a domain, or `eui.` or `naa.` with a number. `form` says that it is
/// none of these.
fn qualified(name: &str, form: &str, path: &Path) -> Vec<FieldError> {
    let detail = match name.get(..3) {
        Some("iqn") if is_iqn(name) => return Vec::new(),
        Some("eui") if is_number(name, 16) => return Vec::new(),
        Some("naa") if is_number(name, 32) => return Vec::new(),
        Some("iqn" | "eui" | "naa") => "must be valid format",
        _ => form,
    };
    vec![path.invalid(name, detail)]
}

fn is_number(name: &str, digits: usize) -> bool {
    let rest = name.get(4..).unwrap_or_default();
    rest.len() == digits && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn is_iqn(name: &str) -> bool {
    let digits =
        |text: &str, count: usize| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts = || {
        let (month, rest) = name.strip_prefix("iqn.")?.split_once('.')?;
        let (year, month) = month.split_once('-')?;
        let (authority, own) = rest.split_once(':')?;
        Some((year, month, authority, own))
    };
    parts().is_some_and(|(year, month, authority, own)| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        let free = |c: char| !matches!(c, ',' | ';' | '*' | '&' | '$' | '|') && !c.is_whitespace();
        digits(year, 4)
            && digits(month, 2)
            && !authority.is_empty()
            && authority.bytes().all(allowed)
            && !own.is_empty()
            && own.chars().all(free)
    })
}

fn flocker(value: &Value, path: &Path) -> Vec<FieldError> {
    let (name, uuid) = (read::text(value, "datasetName"), read::text(value, "datasetUUID"));
    let mut errors = Vec::new();
    match (name, uuid) {
        ("", "") => errors.push(path.required("one of datasetName and datasetUUID is required")),
        ("", _) | (_, "") => {}
        _ => {
            let detail = "datasetName and datasetUUID can not be specified simultaneously";
            errors.push(path.invalid("resource", detail));
        }
    }
    if name.contains('/') {
        errors.push(path.child("datasetName").invalid(name, "must not contain '/'"));
    }
    errors
}

fn quobyte(value: &Value, path: &Path) -> Vec<FieldError> {
    const PAIRS: &str = "must be a host:port pair or multiple pairs separated by commas";
    let registry = read::text(value, "registry");
    let at = path.child("registry");
    let mut errors = Vec::new();
    if registry.is_empty() {
        errors.push(at.required(PAIRS));
    } else if read::text(value, "tenant").len() >= 65 {
        let detail = "must be a UUID and may not exceed a length of 64 characters";
        errors.push(path.child("tenant").required(detail));
    } else {
        let bad = registry.split(',').filter(|pair| pair.rsplit_once(':').is_none());
        errors.extend(bad.map(|_| at.invalid(registry, PAIRS)));
    }
    errors.extend(needed(value, "volume", path));
    errors
}

fn fibre_channel(value: &Value, path: &Path) -> Vec<FieldError> {
    let targets = read::texts(value, "targetWWNs");
    let ids = read::list(value, "wwids");
    let at = path.child("targetWWNs");
    let mut errors = Vec::new();
    match (targets.is_empty(), ids.is_empty()) {
        (true, true) => errors.push(at.required("must specify either targetWWNs or wwids, but not both")),
        (false, false) => {
            let detail = "targetWWNs and wwids can not be specified simultaneously";
            errors.push(at.invalid(targets.clone(), detail));
        }
        _ => {}
    }
    if !targets.is_empty() {
        if read::present(value, "lun") {
            errors.extend(range(value, "lun", (0, 255), (0, 255), path));
        } else {
            errors.push(
                path.child("lun")
                    .required("lun is required if targetWWNs is specified"),
            );
        }
    }
    errors
}

fn flex(value: &Value, path: &Path) -> Vec<FieldError> {
    let reserved = |key: &str| {
        let space = key.split_once('/').map_or(key, |(space, _)| space);
        let space = format!(".{}", space.to_lowercase());
        space.ends_with(".kubernetes.io") || space.ends_with(".k8s.io")
    };
    let keys = read::map(value, "options")
        .map(|(key, _)| key.as_str())
        .filter(|key| reserved(key));
    let path = path.child("options");
    keys.map(|key| {
        path.key(key)
            .invalid(key, "kubernetes.io and k8s.io namespaces are reserved")
    })
    .collect()
}

fn azure_disk(value: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    errors.extend(naming::choice(
        value,
        "cachingMode",
        &["None", "ReadOnly", "ReadWrite"],
        path,
    ));
    errors.extend(naming::choice(
        value,
        "kind",
        &["Dedicated", "Managed", "Shared"],
        path,
    ));
    let uri = read::text(value, "diskURI");
    let path = path.child("diskURI");
    match read::text(value, "kind") {
        "Managed" if !uri.starts_with("/subscriptions/") => {
            let form = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
            errors.push(path.not_supported(uri, &[form]));
        }
        "Managed" | "" => {}
        _ if !uri.starts_with("https://") => {
            let form = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";
            errors.push(path.not_supported(uri, &[form]));
        }
        _ => {}
    }
    errors
}

fn storage_os(value: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for field in ["volumeName", "volumeNamespace"] {
        errors.extend(naming::optional(names::dns_label, value, field, path));
    }
    errors.extend(secret(value, path));
    errors
}
