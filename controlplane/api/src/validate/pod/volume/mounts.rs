//! Rules for how containers use volumes: as folders and as devices.

use serde_json::Value;

use super::{Volumes, no_backsteps, relative};
use crate::field::{FieldError, Path};
use crate::read;

/// What the other list of a container says of this name or path.
fn uses(container: &Value, list: &str, field: &str, text: &str) -> bool {
    read::list(container, list)
        .iter()
        .any(|item| read::text(item, field) == text)
}

/// What is wrong with `volumeMounts` of a container. Upstream's paths of some members leave the index out.
pub(in super::super) fn mounts(container: &Value, volumes: &Volumes<'_>, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut targets: Vec<&str> = Vec::new();
    for (index, mount) in read::list(container, "volumeMounts").iter().enumerate() {
        let at = path.index(index);
        let (name, target) = (read::text(mount, "name"), read::text(mount, "mountPath"));
        let volume = volumes.iter().find(|(known, _)| *known == name);
        if name.is_empty() {
            errors.push(at.child("name").required(""));
        }
        if volume.is_none() {
            errors.push(at.child("name").not_found(name));
        }
        if target.is_empty() {
            errors.push(at.child("mountPath").required(""));
        }
        if targets.contains(&target) {
            errors.push(at.child("mountPath").invalid(target, "must be unique"));
        }
        targets.push(target);
        if uses(container, "volumeDevices", "name", name) {
            errors.push(
                at.child("name")
                    .invalid(name, "must not already exist in volumeDevices"),
            );
        }
        if uses(container, "volumeDevices", "devicePath", target) {
            let detail = "must not already exist as a path in volumeDevices";
            errors.push(at.child("mountPath").invalid(target, detail));
        }
        if volume.is_some_and(|(_, volume)| read::present(volume, "image")) {
            errors.extend(in_image(mount, &at));
        }
        errors.extend(sub_path(mount, &at, path));
        errors.extend(propagation(mount, container, &path.child("mountPropagation")));
        errors.extend(recursive(mount, &path.child("recursiveReadOnly")));
    }
    errors
}

fn in_image(mount: &Value, path: &Path) -> Vec<FieldError> {
    let given = ["subPath", "subPathExpr"]
        .into_iter()
        .map(|field| (field, read::text(mount, field)));
    given
        .filter(|(_, text)| !text.is_empty())
        .map(|(field, text)| {
            path.child(field)
                .invalid(text, "not allowed in image volume sources")
        })
        .collect()
}

fn sub_path(mount: &Value, at: &Path, path: &Path) -> Vec<FieldError> {
    let (plain, expanded) = (read::text(mount, "subPath"), read::text(mount, "subPathExpr"));
    let mut errors = Vec::new();
    if !plain.is_empty() {
        errors.extend(relative(plain, &path.child("subPath")));
    }
    if !expanded.is_empty() {
        if !plain.is_empty() {
            let detail = "subPathExpr and subPath are mutually exclusive";
            errors.push(at.child("subPathExpr").invalid(expanded, detail));
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

fn recursive(mount: &Value, path: &Path) -> Vec<FieldError> {
    const KNOWN: [&str; 3] = ["Disabled", "Enabled", "IfPossible"];
    match read::text(mount, "recursiveReadOnly") {
        "" | "Disabled" => Vec::new(),
        "Enabled" | "IfPossible" => {
            let mut errors = Vec::new();
            if !read::flag(mount, "readOnly") {
                errors.push(path.forbidden("may only be specified when readOnly is true"));
            }
            if !matches!(read::text(mount, "mountPropagation"), "" | "None") {
                errors.push(
                    path.forbidden("may only be specified when mountPropagation is None or not specified"),
                );
            }
            errors
        }
        other => vec![path.not_supported(other, &KNOWN)],
    }
}

/// What is wrong with `volumeDevices` of a container.
pub(in super::super) fn devices(container: &Value, volumes: &Volumes<'_>, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (mut names, mut targets): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for (index, device) in read::list(container, "volumeDevices").iter().enumerate() {
        let path = path.index(index);
        let (name, target) = (read::text(device, "name"), read::text(device, "devicePath"));
        errors.extend(device_name(container, name, volumes, &names, &path.child("name")));
        errors.extend(device_path(
            container,
            target,
            &targets,
            &path.child("devicePath"),
        ));
        names.push(name);
        targets.push(target);
    }
    errors
}

fn device_name(
    container: &Value,
    name: &str,
    volumes: &Volumes<'_>,
    seen: &[&str],
    path: &Path,
) -> Vec<FieldError> {
    let volume = volumes.iter().find(|(known, _)| *known == name);
    let claims = ["persistentVolumeClaim", "ephemeral"];
    let mut errors = Vec::new();
    if name.is_empty() {
        errors.push(path.required(""));
    } else if seen.contains(&name) {
        errors.push(path.invalid(name, "must be unique"));
    }
    match volume {
        Some((_, volume)) if !claims.iter().any(|kind| read::present(volume, kind)) => {
            let detail =
                "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
            errors.push(path.invalid(name, detail));
        }
        Some(_) => {}
        None => errors.push(path.not_found(name)),
    }
    if uses(container, "volumeMounts", "name", name) {
        errors.push(path.invalid(name, "must not already exist in volumeMounts"));
    }
    errors
}

fn device_path(container: &Value, target: &str, seen: &[&str], path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if target.is_empty() {
        errors.push(path.required(""));
    }
    if seen.contains(&target) {
        errors.push(path.invalid(target, "must be unique"));
    }
    if no_backsteps(target, path).is_some() {
        errors.push(path.invalid(target, "can not contain backsteps ('..')"));
    }
    if uses(container, "volumeMounts", "mountPath", target) {
        errors.push(path.invalid(target, "must not already exist as a path in volumeMounts"));
    }
    errors
}
