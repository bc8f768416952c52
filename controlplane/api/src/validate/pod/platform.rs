//! Rules that depend on the operating system of a pod.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::validate::naming;

const OF_LINUX: &str = "windows options cannot be set for a linux pod";
const OF_WINDOWS: &str = "cannot be set for a windows pod";
/// What of a pod's spec Windows does not know, beside its security context.
const POD_FIELDS: [&str; 4] = ["hostUsers", "hostPID", "hostIPC", "shareProcessNamespace"];
const POD_CONTEXT: [&str; 11] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "fsGroup",
    "fsGroupChangePolicy",
    "sysctls",
    "runAsUser",
    "runAsGroup",
    "supplementalGroups",
    "supplementalGroupsPolicy",
    "seLinuxChangePolicy",
];
const CONTAINER_CONTEXT: [&str; 10] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];

/// The security contexts of the containers of every list, with their paths.
fn contexts<'a>(spec: &'a Value, path: &'a Path) -> impl Iterator<Item = (Path, &'a Value)> {
    let lists = ["initContainers", "containers", "ephemeralContainers"];
    lists.into_iter().flat_map(move |list| {
        let all = read::list(spec, list).iter().enumerate();
        all.map(move |(index, container)| {
            let path = path.child(list).index(index).child("securityContext");
            (path, container.get("securityContext").unwrap_or(&Value::Null))
        })
    })
}

/// What is wrong with `os`, and what that system does not know.
pub(super) fn check(spec: &Value, path: &Path) -> Vec<FieldError> {
    if !read::present(spec, "os") {
        return Vec::new();
    }
    let os = path.child("os");
    match read::text(spec, "os.name") {
        "" => vec![os.child("name").required("")],
        "linux" => linux(spec, path),
        "windows" => windows(spec, path),
        other => vec![os.not_supported(other, &["linux", "windows"])],
    }
}

fn linux(spec: &Value, path: &Path) -> Vec<FieldError> {
    let own = (
        path.child("securityContext"),
        spec.get("securityContext").unwrap_or(&Value::Null),
    );
    std::iter::once(own)
        .chain(contexts(spec, path))
        .filter(|(_, context)| read::present(context, "windowsOptions"))
        .map(|(path, _)| path.child("windowsOptions").forbidden(OF_LINUX))
        .collect()
}

fn is_set(object: &Value, field: &str) -> bool {
    match object.get(field) {
        None | Some(Value::Null) => false,
        Some(Value::Bool(false)) => !matches!(field, "hostPID" | "hostIPC"),
        Some(Value::Array(list)) => !list.is_empty(),
        Some(_) => true,
    }
}

fn windows(spec: &Value, path: &Path) -> Vec<FieldError> {
    let context = spec.get("securityContext").unwrap_or(&Value::Null);
    let mut errors = Vec::new();
    let mut refuse = |object: &Value, fields: &[&str], path: &Path| {
        let set = fields.iter().filter(|field| is_set(object, field));
        errors.extend(set.map(|field| path.child(field).forbidden(OF_WINDOWS)));
    };
    refuse(context, &POD_CONTEXT, &path.child("securityContext"));
    refuse(spec, &POD_FIELDS, path);
    for (path, context) in contexts(spec, path) {
        refuse(context, &CONTAINER_CONTEXT, &path);
    }
    errors
}

