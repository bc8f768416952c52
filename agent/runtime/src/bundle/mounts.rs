//! What is mounted in a container beside its root.

use std::path::Path;

use agent_run::{EtcFile, PodShare, SubPath};
use oci_spec::runtime::{Mount as OciMount, MountBuilder};

use super::security::Security;
use super::{BundleError, ContainerInput, Mount};
use crate::NodePaths;

/// Files of `/etc` that the pod shares, as far as the sandbox has them.
pub(super) fn etc_files(input: &ContainerInput<'_>) -> Vec<EtcFile> {
    let sandbox = input.sandbox;
    [
        ("hosts", &sandbox.hosts_file),
        ("resolv.conf", &sandbox.resolv_conf),
        ("hostname", &sandbox.hostname_file),
    ]
    .into_iter()
    .filter_map(|(name, source)| {
        Some(EtcFile {
            name: name.to_owned(),
            source: source.clone()?,
        })
    })
    .collect()
}

/// The volumes' parts that are resolved at each start.
pub(super) fn sub_paths(input: &ContainerInput<'_>, dir: &Path) -> Vec<SubPath> {
    let part = |(at, mount): (usize, &Mount)| {
        let path = mount.sub_path.clone().filter(|p| !p.as_os_str().is_empty())?;
        Some(SubPath {
            volume: mount.source.clone(),
            path,
            target: part_target(dir, at),
        })
    };
    input.mounts.iter().enumerate().filter_map(part).collect()
}

fn part_target(dir: &Path, at: usize) -> std::path::PathBuf {
    dir.join("parts").join(at.to_string())
}

/// All mounts: the kernel's file systems, the pod's files, the volumes from the shallowest down.
pub(super) fn mounts(
    input: &ContainerInput<'_>,
    paths: &NodePaths,
    pod: &PodShare,
) -> Result<Vec<OciMount>, BundleError> {
    let security = Security::of(input);
    let mut all = kernel(security.privileged())?;
    all.extend(shared(input, pod, security.read_only_root())?);
    // A volume takes the place of what would be there otherwise.
    all.retain(|m| {
        !input
            .mounts
            .iter()
            .any(|volume| volume.destination == *m.destination())
    });
    let uid = input.pod.metadata.uid.as_deref().unwrap_or_default();
    let dir = paths.container_dir(uid, &input.container.name);
    let mut volumes: Vec<(usize, &Mount)> = input.mounts.iter().enumerate().collect();
    volumes.sort_by_key(|(_, mount)| mount.destination.components().count());
    for (at, mount) in volumes {
        all.push(volume(mount, &dir, at)?);
    }
    Ok(all)
}

fn kernel(privileged: bool) -> Result<Vec<OciMount>, BundleError> {
    let access = if privileged { "rw" } else { "ro" };
    Ok(vec![
        fs("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"])?,
        fs(
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        )?,
        fs(
            "/dev/pts",
            "devpts",
            "devpts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        )?,
        fs("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"])?,
        fs("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", access])?,
        fs(
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            &["nosuid", "noexec", "nodev", "relatime", access],
        )?,
    ])
}

fn shared(input: &ContainerInput<'_>, pod: &PodShare, read_only: bool) -> Result<Vec<OciMount>, BundleError> {
    let access = if read_only { "ro" } else { "rw" };
    let host_shm = Path::new("/dev/shm").to_owned();
    let shm = if pod.own_ipc { pod.shm() } else { host_shm };
    let mut all = vec![bind(
        &shm,
        Path::new("/dev/shm"),
        &["rbind", "rw", "nosuid", "nodev", "noexec"],
    )?];
    for file in &pod.etc {
        let at = Path::new("/etc").join(&file.name);
        all.push(bind(&pod.etc_file(&file.name), &at, &["rbind", access])?);
    }
    let message = input
        .container
        .termination_message_path
        .as_deref()
        .unwrap_or("/dev/termination-log");
    if !message.is_empty() {
        let source = pod.termination_message(&input.container.name);
        all.push(bind(&source, Path::new(message), &["rbind", "rw"])?);
    }
    Ok(all)
}

fn volume(mount: &Mount, dir: &Path, at: usize) -> Result<OciMount, BundleError> {
    let part = mount.sub_path.as_ref().is_some_and(|p| !p.as_os_str().is_empty());
    let source = if part {
        part_target(dir, at)
    } else {
        mount.source.clone()
    };
    let access = if mount.read_only { "ro" } else { "rw" };
    let propagation = match mount.propagation.as_deref() {
        Some("HostToContainer") => "rslave",
        // Beyond the pods' mount namespace nothing is passed on.
        Some("Bidirectional") => "rshared",
        _ => "rprivate",
    };
    bind(&source, &mount.destination, &["rbind", access, propagation])
}

fn bind(source: &Path, destination: &Path, options: &[&str]) -> Result<OciMount, BundleError> {
    let options: Vec<String> = options.iter().map(|&o| o.to_owned()).collect();
    Ok(MountBuilder::default()
        .destination(destination)
        .typ("bind")
        .source(source)
        .options(options)
        .build()?)
}

fn fs(destination: &str, kind: &str, source: &str, options: &[&str]) -> Result<OciMount, BundleError> {
    let options: Vec<String> = options.iter().map(|&o| o.to_owned()).collect();
    Ok(MountBuilder::default()
        .destination(destination)
        .typ(kind)
        .source(source)
        .options(options)
        .build()?)
}
