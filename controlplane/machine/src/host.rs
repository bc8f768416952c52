//! This host as a node, and this host given back.
//!
//! Programs, configuration and the record of how the host was lie in one folder under `/var/lib/floe`; the
//! units lie under `/run/systemd/system`, so that a reboot, too, leaves a host that runs none of it.
//! Everything else the node makes on its way (pods, links, rules, mounts) is found by its fixed name.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::mount::{UnmountFlags, unmount};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use crate::disk::{clear_way, remove_tree, write_file};
use crate::{Keep, MachineError, cni_state, process, run, succeeds};

/// The host's `/var/lib/floe`.
pub(crate) const STATE: &str = "/var/lib/floe";
/// What this module puts there.
const HOME: &str = "/var/lib/floe/host";
/// The file there that names the cluster.
const OWNER: &str = "cluster";
const UNITS: &str = "/run/systemd/system";
const RUN: &str = "/run/floe";
const NAMESPACES: &str = "/run/netns";
/// The slice above all pods.
const SLICE: &str = "floe.slice";
/// Links that a node makes; pods' links go with their namespaces.
const LINKS: [&str; 2] = ["floe.vx", "floe0"];
/// The address of the cluster's name server, which a node puts on `lo`.
const NAME_SERVER: &str = "10.43.0.10/32";
/// What bridged packets pass the rules of the host by; a node loads it.
const BRIDGE_MODULE: &str = "br_netfilter";
const BRIDGE_SETTINGS: &str = "/proc/sys/net/bridge";
/// Kernel settings that a node changes.
const SETTINGS: [&str; 4] = [
    "net/ipv4/ip_forward",
    "net/ipv6/conf/all/forwarding",
    "net/bridge/bridge-nf-call-iptables",
    "net/bridge/bridge-nf-call-ip6tables",
];

/// All that makes this host a node.
#[derive(Debug, Clone)]
pub struct HostSpec {
    /// Programs by name, and where they are built.
    pub programs: Vec<(&'static str, PathBuf)>,
    /// Names by which the program `floe-cni` is called.
    pub plugins: Vec<&'static str>,
    /// Units by file name, as a package installs them.
    pub units: Vec<(&'static str, &'static str)>,
    /// Configuration by file name; readable by root alone.
    pub files: Vec<(&'static str, String)>,
}

/// How the host was.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Before {
    settings: BTreeMap<String, String>,
    namespaces_mounted: bool,
    cni: cni_state::Found,
    name_server: bool,
    bridge_module: bool,
}

/// The path of a file of the node on this host.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(HOME).join(name)
}

/// Whether this host is a node of `cluster` by this module's doing.
pub(crate) fn is_node(cluster: &str) -> bool {
    is_owner(cluster) && Path::new(UNITS).join("floe-agent.service").exists()
}

/// Whether this host is, or was to become, any cluster's node by this module's doing.
pub(crate) fn exists() -> bool {
    Path::new(HOME).exists()
}

/// Whether what lies on this host was put there for `cluster`.
pub(crate) fn is_owner(cluster: &str) -> bool {
    fs::read_to_string(path(OWNER)).is_ok_and(|owner| owner.trim() == cluster)
}

/// Why this host cannot become a node.
///
/// # Errors
///
/// When its PID 1 is not systemd, or it is a node in another way.
pub(crate) fn refuse(cluster: &str) -> Result<(), MachineError> {
    if !Path::new(UNITS).parent().is_some_and(Path::exists) {
        return Err(MachineError::Host(
            "its PID 1 is not systemd; without --on-host the node is a machine of its own",
        ));
    }
    if is_owner(cluster) {
        // Its own, half-made or crashed: made again.
        return Ok(());
    }
    let other = path(OWNER).exists();
    if other || succeeds(Command::new("systemctl").args(["cat", "--quiet", "floe-agent.service"])) {
        return Err(MachineError::Host(
            "it is a node already: floe-agent.service is installed (`systemctl status floe-agent`)",
        ));
    }
    Ok(())
}