/// What is wrong with `windowsOptions` of a security context.
pub(super) fn windows_options(context: &Value, path: &Path) -> Vec<FieldError> {
    const MOST: usize = 64 * 1024;
    let path = path.child("windowsOptions");
    let options = context.get("windowsOptions").unwrap_or(&Value::Null);
    let text = |field: &str| options.get(field).and_then(Value::as_str);
    let mut errors = Vec::new();
    if let Some(name) = text("gmsaCredentialSpecName") {
        let path = path.child("gmsaCredentialSpecName");
        errors.extend(naming::broken(names::dns_subdomain, name, &path));
    }
    match text("gmsaCredentialSpec") {
        Some("") => {
            let detail = "gmsaCredentialSpec cannot be an empty string";
            errors.push(path.child("gmsaCredentialSpec").invalid("", detail));
        }
        Some(long) if long.len() > MOST => {
            let detail = "gmsaCredentialSpec size must be under 64 KiB";
            errors.push(path.child("gmsaCredentialSpec").invalid(long, detail));
        }
        _ => {}
    }
    if let Some(name) = text("runAsUserName") {
        let details = user_name(name).into_iter();
        errors.extend(details.map(|detail| path.child("runAsUserName").invalid(name, detail)));
    }
    errors
}

/// What is wrong with a user as `user` or `DOMAIN\user`.
fn user_name(name: &str) -> Vec<&'static str> {
    if name.is_empty() {
        return vec!["runAsUserName cannot be an empty string"];
    }
    if name.chars().any(|c| c.is_ascii_control()) {
        return vec!["runAsUserName cannot contain control characters"];
    }
    let (domain, user) = match name.split('\\').collect::<Vec<_>>()[..] {
        [user] => (None, user),
        [domain, user] => (Some(domain), user),
        _ => return vec!["runAsUserName cannot contain more than one backslash"],
    };
    let mut details = Vec::new();
    if domain.is_some_and(|domain| domain.len() >= 256) {
        details.push("runAsUserName's Domain length must be under 256 characters");
    }
    if domain.is_some_and(|domain| !is_domain(domain)) {
        details.push("runAsUserName's Domain doesn't match the NetBios nor the DNS format");
    }
    match user.len() {
        0 => details.push("runAsUserName's User cannot be empty"),
        105.. => details.push("runAsUserName's User length must not be longer than 104 characters"),
        _ => {}
    }
    if !user.is_empty() && user.chars().all(|c| matches!(c, '.' | ' ')) {
        details.push("runAsUserName's User cannot contain only periods or spaces");
    }
    if user.contains([
        '"', '/', '\\', ':', ';', '|', '=', ',', '+', '*', '?', '<', '>', '@', '[', ']',
    ]) {
        details.push(r#"runAsUserName's User cannot contain the following characters: "/\:;|=,+*?<>@[]"#);
    }
    details
}

/// A NetBIOS name of up to 15 characters, or a DNS name.
fn is_domain(domain: &str) -> bool {
    let odd = ['\\', '/', ':', '*', '?', '"', '<', '>', '|'];
    let net_bios =
        (1..=15).contains(&domain.chars().count()) && !domain.contains(odd) && !domain.starts_with('.');
    net_bios || names::dns_subdomain(&domain.to_lowercase()).is_empty()
}

/// What is wrong with containers that are processes of a Windows host: all are or none is, on the host's network.
pub(super) fn host_process(spec: &Value, path: &Path) -> Vec<FieldError> {
    let reads = |context: &Value| {
        context
            .pointer("/windowsOptions/hostProcess")
            .and_then(Value::as_bool)
    };
    let own = spec.get("securityContext").and_then(reads);
    let mut errors = Vec::new();
    let (mut all, mut of_host) = (0, 0);
    for (path, context) in contexts(spec, path) {
        all += 1;
        let said = reads(context);
        if let Some((own, said)) = own.zip(said).filter(|(own, said)| own != said) {
            let detail = format!("pod hostProcess value must be identical if both are specified, was {own}");
            errors.push(path.child("windowsOptions.hostProcess").invalid(said, detail));
        }
        if said.or(own) == Some(true) {
            of_host += 1;
        }
    }
    if of_host == 0 {
        return errors;
    }
    if of_host != all {
        let detail =
            "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        errors.push(path.invalid("", detail));
    }
    if !read::flag(spec, "hostNetwork") {
        let detail = "hostNetwork must be true if pod contains any hostProcess containers";
        errors.push(path.child("hostNetwork").invalid(false, detail));
    }
    errors
}
