//! What a node's machine is given before it boots: programs, units and configuration.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::Context;
use controlplane_machine::{MachineSpec, SeedFile};

use super::binaries::PROGRAMS;
use super::outside;
use crate::cluster::{Cluster, FIRST, Record};

/// Units of every node.
pub(super) const UNITS: [(&str, &str); 2] = [
    (
        "/usr/lib/systemd/system/floe-agent.service",
        include_str!("../../../../systemd/floe-agent.service"),
    ),
    (
        "/usr/lib/systemd/system/floe-mounts.service",
        include_str!("../../../../systemd/floe-mounts.service"),
    ),
];
/// The unit of the first node alone.
pub(super) const CONTROL_PLANE: (&str, &str) = (
    "/usr/lib/systemd/system/floe-controlplane.service",
    include_str!("../../../../systemd/floe-controlplane.service"),
);

pub(super) const CNI_PLUGINS: [&str; 4] = ["bridge", "host-local", "loopback", "vxlan"];
const TOKEN_FILE: &str = "/etc/floe/bootstrap-token";
/// Where the first node's own daemon keeps the authority, and where the others are given it.
const OWN_AUTHORITY: &str = "/var/lib/floe/controlplane/pki/ca/ca.crt";
const GIVEN_AUTHORITY: &str = "/etc/floe/ca.crt";

/// What the machines of a cluster are made from.
#[derive(Debug)]
pub(crate) struct Parts {
    /// The cached root file system.
    pub(crate) root: PathBuf,
    /// The folder of the built programs.
    pub(crate) binaries: PathBuf,
}

/// The machine of the node with `number`: the first one has the control plane, all have the agent.
pub(crate) fn spec(
    cluster: &Cluster,
    record: &Record,
    parts: &Parts,
    number: u8,
) -> anyhow::Result<MachineSpec> {
    let address = address(record, number);
    let server = self::address(record, FIRST);
    let mut units = UNITS.to_vec();
    let mut files = vec![SeedFile::secret(TOKEN_FILE, cluster.bootstrap_token()?)];
    let authority = if number == FIRST {
        units.push(CONTROL_PLANE);
        let config = control_plane_config(cluster, address);
        files.push(SeedFile::text("/etc/floe/controlplane.toml", config));
        OWN_AUTHORITY
    } else {
        files.push(SeedFile::text(GIVEN_AUTHORITY, authority(cluster)?));
        GIVEN_AUTHORITY
    };
    let name = cluster.numbered(number).name().to_owned();
    let config = agent_config(&name, address, server, authority);
    files.push(SeedFile::text("/etc/floe/agent.toml", config));
    files.extend(units.iter().map(|(path, text)| SeedFile::text(*path, *text)));
    files.extend(outside::files());
    let binaries = &parts.binaries;
    files.extend(PROGRAMS.map(|(name, _)| SeedFile::copy(format!("/usr/bin/{name}"), binaries.join(name))));
    files.extend(
        CNI_PLUGINS.map(|name| SeedFile::link(format!("/usr/lib/floe/cni/{name}"), "/usr/bin/floe-cni")),
    );
    Ok(MachineSpec {
        lower: parts.root.clone(),
        bridge: cluster.bridge(),
        subnet: record.subnet,
        address,
        files,
        enable: units.iter().map(|(path, _)| *path).collect(),
    })
}

/// The address of the node with `number`.
fn address(record: &Record, number: u8) -> Ipv4Addr {
    record.subnet.machine(number.saturating_sub(FIRST))
}

/// The certificate of the cluster's authority, from the first node's state.
fn authority(cluster: &Cluster) -> anyhow::Result<String> {
    let path = cluster.first().state().join("controlplane/pki/ca/ca.crt");
    std::fs::read_to_string(&path).with_context(|| format!("read the cluster's authority {}", path.display()))
}

fn control_plane_config(cluster: &Cluster, address: Ipv4Addr) -> String {
    format!(
        "cluster_name = \"{}\"\nadvertise_address = \"{address}\"\nbootstrap_token_file = \"{TOKEN_FILE}\"\n",
        cluster.name()
    )
}

/// The disk is the developer's, shared with all else: a node that takes no pods, or throws images
/// away, because little of it is free would help nobody.
fn agent_config(node: &str, address: Ipv4Addr, server: Ipv4Addr, authority: &str) -> String {
    format!(
        "node_name = \"{node}\"\nnode_ip = \"{address}\"\nserver = \"https://{server}:6443\"\n\
         ca_file = \"{authority}\"\nbootstrap_token_file = \"{TOKEN_FILE}\"\n\
         eviction_disk_percent = 2\nimage_gc_high_percent = 100\n"
    )
}
