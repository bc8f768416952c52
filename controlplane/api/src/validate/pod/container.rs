//! Rules for containers, of every list.

use serde_json::Value;

use super::{env, one_of, probe, security, volume};
use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::validate::{endpoints, resources};

const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];
const MESSAGE_POLICIES: [&str; 2] = ["FallbackToLogsOnError", "File"];

/// Which list a container is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Main,
    Init,
    Sidecar,
    Ephemeral,
}

/// What is wrong with the containers of a pod's spec: main, init and ephemeral ones.
pub(super) fn all(spec: &Value, volumes: &[&str], path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    if read::list(spec, "containers").is_empty() {
        errors.push(path.child("containers").required(""));
    }
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        let containers = read::list(spec, list);
        for (index, container) in containers.iter().enumerate() {
            let path = path.child(list).index(index);
            let role = role(list, container);
            errors.extend(one(container, role, volumes, &path));
            let name = read::text(container, "name");
            if !name.is_empty() && names.contains(&name) {
                errors.push(path.child("name").duplicate(name));
            }
            names.push(name);
        }
        if list == "containers" {
            errors.extend(host_ports(spec, containers, &path.child(list)));
        }
    }
    errors.extend(ephemeral_targets(spec, path));
    errors
}

fn role(list: &str, container: &Value) -> Role {
    match (list, read::text(container, "restartPolicy")) {
        ("containers", _) => Role::Main,
        ("initContainers", "Always") => Role::Sidecar,
        ("initContainers", _) => Role::Init,
        _ => Role::Ephemeral,
    }
}

fn one(container: &Value, role: Role, volumes: &[&str], path: &Path) -> Vec<FieldError> {
    let mut errors = identity(container, path);
    errors.extend(one_of(
        container,
        "terminationMessagePolicy",
        &MESSAGE_POLICIES,
        path,
    ));
    errors.extend(one_of(container, "imagePullPolicy", &PULL_POLICIES, path));
    errors.extend(ports(container, &path.child("ports")));
    errors.extend(env::variables(container, &path.child("env")));
    errors.extend(env::sources(container, &path.child("envFrom")));
    errors.extend(volume::mounts(container, volumes, path));
    errors.extend(probe::all(container, path));
    if let Some(wanted) = container.get("resources") {
        errors.extend(resources::requirements(wanted, &path.child("resources")));
    }
    errors.extend(security::container(container, &path.child("securityContext")));
    errors.extend(by_role(container, role, path));
    errors
}

fn identity(container: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let name = read::text(container, "name");
    if name.is_empty() {
        errors.push(path.child("name").required(""));
    } else {
        errors.extend(
            names::dns_label(name)
                .into_iter()
                .map(|rule| path.child("name").invalid(name, rule)),
        );
    }
    let image = read::text(container, "image");
    if image.is_empty() {
        errors.push(path.child("image").required(""));
    } else if image.trim() != image {
        errors.push(
            path.child("image")
                .invalid(image, "must not have leading or trailing whitespace"),
        );
    }
    errors
}

/// What a container of this list may not have.
fn by_role(container: &Value, role: Role, path: &Path) -> Vec<FieldError> {
    const WHILE_RUNNING: [&str; 4] = ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"];
    const OF_THE_POD: [&str; 7] = [
        "ports",
        "lifecycle",
        "livenessProbe",
        "readinessProbe",
        "startupProbe",
        "resources",
        "resizePolicy",
    ];
    let policy = read::text(container, "restartPolicy");
    let has = |field: &&str| match container.get(*field) {
        None | Some(Value::Null) => false,
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::Object(map)) => !map.is_empty(),
        Some(_) => true,
    };
    let (banned, detail): (&[&str], &str) = match role {
        Role::Main | Role::Sidecar => (&[], ""),
        Role::Init => (
            &WHILE_RUNNING,
            "may not be set for init containers without restartPolicy=Always",
        ),
        Role::Ephemeral => (&OF_THE_POD, "cannot be set for an Ephemeral Container"),
    };
    let mut errors: Vec<FieldError> = banned
        .iter()
        .filter(|field| has(field))
        .map(|field| path.child(field).forbidden(detail))
        .collect();
    match (role, policy) {
        (Role::Init, policy) if !policy.is_empty() => {
            errors.push(path.child("restartPolicy").not_supported(policy, &["Always"]));
        }
        (Role::Main, policy) if !policy.is_empty() => {
            errors.push(
                path.child("restartPolicy")
                    .forbidden("may not be set for non-init containers"),
            );
        }
        (Role::Main | Role::Init | Role::Sidecar | Role::Ephemeral, _) => {}
    }
    errors
}

fn ephemeral_targets(spec: &Value, path: &Path) -> Vec<FieldError> {
    let known: Vec<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|list| read::list(spec, list))
        .map(|container| read::text(container, "name"))
        .collect();
    let mut errors = Vec::new();
    for (index, container) in read::list(spec, "ephemeralContainers").iter().enumerate() {
        let target = read::text(container, "targetContainerName");
        if !target.is_empty() && !known.contains(&target) {
            let path = path
                .child("ephemeralContainers")
                .index(index)
                .child("targetContainerName");
            errors.push(path.not_found(target));
        }
    }
    errors
}

fn ports(container: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for (index, port) in read::list(container, "ports").iter().enumerate() {
        let path = path.index(index);
        let name = read::text(port, "name");
        if !name.is_empty() {
            let rules = names::port_name(name);
            if rules.is_empty() && seen.contains(&name) {
                errors.push(path.child("name").duplicate(name));
            }
            seen.push(name);
            errors.extend(
                rules
                    .into_iter()
                    .map(|rule| path.child("name").invalid(name, rule)),
            );
        }
        errors.extend(numbers(port, &path));
        errors.extend(endpoints::protocol_error(port, &path));
        let address = read::text(port, "hostIP");
        if !address.is_empty() {
            errors.extend(endpoints::ip_error(address, &path.child("hostIP")));
        }
    }
    errors
}

fn numbers(port: &Value, path: &Path) -> Vec<FieldError> {
    let range = |field: &str, number: i64| {
        let path = path.child(field);
        names::port_number(number)
            .into_iter()
            .map(move |rule| path.invalid(number, rule))
            .collect::<Vec<_>>()
    };
    let mut errors = match read::count(port, "containerPort") {
        0 => vec![path.child("containerPort").required("")],
        number => range("containerPort", number),
    };
    match read::count(port, "hostPort") {
        0 => {}
        number => errors.extend(range("hostPort", number)),
    }
    errors
}

/// No two containers may take the same port of the host; on the host's network it is the container's.
fn host_ports(spec: &Value, containers: &[Value], path: &Path) -> Vec<FieldError> {
    let shared = read::flag(spec, "hostNetwork");
    let mut errors = Vec::new();
    let mut taken: Vec<String> = Vec::new();
    for (index, container) in containers.iter().enumerate() {
        for (at, port) in read::list(container, "ports").iter().enumerate() {
            let path = path.index(index).child("ports").index(at).child("hostPort");
            let number = read::count(port, "hostPort");
            if number == 0 {
                continue;
            }
            let key = format!(
                "{}/{}/{number}",
                read::text(port, "protocol"),
                read::text(port, "hostIP")
            );
            if taken.contains(&key) {
                errors.push(path.duplicate(key.as_str()));
            }
            taken.push(key);
            if shared && number != read::count(port, "containerPort") {
                errors.push(path.invalid(number, "must match `containerPort` when `hostNetwork` is true"));
            }
        }
    }
    errors
}
