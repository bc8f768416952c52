//! What the level `baseline` forbids.

use std::collections::BTreeSet;

use serde_json::Value;

use super::setters::texts;
use super::{Check, Level, Setters, Violation, containers, named, plural, quoted};
use crate::meta;
use crate::read;

/// Annotations that named profiles before there was a field.
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
pub(super) const SECCOMP: [&str; 2] = ["Localhost", "RuntimeDefault"];

const fn check(id: &'static str, since: u32, rule: fn(&Value, u32) -> Option<Violation>) -> Check {
    Check {
        id,
        level: Level::Baseline,
        since,
        overridden_by: None,
        rule,
    }
}

const fn overridden(mut check: Check, by: &'static str) -> Check {
    check.overridden_by = Some(by);
    check
}

pub(super) const CHECKS: [Check; 12] = [
    check("appArmorProfile", 0, app_armor),
    overridden(
        check("capabilities_baseline", 0, capabilities),
        "capabilities_restricted",
    ),
    check("hostNamespaces", 0, host_namespaces),
    overridden(check("hostPathVolumes", 0, host_paths), "restrictedVolumes"),
    check("hostPorts", 0, host_ports),
    check("hostProbesAndHostLifecycle", 34, host_probes),
    check("privileged", 0, privileged),
    check("procMount", 0, proc_mount),
    check("seLinuxOptions", 0, selinux),
    overridden(
        check("seccompProfile_baseline", 19, seccomp),
        "seccompProfile_restricted",
    ),
    check("sysctls", 0, sysctls),
    check("windowsHostProcess", 0, windows),
];

fn names(pod: &Value, bad: impl Fn(&Value) -> bool) -> Vec<&str> {
    let found = containers(pod).filter(|container| bad(container));
    found.map(|container| read::text(container, "name")).collect()
}

fn app_armor(pod: &Value, _: u32) -> Option<Violation> {
    let (setters, values) = texts(pod, "appArmorProfile.type", &SECCOMP);
    let mut values: BTreeSet<String> = values.into_iter().map(str::to_owned).collect();
    let allowed =
        |value: &str| value.is_empty() || value == "runtime/default" || value.starts_with("localhost/");
    let mut annotations = meta::annotations(pod);
    annotations.retain(|key, value| key.starts_with(APP_ARMOR) && !allowed(value));
    let mut who: Vec<String> = setters.words().into_iter().collect();
    if !annotations.is_empty() {
        let word = plural(annotations.len(), "annotation", "annotations");
        who.push(format!(
            "{word} {}",
            quoted(annotations.keys().map(String::as_str))
        ));
    }
    values.extend(annotations.into_values());
    let reason = plural(
        values.len(),
        "forbidden AppArmor profile",
        "forbidden AppArmor profiles",
    );
    let what = quoted(values.iter().map(String::as_str));
    let detail = format!(
        "{} must not set AppArmor profile type to {what}",
        who.join(" and ")
    );
    (!who.is_empty()).then(|| Violation::new(reason, detail))
}

const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

fn capabilities(pod: &Value, _: u32) -> Option<Violation> {
    let added = |container: &Value| -> Vec<String> {
        let added = read::texts(container, "securityContext.capabilities.add").into_iter();
        added
            .filter(|name| !CAPABILITIES.contains(name))
            .map(str::to_owned)
            .collect()
    };
    let bad = names(pod, |container| !added(container).is_empty());
    let all: BTreeSet<String> = containers(pod).flat_map(added).collect();
    let detail = format!(
        "{} must not include {} in securityContext.capabilities.add",
        named(&bad),
        quoted(all.iter().map(String::as_str))
    );
    (!bad.is_empty()).then(|| Violation::new("non-default capabilities", detail))
}

fn host_namespaces(pod: &Value, _: u32) -> Option<Violation> {
    let shared: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
        .iter()
        .filter(|field| read::flag(pod, &format!("spec.{field}")))
        .map(|field| format!("{field}=true"))
        .collect();
    (!shared.is_empty()).then(|| Violation::new("host namespaces", shared.join(", ")))
}

fn host_paths(pod: &Value, _: u32) -> Option<Violation> {
    let of_host = read::list(pod, "spec.volumes")
        .iter()
        .filter(|volume| read::present(volume, "hostPath"));
    let names: Vec<&str> = of_host.map(|volume| read::text(volume, "name")).collect();
    let word = plural(names.len(), "volume", "volumes");
    let detail = format!("{word} {}", quoted(names.iter().copied()));
    (!names.is_empty()).then(|| Violation::new("hostPath volumes", detail))
}

fn host_ports(pod: &Value, _: u32) -> Option<Violation> {
    let ports = |container: &Value| -> Vec<String> {
        let ports = read::list(container, "ports")
            .iter()
            .map(|port| read::count(port, "hostPort"));
        ports
            .filter(|port| *port != 0)
            .map(|port| port.to_string())
            .collect()
    };
    let bad = names(pod, |container| !ports(container).is_empty());
    let all: BTreeSet<String> = containers(pod).flat_map(ports).collect();
    let detail = format!(
        "{} {} {} {}",
        named(&bad),
        plural(bad.len(), "uses", "use"),
        plural(all.len(), "hostPort", "hostPorts"),
        all.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    );
    (!bad.is_empty()).then(|| Violation::new("hostPort", detail))
}

const HOSTS: [&str; 10] = [
    "livenessProbe.httpGet.host",
    "livenessProbe.tcpSocket.host",
    "readinessProbe.httpGet.host",
    "readinessProbe.tcpSocket.host",
    "startupProbe.httpGet.host",
    "startupProbe.tcpSocket.host",
    "lifecycle.postStart.httpGet.host",
    "lifecycle.postStart.tcpSocket.host",
    "lifecycle.preStop.httpGet.host",
    "lifecycle.preStop.tcpSocket.host",
];

