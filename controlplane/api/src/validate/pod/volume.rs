//! Rules for volumes and their mounts.

use serde_json::Value;

use super::env;
use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::validate::resources;

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
const FILE_FIELDS: [&str; 5] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
];
const MODE_RULE: &str = "must be a number between 0 and 0777 (octal), both inclusive";
const MAX_MODE: i64 = 0o777;

/// The names of the volumes of a pod's spec, and what is wrong with them.
pub(super) fn volumes<'a>(spec: &'a Value, path: &Path) -> (Vec<&'a str>, Vec<FieldError>) {
    let mut errors = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    for (index, volume) in read::list(spec, "volumes").iter().enumerate() {
        let path = path.index(index);
        let name = read::text(volume, "name");
        errors.extend(source(volume, &path));
        if name.is_empty() {
            errors.push(path.child("name").required(""));
            continue;
        }
        let rules = names::dns_label(name);
        if rules.is_empty() && names.contains(&name) {
            errors.push(path.child("name").duplicate(name));
        }
        errors.extend(
            rules
                .into_iter()
                .map(|rule| path.child("name").invalid(name, rule)),
        );
        names.push(name);
    }
    (names, errors)
}

/// A volume has exactly one source.
fn source(volume: &Value, path: &Path) -> Vec<FieldError> {
    let sources = volume.as_object().into_iter().flatten();
    let mut sources = sources.filter(|(key, value)| *key != "name" && !value.is_null());
    let Some((kind, value)) = sources.next() else {
        return vec![path.required("must specify a volume type")];
    };
    let mut errors = one_source(kind, value, &path.child(kind));
    errors.extend(sources.map(|(kind, _)| {
        path.child(kind)
            .forbidden("may not specify more than 1 volume type")
    }));
    errors
}

fn one_source(kind: &str, value: &Value, path: &Path) -> Vec<FieldError> {
    match kind {
        "hostPath" => host_path(value, path),
        "secret" => keyed(value, "secretName", path),
        "configMap" => keyed(value, "name", path),
        "emptyDir" => empty_dir(value, path),
        "downwardAPI" => downward(value, path),
        "projected" => projected(value, path),
        "persistentVolumeClaim" => named(value, "claimName", path),
        _ => Vec::new(),
    }
}

fn named(value: &Value, field: &str, path: &Path) -> Vec<FieldError> {
    if read::text(value, field).is_empty() {
        vec![path.child(field).required("")]
    } else {
        Vec::new()
    }
}

/// What is wrong with a path of the host.
pub(crate) fn host_path(value: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = named(value, "path", path);
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
    bad.map(|_| {
        path.child("sizeLimit")
            .forbidden("SizeLimit field must be a valid resource quantity")
    })
    .into_iter()
    .collect()
}

fn keyed(value: &Value, name: &str, path: &Path) -> Vec<FieldError> {
    let mut errors = named(value, name, path);
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
        errors.extend(named(item, "key", &path));
        errors.extend(file_path(item, &path));
        errors.extend(mode(item, "mode", &path));
    }
    errors
}

