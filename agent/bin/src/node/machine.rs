//! What the machine is and has.

use std::path::Path;
use std::process::Command;

use agent_core::node::{Health, Machine};
use anyhow::Context as _;
use k8s_openapi::api::core::v1::NodeSystemInfo;

/// The level of the Kubernetes API that this agent implements.
const KUBELET_VERSION: &str = "v1.36.0+floe";

/// CPUs, memory and disk of this machine.
pub(crate) fn machine(state_dir: &Path, max_pods: u32) -> anyhow::Result<Machine> {
    use procfs::Current as _;
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory = procfs::Meminfo::current()
        .context("read /proc/meminfo")?
        .mem_total;
    let disk = rustix::fs::statvfs(state_dir)
        .with_context(|| format!("measure the file system of {}", state_dir.display()))?;
    Ok(Machine {
        milli_cpu: 1000 * u64::try_from(cpus).unwrap_or(1),
        memory,
        disk: disk.f_blocks.saturating_mul(disk.f_frsize),
        pods: u64::from(max_pods),
    })
}

/// How the machine is doing; `kept_percent` of the state's file system is to stay free.
pub(crate) fn health(state_dir: &Path, kept_percent: u8, unready: Option<String>) -> Health {
    use procfs::Current as _;
    let memory = procfs::Meminfo::current()
        .ok()
        .and_then(|info| info.mem_available);
    let disk = rustix::fs::statvfs(state_dir).ok();
    let free = disk.and_then(|disk| {
        disk.f_bavail
            .saturating_mul(100)
            .checked_div(disk.f_blocks.max(1))
    });
    let number = |path: &str| {
        std::fs::read_to_string(path)
            .ok()
            .and_then(|text| text.trim().parse().ok())
    };
    let pids: u64 = number("/proc/sys/kernel/pid_max").unwrap_or(32_768);
    Health {
        unready,
        memory_available: memory.unwrap_or(u64::MAX),
        disk_free_percent: free.unwrap_or(100),
        disk_kept_percent: kept_percent.into(),
        pids_free: pids.saturating_sub(running_tasks()),
        limits_unenforced: limits_unenforced(),
    }
}

/// Threads of the machine, from the fourth word of `/proc/loadavg` (`running/all`).
fn running_tasks() -> u64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let all = text
        .split_whitespace()
        .nth(3)
        .and_then(|word| word.split_once('/'));
    all.and_then(|(_, all)| all.parse().ok()).unwrap_or(0)
}

/// Why systemd cannot enforce limits here, where it cannot: it needs the v2 tree with its controllers.
pub(crate) fn limits_unenforced() -> Option<String> {
    let controllers = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").ok();
    let advice = "limits of pods are not enforced; boot with systemd.unified_cgroup_hierarchy=1 and \
                  writable controllers";
    let Some(controllers) = controllers else {
        return Some(format!("cgroup v1: {advice}"));
    };
    let missing: Vec<&str> = ["cpu", "memory", "pids"]
        .into_iter()
        .filter(|c| !controllers.split_whitespace().any(|has| has == *c))
        .collect();
    (!missing.is_empty()).then(|| format!("cgroup controllers missing ({}): {advice}", missing.join(", ")))
}

/// `status.nodeInfo`.
pub(crate) fn info(systemd: u32, crun: &Path) -> NodeSystemInfo {
    let line = |path: &str| {
        std::fs::read_to_string(path)
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let uname = rustix::system::uname();
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    NodeSystemInfo {
        architecture: architecture.to_owned(),
        boot_id: line("/proc/sys/kernel/random/boot_id"),
        container_runtime_version: format!("systemd://{systemd} (crun {})", crun_version(crun)),
        kernel_version: uname.release().to_string_lossy().into_owned(),
        kube_proxy_version: String::new(),
        kubelet_version: KUBELET_VERSION.to_owned(),
        machine_id: machine_id(),
        operating_system: "linux".to_owned(),
        os_image: os_name().unwrap_or_else(|| "Linux".to_owned()),
        system_uuid: line("/sys/class/dmi/id/product_uuid"),
        ..NodeSystemInfo::default()
    }
}

/// What tells this machine from every other, machine-id(5).
pub(super) fn machine_id() -> String {
    let text = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    text.trim().to_owned()
}

fn os_name() -> Option<String> {
    let text = std::fs::read_to_string("/etc/os-release").ok()?;
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(name.trim_matches('"').to_owned())
}

fn crun_version(crun: &Path) -> String {
    let output = Command::new(crun).arg("--version").output();
    let text = output
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    let version = text
        .split_whitespace()
        .skip_while(|word| *word != "version")
        .nth(1);
    version.unwrap_or("unknown").to_owned()
}
