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
    let mut errors = Vec::new();
    for (key, value) in meta::annotations(pod) {
        let at = path.key(&key);
        let detail = match key.as_str() {
            MIRROR if read::text(pod, "spec.nodeName").is_empty() => {
                "must set spec.nodeName if mirror pod annotation is set"
            }
            DELETION_COST if !is_cost(&value) => "must be a 32bit integer",
            _ => {
                errors.extend(profile(pod, &key, &value, path));
                continue;
            }
        };
        errors.push(at.invalid(value, detail));
    }
    errors
}

/// A cost has no leading zeros and no plus.
fn is_cost(value: &str) -> bool {
    value.parse::<i32>().is_ok_and(|cost| cost.to_string() == value)
}

fn profile(pod: &Value, key: &str, value: &str, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(name) = key.strip_prefix(APP_ARMOR) {
        if !containers(pod, path).any(|(_, container)| read::text(container, "name") == name) {
            errors.push(path.key(key).invalid(name, "container not found"));
        }
        let known = matches!(value, "" | "runtime/default" | "unconfined") || value.starts_with("localhost/");
        if !known {
            let detail = format!("invalid AppArmor profile name: {}", crate::field::quote(value));
            errors.push(path.key(key).invalid(value, detail));
        }
    }
    if key == SECCOMP_POD || key.starts_with(SECCOMP) {
        let known = matches!(value, "runtime/default" | "docker/default" | "unconfined");
        match value.strip_prefix("localhost/") {
            _ if known => {}
            Some(file) => errors.extend(super::security::descending(file, &path.child(key))),
            None => errors.push(path.child(key).invalid(value, "must be a valid seccomp profile")),
        }
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
        let name = read::text(container, "name");
        let path = path.child("securityContext");
        let set = |field: &str| container.pointer(&format!("/securityContext/{field}"));
        if let (Some(said), Some(profile)) = (
            annotations.get(&format!("{SECCOMP}{name}")),
            set("seccompProfile"),
        ) {
            errors.extend(differs(said, profile, "seccomp", &path.child("seccompProfile")));
        }
        let profile = set("appArmorProfile").or_else(|| own("appArmorProfile"));
        if let (Some(said), Some(profile)) = (annotations.get(&format!("{APP_ARMOR}{name}")), profile) {
            errors.extend(differs(said, profile, "apparmor", &path.child("appArmorProfile")));
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
