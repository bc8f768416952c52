//! Rules for containers, of every list.

use serde_json::Value;

use super::volume::{self, Volumes};
use super::{Owner, claims, env, one_of, probe, security};
use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::validate::{endpoints, naming, resources};

pub(super) const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];
const LISTS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];
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
pub(super) fn all(spec: &Value, volumes: &Volumes<'_>, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    if read::list(spec, "containers").is_empty() {
        errors.push(path.child("containers").required(""));
    }
    for list in LISTS {
        let containers = read::list(spec, list);
        let path = path.child(list);
        for (index, container) in containers.iter().enumerate() {
            let at = path.index(index);
            let role = role(list, container);
            errors.extend(one(container, spec, volumes, &at));
            let name = read::text(container, "name");
            if names.contains(&name) {
                errors.push(at.child("name").duplicate(name));
            }
            // Upstream forgets that an init container had none.
            if !name.is_empty() || list != "initContainers" {
                names.push(name);
            }
            match role {
                // Init containers run one after the other; upstream's paths begin with the first.
                Role::Init | Role::Sidecar => {
                    errors.extend(host_ports(std::slice::from_ref(container), &path))
                }
                Role::Main | Role::Ephemeral => {}
            }
            errors.extend(by_role(container, spec, role, &at));
        }
        if list == "containers" {
            errors.extend(host_ports(containers, &path));
        }
    }
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

fn one(container: &Value, spec: &Value, volumes: &Volumes<'_>, path: &Path) -> Vec<FieldError> {
    let mut errors = identity(container, path);
    errors.extend(restart_rules(container, path));
    errors.extend(one_of(
        container,
        "terminationMessagePolicy",
        &MESSAGE_POLICIES,
        path,
    ));
    errors.extend(ports(container, &path.child("ports")));
    errors.extend(env::variables(container, &path.child("env")));
    errors.extend(env::sources(container, &path.child("envFrom")));
    errors.extend(volume::mounts(container, volumes, &path.child("volumeMounts")));
    errors.extend(volume::devices(container, volumes, &path.child("volumeDevices")));
    errors.extend(one_of(container, "imagePullPolicy", &PULL_POLICIES, path));
    if let Some(wanted) = container.get("resources") {
        errors.extend(resources::requirements(wanted, &path.child("resources")));
    }
    errors.extend(claims::used(container, spec, &path.child("resources.claims")));
    errors.extend(resize_policies(container, spec, &path.child("resizePolicy")));
    let users = security::Users::of(spec);
    errors.extend(security::container(
        container,
        users,
        &path.child("securityContext"),
    ));
    errors
}

/// What is wrong with how a container takes a resize. Upstream's paths leave the index out.
fn resize_policies(container: &Value, spec: &Value, path: &Path) -> Vec<FieldError> {
    const RESOURCES: [&str; 2] = ["cpu", "memory"];
    const POLICIES: [&str; 2] = ["NotRequired", "RestartContainer"];
    let never = read::text(spec, "restartPolicy") == "Never";
    let mut errors = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    let word = |text: &str, known: &[&str]| match text {
        "" => Some(path.required("")),
        text if known.contains(&text) => None,
        text => Some(path.not_supported(text, known)),
    };
    for (index, policy) in read::list(container, "resizePolicy").iter().enumerate() {
        let (resource, restart) = (
            read::text(policy, "resourceName"),
            read::text(policy, "restartPolicy"),
        );
        if seen.contains(&resource) {
            errors.push(path.index(index).duplicate(resource));
        }
        seen.push(resource);
        errors.extend(word(resource, &RESOURCES));
        errors.extend(word(restart, &POLICIES));
        if never && restart != "NotRequired" {
            let detail = "must be 'NotRequired' when pod `restartPolicy` is 'Never'";
            errors.push(path.invalid(restart, detail));
        }
    }
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
    if read::text(container, "image").is_empty() {
        errors.push(path.child("image").required(""));
    }
    errors
}

/// What is wrong with the images of a pod, beside what templates allow: padding.
pub(super) fn images(spec: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for list in LISTS {
        for (index, container) in read::list(spec, list).iter().enumerate() {
            let image = read::text(container, "image");
            if image.trim() != image {
                let rule = "must not have leading or trailing whitespace";
                errors.push(path.child(list).index(index).child("image").invalid(image, rule));
            }
        }
    }
    errors
}

const RESTART_ACTIONS: [&str; 1] = ["Restart"];
const CODE_OPERATORS: [&str; 2] = ["In", "NotIn"];
const MAX_RESTART_RULES: usize = 20;
const MAX_EXIT_CODES: usize = 255;