/// Makes this host a node and starts its units.
///
/// # Errors
///
/// When it cannot be one, or the file system or systemd refuses; what was made until then is [`remove`]'s.
pub(crate) fn install(cluster: &str, spec: &HostSpec) -> Result<(), MachineError> {
    refuse(cluster)?;
    for folder in ["", "bin", "cni"] {
        let folder = path(folder);
        let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(&folder);
        made.map_err(MachineError::file("create", &folder))?;
    }
    remember()?;
    write_file(&path(OWNER), cluster.as_bytes(), 0o600)?;
    for (name, built) in &spec.programs {
        let target = path("bin").join(name);
        clear_way(&target)?;
        fs::copy(built, &target).map_err(MachineError::file("copy", built))?;
    }
    for name in &spec.plugins {
        let link = path("cni").join(name);
        clear_way(&link)?;
        std::os::unix::fs::symlink(path("bin/floe-cni"), &link).map_err(MachineError::file("link", &link))?;
    }
    for (name, text) in &spec.files {
        write_file(&path(name), text.as_bytes(), 0o600)?;
    }
    for (name, text) in &spec.units {
        write_file(&Path::new(UNITS).join(name), relocated(text).as_bytes(), 0o644)?;
    }
    systemctl(&["daemon-reload"])?;
    let mut start = vec!["start", "--no-block"];
    start.extend(spec.units.iter().map(|(name, _)| *name));
    systemctl(&start)
}

/// A unit's text with this module's paths; it may be stopped by hand, as `down` does.
fn relocated(unit: &str) -> String {
    unit.replace("/usr/bin/", &format!("{HOME}/bin/"))
        .replace("/etc/floe/", &format!("{HOME}/"))
        .replace("RefuseManualStop=yes", "RefuseManualStop=no")
}

/// Writes down how the host is, once.
fn remember() -> Result<(), MachineError> {
    let file = path("before.json");
    if file.exists() {
        return Ok(());
    }
    let setting = |name: &&str| {
        let value = fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?;
        Some(((*name).to_owned(), value.trim().to_owned()))
    };
    let before = Before {
        settings: SETTINGS.iter().filter_map(setting).collect(),
        namespaces_mounted: is_mounted(Path::new(NAMESPACES)),
        cni: cni_state::Found::look(Path::new(cni_state::FOLDER)),
        name_server: has_name_server()?,
        bridge_module: Path::new(BRIDGE_SETTINGS).exists(),
    };
    let text =
        serde_json::to_vec_pretty(&before).map_err(|err| MachineError::file("write", &file)(err.into()))?;
    write_file(&file, &text, 0o600)
}

fn recall() -> Before {
    let text = fs::read(path("before.json")).unwrap_or_default();
    // Without it what cannot be told apart is left alone.
    serde_json::from_slice(&text).unwrap_or_else(|_| Before {
        namespaces_mounted: true,
        cni: cni_state::Found::look(Path::new(cni_state::FOLDER)),
        name_server: true,
        bridge_module: true,
        ..Before::default()
    })
}

/// Stops pods and daemons, pods by force after `patience`; does nothing where there are none.
///
/// # Errors
///
/// When systemd cannot be asked.
pub(crate) fn stop(cluster: &str, patience: Duration) -> Result<(), MachineError> {
    if !is_node(cluster) {
        return Ok(());
    }
    // The agent first: it would start again what is stopped.
    systemctl(&["stop", "floe-agent.service"])?;
    stop_pods(patience)?;
    systemctl(&["stop", "floe-mounts.service", "floe-controlplane.service"])
}

