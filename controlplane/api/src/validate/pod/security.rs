//! Rules for security contexts, of pods and containers.

use serde_json::Value;

use super::platform;
use crate::field::{FieldError, Path};
use crate::read;
use crate::resource::at;
use crate::validate::inner_form::formed;
use crate::validate::inner_form::of_core::{PROFILE, SECURITY_CONTEXT};
use crate::validate::naming;

const PROFILES: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];
const ID_RULE: &str = "must be between 0 and 2147483647, inclusive";
const ID_MAX: i64 = i32::MAX as i64;

/// What is wrong with a pod's `securityContext` and what it shares with the host.
pub(super) fn pod(spec: &Value, path: &Path) -> Vec<FieldError> {
    let context = spec.get("securityContext").unwrap_or(&Value::Null);
    let path = path.child("securityContext");
    let mut errors = ids(context, &["fsGroup", "runAsUser", "runAsGroup"], &path);
    for (index, group) in read::list(context, "supplementalGroups").iter().enumerate() {
        errors.extend(id(group, &path.child("supplementalGroups").index(index)));
    }
    if read::flag(spec, "shareProcessNamespace") && read::flag(spec, "hostPID") {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(path.child("shareProcessNamespace").invalid(true, detail));
    }
    errors.extend(sysctls(spec, context, &path.child("sysctls")));
    let changes = ["Always", "OnRootMismatch"];
    errors.extend(naming::choice(context, "fsGroupChangePolicy", &changes, &path));
    errors.extend(profile(context, "seccompProfile", "seccomp", &path));
    errors.extend(platform::windows_options(context, &path));
    errors.extend(profile(context, "appArmorProfile", "AppArmor", &path));
    errors.extend(naming::choice(
        context,
        "supplementalGroupsPolicy",
        &["Merge", "Strict"],
        &path,
    ));
    errors.extend(naming::choice(
        context,
        "seLinuxChangePolicy",
        &["MountOption", "Recursive"],
        &path,
    ));
    errors
}

/// A pod with users of its own shares no namespace with the host. Upstream's paths are spelled so.
pub(super) fn user_namespace(spec: &Value, path: &Path) -> Vec<FieldError> {
    if spec.get("hostUsers") != Some(&Value::Bool(false)) {
        return Vec::new();
    }
    let shared = [
        ("hostNetwork", "hostNetwork"),
        ("hostPID", "HostPID"),
        ("hostIPC", "HostIPC"),
    ];
    let shared = shared.into_iter().filter(|(field, _)| read::flag(spec, field));
    shared
        .map(|(_, shown)| path.child(shown).forbidden("when `pod.Spec.HostUsers` is false"))
        .collect()
}

/// What is wrong with a container's `securityContext`.
pub(super) fn container(container: &Value, users: Users, path: &Path) -> Vec<FieldError> {
    let Some(context) = container
        .get("securityContext")
        .filter(|context| !context.is_null())
    else {
        return Vec::new();
    };
    let mut errors = ids(context, &["runAsUser", "runAsGroup"], path);
    errors.extend(naming::choice(
        context,
        "procMount",
        &["Default", "Unmasked"],
        path,
    ));
    if users == Users::OfHost && read::text(context, "procMount") == "Unmasked" {
        let detail = "`hostUsers` must be false to use `Unmasked`";
        errors.push(path.child("procMount").invalid("Unmasked", detail));
    }
    errors.extend(profile(context, "seccompProfile", "seccomp", path));
    errors.extend(escalation(context, path));
    errors.extend(platform::windows_options(context, path));
    errors.extend(profile(context, "appArmorProfile", "AppArmor", path));
    errors
}

/// Whose users a pod's are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Users {
    OfHost,
    Own,
}

impl Users {
    pub(super) fn of(spec: &Value) -> Self {
        match spec.get("hostUsers") {
            Some(Value::Bool(false)) => Self::Own,
            _ => Self::OfHost,
        }
    }
}

/// What needs privileges may not forbid gaining them.
fn escalation(context: &Value, path: &Path) -> Vec<FieldError> {
    if context.get("allowPrivilegeEscalation") != Some(&Value::Bool(false)) {
        return Vec::new();
    }
    let mut errors = Vec::new();
    if read::flag(context, "privileged") {
        let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
        errors.push(formed(path.invalid(context.clone(), detail), SECURITY_CONTEXT));
    }
    let all = read::texts(context, "capabilities.add").into_iter();
    for _ in all.filter(|capability| *capability == "CAP_SYS_ADMIN") {
        let detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
        errors.push(formed(path.invalid(context.clone(), detail), SECURITY_CONTEXT));
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

/// What is wrong with a profile, of which `name` is the words' name.
fn profile(context: &Value, field: &str, name: &str, path: &Path) -> Vec<FieldError> {
    let Some(profile) = context.get(field).filter(|profile| !profile.is_null()) else {
        return Vec::new();
    };
    let path = path.child(field);
    let file = at(profile, "localhostProfile").and_then(Value::as_str);
    let local = path.child("localhostProfile");
    let kind = read::text(profile, "type");
    let mut errors = Vec::new();
    match kind {
        "" => errors.push(
            path.child("type")
                .required(format!("type is required when {field} is set")),
        ),
        kind if !PROFILES.contains(&kind) => errors.push(path.child("type").not_supported(kind, &PROFILES)),
        _ => {}
    }
    match (kind, file) {
        // An empty one would be no profile at all (CVE-2023-2431); upstream leaves that to the node.
        ("Localhost", None | Some("")) => {
            errors.push(local.required(format!("must be set when {name} type is Localhost")))
        }
        ("Localhost", Some(file)) if field == "seccompProfile" => errors.extend(descending(file, &local)),
        ("Localhost", Some(file)) => errors.extend(loaded(file, &local)),
        (_, Some(file)) if field == "seccompProfile" || PROFILES.contains(&kind) => {
            let detail = format!("can only be set when {name} type is Localhost");
            // Upstream shows the whole profile of seccomp, and of AppArmor its file.
            errors.push(if field == "seccompProfile" {
                formed(local.invalid(profile.clone(), detail), PROFILE)
            } else {
                local.invalid(file, detail)
            });
        }
        (_, _) => {}
    }
    errors
}

const MAX_PROFILE: usize = 4095;

/// A profile that the node's kernel has loaded goes by its name.
fn loaded(name: &str, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    match name.trim() {
        trimmed if trimmed != name => errors.push(path.invalid(name, "must not be padded with whitespace")),
        "" => errors.push(path.required("must be set when AppArmor type is Localhost")),
        _ => {}
    }
    if name.len() > MAX_PROFILE {
        errors.push(path.too_long(MAX_PROFILE));
    }
    errors
}

/// A profile's file stays beneath the folder of profiles.
pub(super) fn descending(file: &str, path: &Path) -> Vec<FieldError> {
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
fn on_host(spec: &Value, given: &str, path: &Path) -> Option<FieldError> {
    let name = given.replace('/', ".");
    let ipc = ["kernel.shm", "kernel.msg", "fs.mqueue."];
    let flag = match () {
        () if name.starts_with("net.") => "hostNetwork",
        () if name == "kernel.sem" || ipc.iter().any(|prefix| name.starts_with(prefix)) => "hostIPC",
        () => return None,
    };
    let detail = format!("may not be specified when '{flag}' is true");
    read::flag(spec, flag).then(|| path.invalid(given, detail))
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