/// A file inside a volume: relative, and staying inside.
fn file_path(item: &Value, path: &Path) -> Vec<FieldError> {
    let target = read::text(item, "path");
    if target.is_empty() {
        return vec![path.child("path").required("")];
    }
    let path = path.child("path");
    let mut errors = relative(target, &path);
    if target.starts_with("..") && errors.is_empty() {
        errors.push(path.invalid(target, "must not start with '..'"));
    }
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

fn downward(value: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = mode(value, "defaultMode", path).into_iter().collect();
    for (index, item) in read::list(value, "items").iter().enumerate() {
        let path = path.child("items").index(index);
        errors.extend(file_path(item, &path));
        errors.extend(mode(item, "mode", &path));
        match (item.get("fieldRef"), item.get("resourceFieldRef")) {
            (Some(_), Some(_)) => {
                errors.push(path.invalid(
                    "resource",
                    "fieldRef and resourceFieldRef can not be specified simultaneously",
                ));
            }
            (Some(field), None) => {
                errors.extend(env::field_ref(field, &FILE_FIELDS, &path.child("fieldRef")))
            }
            (None, Some(resource)) => {
                errors.extend(named(resource, "containerName", &path.child("resourceFieldRef")));
                errors.extend(env::resource_ref(resource, &path.child("resourceFieldRef")));
            }
            (None, None) => errors.push(
                path.child("fieldRef")
                    .required("one of fieldRef and resourceFieldRef is required"),
            ),
        }
    }
    errors
}

fn projected(value: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = mode(value, "defaultMode", path).into_iter().collect();
    for (index, source) in read::list(value, "sources").iter().enumerate() {
        let path = path.child("sources").index(index);
        let kinds: Vec<(&String, &Value)> = source
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, value)| !value.is_null())
            .collect();
        for (at, (kind, value)) in kinds.iter().enumerate() {
            let path = path.child(kind);
            if at > 0 {
                errors.push(path.forbidden("may not specify more than 1 volume type"));
                continue;
            }
            errors.extend(match kind.as_str() {
                "secret" | "configMap" => keyed(value, "name", &path),
                "downwardAPI" => downward(value, &path),
                "serviceAccountToken" => token(value, &path),
                _ => Vec::new(),
            });
        }
    }
    errors
}

const TOKEN_LEAST: i64 = 600;

fn token(value: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = file_path(value, path);
    if let Some(seconds) = read::integer(value, "expirationSeconds").filter(|seconds| *seconds < TOKEN_LEAST)
    {
        errors.push(
            path.child("expirationSeconds")
                .invalid(seconds, "may not specify a duration less than 10 minutes"),
        );
    }
    errors
}

/// What is wrong with `volumeMounts` and `volumeDevices` of a container.
pub(super) fn mounts(container: &Value, volumes: &[&str], path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut targets: Vec<&str> = Vec::new();
    for (index, mount) in read::list(container, "volumeMounts").iter().enumerate() {
        let path = path.child("volumeMounts").index(index);
        errors.extend(volume_named(mount, volumes, &path));
        let target = read::text(mount, "mountPath");
        if target.is_empty() {
            errors.push(path.child("mountPath").required(""));
        } else if targets.contains(&target) {
            errors.push(path.child("mountPath").invalid(target, "must be unique"));
        }
        targets.push(target);
        errors.extend(sub_path(mount, &path));
        errors.extend(propagation(mount, container, &path.child("mountPropagation")));
    }
    errors
}

fn volume_named(mount: &Value, volumes: &[&str], path: &Path) -> Option<FieldError> {
    match read::text(mount, "name") {
        "" => Some(path.child("name").required("")),
        name if volumes.contains(&name) => None,
        name => Some(path.child("name").not_found(name)),
    }
}

fn sub_path(mount: &Value, path: &Path) -> Vec<FieldError> {
    let (plain, expanded) = (read::text(mount, "subPath"), read::text(mount, "subPathExpr"));
    let mut errors = Vec::new();
    if !plain.is_empty() {
        errors.extend(relative(plain, &path.child("subPath")));
    }
    if !expanded.is_empty() {
        if !plain.is_empty() {
            errors.push(
                path.child("subPathExpr")
                    .invalid(expanded, "subPathExpr and subPath are mutually exclusive"),
            );
        }
        errors.extend(relative(expanded, &path.child("subPathExpr")));
    }
    errors
}

fn propagation(mount: &Value, container: &Value, path: &Path) -> Option<FieldError> {
    const KNOWN: [&str; 3] = ["Bidirectional", "HostToContainer", "None"];
    match read::text(mount, "mountPropagation") {
        "Bidirectional" if !read::flag(container, "securityContext.privileged") => {
            Some(path.forbidden("Bidirectional mount propagation is available only to privileged containers"))
        }
        "" => None,
        value if KNOWN.contains(&value) => None,
        value => Some(path.not_supported(value, &KNOWN)),
    }
}
