//! What the level `restricted` forbids beside `baseline`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::setters::texts;
use super::{Check, Level, Setters, Violation, containers, named, plural, quoted};
use crate::read;

const fn check(id: &'static str, since: u32, rule: fn(&Value, u32) -> Option<Violation>) -> Check {
    Check {
        id,
        level: Level::Restricted,
        since,
        overridden_by: None,
        rule,
    }
}

pub(super) const CHECKS: [Check; 6] = [
    check("allowPrivilegeEscalation", 8, escalation),
    check("capabilities_restricted", 22, capabilities),
    check("restrictedVolumes", 0, volumes),
    check("runAsNonRoot", 0, non_root),
    check("runAsUser", 23, user),
    check("seccompProfile_restricted", 19, seccomp),
];

/// Whether a rule of this level is there as of a minor version.
pub(super) fn is_in_force(id: &str, minor: u32) -> bool {
    CHECKS.iter().any(|check| check.id == id && check.since <= minor)
}

/// Whether the pod says that it is of Windows, where some of this means nothing.
fn is_windows(pod: &Value, minor: u32) -> bool {
    minor >= 25 && read::text(pod, "spec.os.name") == "windows"
}

/// Whether the pod has users of its own, so that its root is nobody on the node.
fn has_own_users(pod: &Value, minor: u32) -> bool {
    minor >= 35 && pod.pointer("/spec/hostUsers") == Some(&Value::Bool(false))
}

fn escalation(pod: &Value, minor: u32) -> Option<Violation> {
    if is_windows(pod, minor) {
        return None;
    }
    let open = |container: &&Value| {
        container.pointer("/securityContext/allowPrivilegeEscalation") != Some(&Value::Bool(false))
    };
    let bad: Vec<&str> = containers(pod).filter(open).map(name).collect();
    let detail = format!(
        "{} must set securityContext.allowPrivilegeEscalation=false",
        named(&bad)
    );
    (!bad.is_empty()).then(|| Violation::new("allowPrivilegeEscalation != false", detail))
}

fn name(container: &Value) -> &str {
    read::text(container, "name")
}

fn capabilities(pod: &Value, minor: u32) -> Option<Violation> {
    const ALLOWED: &str = "NET_BIND_SERVICE";
    if is_windows(pod, minor) {
        return None;
    }
    let (mut keeping, mut adding, mut added) = (Vec::new(), Vec::new(), BTreeSet::new());
    for container in containers(pod) {
        if !read::texts(container, "securityContext.capabilities.drop").contains(&"ALL") {
            keeping.push(name(container));
        }
        let mut more = read::texts(container, "securityContext.capabilities.add");
        more.retain(|name| *name != ALLOWED);
        if !more.is_empty() {
            adding.push(name(container));
        }
        added.extend(more);
    }
    let mut details = Vec::new();
    if !keeping.is_empty() {
        details.push(format!(
            "{} must set securityContext.capabilities.drop=[\"ALL\"]",
            named(&keeping)
        ));
    }
    if !adding.is_empty() {
        let (who, what) = (named(&adding), quoted(added));
        details.push(format!(
            "{who} must not include {what} in securityContext.capabilities.add"
        ));
    }
    (!details.is_empty()).then(|| Violation::new("unrestricted capabilities", details.join("; ")))
}

const VOLUMES: [&str; 8] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

fn volumes(pod: &Value, _: u32) -> Option<Violation> {
    let (mut names, mut kinds) = (Vec::new(), BTreeSet::new());
    for volume in read::list(pod, "spec.volumes") {
        let sources = volume.as_object().into_iter().flatten();
        let kind = sources
            .filter(|(key, value)| *key != "name" && !value.is_null())
            .map(|(key, _)| key.as_str())
            .next();
        if let Some(kind) = kind.filter(|kind| !VOLUMES.contains(kind)) {
            names.push(read::text(volume, "name"));
            kinds.insert(kind);
        }
    }
    let detail = format!(
        "{} {} {} {} {}",
        plural(names.len(), "volume", "volumes"),
        quoted(names.iter().copied()),
        plural(names.len(), "uses", "use"),
        plural(kinds.len(), "restricted volume type", "restricted volume types"),
        quoted(kinds),
    );
    (!names.is_empty()).then(|| Violation::new("restricted volume types", detail))
}

fn non_root(pod: &Value, minor: u32) -> Option<Violation> {
    if has_own_users(pod, minor) {
        return None;
    }
    let setters = Setters::of(pod, |context| {
        context
            .get("runAsNonRoot")
            .and_then(Value::as_bool)
            .map(|non_root| !non_root)
    });
    let detail = match setters.words() {
        Some(who) => format!("{who} must not set securityContext.runAsNonRoot=false"),
        None if setters.open.is_empty() => return None,
        None => format!(
            "pod or {} must set securityContext.runAsNonRoot=true",
            named(&setters.open)
        ),
    };
    Some(Violation::new("runAsNonRoot != true", detail))
}

fn user(pod: &Value, minor: u32) -> Option<Violation> {
    if has_own_users(pod, minor) {
        return None;
    }
    let setters = Setters::of(pod, |context| {
        read::integer(context, "runAsUser").map(|user| user == 0)
    });
    let who = setters.words()?;
    Some(Violation::new(
        "runAsUser=0",
        format!("{who} must not set runAsUser=0"),
    ))
}

fn seccomp(pod: &Value, minor: u32) -> Option<Violation> {
    if is_windows(pod, minor) {
        return None;
    }
    let (setters, values) = texts(pod, "seccompProfile.type", &super::baseline::SECCOMP);
    let detail = match setters.words() {
        Some(who) => format!(
            "{who} must not set securityContext.seccompProfile.type to {}",
            quoted(values)
        ),
        None if setters.open.is_empty() => return None,
        None => format!(
            "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
            named(&setters.open)
        ),
    };
    Some(Violation::new("seccompProfile", detail))
}