/// What is wrong with the rules by which a container starts again.
fn restart_rules(container: &Value, path: &Path) -> Vec<FieldError> {
    let rules = read::list(container, "restartPolicyRules");
    let mut errors = Vec::new();
    if !rules.is_empty() && !read::present(container, "restartPolicy") {
        let detail = "must specify restartPolicy when restart rules are used";
        return vec![path.child("restartPolicy").required(detail)];
    }
    let path = path.child("restartPolicyRules");
    if rules.len() > MAX_RESTART_RULES {
        errors.push(path.too_many(rules.len(), MAX_RESTART_RULES));
    }
    for (index, rule) in rules.iter().enumerate() {
        let (path, action) = (path.index(index), read::text(rule, "action"));
        if !RESTART_ACTIONS.contains(&action) {
            errors.push(path.child("action").not_supported(action, &RESTART_ACTIONS));
        }
        let path = path.child("exitCodes");
        let Some(codes) = rule.get("exitCodes").filter(|codes| !codes.is_null()) else {
            errors.push(path.required("must be specified"));
            continue;
        };
        let operator = read::text(codes, "operator");
        if !CODE_OPERATORS.contains(&operator) {
            errors.push(path.child("operator").not_supported(operator, &CODE_OPERATORS));
        }
        let count = read::list(codes, "values").len();
        if count > MAX_EXIT_CODES {
            errors.push(path.child("values").too_many(count, MAX_EXIT_CODES));
        }
    }
    errors
}

/// What a container of this list may have of probes and hooks, and what it may not have at all.
fn by_role(container: &Value, spec: &Value, role: Role, path: &Path) -> Vec<FieldError> {
    const WHILE_RUNNING: [&str; 4] = ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"];
    let policy = read::text(container, "restartPolicy");
    let grace = read::integer(spec, "terminationGracePeriodSeconds");
    match role {
        Role::Main => {
            let mut errors = probe::all(container, grace, path);
            if !policy.is_empty() {
                errors.push(
                    path.child("restartPolicy")
                        .forbidden("may not be set for non-init containers"),
                );
            }
            errors
        }
        Role::Sidecar => probe::all(container, grace, path),
        Role::Init => {
            let mut errors: Vec<FieldError> = naming::choice(container, "restartPolicy", &["Always"], path)
                .into_iter()
                .collect();
            let detail = "may not be set for init containers without restartPolicy=Always";
            errors.extend(banned(container, &WHILE_RUNNING, detail, path));
            errors
        }
        Role::Ephemeral => ephemeral(container, spec, path),
    }
}

fn banned(container: &Value, fields: &[&str], detail: &str, path: &Path) -> Vec<FieldError> {
    let has = |field: &&&str| match container.get(**field) {
        None | Some(Value::Null) => false,
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::Object(map)) => !map.is_empty(),
        Some(_) => true,
    };
    fields
        .iter()
        .filter(has)
        .map(|field| path.child(field).forbidden(detail))
        .collect()
}

/// What may not be asked for a container that joins a running pod.
fn ephemeral(container: &Value, spec: &Value, path: &Path) -> Vec<FieldError> {
    const DETAIL: &str = "cannot be set for an Ephemeral Container";
    const BANNED: [&str; 9] = [
        "ports",
        "resources",
        "resizePolicy",
        "restartPolicy",
        "restartPolicyRules",
        "livenessProbe",
        "readinessProbe",
        "startupProbe",
        "lifecycle",
    ];
    let target = read::text(container, "targetContainerName");
    let lists = ["containers", "initContainers"]
        .iter()
        .flat_map(|list| read::list(spec, list));
    let known = lists
        .map(|container| read::text(container, "name"))
        .any(|name| name == target);
    let mut errors = Vec::new();
    if !target.is_empty() && !known {
        errors.push(path.child("targetContainerName").not_found(target));
    }
    errors.extend(banned(container, &BANNED, DETAIL, path));
    for (index, mount) in read::list(container, "volumeMounts").iter().enumerate() {
        let path = path.child("volumeMounts").index(index);
        let given = ["subPath", "subPathExpr"]
            .into_iter()
            .filter(|field| !read::text(mount, field).is_empty());
        errors.extend(given.map(|field| path.child(field).forbidden(DETAIL)));
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

/// No two containers may take the same port of the host.
fn host_ports(containers: &[Value], path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut taken: Vec<String> = Vec::new();
    for (index, container) in containers.iter().enumerate() {
        for (at, port) in read::list(container, "ports").iter().enumerate() {
            let number = read::count(port, "hostPort");
            let (protocol, address) = (read::text(port, "protocol"), read::text(port, "hostIP"));
            let key = format!("{protocol}/{address}/{number}");
            if number != 0 && taken.contains(&key) {
                let path = path.index(index).child("ports").index(at).child("hostPort");
                errors.push(path.duplicate(key.as_str()));
            }
            taken.push(key);
        }
    }
    errors
}

/// On the host's network a port of the host is the container's. A template may leave it out.
pub(super) fn host_ports_match(spec: &Value, owner: Owner<'_>, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if !read::flag(spec, "hostNetwork") {
        return errors;
    }
    for (index, container) in read::list(spec, "containers").iter().enumerate() {
        for (at, port) in read::list(container, "ports").iter().enumerate() {
            let number = read::count(port, "hostPort");
            let checked = number != 0 || matches!(owner, Owner::Pod(_));
            if checked && number != read::count(port, "containerPort") {
                let path = path.index(index).child("ports").index(at).child("hostPort");
                errors.push(path.invalid(number, "must match `containerPort` when `hostNetwork` is true"));
            }
        }
    }
    errors
}