fn host_probes(pod: &Value, _: u32) -> Option<Violation> {
    let hosts = |container: &Value| -> Vec<String> {
        let hosts = HOSTS.iter().map(|path| read::text(container, path).to_owned());
        hosts.filter(|host| !host.is_empty()).collect()
    };
    let bad: BTreeSet<&str> = names(pod, |container| !hosts(container).is_empty())
        .into_iter()
        .collect();
    let bad: Vec<&str> = bad.into_iter().collect();
    let all: BTreeSet<String> = containers(pod).flat_map(hosts).collect();
    let detail = format!(
        "{} {} {} {}",
        named(&bad),
        plural(bad.len(), "uses", "use"),
        plural(all.len(), "probe or lifecycle host", "probe or lifecycle hosts"),
        quoted(all.iter().map(String::as_str))
    );
    (!bad.is_empty()).then(|| Violation::new("probe or lifecycle host", detail))
}

fn privileged(pod: &Value, _: u32) -> Option<Violation> {
    let bad = names(pod, |container| {
        read::flag(container, "securityContext.privileged")
    });
    let detail = format!("{} must not set securityContext.privileged=true", named(&bad));
    (!bad.is_empty()).then(|| Violation::new("privileged", detail))
}

fn proc_mount(pod: &Value, minor: u32) -> Option<Violation> {
    // Users of its own make it harmless.
    if minor >= 35 && pod.pointer("/spec/hostUsers") == Some(&Value::Bool(false)) {
        return None;
    }
    let mount = |container: &Value| read::text(container, "securityContext.procMount").to_owned();
    let is_bad = |mount: &str| !matches!(mount, "" | "Default");
    let bad = names(pod, |container| is_bad(&mount(container)));
    let all: BTreeSet<String> = containers(pod).map(mount).filter(|mount| is_bad(mount)).collect();
    let detail = format!(
        "{} must not set securityContext.procMount to {}",
        named(&bad),
        quoted(all.iter().map(String::as_str))
    );
    (!bad.is_empty()).then(|| Violation::new("procMount", detail))
}

fn selinux(pod: &Value, minor: u32) -> Option<Violation> {
    let mut known = vec!["", "container_t", "container_init_t", "container_kvm_t"];
    if minor >= 31 {
        known.push("container_engine_t");
    }
    let (mut types, mut user, mut role) = (BTreeSet::new(), false, false);
    let setters = Setters::of(pod, |context| {
        let options = context
            .get("seLinuxOptions")
            .filter(|options| !options.is_null())?;
        let kind = read::text(options, "type");
        let (own_user, own_role) = (
            !read::text(options, "user").is_empty(),
            !read::text(options, "role").is_empty(),
        );
        let bad_type = !known.contains(&kind);
        if bad_type {
            types.insert(kind);
        }
        user |= own_user;
        role |= own_role;
        Some(bad_type || own_user || own_role)
    });
    let who = setters.words()?;
    let mut data = Vec::new();
    if !types.is_empty() {
        data.push(format!(
            "{} {}",
            plural(types.len(), "type", "types"),
            quoted(types)
        ));
    }
    data.extend(user.then(|| "user may not be set".to_owned()));
    data.extend(role.then(|| "role may not be set".to_owned()));
    let detail = format!(
        "{who} set forbidden securityContext.seLinuxOptions: {}",
        data.join("; ")
    );
    Some(Violation::new("seLinuxOptions", detail))
}

fn seccomp(pod: &Value, _: u32) -> Option<Violation> {
    let (setters, values) = texts(pod, "seccompProfile.type", &SECCOMP);
    let who = setters.words()?;
    let detail = format!(
        "{who} must not set securityContext.seccompProfile.type to {}",
        quoted(values)
    );
    Some(Violation::new("seccompProfile", detail))
}

/// Safe parameters of the kernel, and since when they count as such.
const SYSCTLS: [(&str, u32); 12] = [
    ("kernel.shm_rmid_forced", 0),
    ("net.ipv4.ip_local_port_range", 0),
    ("net.ipv4.tcp_syncookies", 0),
    ("net.ipv4.ping_group_range", 0),
    ("net.ipv4.ip_unprivileged_port_start", 0),
    ("net.ipv4.ip_local_reserved_ports", 27),
    ("net.ipv4.tcp_keepalive_time", 29),
    ("net.ipv4.tcp_fin_timeout", 29),
    ("net.ipv4.tcp_keepalive_intvl", 29),
    ("net.ipv4.tcp_keepalive_probes", 29),
    ("net.ipv4.tcp_rmem", 32),
    ("net.ipv4.tcp_wmem", 32),
];

fn sysctls(pod: &Value, minor: u32) -> Option<Violation> {
    let is_safe = |name: &str| {
        SYSCTLS
            .iter()
            .any(|(safe, since)| *safe == name && *since <= minor)
    };
    let list = read::list(pod, "spec.securityContext.sysctls").iter();
    let bad: Vec<&str> = list
        .map(|sysctl| read::text(sysctl, "name"))
        .filter(|name| !is_safe(name))
        .collect();
    (!bad.is_empty()).then(|| Violation::new("forbidden sysctls", bad.join(", ")))
}

fn windows(pod: &Value, _: u32) -> Option<Violation> {
    let setters = Setters::of(pod, |context| {
        context
            .pointer("/windowsOptions/hostProcess")
            .and_then(Value::as_bool)
    });
    let who = setters.words()?;
    Some(Violation::new(
        "hostProcess",
        format!("{who} must not set securityContext.windowsOptions.hostProcess=true"),
    ))
}
