//! What a client is warned of about containers.

use serde_json::Value;

use super::{annotated, fraction};
use crate::field::{Path, quote};
use crate::read;

const SECCOMP: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_OF: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APP_ARMOR_OF: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Warnings about all containers of a pod or a template.
pub(super) fn of_containers(pod: &Value, root: &Path) -> Vec<String> {
    let spec = pod.get("spec").unwrap_or(&Value::Null);
    let mut warnings = Vec::new();
    if !read::present(spec, "securityContext.seccompProfile") {
        warnings.extend(unheard(pod, SECCOMP, root));
    }
    let all: Vec<(Path, &Value)> = ["initContainers", "containers", "ephemeralContainers"]
        .into_iter()
        .flat_map(|list| {
            let path = root.child("spec").child(list);
            let containers = read::list(spec, list).iter().enumerate();
            containers.map(move |(index, container)| (path.index(index), container))
        })
        .collect();
    for (path, container) in &all {
        let name = read::text(container, "name");
        if !read::present(container, "securityContext.seccompProfile") {
            warnings.extend(unheard(pod, &format!("{SECCOMP_OF}{name}"), root));
        }
        warnings.extend(app_armor(pod, container, root));
        let resources = container.get("resources").unwrap_or(&Value::Null);
        for resource in ["memory", "ephemeral-storage"] {
            for bound in ["limits", "requests"] {
                warnings.extend(fraction(resources, bound, resource, &path.child("resources")));
            }
        }
        warnings.extend(hidden_variables(container, &path.child("env")));
    }
    warnings.extend(ports(&all));
    warnings
}

/// A warning about an annotation that nobody hears.
fn unheard(pod: &Value, key: &str, root: &Path) -> Option<String> {
    annotated(pod, key).then(|| {
        let path = root.child("metadata").child("annotations").key(key);
        format!("{path}: non-functional in v1.27+; use the \"seccompProfile\" field instead")
    })
}

/// A pod's annotation becomes the field, a template's does not.
fn app_armor(pod: &Value, container: &Value, root: &Path) -> Option<String> {
    let field = "securityContext.appArmorProfile";
    let spec = pod.get("spec").unwrap_or(&Value::Null);
    let key = format!("{APP_ARMOR_OF}{}", read::text(container, "name"));
    let said = read::present(spec, field) || read::present(container, field);
    if root.as_str().is_empty() || said || !annotated(pod, &key) {
        return None;
    }
    let path = root.child("metadata").child("annotations").key(&key);
    Some(format!(
        "{path}: deprecated since v1.30; use the \"appArmorProfile\" field instead"
    ))
}

fn hidden_variables(container: &Value, path: &Path) -> Vec<String> {
    let variables = read::list(container, "env");
    let mut warnings = Vec::new();
    for (index, variable) in variables.iter().enumerate() {
        let name = read::text(variable, "name");
        let before = |other: &Value| read::text(other, "name") == name;
        let (reference, value) = (format!("$({name})"), read::text(variable, "value"));
        let extends =
            !read::present(variable, "valueFrom") && value != reference && value.contains(&reference);
        if variables.iter().take(index).any(before) && !extends {
            warnings.push(format!(
                "{}: hides previous definition of {}, which may be dropped when using apply",
                path.index(index),
                quote(name)
            ));
        }
    }
    warnings
}

/// A port as far as another's may be the same.
struct Port<'a> {
    path: Path,
    number: i64,
    protocol: &'a str,
    host_ip: &'a str,
    host_port: i64,
}

/// Ports of all containers that are the same, or may be.
fn ports(all: &[(Path, &Value)]) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut seen: Vec<Port<'_>> = Vec::new();
    for (path, container) in all {
        for (index, port) in read::list(container, "ports").iter().enumerate() {
            let new = Port {
                path: path.child("ports").index(index),
                number: read::count(port, "containerPort"),
                protocol: read::text(port, "protocol"),
                host_ip: read::text(port, "hostIP"),
                host_port: read::count(port, "hostPort"),
            };
            if !new.host_ip.is_empty() && new.host_port == 0 {
                warnings.push(format!(
                    "{}: hostIP set without hostPort: {{Name:{} HostPort:0 ContainerPort:{} Protocol:{} HostIP:{}}}",
                    new.path,
                    read::text(port, "name"),
                    new.number,
                    new.protocol,
                    new.host_ip
                ));
            }
            let same = |old: &&Port<'_>| old.number == new.number && old.protocol == new.protocol;
            warnings.extend(seen.iter().filter(same).filter_map(|old| clash(&new, old)));
            seen.push(new);
        }
    }
    warnings
}

fn clash(new: &Port<'_>, old: &Port<'_>) -> Option<String> {
    let how = if new.host_ip == old.host_ip && new.host_port == old.host_port {
        "duplicate"
    } else if new.host_port == 0 || old.host_port == 0 {
        "overlapping"
    } else if new.host_port == old.host_port && new.host_ip.is_empty() != old.host_ip.is_empty() {
        "dangerously ambiguous"
    } else {
        return None;
    };
    Some(format!("{}: {how} port definition with {}", new.path, old.path))
}
