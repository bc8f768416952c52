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
/// The unit of servers alone.
pub(super) const CONTROL_PLANE: (&str, &str) = (
    "/usr/lib/systemd/system/floe-controlplane.service",
    include_str!("../../../../systemd/floe-controlplane.service"),
);

pub(super) const CNI_PLUGINS: [&str; 5] = ["bridge", "host-local", "loopback", "portmap", "vxlan"];
const TOKEN_FILE: &str = "/etc/floe/bootstrap-token";
const JOIN_TOKEN_FILE: &str = "/etc/floe/join-token";
/// The name of the token in a server's state.
const JOIN_TOKEN: &str = "join-token";
/// Where a server's own daemon keeps the authority, and where others are given it.
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

/// The machine of the node with `number`: all have the agent, servers the control plane, too.
pub(crate) fn spec(
    cluster: &Cluster,
    record: &Record,
    parts: &Parts,
    number: u8,
) -> anyhow::Result<MachineSpec> {
    let address = address(record, number);
    let mut units = UNITS.to_vec();
    let mut files = vec![SeedFile::secret(TOKEN_FILE, cluster.bootstrap_token()?)];
    let group = Group::of(cluster, record, number);
    if record.servers.contains(&number) {
        units.push(CONTROL_PLANE);
        files.extend(group.control_plane(cluster, address)?);
    }
    let authority = match &group.authority {
        Some(path) => {
            let read = std::fs::read_to_string(path);
            let text = read.with_context(|| format!("read the cluster's authority {}", path.display()))?;
            files.push(SeedFile::text(GIVEN_AUTHORITY, text));
            GIVEN_AUTHORITY
        }
        None => OWN_AUTHORITY,
    };
    let name = cluster.numbered(number).name().to_owned();
    let config = agent_config(&name, address, &group.servers, authority);
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
pub(super) fn address(record: &Record, number: u8) -> Ipv4Addr {
    record.subnet.machine(number.saturating_sub(FIRST))
}

/// The cluster's servers, as the machine of one node sees them before it boots.
struct Group {
    /// Where the API is, on the machine itself first.
    servers: Vec<Ipv4Addr>,
    /// Through whom its server joins, and the file with the token; nobody where it founds the cluster, or was in it before.
    join: Option<(Vec<Ipv4Addr>, PathBuf)>,
    /// Where the authority is known from; nothing where its own server makes it.
    authority: Option<PathBuf>,
}

impl Group {
    fn of(cluster: &Cluster, record: &Record, number: u8) -> Self {
        let state = |of: u8| cluster.numbered(of).state().join("controlplane");
        let mut numbers: Vec<u8> = record.servers.iter().copied().collect();
        numbers.sort_by_key(|one| *one != number);
        let others = numbers.iter().copied().filter(|one| *one != number);
        let formed: Vec<u8> = others
            .filter(|one| state(*one).join(JOIN_TOKEN).exists())
            .collect();
        let token = formed.first().map(|one| state(*one).join(JOIN_TOKEN));
        let is_new = !state(number).join("store.db").exists();
        let through = formed.iter().map(|one| address(record, *one)).collect();
        let known = numbers.iter().map(|one| state(*one).join("pki/ca/ca.crt"));
        Self {
            servers: numbers.iter().map(|one| address(record, *one)).collect(),
            join: token.filter(|_| is_new).map(|token| (through, token)),
            authority: known.into_iter().find(|path| path.exists()),
        }
    }

    /// The files of its server.
    fn control_plane(&self, cluster: &Cluster, address: Ipv4Addr) -> anyhow::Result<Vec<SeedFile>> {
        let mut config = format!(
            "cluster_name = \"{}\"\nadvertise_address = \"{address}\"\nbootstrap_token_file = \"{TOKEN_FILE}\"\n",
            cluster.name()
        );
        let mut files = Vec::new();
        if let Some((through, token)) = &self.join {
            let through: Vec<String> = through.iter().map(|at| format!("\"{at}:6444\"")).collect();
            config += &format!(
                "join = [{}]\njoin_token_file = \"{JOIN_TOKEN_FILE}\"\n",
                through.join(", ")
            );
            let read = std::fs::read_to_string(token);
            let text = read.with_context(|| format!("read the join token {}", token.display()))?;
            files.push(SeedFile::secret(JOIN_TOKEN_FILE, text));
        }
        files.push(SeedFile::text("/etc/floe/controlplane.toml", config));
        Ok(files)
    }
}

/// The disk is the developer's, shared with all else: a node that takes no pods, or throws images
/// away, because little of it is free would help nobody.
fn agent_config(node: &str, address: Ipv4Addr, servers: &[Ipv4Addr], authority: &str) -> String {
    let servers: Vec<String> = servers
        .iter()
        .map(|at| format!("\"https://{at}:6443\""))
        .collect();
    let servers = servers.join(", ");
    format!(
        "node_name = \"{node}\"\nnode_ip = \"{address}\"\nserver = [{servers}]\n\
         ca_file = \"{authority}\"\nbootstrap_token_file = \"{TOKEN_FILE}\"\n\
         eviction_disk_percent = 2\nimage_gc_high_percent = 100\n"
    )
}