/// Stops everything in the slice above all pods. systemctl waits for the job; it is asked for more when
/// it has not ended in time.
fn stop_pods(patience: Duration) -> Result<(), MachineError> {
    let mut words = Command::new("systemctl");
    let failed = |source| MachineError::Spawn {
        program: "systemctl".to_owned(),
        source,
    };
    let mut job = words
        .args(["stop", SLICE])
        .stdin(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let ended = process::wait_gone(Pid::from_child(&job), patience);
    if !ended {
        systemctl(&["kill", "--signal=KILL", SLICE])?;
    }
    job.wait().map_err(failed)?;
    // Says why where it is not stopped; does nothing where it is.
    systemctl(&["stop", SLICE])
}

/// Removes every trace of a stopped node, but for its objects and images where `keep` says so.
///
/// # Errors
///
/// The first thing that could not be removed; the others are all the same.
pub(crate) fn remove(cluster: &str, keep: Keep) -> Result<(), MachineError> {
    if !is_owner(cluster) {
        return Ok(());
    }
    let before = recall();
    let mut steps = vec![remove_units(), remove_mounts(&before), remove_network(&before)];
    steps.push(remove_tree(Path::new(RUN)));
    steps.push(cni_state::remove(Path::new(cni_state::FOLDER), &before.cni));
    for (name, value) in &before.settings {
        let file = Path::new("/proc/sys").join(name);
        let now = fs::read_to_string(&file).unwrap_or_default();
        if now.trim() != value {
            steps.push(fs::write(&file, value).map_err(MachineError::file("write", &file)));
        }
    }
    let state = ["agent", "controlplane", "libexec", "incoming"];
    for name in state.iter().filter(|_| keep == Keep::Nothing) {
        steps.push(remove_tree(&Path::new(STATE).join(name)));
    }
    if !before.bridge_module && Path::new(BRIDGE_SETTINGS).exists() {
        steps.push(run(Command::new("modprobe").args(["--remove", BRIDGE_MODULE])).map(drop));
    }
    // Last, and only once all else is gone: another try needs to know how the host was.
    let gone: Result<(), MachineError> = steps.into_iter().collect();
    gone.and_then(|()| remove_tree(Path::new(HOME)))
}

fn remove_units() -> Result<(), MachineError> {
    let entries = fs::read_dir(UNITS).into_iter().flatten().flatten();
    let own = entries.filter(|entry| {
        let name = entry.file_name();
        name.to_str().is_some_and(|name| name.starts_with("floe-"))
    });
    for entry in own {
        fs::remove_file(entry.path()).map_err(MachineError::file("remove", entry.path()))?;
    }
    // Units that failed stay known until they are forgotten; there may be none.
    let reset = succeeds(Command::new("systemctl").args(["reset-failed", "floe-*"]));
    let _none_failed = !reset;
    systemctl(&["daemon-reload"])
}

fn remove_mounts(before: &Before) -> Result<(), MachineError> {
    let folder = Path::new(NAMESPACES);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with("floe-"))
        {
            detach(&entry.path())?;
            fs::remove_file(entry.path()).map_err(MachineError::file("remove", entry.path()))?;
        }
    }
    if !before.namespaces_mounted {
        detach(folder)?;
        // Another's namespaces stay.
        let _in_use = fs::remove_dir(folder).is_err();
    }
    for mount in mounts_below(Path::new(RUN)) {
        detach(&mount)?;
    }
    Ok(())
}

/// Mount points at or below `folder`, the deepest first.
fn mounts_below(folder: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    let mut found: Vec<PathBuf> = points
        .map(PathBuf::from)
        .filter(|at| at.starts_with(folder))
        .collect();
    found.sort();
    found.reverse();
    found
}

fn is_mounted(path: &Path) -> bool {
    mounts_below(path).iter().any(|mount| mount == path)
}

fn detach(path: &Path) -> Result<(), MachineError> {
    while is_mounted(path) {
        unmount(path, UnmountFlags::DETACH).map_err(|err| MachineError::file("unmount", path)(err.into()))?;
    }
    Ok(())
}

fn remove_network(before: &Before) -> Result<(), MachineError> {
    for link in LINKS {
        if Path::new("/sys/class/net").join(link).exists() {
            run(Command::new("ip").args(["link", "delete", "dev", link]))?;
        }
    }
    if !before.name_server && has_name_server()? {
        run(Command::new("ip").args(["address", "delete", NAME_SERVER, "dev", "lo"]))?;
    }
    // Added first, since deleting what is not there fails; not listed, since some versions cannot list
    // what others have made.
    run(Command::new("nft").arg("add table inet floe; delete table inet floe; add table inet hostports-floe; delete table inet hostports-floe")).map(drop)
}

fn has_name_server() -> Result<bool, MachineError> {
    let addresses = run(Command::new("ip").args(["-brief", "-4", "address", "show", "dev", "lo"]))?;
    Ok(addresses.split_whitespace().any(|word| word == NAME_SERVER))
}

fn systemctl(words: &[&str]) -> Result<(), MachineError> {
    run(Command::new("systemctl").args(words)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_a_package_run_from_the_folder_of_this_host() {
        let unit = "RefuseManualStop=yes\nExecStart=/usr/bin/floe-agent --config /etc/floe/agent.toml\n";
        assert_eq!(
            relocated(unit),
            "RefuseManualStop=no\nExecStart=/var/lib/floe/host/bin/floe-agent --config /var/lib/floe/host/agent.toml\n"
        );
    }

    #[test]
    fn the_deepest_mount_is_let_go_first() {
        let mounts = mounts_below(Path::new("/"));
        let root = mounts.iter().position(|mount| mount == Path::new("/"));
        assert_eq!(root, Some(mounts.len() - 1), "{mounts:?}");
    }
}
