//! Annotations of pods that mean something.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::meta;
use crate::read;

/// By which a static pod is known: the agent's own, of which the server has a copy.
pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP: &str = "container.seccomp.security.alpha.kubernetes.io/";

/// The containers of every list, with their paths.
fn containers<'a>(pod: &'a Value, spec: &'a Path) -> impl Iterator<Item = (Path, &'a Value)> {
    let lists = ["initContainers", "containers", "ephemeralContainers"];
    lists.into_iter().flat_map(move |list| {
        let all = read::list(pod, &format!("spec.{list}")).iter().enumerate();
        all.map(move |(index, container)| (spec.child(list).index(index), container))
    })
}

/// What is wrong with the annotations, at `path`, of a pod or a template.
pub(crate) fn check(pod: &Value, path: &Path) -> Vec<FieldError> {
    let annotations = meta::annotations(pod);
    let mut errors = Vec::new();
    if let Some(value) = annotations.get(MIRROR)
        && read::text(pod, "spec.nodeName").is_empty()
    {
        let detail = "must set spec.nodeName if mirror pod annotation is set";
        errors.push(path.key(MIRROR).invalid(value.as_str(), detail));
    }
    if let Some(cost) = annotations.get(DELETION_COST).filter(|cost| !is_cost(cost)) {
        errors.push(
            path.key(DELETION_COST)
                .invalid(cost.as_str(), "must be a 32bit integer"),
        );
    }
    let own = annotations.get_key_value(SECCOMP_POD);
    let of_containers = annotations.iter().filter(|(key, _)| key.starts_with(SECCOMP));
    for (key, value) in own.into_iter().chain(of_containers) {
        errors.extend(seccomp(value, &path.child(key)));
    }
    for (key, value) in &annotations {
        if let Some(name) = key.strip_prefix(APP_ARMOR) {
            errors.extend(app_armor(pod, name, value, &path.key(key)));
        }
    }
    errors
}

/// A cost begins with no plus, and with a zero only where it is none.
fn is_cost(value: &str) -> bool {
    let plain = value == "0" || !value.starts_with(['0', '+']);
    plain && value.parse::<i32>().is_ok()
}

fn seccomp(value: &str, path: &Path) -> Vec<FieldError> {
    match value.strip_prefix("localhost/") {
        _ if matches!(value, "runtime/default" | "docker/default" | "unconfined") => Vec::new(),
        Some(file) => super::security::descending(file, path),
        None => vec![path.invalid(value, "must be a valid seccomp profile")],
    }
}

fn app_armor(pod: &Value, name: &str, value: &str, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if !containers(pod, path).any(|(_, container)| read::text(container, "name") == name) {
        errors.push(path.invalid(name, "container not found"));
    }
    let known = matches!(value, "" | "runtime/default" | "unconfined") || value.starts_with("localhost/");
    if !known {
        let detail = format!("invalid AppArmor profile name: {}", crate::field::quote(value));
        errors.push(path.invalid(value, detail));
    }
    errors
}

/// What is wrong where an old annotation and the field that took its place say different things.
pub(crate) fn agree(pod: &Value, path: &Path) -> Vec<FieldError> {
    let annotations = meta::annotations(pod);
    let mut errors = Vec::new();
    let spec = path.child("securityContext");
    let own = |field: &str| pod.pointer(&format!("/spec/securityContext/{field}"));
    if let (Some(said), Some(profile)) = (annotations.get(SECCOMP_POD), own("seccompProfile")) {
        errors.extend(differs(said, profile, "seccomp", &spec.child("seccompProfile")));
    }
    for (path, container) in containers(pod, path) {
        let key = format!("{SECCOMP}{}", read::text(container, "name"));
        let set = container.pointer("/securityContext/seccompProfile");
        if let (Some(said), Some(profile)) = (annotations.get(&key), set) {
            let path = path.child("securityContext.seccompProfile");
            errors.extend(differs(said, profile, "seccomp", &path));
        }
    }
    if read::text(pod, "spec.os.name") == "windows" {
        return errors;
    }
    for (path, container) in containers(pod, path) {
        let key = format!("{APP_ARMOR}{}", read::text(container, "name"));
        let set = container.pointer("/securityContext/appArmorProfile");
        if let (Some(said), Some(profile)) = (annotations.get(&key), set.or_else(|| own("appArmorProfile"))) {
            let path = path.child("securityContext.appArmorProfile");
            errors.extend(differs(said, profile, "apparmor", &path));
        }
    }
    errors
}

fn differs(said: &str, profile: &Value, name: &str, path: &Path) -> Option<FieldError> {
    let kind = || {
        path.child("type")
            .forbidden(format!("{name} type in annotation and field must match"))
    };
    match read::text(profile, "type") {
        "Unconfined" => (said != "unconfined").then(kind),
        "RuntimeDefault" => {
            let old = name == "seccomp" && said == "docker/default";
            (said != "runtime/default" && !old).then(kind)
        }
        "Localhost" => match said.strip_prefix("localhost/") {
            None => Some(kind()),
            Some(file) => {
                let detail = format!("{name} profile in annotation and field must match");
                (file != read::text(profile, "localhostProfile"))
                    .then(|| path.child("localhostProfile").forbidden(detail))
            }
        },
        _ => None,
    }
}

/// What an update may not change of a pod's annotations.
pub(super) fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    let (new, old) = (meta::annotations(new), meta::annotations(old));
    let path = Path::new("metadata.annotations");
    let mut errors = Vec::new();
    let fixed = |key: &str| match key {
        MIRROR => Some("mirror pod annotation"),
        key if key.starts_with(APP_ARMOR) => Some("AppArmor annotations"),
        _ => None,
    };
    for (key, value) in &old {
        if let Some(what) = fixed(key).filter(|_| new.get(key) != Some(value)) {
            errors.push(
                path.key(key)
                    .forbidden(format!("may not remove or update {what}")),
            );
        }
    }
    for key in new.keys().filter(|key| !old.contains_key(*key)) {
        if let Some(what) = fixed(key) {
            errors.push(path.key(key).forbidden(format!("may not add {what}")));
        }
    }
    errors
}
