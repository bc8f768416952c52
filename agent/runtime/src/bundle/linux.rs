//! Namespaces, masks and filters.

use std::collections::HashMap;
use std::path::PathBuf;

use agent_run::PodShare;
use oci_spec::runtime::{
    Capabilities, Linux, LinuxBuilder, LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType as Kind,
};

use super::security::Security;
use super::{BundleError, ContainerInput, seccomp};

/// Parts of `/proc` and `/sys` that tell or change too much.
const MASKED: [&str; 11] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/firmware",
];

const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// Kernel parameters that belong to a namespace of the pod's own.
const SYSCTL_NAMES: [&str; 5] = ["kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.", "net."];

pub(super) fn linux(
    input: &ContainerInput<'_>,
    security: &Security<'_>,
    pod: &PodShare,
    capabilities: &Capabilities,
) -> Result<Linux, BundleError> {
    let list = |all: &[&str]| -> Vec<String> { all.iter().map(|&path| path.to_owned()).collect() };
    let (masked, read_only) = if security.unmasked_proc() {
        (Vec::new(), Vec::new())
    } else {
        (list(&MASKED), list(&READ_ONLY))
    };
    let mut linux = LinuxBuilder::default()
        .namespaces(namespaces(input, pod)?)
        .masked_paths(masked)
        .readonly_paths(read_only)
        .sysctl(sysctls(security)?);
    if input
        .mounts
        .iter()
        .any(|m| m.propagation.as_deref() == Some("Bidirectional"))
    {
        linux = linux.rootfs_propagation("rshared");
    }
    match security.seccomp() {
        "Unconfined" => {}
        "RuntimeDefault" => linux = linux.seccomp(seccomp::runtime_default(capabilities)?),
        other => return Err(BundleError::Seccomp(other.to_owned())),
    }
    Ok(linux.build()?)
}

/// Its own process (or its target's, or the pod's), mount and cgroup namespaces; the pod's network, IPC and UTS by their
/// pins.
fn namespaces(input: &ContainerInput<'_>, pod: &PodShare) -> Result<Vec<LinuxNamespace>, BundleError> {
    let spec = input.pod.spec.as_ref();
    let mut all = vec![own(Kind::Mount)?, own(Kind::Cgroup)?];
    if !spec.and_then(|s| s.host_pid).unwrap_or(false) {
        all.push(match &input.target_processes {
            _ if pod.shared_processes => joined(Kind::Pid, pod.process_namespace())?,
            Some(target) => joined(Kind::Pid, target.clone())?,
            None => own(Kind::Pid)?,
        });
    }
    if let Some(netns) = &input.sandbox.netns {
        all.push(joined(Kind::Network, netns.clone())?);
    }
    if pod.own_ipc {
        all.push(joined(Kind::Ipc, pod.ipc_namespace())?);
    }
    if pod.hostname.is_some() {
        all.push(joined(Kind::Uts, pod.uts_namespace())?);
    }
    Ok(all)
}

fn own(kind: Kind) -> Result<LinuxNamespace, BundleError> {
    Ok(LinuxNamespaceBuilder::default().typ(kind).build()?)
}

fn joined(kind: Kind, path: PathBuf) -> Result<LinuxNamespace, BundleError> {
    Ok(LinuxNamespaceBuilder::default().typ(kind).path(path).build()?)
}

/// The pod's kernel parameters; one that would change the host is refused.
fn sysctls(security: &Security<'_>) -> Result<HashMap<String, String>, BundleError> {
    security
        .sysctls()
        .map(|(name, value)| {
            let dotted = name.replace('/', ".");
            let namespaced = SYSCTL_NAMES.iter().any(|allowed| dotted.starts_with(allowed));
            let plain = dotted.split('.').all(|part| !part.is_empty());
            if namespaced && plain {
                Ok((dotted, value.to_owned()))
            } else {
                Err(BundleError::Sysctl(name.to_owned()))
            }
        })
        .collect()
}
