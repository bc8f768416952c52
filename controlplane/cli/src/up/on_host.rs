//! This host as the cluster's node.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::Path;

use anyhow::Context;
use controlplane_machine::{HostSpec, host_file, install_on_host, refuse_on_host};

use super::binaries::PROGRAMS;
use super::node::{CNI_PLUGINS, CONTROL_PLANE, UNITS};
use super::{UpArgs, decide};
use crate::cluster::Cluster;
use crate::host;
use crate::progress::Progress;

/// An address of a documentation network: only the route to it is looked up, nothing is sent.
const ANYWHERE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);

/// Installs the daemons on this host and starts them.
pub(super) async fn begin(cluster: &Cluster, folder: &Path, progress: &Progress) -> anyhow::Result<()> {
    progress
        .step("host", async {
            host::prepare(host::FOR_NODES).map(|said| ((), said))
        })
        .await?;
    // Before anything is written down of a cluster on this host.
    refuse_on_host(cluster.name())?;
    let name = host_name()?;
    decide(cluster, &UpArgs::default(), Some(name.clone()))?;
    progress
        .step("this host", async {
            let address = own_address()?;
            let spec = spec(cluster, &name, address, folder)?;
            install_on_host(cluster.name(), &spec).context("make this host the cluster's node")?;
            Ok(((), format!("{name} at {address}")))
        })
        .await?;
    Ok(())
}

/// The name of this host, as the node will be called.
fn host_name() -> anyhow::Result<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").context("read this host's name")?;
    Ok(name.trim().to_lowercase())
}

/// The address from which this host reaches others.
fn own_address() -> anyhow::Result<IpAddr> {
    let look_up = || -> std::io::Result<IpAddr> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(ANYWHERE)?;
        Ok(socket.local_addr()?.ip())
    };
    look_up().context("find this host's own address; it needs an IPv4 address and a default route")
}

fn spec(cluster: &Cluster, name: &str, address: IpAddr, folder: &Path) -> anyhow::Result<HostSpec> {
    let shown = |file: &str| host_file(file).display().to_string();
    let token = shown("bootstrap-token");
    let control_plane = format!(
        "cluster_name = \"{}\"\nadvertise_address = \"{address}\"\nbootstrap_token_file = \"{token}\"\n",
        cluster.name()
    );
    let agent = format!(
        "node_name = \"{name}\"\nnode_ip = \"{address}\"\nserver = \"https://{address}:6443\"\n\
         ca_file = \"/var/lib/floe/controlplane/pki/ca/ca.crt\"\nbootstrap_token_file = \"{token}\"\n\
         cni_bin_dir = \"{}\"\ncni_conf_dir = \"{}\"\n",
        shown("cni"),
        shown("net.d"),
    );
    let file_name = |path: &'static str| path.rsplit('/').next().unwrap_or(path);
    let units = UNITS.into_iter().chain([CONTROL_PLANE]);
    Ok(HostSpec {
        programs: PROGRAMS
            .map(|(program, _)| (program, folder.join(program)))
            .to_vec(),
        plugins: CNI_PLUGINS.to_vec(),
        units: units.map(|(path, text)| (file_name(path), text)).collect(),
        files: vec![
            ("bootstrap-token", cluster.bootstrap_token()?),
            ("controlplane.toml", control_plane),
            ("agent.toml", agent),
        ],
    })
}
