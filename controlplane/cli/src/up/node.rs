//! What a node's machine is given before it boots: programs, units and configuration.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::Context;
use controlplane_machine::{MachineSpec, SeedFile};

use super::binaries::PROGRAMS;
use crate::cluster::{Cluster, Record};

const UNITS: [(&str, &str); 3] = [
    (
        "/usr/lib/systemd/system/floe-controlplane.service",
        include_str!("../../../../systemd/floe-controlplane.service"),
    ),
    (
        "/usr/lib/systemd/system/floe-agent.service",
        include_str!("../../../../systemd/floe-agent.service"),
    ),
    (
        "/usr/lib/systemd/system/floe-mounts.service",
        include_str!("../../../../systemd/floe-mounts.service"),
    ),
];

const CNI_PLUGINS: [&str; 3] = ["bridge", "host-local", "loopback"];
const TOKEN_FILE: &str = "/etc/floe/bootstrap-token";

/// The first node of `cluster`: control plane and agent.
pub(super) fn spec(
    cluster: &Cluster,
    record: &Record,
    root: &Path,
    binaries: &Path,
) -> anyhow::Result<MachineSpec> {
    let address = record.subnet.machine(0);
    let node = cluster.first_machine();
    let mut files: Vec<_> = UNITS
        .iter()
        .map(|(path, text)| SeedFile::text(*path, *text))
        .collect();
    files
        .extend(PROGRAMS.map(|(name, _)| SeedFile::program(format!("/usr/bin/{name}"), binaries.join(name))));
    files.extend(
        CNI_PLUGINS.map(|name| SeedFile::link(format!("/usr/lib/floe/cni/{name}"), "/usr/bin/floe-cni")),
    );
    files.push(SeedFile::secret(TOKEN_FILE, format!("{}\n", bootstrap_token()?)));
    files.push(SeedFile::text(
        "/etc/floe/controlplane.toml",
        control_plane_config(cluster, address),
    ));
    files.push(SeedFile::text(
        "/etc/floe/agent.toml",
        agent_config(node.name(), address),
    ));
    Ok(MachineSpec {
        lower: root.to_owned(),
        bridge: cluster.bridge(),
        subnet: record.subnet,
        address,
        files,
        enable: UNITS.iter().map(|(path, _)| *path).collect(),
    })
}

fn control_plane_config(cluster: &Cluster, address: Ipv4Addr) -> String {
    format!(
        "cluster_name = \"{}\"\nadvertise_address = \"{address}\"\nbootstrap_token_file = \"{TOKEN_FILE}\"\n",
        cluster.name()
    )
}

fn agent_config(node: &str, address: Ipv4Addr) -> String {
    format!(
        "node_name = \"{node}\"\nnode_ip = \"{address}\"\nserver = \"https://{address}:6443\"\n\
         ca_file = \"/var/lib/floe/controlplane/pki/ca/ca.crt\"\nbootstrap_token_file = \"{TOKEN_FILE}\"\n"
    )
}

/// A fresh token in Kubernetes' form, `[a-z0-9]{6}.[a-z0-9]{16}`.
fn bootstrap_token() -> anyhow::Result<String> {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut random = [0_u8; 22];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
        .context("draw a bootstrap token from the kernel's random numbers")?;
    let text: String = random
        .iter()
        .filter_map(|byte| ALPHABET.get(usize::from(byte % 32)))
        .map(|&byte| char::from(byte))
        .collect();
    let (id, secret) = text.split_at(6);
    Ok(format!("{id}.{secret}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bootstrap_token_has_the_form_that_kubernetes_fixes() {
        let token = bootstrap_token().unwrap();
        let (id, secret) = token.split_once('.').unwrap();
        assert_eq!((id.len(), secret.len()), (6, 16));
        assert!(
            token
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.')
        );
        assert_ne!(token, bootstrap_token().unwrap());
    }
}
