//! Rules for security contexts, of pods and containers.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::read;
use crate::resource::at;

const SECCOMP: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];
const ID_RULE: &str = "must be between 0 and 2147483647, inclusive";
const ID_MAX: i64 = i32::MAX as i64;

/// What is wrong with a pod's `securityContext` and what it shares with the host.
pub(super) fn pod(spec: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if read::flag(spec, "shareProcessNamespace") && read::flag(spec, "hostPID") {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(path.child("shareProcessNamespace").invalid(true, detail));
    }
    errors.extend(user_namespace(spec, path));
    let Some(context) = spec.get("securityContext").filter(|context| !context.is_null()) else {
        return errors;
    };
    let path = path.child("securityContext");
    errors.extend(ids(context, &["fsGroup", "runAsUser", "runAsGroup"], &path));
    for (index, group) in read::list(context, "supplementalGroups").iter().enumerate() {
        errors.extend(id(group, &path.child("supplementalGroups").index(index)));
    }
    errors.extend(profiles(context, &path));
    errors.extend(sysctls(spec, context, &path.child("sysctls")));
    let policy = read::text(context, "fsGroupChangePolicy");
    if !matches!(policy, "" | "OnRootMismatch" | "Always") {
        errors.push(
            path.child("fsGroupChangePolicy")
                .not_supported(policy, &["OnRootMismatch", "Always"]),
        );
    }
    errors
}

/// A pod with users of its own shares no namespace with the host.
fn user_namespace(spec: &Value, path: &Path) -> Vec<FieldError> {
    if spec.get("hostUsers") != Some(&Value::Bool(false)) {
        return Vec::new();
    }
    let shared = ["hostNetwork", "hostPID", "hostIPC"]
        .into_iter()
        .filter(|field| read::flag(spec, field));
    shared
        .map(|field| path.child(field).forbidden("when `hostUsers` is false"))
        .collect()
}

/// What is wrong with a container's `securityContext`.
pub(super) fn container(container: &Value, path: &Path) -> Vec<FieldError> {
    let Some(context) = container
        .get("securityContext")
        .filter(|context| !context.is_null())
    else {
        return Vec::new();
    };
    let mut errors = ids(context, &["runAsUser", "runAsGroup"], path);
    errors.extend(profiles(context, path));
    let mount = read::text(context, "procMount");
    if !matches!(mount, "" | "Default" | "Unmasked") {
        errors.push(
            path.child("procMount")
                .not_supported(mount, &["Default", "Unmasked"]),
        );
    }
    errors.extend(escalation(context, path));
    errors
}

/// What needs privileges may not forbid gaining them.
fn escalation(context: &Value, path: &Path) -> Vec<FieldError> {
    if context.get("allowPrivilegeEscalation") != Some(&Value::Bool(false)) {
        return Vec::new();
    }
    let mut errors = Vec::new();
    if read::flag(context, "privileged") {
        let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
        errors.push(path.invalid(context.clone(), detail));
    }
    if read::texts(context, "capabilities.add").contains(&"CAP_SYS_ADMIN") {
        let detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
        errors.push(path.invalid(context.clone(), detail));
    }
    errors
}

fn ids(context: &Value, fields: &[&str], path: &Path) -> Vec<FieldError> {
    let given = fields
        .iter()
        .filter_map(|field| Some((field, context.get(*field)?)));
    given
        .filter_map(|(field, value)| id(value, &path.child(field)))
        .collect()
}

fn id(value: &Value, path: &Path) -> Option<FieldError> {
    let number = value.as_i64()?;
    (!(0..=ID_MAX).contains(&number)).then(|| path.invalid(number, ID_RULE))
}

fn profiles(context: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (field, name) in [("seccompProfile", "seccomp"), ("appArmorProfile", "AppArmor")] {
        if let Some(profile) = context.get(field).filter(|profile| !profile.is_null()) {
            errors.extend(profile_errors(profile, name, &path.child(field)));
        }
    }
    errors
}

fn profile_errors(profile: &Value, name: &str, path: &Path) -> Vec<FieldError> {
    let file = at(profile, "localhostProfile").and_then(Value::as_str);
    let local = path.child("localhostProfile");
    match (read::text(profile, "type"), file) {
        ("Localhost", None | Some("")) => {
            vec![local.required(format!("must be set when {name} type is Localhost"))]
        }
        ("Localhost", Some(file)) => descending(file, &local),
        ("", _) => vec![
            path.child("type")
                .required(format!("type is required when {name}Profile is set")),
        ],
        (kind, _) if !SECCOMP.contains(&kind) => vec![path.child("type").not_supported(kind, &SECCOMP)],
        (_, Some(file)) => {
            vec![local.invalid(file, format!("can only be set when {name} type is Localhost"))]
        }
        (_, None) => Vec::new(),
    }
}

/// A profile's file stays beneath the folder of profiles.
fn descending(file: &str, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if file.starts_with('/') {
        errors.push(path.invalid(file, "must be a relative path"));
    }
    if file.split('/').any(|part| part == "..") {
        errors.push(path.invalid(file, "must not contain '..'"));
    }
    errors
}

const SYSCTL_FMT: &str = "([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?";

fn sysctls(spec: &Value, context: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for (index, sysctl) in read::list(context, "sysctls").iter().enumerate() {
        let path = path.index(index).child("name");
        let name = read::text(sysctl, "name");
        if name.is_empty() {
            errors.push(path.required(""));
        } else if !is_sysctl(name) {
            let detail = format!("must have at most 253 characters and match regex ^{SYSCTL_FMT}$");
            errors.push(path.invalid(name, detail));
        } else if seen.contains(&name) {
            errors.push(path.duplicate(name));
        }
        seen.push(name);
        errors.extend(on_host(spec, name, &path));
    }
    errors
}

/// A parameter of a namespace that the pod shares with the host is the host's.
fn on_host(spec: &Value, name: &str, path: &Path) -> Option<FieldError> {
    let name = name.replace('/', ".");
    let ipc = ["kernel.shm", "kernel.msg", "fs.mqueue."];
    let flag = match () {
        () if name.starts_with("net.") => "hostNetwork",
        () if name == "kernel.sem" || ipc.iter().any(|prefix| name.starts_with(prefix)) => "hostIPC",
        () => return None,
    };
    let detail = format!("may not be set when '{flag}' is set to true");
    read::flag(spec, flag).then(|| path.invalid(name.as_str(), detail))
}

fn is_sysctl(name: &str) -> bool {
    let segment = |part: &str| {
        let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let bytes = part.as_bytes();
        edge(bytes.first())
            && edge(bytes.last())
            && bytes
                .iter()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
    };
    name.len() <= 253 && name.split(['.', '/']).all(segment)
}
