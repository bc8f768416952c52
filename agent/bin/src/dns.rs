//! Names: the node's DNS server, and the texts by which pods find it.

use agent_core::EventDraft;
use agent_core::dns::{self, ClusterDns, ResolvConf};
use anyhow::Context as _;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::config::Config;

/// File of the names that are kept for the next start.
const SNAPSHOT: &str = "dns.json";

/// Answers at the cluster's DNS address until `stop`.
pub(crate) async fn serve(client: Client, config: Config, stop: CancellationToken) {
    let ranges = [config.service_cidr.clone(), config.cluster_cidr.to_string()];
    let settings = agent_dns::Config {
        address: config.cluster_dns,
        domain: config.cluster_domain,
        ranges: ranges.iter().filter_map(|range| range.parse().ok()).collect(),
        snapshot: config.state_dir.join(SNAPSHOT),
    };
    match agent_dns::Server::new(settings) {
        Ok(server) => server.run(client, stop).await,
        Err(error) => error!(
            error = &error as &dyn std::error::Error,
            "cluster DNS does not answer"
        ),
    }
}

/// The pod's `/etc/resolv.conf`, from the node's as it is now.
pub(crate) fn resolv_conf(pod: &Pod, config: &Config) -> ResolvConf {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let etc = read("/etc/resolv.conf").unwrap_or_default();
    let resolved = read("/run/systemd/resolve/resolv.conf");
    let cluster = ClusterDns {
        server: config.cluster_dns,
        domain: &config.cluster_domain,
    };
    dns::resolv_conf(pod, dns::node_resolver(&etc, resolved.as_deref()), cluster)
}

/// What the user is told of lines that resolvers would not have read.
pub(crate) fn omission(message: String) -> EventDraft {
    EventDraft::warning("DNSConfigForming", message)
}

/// The host name that the pod's kernel shows: on the node's network it is the node's.
pub(crate) fn kernel_hostname(pod: &Pod, config: &Config) -> anyhow::Result<String> {
    let on_host = pod.spec.as_ref().and_then(|spec| spec.host_network) == Some(true);
    if !on_host {
        return Ok(dns::kernel_hostname(pod, &config.cluster_domain)?);
    }
    let name = nix::unistd::gethostname().context("read the node's host name")?;
    Ok(name.to_string_lossy().into_owned())
}
